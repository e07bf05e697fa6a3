package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/cashfree"
	"github.com/khata-ledger/khata/adapters/gateway/paypal"
	"github.com/khata-ledger/khata/adapters/gateway/payu"
	"github.com/khata-ledger/khata/adapters/gateway/razorpay"
	"github.com/khata-ledger/khata/adapters/gateway/sandbox"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore/testnet"
)

// The secret that no adapter may take elsewhere.
const hostileSecret = "s3cret-0123456789abcdef"

// question is something that an adapter asks, with a good answer to it, in which the amount is 1000 or 1000.00.
type question struct {
	name  string
	good  string
	other func(*http.Request) string // answers to what is asked beside it
	ask   func(ctx context.Context, base string) error
	takes []string // faults that are an answer here, and why: the ledger looks at amounts; a check of credentials reads nothing but a status
}

// questions are those of the sandbox bank and of every payment company.
func questions(t *testing.T) []question {
	t.Helper()
	var all []question
	for _, part := range [][]question{sandboxQuestions(t), razorpayQuestions(t), payuQuestions(t), cashfreeQuestions(t), paypalQuestions(t)} {
		all = append(all, part...)
	}
	return all
}

func closing[C interface{ Close() }](t *testing.T, c C) C {
	t.Cleanup(c.Close)
	return c
}

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

func orderOf(c money.Currency) gateway.Order {
	return gateway.Order{
		Reference: "tx_Hostile0001", Amount: money.MustParse("1000", c), Merchant: "Shop", Description: "Tea", ReturnURL: "https://shop.example/back",
		CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}
}

func refundOf(payment, order string, c money.Currency) gateway.Refund {
	return gateway.Refund{
		Reference: "rfd_Hostile0001", PaymentID: payment, OrderID: order, Payin: "tx_Hostile0001", Amount: money.MustParse("1000", c),
		Total: money.MustParse("1000", c), Reason: "returned",
	}
}

