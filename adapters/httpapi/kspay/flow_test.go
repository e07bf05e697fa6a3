package kspay_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
)

func TestServerToServer(t *testing.T) {
	for _, prefix := range []string{"/v1", ""} {
		s := serve(t)
		signature := "x-signature: " + s.send("POST", prefix+"/auth/generate-signature/"+appA, pair(appA)).get(t, "result")
		r := s.send("POST", prefix+"/transaction/initiate", wish(), signature)
		id := r.get(t, "result", "pe_txnId")
		if want := `{"status":201,"message":"success","result":{"pe_txnId":"` + id + `","providerOrderId":"order_1","amount":345.67,"currency":"INR",` +
			`"gateway":"RAZORPAY","method":"NET BANKING","mode":"sandbox","config":` + netBanking + `}}`; r.status != 201 || r.body != want {
			t.Fatalf("answered %d %s\n    want %s", r.status, r.body, want)
		}
		p := s.books.payments[id]
		if p.TxnRef != id || p.OrderID != "OcrcZcu5z0Az1w2Z" || p.Commission.Fixed() != "3.46" || p.Fee.Plan != "checkout" || !p.ExpiresAt.Equal(day.Add(30*time.Minute)) || p.Sealed != "" {
			t.Errorf("made %+v", p)
		}

		token := s.token(appA)
		show := func(status, provider, paid string) string {
			words := map[bool]string{true: `"netbanking"`, false: "null"}
			sub := map[bool]string{true: `"HDFC"`, false: "null"}
			payment := map[bool]string{true: `"pay_1"`, false: "null"}
			is := paid == "true"
			return `{"id":"` + id + `","providerOrderId":"order_1","currencyId":"c_WkmEe23LeI","appId":"ap_rtk2WdyQR","referenceNumber":"OcrcZcu5z0Az1w2Z",` +
				`"paymentMethodId":"pm_Mk55VGvFm","amount":"345.67","currencyCode":"INR","origin":null,"gatewayConfigId":"gc_razorpay1","paymentType":"NET BANKING",` +
				`"subPaymentType":` + sub[is] + `,"providerName":"RAZORPAY","providerPaymentType":` + words[is] + `,"providerSubpaymentType":` + sub[is] +
				`,"providerTxnId":` + payment[is] + `,"signature":"` + p.Checkout.Signature + `","status":"` + status + `","providerStatus":"` + provider +
				`","userId":"us_M6jVa85Zb","isPaid":` + paid + `,"createdAt":"2026-04-30T10:00:00.000Z","updatedAt":"2026-04-30T10:0` + map[bool]string{true: "1", false: "0"}[is] + `:00.000Z"}`
		}
		for _, path := range []string{"/transaction/txnId/" + id, "/transaction/referenceNo/OcrcZcu5z0Az1w2Z"} {
			r := s.send("GET", prefix+path, "", token)
			if want := `{"status":200,"message":"success","result":` + show("PENDING", "CREATED", "false") + `}`; r.body != want {
				t.Errorf("answered %s\n    want %s", r.body, want)
			}
		}
		s.advance(time.Minute)
		s.pay(id)
		r = s.send("GET", prefix+"/transaction", "", token)
		if want := `{"status":200,"message":"success","result":[` + show("SUCCESS", "CAPTURED", "true") + `],"page":1,"limit":100,"total":1}`; r.body != want {
			t.Errorf("answered %s\n    want %s", r.body, want)
		}
		s.send("POST", prefix+"/transaction/process", "", signature).want(t, "(top)/customError", "The transaction is SUCCESS already")
	}
}

