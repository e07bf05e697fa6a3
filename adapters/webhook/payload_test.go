package webhook

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// documentKey is the API key of the document's samples.
const documentKey = "YOUR_API_KEY"

// The document's payloads, with the amounts in the stable form.
const (
	documentPayin = `{"event":"transaction.updated","transaction_id":"txn_xxxxxxxxxxxxxxxx","service":"payin","status":"success",` +
		`"amount":1000,"commission":10,"net_amount":990,"order_id":"YOUR-ORDER-001","txn_ref":"PAYIN-REF-XXXXX","utr":"407241812279",` +
		`"timestamp":"2024-04-30T10:05:00.000000Z"}`
	documentPayout = `{"event":"transaction.updated","transaction_id":"txn_xxxxxxxxxxxxxxxx","service":"payout","status":"success",` +
		`"amount":5000,"commission":10,"net_amount":5010,"reference_id":"bank_ref_number","partner_request_id":"YOUR-ORDER-ID",` +
		`"timestamp":"2024-04-16T10:30:00.000000Z"}`
)

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

func priced(amount, commission string) wallet.Priced {
	return wallet.Priced{Amount: inr(amount), Commission: inr(commission), Tax: inr("0")}
}

func samplePayin() wallet.Payment {
	return wallet.Payment{
		Of: wallet.Of{Merchant: "mer_1", Currency: money.INR, Payment: "txn_xxxxxxxxxxxxxxxx"}, Priced: priced("1000.00", "10.00"),
		Kind: wallet.KindPayin, OrderID: "YOUR-ORDER-001", TxnRef: "PAYIN-REF-XXXXX", UTR: "407241812279",
	}
}

func samplePayout() wallet.Payment {
	return wallet.Payment{
		Of: wallet.Of{Merchant: "mer_1", Currency: money.INR, Payment: "txn_xxxxxxxxxxxxxxxx"}, Priced: priced("5000.00", "10.00"),
		Kind: wallet.KindPayout, RequestID: "YOUR-ORDER-ID", BankReference: "bank_ref_number",
	}
}

func at(text string) *eventstore.Record {
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return &eventstore.Record{RecordedAt: when}
}

func equal[T comparable](t interface {
	Helper()
	Fatalf(string, ...any)
}, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// sent is a header as it is spelled, which http.Header.Get does not find.
func sent(h map[string][]string, name string) string { return h[name][0] }

// The golden vectors of the contract.
func TestGoldenVectors(t *testing.T) {
	payin, payout := samplePayin(), samplePayout()
	for _, v := range []struct {
		body, want string
		bytes      int
		signature  string
	}{
		{
			string(buildBody(at("2024-04-30T15:35:00+05:30"), &payin, wallet.Success, merchant.Stable)), documentPayin,
			274, "661a6f5503b1879212370450ac7b9cb4adb3e3d9f4c996d2c46b7536d095b0e3",
		},
		{
			string(buildBody(at("2024-04-16T10:30:00Z"), &payout, wallet.Success, merchant.Stable)), documentPayout,
			269, "f6dedcf6078258a84c1eb6d4f5327e83a26acd6a4616af8298f7ccc0e7b12314",
		},
	} {
		equal(t, "body", v.body, v.want)
		equal(t, "bytes", len(v.body), v.bytes)
		for _, d := range []merchant.Dialect{merchant.Stable, merchant.PHP, merchant.Node, merchant.Raw} {
			h, err := headers(&Delivery{ID: "cb_1", Dialect: d, Body: []byte(v.body)}, []vault.Midstates{vault.NewMidstates([]byte(documentKey))}, time.Unix(1, 0))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "signature for "+string(d), sent(h, "X-KlyroPay-Signature"), v.signature)
		}
	}
}

func TestBodiesByStatus(t *testing.T) {
	payin, payout := samplePayin(), samplePayout()
	payin.UTR, payout.BankReference = "", ""
	payin.Priced = priced("1000.50", "10.01")
	for _, c := range []struct {
		name    string
		payment *wallet.Payment
		status  wallet.Status
		want    string
	}{
		{"a payin without a UTR", &payin, wallet.Expired, `"status":"expired","amount":1000.5,"commission":10.01,"net_amount":990.49,` +
			`"order_id":"YOUR-ORDER-001","txn_ref":"PAYIN-REF-XXXXX","utr":null,"timestamp":"2026-03-31T12:00:00.123456Z"}`},
		{"a payout without a reference", &payout, wallet.Refunded, `"status":"refunded","amount":5000,"commission":10,"net_amount":5010,` +
			`"reference_id":null,"partner_request_id":"YOUR-ORDER-ID","timestamp":"2026-03-31T12:00:00.123456Z"}`},
	} {
		body := string(buildBody(at("2026-03-31T12:00:00.123456Z"), c.payment, c.status, merchant.Stable))
		if !strings.HasSuffix(body, c.want) {
			t.Errorf("%s:\n got %s\nwant ...%s", c.name, body, c.want)
		}
	}
}