func sandboxQuestions(t *testing.T) []question {
	with := func(f func(context.Context, *sandbox.Client) error) func(context.Context, string) error {
		return func(ctx context.Context, base string) error {
			c, err := sandbox.NewClient(base, []byte(hostileSecret), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			return f(ctx, c)
		}
	}
	const transfer = `{"reference":"txn_hostile","status":"paid","amount":"1000.00","utr":"UTR1","at":"2026-11-22T10:00:00Z"}`
	const refund = `{"reference":"rfd_Hostile0001","status":"refunded","refund_id":"R1","amount":"1000.00","utr":"UTR2"}`
	r := refundOf("pay_1", "", money.INR)
	return []question{
		{"sandbox: sending", transfer, nil, with(func(ctx context.Context, c *sandbox.Client) error {
			_, err := c.Send(ctx, gateway.Transfer{Reference: "txn_hostile", Amount: inr("1000"), AccountNo: "1", IFSC: "SBIN0001234", Name: "Asha"})
			return err
		}), nil},
		{"sandbox: inquiring", transfer, nil, with(func(ctx context.Context, c *sandbox.Client) error {
			_, err := c.Inquire(ctx, "txn_hostile")
			return err
		}), []string{testnet.HugeNumber}},
		{"sandbox: payments", `{"reference":"ref1","payments":[{"payment_id":"P1","reference":"ref1","amount":"1000.00","status":"success","utr":"U1","at":"2026-11-22T10:00:00Z"}]}`,
			nil, with(func(ctx context.Context, c *sandbox.Client) error {
				_, err := c.Payments(ctx, "ref1")
				return err
			}), []string{testnet.HugeNumber}},
		{"sandbox: refunding", refund, nil, with(func(ctx context.Context, c *sandbox.Client) error {
			_, err := c.Refund(ctx, gateway.Account{}, r)
			return err
		}), []string{testnet.HugeNumber, "a page of 401"}}, // 401 names no outcome: the refund stays open, and is asked about
		{"sandbox: inquiring after a refund", refund, nil, with(func(ctx context.Context, c *sandbox.Client) error {
			_, err := c.InquireRefund(ctx, gateway.Account{}, r)
			return err
		}), []string{testnet.HugeNumber}},
	}
}

// companyQuestions are those of a checkout, by name.
func companyQuestions(c gateway.Checkout, a gateway.Account, o gateway.Order, made gateway.Ordered, r gateway.Refund) map[string]func(context.Context, string) error {
	at := func(base string) gateway.Account {
		there := a
		there.Base = base
		return there
	}
	return map[string]func(context.Context, string) error{
		"check": func(ctx context.Context, base string) error { return c.Check(ctx, at(base)) },
		"order": func(ctx context.Context, base string) error { _, err := c.CreateOrder(ctx, at(base), o); return err },
		"order again": func(ctx context.Context, base string) error {
			again := o
			again.Again = true
			_, err := c.CreateOrder(ctx, at(base), again)
			return err
		},
		"collect":        func(ctx context.Context, base string) error { _, err := c.Collect(ctx, at(base), o, made); return err },
		"refund":         func(ctx context.Context, base string) error { _, err := c.Refund(ctx, at(base), r); return err },
		"inquire refund": func(ctx context.Context, base string) error { _, err := c.InquireRefund(ctx, at(base), r); return err },
	}
}

func razorpayQuestions(t *testing.T) []question {
	ask := companyQuestions(closing(t, razorpay.New()), gateway.Account{Config: configA, Credentials: map[string]string{"key_id": "rzp_test_1", "key_secret": hostileSecret}},
		orderOf(money.INR), gateway.Ordered{OrderID: "order_A1"}, refundOf("pay_A1", "order_A1", money.INR))
	order := `{"id":"order_A1","entity":"order","amount":100000,"currency":"INR","receipt":"tx_Hostile0001","status":"created","created_at":1}`
	refund := `{"id":"rfnd_A1","entity":"refund","amount":100000,"currency":"INR","payment_id":"pay_A1","receipt":"rfd_Hostile0001","status":"processed","created_at":1}`
	payments := `{"entity":"collection","items":[{"id":"pay_A1","entity":"payment","amount":100000,"currency":"INR","status":"captured","captured":true,"order_id":"order_A1","created_at":1}]}`
	uncaptured := strings.NewReplacer(`"captured","captured":true`, `"authorized","captured":false`).Replace(payments)
	list := func(body string) string { return `{"entity":"collection","items":[` + body + `]}` }
	gets := func(body string) func(*http.Request) string {
		return func(r *http.Request) string {
			if r.Method == http.MethodGet {
				return body
			}
			return ""
		}
	}
	return []question{
		{"razorpay: checking", list(order), nil, ask["check"], []string{testnet.HugeNumber}}, // whose orders they are, nobody reads
		{"razorpay: ordering", order, nil, ask["order"], nil},
		{"razorpay: ordering again", list(order), nil, ask["order again"], nil},
		{"razorpay: ordering again, in vain", order, gets(list("")), ask["order again"], nil},
		{"razorpay: collecting", payments, nil, ask["collect"], nil},
		{"razorpay: capturing", `{"id":"pay_A1","amount":1000}`, gets(uncaptured), ask["collect"], []string{"an object of nothing", "null"}}, // the list that is read next tells
		{"razorpay: refunding", refund, gets(list("")), ask["refund"], nil},
		{"razorpay: inquiring after a refund", list(refund), nil, ask["inquire refund"], nil},
	}
}

func payuQuestions(t *testing.T) []question {
	ask := companyQuestions(closing(t, payu.New()), gateway.Account{Config: configA, Credentials: map[string]string{"key": "k", "salt": hostileSecret}},
		orderOf(money.INR), gateway.Ordered{OrderID: "tx_Hostile0001"}, refundOf("403", "", money.INR))
	return []question{
		{"payu: checking", `{"status":0,"msg":"1000","transaction_details":{"khata-no-such-payment":{"mihpayid":"Not Found","status":"Not Found"}}}`, nil, ask["check"],
			[]string{testnet.HugeNumber}},
		{"payu: collecting", `{"status":1,"msg":"ok","transaction_details":{"tx_Hostile0001":{"mihpayid":"403","txnid":"tx_Hostile0001","amt":"1000.00","status":"success"}}}`,
			nil, ask["collect"], nil},
		{"payu: refunding", `{"status":1,"msg":"1000","request_id":"131"}`, nil, ask["refund"], []string{testnet.HugeNumber}},
		{"payu: inquiring after a refund", `{"status":1,"msg":"ok","transaction_details":{"403":{"131":{"mihpayid":"403","request_id":"131","amt":"1000.00","action":"refund",` +
			`"token":"rfd_Hostile0001","status":"success"}}}}`, nil, ask["inquire refund"], nil},
	}
}

func cashfreeQuestions(t *testing.T) []question {
	ask := companyQuestions(closing(t, cashfree.New()), gateway.Account{Config: configA, Credentials: map[string]string{"client_id": "1", "client_secret": hostileSecret}},
		orderOf(money.INR), gateway.Ordered{OrderID: "tx_Hostile0001"}, refundOf("11", "tx_Hostile0001", money.INR))
	order := `{"order_id":"tx_Hostile0001","order_amount":1000.00,"order_currency":"INR","order_status":"ACTIVE","payment_session_id":"session_1"}`
	refund := `{"cf_refund_id":"12","refund_id":"rfd_Hostile0001","cf_payment_id":"11","order_id":"tx_Hostile0001","refund_amount":1000.00,"refund_currency":"INR","refund_status":"SUCCESS"}`
	return []question{
		{"cashfree: checking", `{"order_id":"1000"}`, nil, ask["check"], []string{"null", "an object of nothing", testnet.HugeNumber, "all of the wrong type"}},
		{"cashfree: ordering", order, nil, ask["order"], nil},
		{"cashfree: ordering again", order, nil, ask["order again"], nil},
		{"cashfree: collecting", `[{"cf_payment_id":"11","order_id":"tx_Hostile0001","payment_status":"SUCCESS","payment_amount":1000.00,"payment_currency":"INR","is_captured":true}]`,
			nil, ask["collect"], nil},
		{"cashfree: refunding", refund, nil, ask["refund"], nil},
		{"cashfree: inquiring after a refund", refund, nil, ask["inquire refund"], nil},
	}
}

func paypalQuestions(t *testing.T) []question {
	const usd = money.Currency("USD")
	// A new one each time, for it keeps tokens.
	ask := func(name string) func(context.Context, string) error {
		return func(ctx context.Context, base string) error {
			c := paypal.New(nil)
			defer c.Close()
			return companyQuestions(c, gateway.Account{Config: configA, Credentials: map[string]string{"client_id": "1", "client_secret": hostileSecret}},
				orderOf(usd), gateway.Ordered{OrderID: "5O1"}, refundOf("3C6", "5O1", usd))[name](ctx, base)
		}
	}
	const token = `{"access_token":"A1","token_type":"Bearer","expires_in":1000}`
	order := func(status, payments string) string {
		return `{"id":"5O1","status":"` + status + `","purchase_units":[{"custom_id":"tx_Hostile0001","amount":{"currency_code":"USD","value":"1000.00"}` + payments +
			`}],"links":[{"rel":"payer-action","href":"https://paypal.example/pay"}]}`
	}
	captured := order("COMPLETED", `,"payments":{"captures":[{"id":"3C6","status":"COMPLETED","amount":{"currency_code":"USD","value":"1000.00"}}]}`)
	refund := `{"id":"1JU","status":"COMPLETED","amount":{"currency_code":"USD","value":"1000.00"},"custom_id":"rfd_Hostile0001"}`
	tokens := func(r *http.Request) string {
		if r.URL.Path == "/v1/oauth2/token" {
			return token
		}
		return ""
	}
	approved := func(r *http.Request) string {
		if r.Method == http.MethodGet {
			return order("APPROVED", "")
		}
		return tokens(r)
	}
	return []question{
		{"paypal: a token", token, nil, ask("check"), nil},
		{"paypal: ordering", order("PAYER_ACTION_REQUIRED", ""), tokens, ask("order"), nil},
		{"paypal: collecting", captured, tokens, ask("collect"), nil},
		{"paypal: capturing", captured, approved, ask("collect"), nil},
		{"paypal: refunding", refund, tokens, ask("refund"), nil},
		{"paypal: inquiring after a refund", order("COMPLETED", `,"payments":{"refunds":[`+refund+`]}`), tokens, ask("inquire refund"), nil},
	}
}

// nothingKnown is the kind of error that settles nothing.
func nothingKnown(err error) bool {
	declined := (*gateway.Declined)(nil)
	return err != nil && !errors.As(err, &declined) && !errors.Is(err, gateway.ErrCredentials)
}

// TestHostileCompanies: whatever a bank or a payment company sends that is no answer is none, to every question of every adapter. It is not read beyond what
// an answer may have, nobody is sent elsewhere with the secret, and errors do not quote it.
func TestHostileCompanies(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was sent elsewhere", r.URL) }))
	t.Cleanup(elsewhere.Close)
	for _, q := range questions(t) {
		t.Run(q.name, func(t *testing.T) {
			t.Parallel()
			h := testnet.NewHostile(t)
			h.Redirect(elsewhere.URL)
			h.Answer(q.good, nil, q.other)
			if err := within(t, 10*time.Second, q, h); err != nil {
				t.Fatalf("the good answer: %v", err)
			}
			for _, fault := range testnet.Faults() {
				h.Answer(q.good, &fault, q.other)
				patience := 10 * time.Second
				if !fault.Ends {
					patience = 60 * time.Millisecond
				}
				err := within(t, patience, q, h)
				if !nothingKnown(err) && !slices.Contains(q.takes, fault.Name) {
					t.Errorf("%s: %v", fault.Name, err)
				}
				if err != nil && strings.Contains(err.Error(), hostileSecret) {
					t.Errorf("%s: the error has the secret: %v", fault.Name, err)
				}
			}
			for n := range len(q.good) {
				h.Answer(q.good, testnet.Cut(n), q.other)
				if err := within(t, 10*time.Second, q, h); !nothingKnown(err) {
					t.Errorf("cut after %d bytes: %v", n, err)
				}
			}
			if least := int64(len(q.good)); h.Requests() < least { // one may be lost with a connection that was kept
				t.Errorf("%d questions, and %d were to be asked", h.Requests(), least)
			}
			if sent := h.Sent(); sent > 64<<20 { // of six gigabytes; what the system's buffers take is small
				t.Errorf("%d bytes were taken", sent)
			}
		})
	}
}

func within(t *testing.T, patience time.Duration, q question, h *testnet.Hostile) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return q.ask(ctx, h.URL())
}

// TestUnreachableCompanies: nobody there, no such name, no TLS, a certificate of nobody: nothing is known.
func TestUnreachableCompanies(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	plain := testnet.NewHostile(t)
	plain.Answer("{}", nil, nil)
	strange := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s came over an unknown certificate", r.URL) }))
	t.Cleanup(strange.Close)
	for name, base := range map[string]string{
		"refused": closed.URL, "no such name": "http://company.invalid", "an empty label": "http://company..example",
		"no TLS": "https" + strings.TrimPrefix(plain.URL(), "http"), "an unknown authority": strange.URL,
	} {
		for _, q := range questions(t) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			err := q.ask(ctx, base)
			cancel()
			if !nothingKnown(err) || strings.Contains(fmt.Sprint(err), hostileSecret) {
				t.Errorf("%s: %s: %v", name, q.name, err)
			}
		}
	}
}