func TestCheckoutFlow(t *testing.T) {
	s := serve(t)
	body := wish("amount", "2", "appId", quote(appA), "redirectUrl", quote(shop+"/thanks?order=7"), "interfaceType", `"sdk"`, "paymentMethodId", "")
	for i, headers := range [][]string{
		{s.token(appA), "Origin: " + shop}, {"accessKey: " + accessOf(appA), "secretKey: " + secretOf(appA)},
	} {
		body := strings.Replace(body, "OcrcZcu5z0Az1w2Z", fmt.Sprint("R", i), 1)
		r := s.send("POST", "/v1/transaction/initiate", body, headers...)
		signature := r.get(t, "result")
		if r.status != 201 || signature != r.get(t, "signature") || strings.Trim(signature, "0123456789abcdef") != "" {
			t.Fatalf("initiate: %d %s", r.status, r.body)
		}
		if n := len(s.gateways.asked); n != i {
			t.Errorf("a gateway was asked %d times before there was a customer", n-i)
		}
		p := s.books.payments[s.books.order[i]]
		if got := opened(t, p); got != `{"phone":"","redirect_url":"`+shop+`/thanks?order=7"}` || p.Checkout.Origin != shop || p.Checkout.Method != "" {
			t.Errorf("sealed %s of %+v", got, p.Checkout)
		}
		r = s.send("POST", "/v1/transaction/process", "", "x-signature: "+signature, "Origin: "+shop)
		order := `{"gateway":"razorpay","clientId":"public_razorpay","amount":200,"providerOrderId":"order_` + fmt.Sprint(i+1) +
			`","config":{},"checkoutUrl":"https://pay.example/checkout/` + p.Of.Payment + `"}`
		if want := `{"status":201,"message":"success","result":` + order + `,"order":` + order + `}`; r.status != 201 || r.body != want {
			t.Fatalf("process: %d %s\n    want %s", r.status, r.body, want)
		}
		if got := r.header.Get("Access-Control-Allow-Origin"); got != shop {
			t.Errorf("the customer's browser may not read it: %q", got)
		}
		if again := s.send("POST", "/v1/transaction/process", "", "x-signature: "+signature); again.body != r.body {
			t.Errorf("again: %s", again.body)
		}
	}
}

// mobile does what the vendor's mobile client does with a signature: it posts nothing but that and its name, takes 201 alone, and reads result.
func (s *bench) mobile(signature string) map[string]any {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/transaction/process", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = http.Header{"X-Signature": {signature}, "Origin": {"kspay-flutter-v1"}}
	got := s.do(r)
	if got.status != http.StatusCreated {
		s.t.Fatalf("Backend error: %s", got.body)
	}
	var answer struct {
		Result map[string]any `json:"result"`
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
		s.t.Fatal(err)
	}
	return answer.Result
}

