package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
)

func TestPay(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), r.URL, time.Hour, false)
	link := "upi://pay?pa=ledger%40sandbox&pn=A%20B&tr=PAYIN-REF-1&am=1000.00&cu=INR&tn=Order%201&mode=04"
	pay := func(body string) (int, map[string]string) {
		t.Helper()
		res, err := http.Post(b.server.URL+"/sandbox/upi/pay", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var any map[string]any
		if err := json.NewDecoder(res.Body).Decode(&any); err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for k, v := range any {
			out[k] = fmt.Sprint(v)
		}
		return res.StatusCode, out
	}
	quoted, err := json.Marshal(link)
	if err != nil {
		t.Fatal(err)
	}
	for i, body := range []string{
		`{"intent_url":%s,"outcome":"success"}`, `{"intent_url":%s,"outcome":"failure"}`, `{"intent_url":%s,"outcome":"success","amount":"999.5"}`,
		`{"intent_url":%s,"outcome":"success","amount":1000.01}`,
	} {
		status, answer := pay(fmt.Sprintf(body, quoted))
		outcome := []string{"success", "failure", "success", "success"}[i]
		if status != http.StatusOK || answer["status"] != outcome || !strings.HasPrefix(answer["payment_id"], "pay_") || (len(answer["utr"]) == 12) != (outcome == "success") {
			t.Errorf("%s: %d %v", body, status, answer)
		}
	}
	said := r.wait(t, 4)
	found, err := b.client.Payments(t.Context(), "PAYIN-REF-1")
	if err != nil || len(found.List) != 4 {
		t.Fatalf("%+v, %v", found.List, err)
	}
	for i, p := range found.List {
		amount := []string{"1000.00", "1000.00", "999.50", "1000.01"}[i]
		c := said[i].body
		if p.Amount != amount || p.Paid != (i != 1) || p.PaymentID != c.PaymentID || c.Amount != amount || c.UTR != p.UTR || c.Kind != kindPayment || !c.At.Equal(p.At) {
			t.Errorf("payment %d: %+v; callback %+v", i, p, c)
		}
	}
	if none, err := b.client.Payments(t.Context(), "PAYIN-REF-2"); err != nil || len(none.List) != 0 {
		t.Errorf("%+v, %v", none, err)
	}

	for body, want := range map[string]struct {
		status int
		field  string
	}{
		`{}`:                              {http.StatusUnprocessableEntity, "intent_url"},
		`{"intent_url":"http://x/?tr=a"}`: {http.StatusUnprocessableEntity, "intent_url"},
		`{"intent_url":"upi://pay?pa=a"}`: {http.StatusUnprocessableEntity, "intent_url"},
		`{"intent_url":"upi://pay?pa=a&tr=R&cu=USD&am=1","outcome":"success"}`:                        {http.StatusUnprocessableEntity, "intent_url"},
		`{"intent_url":"upi://pay?pa=a&tr=R","outcome":"success"}`:                                    {http.StatusUnprocessableEntity, "intent_url (am)"},
		`{"intent_url":"upi://pay?pa=a&tr=R&am=1.001","outcome":"success"}`:                           {http.StatusUnprocessableEntity, "intent_url (am)"},
		`{"intent_url":"upi://pay?pa=a&tr=R&am=1","outcome":"maybe"}`:                                 {http.StatusUnprocessableEntity, "outcome"},
		`{"intent_url":"upi://pay?pa=a&tr=R&am=1","outcome":"success","amount":"-1"}`:                 {http.StatusUnprocessableEntity, "amount"},
		`{"intent_url":"upi://pay?pa=a&tr=R&am=1","outcome":"success","amount":"1e9"}`:                {http.StatusUnprocessableEntity, "amount"},
		`{"intent_url":"upi://pay?pa=a&tr=R&am=1","outcome":"success","amount":99999999999999999999}`: {http.StatusUnprocessableEntity, "amount"},
		`{"intent_url":5}`:         {http.StatusUnprocessableEntity, "intent_url"},
		`{"outcomes":"success"}`:   {http.StatusUnprocessableEntity, "outcomes"},
		`[]`:                       {http.StatusBadRequest, ""},
		`{"outcome":"success"} {}`: {http.StatusBadRequest, ""},
		`{`:                        {http.StatusBadRequest, ""},
		`"` + strings.Repeat("x", gateway.MaxBodyBytes) + `"`: {http.StatusRequestEntityTooLarge, ""},
	} {
		status, answer := pay(body)
		if got := answer["field"]; status != want.status || got != want.field || answer["message"] == "" || answer["success"] != "false" {
			t.Errorf("%.80s: %d %v", body, status, answer)
		}
	}
}