func TestFinalStatuses(t *testing.T) {
	want := map[string]wallet.Status{
		"payin.succeeded": wallet.Success, "payin.failed": wallet.Failed, "payin.expired": wallet.Expired,
		"payout.succeeded": wallet.Success, "payout.failed": wallet.Failed, "payout.refunded": wallet.Refunded,
		"payout.returned": wallet.Refunded, "payout.paid_after_refund": wallet.Success,
		"payin.created": "", "payin.suspended": "", "payin.noted": "", "payout.initiated": "", "payout.submitted": "",
		"payout.anomaly": "", "wallet.adjusted": "", "merchant.created": "", "payout.succeeded.not": "",
	}
	for typ, status := range want {
		got, final := finalStatus(typ)
		equal(t, typ, got, status)
		equal(t, typ+" is final", final, status != "")
		equal(t, typ+" is among the types that the outbox wants", slices.Contains(finalTypes(), typ), final)
	}
}

func TestSanitise(t *testing.T) {
	for in, want := range map[string]string{
		"407241812279":            "407241812279",
		"AXIS/IMPS/1":             "AXIS-IMPS-1",
		"नमस्ते":                  "------",
		"a\x00b\x1fc\x7fd\u2028e": "a-b-c-d-e",
		`quote " and \`:           `quote " and \`,
		"bad \xff utf8":           "bad - utf8",
		strings.Repeat("x", 500):  strings.Repeat("x", maxText),
	} {
		equal(t, in, Sanitise(in), want)
	}
}

// anyText is what a bank or a merchant might send.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,100}`), rapid.StringOf(rapid.SampledFrom([]rune("a/\\\"\b\f\n\r\t\x01\x7f\u0080é€\u2028\u2029\uFFFF😀<>&'"))))
}

// anyBody is the body of any callback, by dialect.
func anyBody(t *rapid.T) func(merchant.Dialect) []byte {
	if rapid.Bool().Draw(t, "about a batch") {
		b, r := anyBatch(t)
		return func(d merchant.Dialect) []byte { return buildBatchBody(r, &b, d) }
	}
	p, r := anyPayment(t)
	status := rapid.SampledFrom([]wallet.Status{wallet.Success, wallet.Failed, wallet.Refunded, wallet.Expired}).Draw(t, "status")
	return func(d merchant.Dialect) []byte { return buildBody(r, &p, status, d) }
}

// anyPayment is any final callback.
func anyPayment(t *rapid.T) (wallet.Payment, *eventstore.Record) {
	p := wallet.Payment{
		Of: wallet.Of{Merchant: "mer_1", Currency: money.INR, Payment: "txn_" + rapid.StringMatching(`[a-z0-9]{16}`).Draw(t, "id")},
		Priced: wallet.Priced{
			Amount:     money.FromMinor(rapid.Int64Range(0, math.MaxInt64/4).Draw(t, "amount"), money.INR),
			Commission: money.FromMinor(rapid.Int64Range(0, 1e12).Draw(t, "commission"), money.INR),
			Tax:        inr("0"),
		},
		Kind:    rapid.SampledFrom([]wallet.Kind{wallet.KindPayin, wallet.KindPayout}).Draw(t, "kind"),
		OrderID: anyText().Draw(t, "order"), TxnRef: anyText().Draw(t, "ref"), UTR: anyText().Draw(t, "utr"),
		RequestID: anyText().Draw(t, "request"), BankReference: anyText().Draw(t, "bank"),
	}
	return p, &eventstore.Record{RecordedAt: time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at"))}
}

// Whatever the payment or the batch, the stable body is what both platforms re-encode it to.
func TestStableBodyIsAFixedPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := anyBody(t)(merchant.Stable)
		for _, d := range []merchant.Dialect{merchant.PHP, merchant.Node, merchant.Raw} {
			signed, err := signedBytes(d, body)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, string(d), string(signed), string(body))
		}
		if bytes.ContainsAny(body, "/\n") || !json.Valid(body) {
			t.Fatalf("body %s", body)
		}
		for _, c := range body {
			if c < 0x20 || c > 0x7E {
				t.Fatalf("byte %#x in body %s", c, body)
			}
		}
	})
}