func TestMobileClient(t *testing.T) {
	s := serve(t)
	begin := func(reference string) string {
		return s.send("POST", "/v1/transaction/initiate", wish("referenceNumber", quote(reference)), s.token(appA)).get(t, "result")
	}
	result := s.mobile(begin("A"))
	if result["gateway"] != "razorpay" || result["clientId"] != "public_razorpay" || result["amount"] != 34567.0 || result["providerOrderId"] != "order_1" || result["config"] == nil {
		t.Errorf("razorpay: %v", result)
	}

	s.gateways.refuses["razorpay"] = "no"
	result = s.mobile(begin("B"))
	details, _ := result["details"].(map[string]any)
	form, _ := details["initiateTransaction"].(map[string]any)
	if result["gateway"] != "payu" || result["mode"] != "sandbox" || form["key"] != "gtKFFx" || form["amount"] != "345.67" || form["enforce_paymethod"] != "netbanking" || form["hash"] != nil {
		t.Errorf("payu: %v", result)
	}
	// Then PayU's own checkout asks for hashes, each with a form that has more in it than is needed.
	asks := url.Values{"hashName": {"payment_source"}, "hashString": {"gtKFFx|" + form["txnid"].(string) + "|345.67|"}, "hashType": {"V1"}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/payU/hash/"+result["altTxnId"].(string), strings.NewReader(asks.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}, "Origin": {"kspay-flutter-v1"}}
	if got := s.do(r); got.status != 201 || got.get(t, "result") != fmt.Sprintf("%x", "payment_source") {
		t.Errorf("hash: %d %s", got.status, got.body)
	}

	result = s.mobile(s.send("POST", "/v1/transaction/initiate", wish("currencyId", quote(usd), "paymentMethodId", quote(paypal), "referenceNumber", `"C"`), s.token(appA)).get(t, "result"))
	if result["gateway"] != "paypal" || result["amount"] != 345.67 || result["checkoutUrl"] == nil {
		t.Errorf("paypal: %v", result)
	}
}

func TestSignatureOfSeveral(t *testing.T) {
	s := serve(t)
	signature := s.signature(appA)
	process := func(body string) reply { return s.send("POST", "/v1/transaction/process", body, signature) }
	process("").want(t, "systemError/noDataFound")
	var ids []string
	for i := range 4 {
		r := s.send("POST", "/v1/transaction/initiate", wish("referenceNumber", quote(fmt.Sprint("R", i))), signature)
		ids = append(ids, r.get(t, "result", "pe_txnId"))
		if i == 0 {
			if got := process("").get(t, "result", "providerOrderId"); got != "order_1" {
				t.Errorf("the only one: %s", got)
			}
		}
	}
	const which = "This signature has initiated several transactions: name the one that is meant as pe_txnId"
	process("").want(t, "(top)/customError", which)
	for i, id := range ids {
		if got := process(`{"pe_txnId":"`+id+`"}`).get(t, "result", "providerOrderId"); got != fmt.Sprint("order_", i+1) {
			t.Errorf("%s: %s", id, got)
		}
	}
	other := s.initiate("referenceNumber", `"other"`).get(t, "result", "pe_txnId")
	process(`{"pe_txnId":"`+other+`"}`).want(t, "systemError/noDataFound")
	process(`{"pe_txnId":"tx_000000000"}`).want(t, "systemError/noDataFound")
	process(`{"pe_txnId":"tx_0"}`).want(t, "(top)/invalidNanoid", wrongTx)
	process(`{"pe_txnId":7}`).want(t, "(top)/customError", "pe_txnId must be a string")

	// The signature of one transaction is of that one.
	mine := "x-signature: " + s.send("POST", "/v1/transaction/initiate", wish("referenceNumber", `"mine"`), s.token(appA)).get(t, "result")
	s.send("POST", "/v1/transaction/process", `{"pe_txnId":"`+other+`"}`, mine).want(t, "systemError/noDataFound")
	s.send("POST", "/v1/transaction/initiate", wish("referenceNumber", `"more"`), mine).want(t, "auth/unauthroizedAccess")
	s.send("POST", "/v1/transaction/process", `{"pe_txnId":"`+s.books.order[len(s.books.order)-1]+`"}`, mine).get(t, "result", "providerOrderId")
}

const wrongTx = "ID must start with 'tx_' and be 12 characters long with alphanumeric characters following the prefix."

func TestDuplicates(t *testing.T) {
	const taken = "A transaction with this referenceNumber already exists"
	s := serve(t)
	s.initiate()
	again := func(body, header string) reply { return s.send("POST", "/v1/transaction/initiate", body, header) }
	again(wish(), s.signature(appA)).want(t, "(top)/customError", taken)
	again(wish("amount", "1"), s.signature(appA)).want(t, "(top)/customError", taken)
	again(wish(), s.token(appA)).want(t, "(top)/customError", taken)
	if r := again(wish(), s.signature(appB)); r.status != 201 {
		t.Errorf("another app's: %d %s", r.status, r.body)
	}
	if n := len(s.books.order); n != 2 {
		t.Errorf("%d transactions", n)
	}
}

// A request that died before it had its order goes on when it comes again, and only when it is the same.
func TestGoingOn(t *testing.T) {
	const taken = "A transaction with this referenceNumber already exists"
	s := serve(t)
	signature := s.signature(appA)
	for _, how := range []string{"dies", "silent", "no"} {
		s.gateways.refuses = map[string]string{"razorpay": how, "payu": how}
		body := wish("referenceNumber", quote(how))
		send := func(body string) reply { return s.send("POST", "/v1/transaction/initiate", body, signature) }
		first := send(body)
		switch how {
		case "dies":
			first.want(t, "systemError/oopsSomethingWentWrong")
		case "silent":
			first.want(t, "(top)/externalError", "The payment gateway gave no definite answer: send the same request again to go on with the same transaction")
		case "no":
			first.want(t, "systemError/externalProviderIssue")
		}
		id := s.books.order[len(s.books.order)-1]
		send(strings.Replace(body, "345.67", "345.68", 1)).want(t, "(top)/customError", taken)
		if how == "no" {
			send(body).want(t, "systemError/externalProviderIssue")
			continue
		}
		s.gateways.refuses = map[string]string{}
		r := send(body)
		if r.status != 201 || r.get(t, "result", "pe_txnId") != id || r.get(t, "result", "gateway") != "RAZORPAY" {
			t.Fatalf("%s: %d %s", how, r.status, r.body)
		}
		send(body).want(t, "(top)/customError", taken)
	}
	s.gateways.refuses = map[string]string{"razorpay": "dies"}
	s.send("POST", "/v1/transaction/initiate", wish("referenceNumber", `"late"`), signature)
	s.advance(31 * time.Minute)
	s.send("POST", "/v1/transaction/initiate", wish("referenceNumber", `"late"`), s.signature(appA)).want(t, "(top)/customError", taken)

	// In the checkout flow there is no order yet: the same request gets a signature of the same transaction.
	one, two := s.send("POST", "/transaction/initiate", wish("referenceNumber", `"c"`), s.token(appA)), s.send("POST", "/transaction/initiate", wish("referenceNumber", `"c"`), s.token(appA))
	if one.status != 201 || two.status != 201 || s.books.order[len(s.books.order)-2] == "c" {
		t.Errorf("%d %s, %d %s", one.status, one.body, two.status, two.body)
	}
	s.gateways.refuses = map[string]string{}
	a, b := s.mobile(one.get(t, "result")), s.mobile(two.get(t, "result"))
	if a["providerOrderId"] != b["providerOrderId"] {
		t.Errorf("%v and %v", a, b)
	}
}

func TestIdempotency(t *testing.T) {
	s := serve(t)
	const idem, reused = "Idempotency-Key: K-1 ~", "Idempotency-Key was used with a different request"
	signature := s.signature(appA)
	send := func(body string, headers ...string) reply {
		return s.send("POST", "/transaction/initiate", body, append([]string{signature}, headers...)...)
	}
	first := send(wish(), idem)
	again := s.send("POST", "/v1/transaction/initiate", wish(), s.signature(appA), idem)
	if first.status != 201 || again.status != 201 || again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" || first.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("first %d %s %v, again %d %s %v", first.status, first.body, first.header, again.status, again.body, again.header)
	}
	s.pay(first.get(t, "result", "pe_txnId"))
	again = send(wish(), idem)
	if want := strings.Replace(first.body, netBanking, "{}", 1); again.status != 201 || again.body != want {
		t.Errorf("after it was paid: %d %s\n    want %s", again.status, again.body, want)
	}
	send(wish("amount", "1"), idem).want(t, "(top)/customError", reused)
	send(wish("referenceNumber", `"new"`), idem).want(t, "(top)/customError", reused)
	send(wish(), "Idempotency-Key: K-2").want(t, "(top)/customError", "A transaction with this referenceNumber already exists")
	if r := send(wish("referenceNumber", `"new"`), "Idempotency-Key: K-2"); r.status != 201 {
		t.Errorf("a refusal bound the key: %d %s", r.status, r.body)
	}
	if r := s.send("POST", "/transaction/initiate", wish(), s.signature(appB), idem); r.status != 201 || r.body == first.body {
		t.Errorf("another app's: %d %s", r.status, r.body)
	}

	// In the checkout flow a repeat gets another signature of the same transaction.
	token := s.token(appA)
	one := s.send("POST", "/transaction/initiate", wish("referenceNumber", `"c"`), token, "Idempotency-Key: K-3")
	s.advance(time.Minute)
	two := s.send("POST", "/transaction/initiate", wish("referenceNumber", `"c"`), token, "Idempotency-Key: K-3")
	if two.header.Get("Idempotent-Replayed") != "true" || s.mobile(one.get(t, "result"))["providerOrderId"] != s.mobile(two.get(t, "result"))["providerOrderId"] {
		t.Errorf("%s, %s", one.body, two.body)
	}

	const wrong = "Idempotency-Key must be 1 to 255 printable ASCII characters, given once"
	send(wish(), "Idempotency-Key: "+strings.Repeat("k", 256)).want(t, "(top)/customError", wrong)
	body := wish("referenceNumber", `"z"`)
	head := "POST /transaction/initiate HTTP/1.1\nHost: x\n" + signature + "\nContent-Type: application/json\nConnection: close\nContent-Length: " + fmt.Sprint(len(body)) + "\n"
	for _, keys := range []string{"Idempotency-Key:\n", "Idempotency-Key: a\nIdempotency-Key: a\n", "Idempotency-Key: caf\xc3\xa9\n"} {
		s.raw(head+keys+"\n"+body).want(t, "(top)/customError", wrong)
	}
}

