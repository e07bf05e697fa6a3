package klyropay_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
)

// Whatever a body holds, the answer is one of the documented ones, is JSON, and money moves only for a body that
// encoding/json too reads as the same payout.
func FuzzPayoutBody(f *testing.F) {
	for _, seed := range []string{payoutBody, payinBody, "{}", "", "null", `{"amount":"1000.00"}`, with2(payoutBody, "5000", "1e3"), with2(payoutBody, "5000", `"1000.0"`), with2(payoutBody, "5000", "1000.001"), with2(payoutBody, "Rahul", `\ud83d\ude42`)} {
		f.Add([]byte(seed))
	}
	b := newBooks(f)
	newMerchants(b)
	api, err := klyropay.New(klyropay.Ports{Merchants: b, Ledger: b, Log: b, Vault: b, Answers: b, Payments: b, Lists: b},
		klyropay.Options{VPA: "a@b", PayeeName: "P", Gateway: "sandbox", MaxBody: 1 << 16})
	if err != nil {
		f.Fatal(err)
	}
	router := httpapi.NewRouter()
	api.Register(router)
	front := &httpapi.Front{Next: router, Logger: discard()}
	f.Fuzz(func(t *testing.T, body []byte) {
		b.reset()
		b.fund(merchantA, "1000000.00")
		r := httptest.NewRequest(http.MethodPost, payoutPath, strings.NewReader(string(body)))
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("X-Api-Key", keyA)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || !utf8.Valid(w.Body.Bytes()) {
			t.Fatalf("the answer %q is no JSON", w.Body)
		}
		switch w.Code {
		case 400, 413, 422:
			if n := len(b.order); n != 1 {
				t.Fatalf("a refusal left %d payments", n)
			}
		case 200:
			var sent struct {
				Amount  json.RawMessage `json:"amount"`
				Account string          `json:"account_no"`
			}
			if err := json.Unmarshal(body, &sent); err != nil {
				t.Fatalf("%q was accepted: %v", body, err)
			}
			p := b.payments[b.order[1]]
			if !strings.HasSuffix(sent.Account, p.AccountLast4) {
				t.Fatalf("account %q of %q", p.AccountLast4, body)
			}
			whole, fraction, _ := strings.Cut(strings.Trim(string(sent.Amount), `"`), ".")
			if got := p.Amount.Fixed(); !strings.Contains(string(sent.Amount), `\`) && got != whole+"."+(fraction + "00")[:2] {
				t.Fatalf("amount %s of %q", got, body)
			}
		default:
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
	})
}

func with2(body, old, replacement string) string { return strings.Replace(body, old, replacement, 1) }

// reset forgets all payments.
func (b *books) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.wallets)
	clear(b.payments)
	clear(b.keys)
	b.order, b.records, b.origins = nil, nil, nil
}