// The other dialects send strings as they are, and amounts that PHP and Node write alike.
func TestOtherDialectsKeepStrings(t *testing.T) {
	p := samplePayin()
	p.UTR = "AXIS/é😀\n"
	r := at("2024-04-30T10:05:00Z")
	for d, want := range map[merchant.Dialect]struct{ amount, sent, signed string }{
		merchant.PHP:  {`"amount":1000,`, `"utr":"AXIS/é😀\u000a"`, `"utr":"AXIS\/\u00e9\ud83d\ude00\n"`},
		merchant.Node: {`"amount":1000,`, `"utr":"AXIS/é😀\u000a"`, `"utr":"AXIS/é😀\n"`},
		merchant.Raw:  {`"amount":1000.00,`, `"utr":"AXIS/é😀\u000a"`, `"utr":"AXIS/é😀\u000a"`},
	} {
		body := buildBody(r, &p, wallet.Success, d)
		signed, err := signedBytes(d, body)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []struct {
			in   []byte
			want string
		}{{body, want.amount}, {body, want.sent}, {signed, want.signed}} {
			if !bytes.Contains(part.in, []byte(part.want)) {
				t.Errorf("%s: %s lacks %s", d, part.in, part.want)
			}
		}
	}
}

func TestReencodeRefusesWhatIsNoBody(t *testing.T) {
	for _, body := range []string{
		"", "1", "[]", "{}", `{"a":{}}`, `{"a":[1]}`, `{"a":true}`, `{"a":1} {}`, `{"a":1`, `{"a":`, `{"a":1e400}`, `{"a":12345678901234567890}`, `{"a":-0}`,
	} {
		for _, d := range []merchant.Dialect{merchant.PHP, merchant.Node} {
			if out, err := signedBytes(d, []byte(body)); err == nil {
				t.Errorf("%s of %s gives %s", d, body, out)
			}
		}
	}
}

func FuzzReencode(f *testing.F) {
	f.Add([]byte(documentPayin))
	f.Add([]byte(`{"a":"\u00e9\/","b":1.50,"c":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, d := range []merchant.Dialect{merchant.PHP, merchant.Node} {
			once, err := signedBytes(d, body)
			if err != nil {
				continue
			}
			if !json.Valid(once) {
				t.Fatalf("%s of %q is no JSON: %q", d, body, once)
			}
			twice, err := signedBytes(d, once)
			if err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("%s of %q is not stable: %q, %q, %v", d, body, once, twice, err)
			}
		}
	})
}

// A number that a double does not hold goes as a string.
func TestLargeAmounts(t *testing.T) {
	p := samplePayin()
	p.Priced = priced("9999999999999.99", "0")
	body := string(buildBody(at("2024-04-30T10:05:00Z"), &p, wallet.Success, merchant.Stable))
	if !strings.Contains(body, `"amount":9999999999999.99,`) {
		t.Error(body)
	}
	p.Priced = priced("90071992547409.93", "0")
	body = string(buildBody(at("2024-04-30T10:05:00Z"), &p, wallet.Success, merchant.Stable))
	if !strings.Contains(body, `"amount":"90071992547409.93",`) {
		t.Error(body)
	}
}

func TestHexOfSignature(t *testing.T) {
	h, err := headers(&Delivery{ID: "cb_1", Body: []byte(documentPayin)}, []vault.Midstates{vault.NewMidstates([]byte(documentKey))}, time.Unix(1714471500, 0))
	if err != nil {
		t.Fatal(err)
	}
	sig := sent(h, "X-KlyroPay-Signature")
	if b, err := hex.DecodeString(sig); err != nil || len(b) != 32 || strings.ToLower(sig) != sig {
		t.Errorf("signature %s", sig)
	}
	equal(t, "event", sent(h, "X-KlyroPay-Event"), "transaction.updated")
	equal(t, "timestamp", sent(h, "webhook-timestamp"), "1714471500")
}