// Copies that arrive together: one transaction.
func TestCopies(t *testing.T) {
	s := serve(t)
	signature := s.signature(appA)
	for _, headers := range [][]string{{signature}, {signature, "Idempotency-Key: K"}} {
		before := len(s.books.order)
		body := wish("referenceNumber", quote(fmt.Sprint("R", len(headers))))
		replies := make([]reply, 8)
		var all sync.WaitGroup
		for i := range replies {
			all.Go(func() { replies[i] = s.send("POST", "/transaction/initiate", body, headers...) })
		}
		all.Wait()
		good := map[string]bool{}
		for _, r := range replies {
			if r.status == 201 {
				good[r.body] = true
			} else if len(headers) == 2 {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		if made := len(s.books.order) - before; made != 1 || len(good) != 1 {
			t.Errorf("%d transactions, %d answers", made, len(good))
		}
	}
}

// Ids are short: one that somebody has, in whatever app, is not used.
func TestTransactionIDs(t *testing.T) {
	s := serve(t)
	s.books.taken = 3
	if id := s.initiate().get(t, "result", "pe_txnId"); !merchant.ValidID("tx_", id) {
		t.Error(id)
	}
	if s.books.taken != 0 {
		t.Errorf("%d taken ids were not seen", s.books.taken)
	}
	s.books.taken = 5
	s.send("POST", "/transaction/initiate", wish("referenceNumber", `"b"`), s.signature(appA)).want(t, "systemError/oopsSomethingWentWrong")
}

func TestExpiredTransaction(t *testing.T) {
	s := serve(t, func(o *kspay.Options) { o.SignatureLife = time.Hour })
	signature := "x-signature: " + s.send("POST", "/transaction/initiate", wish(), s.token(appA)).get(t, "result")
	s.advance(30 * time.Minute)
	s.send("POST", "/transaction/process", "", signature).want(t, "(top)/customError", "The transaction has expired")
	p := s.books.payments[s.books.order[0]]
	s.books.do(t, wallet.ExpirePayin{Base: wallet.Base{Of: p.Of, At: s.clock()}})
	s.send("POST", "/transaction/process", "", signature).want(t, "(top)/customError", "The transaction is EXPIRED already")
	r := s.send("GET", "/transaction/txnId/"+p.Of.Payment, "", s.token(appA))
	if r.get(t, "result", "status") != "EXPIRED" || r.get(t, "result", "providerStatus") != "<nil>" || r.get(t, "result", "providerName") != "<nil>" {
		t.Error(r.body)
	}
}
