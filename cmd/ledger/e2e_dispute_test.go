package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestDisputes: the bank disputes two payins; the server is killed in the middle; one is won by hand over HTTP, the other is lost at the bank.
func TestDisputes(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start()
		m := w.merchant()
		var operator object
		w.ledger(&operator, "operator", "create", "--name", "asha", "--role", "maker")
		operate := func(method, path, body string) object {
			t.Helper()
			status, o := w.operate(operator.text("api_key"), method, path, body)
			if status != http.StatusOK {
				t.Fatalf("%s %s: %d %v", method, path, status, o)
			}
			return o
		}
		payment := func(amount, order string) (id, payment string) {
			p := w.payin(m, amount, order)
			w.pay(p.text("intent_url"), "success", "")
			w.eventually(10*time.Second, order+" is paid", func() bool { return w.payinStatus(m, p.text("txn_ref")).text("status") == "success" })
			_, o := w.call(testMerchant{}, http.MethodGet, "/sandbox/upi/payments?reference="+p.text("txn_ref"), "")
			list, _ := o["payments"].([]any)
			return p.text("transaction_id"), object(list[0].(map[string]any)).text("payment_id")
		}
		first, firstPaid := payment("1000", "ORDER-1")
		_, secondPaid := payment("500", "ORDER-2")
		w.wantBalance(m, "1485.00", "0.00")

		claim := func(payment, more string) object {
			t.Helper()
			status, o := w.call(testMerchant{}, http.MethodPost, "/sandbox/upi/disputes", fmt.Sprintf(`{"payment_id":%q%s}`, payment, more))
			if status != http.StatusOK {
				t.Fatalf("dispute of %s: %d %v", payment, status, o)
			}
			return o
		}
		claim(firstPaid, `,"reason":"goods not received","amount":"800"`)
		second := claim(secondPaid, "").text("case_id")
		disputes := func(status string) (found []object) {
			o := operate(http.MethodGet, "/ops/v1/disputes?status="+status, "")
			list, _ := o.at("data", "disputes").([]any)
			for _, d := range list {
				found = append(found, object(d.(map[string]any)))
			}
			return found
		}
		w.eventually(10*time.Second, "both are held", func() bool { return len(disputes("open")) == 2 })
		w.wantBalance(m, "185.00", "1300.00")

		// What the bank says while nobody listens comes when somebody does again.
		w.restart()
		claim(secondPaid, fmt.Sprintf(`,"case_id":%q,"status":"lost","fee":"250"`, second))
		w.eventually(20*time.Second, "the second is lost", func() bool { return len(disputes("lost")) == 1 })
		w.wantBalance(m, "0.00", "800.00") // the fee takes the 185.00, and 65.00 are owed

		id := disputes("running")[0].text("id")
		operate(http.MethodPost, "/ops/v1/disputes/"+id+"/evidence", `{"kind":"proof_of_service","note":"signed for","submitted":true}`)
		won := operate(http.MethodPost, "/ops/v1/disputes/"+id+"/win", `{"reason":"issuer withdrew"}`)
		if won.text("data", "dispute", "status") != "won" {
			t.Errorf("winning answered %v", won)
		}
		w.wantBalance(m, "735.00", "0.00") // 800.00, less what was owed
		timeline := fmt.Sprint(operate(http.MethodGet, "/ops/v1/transactions/"+first, ""))
		for _, event := range []string{"dispute.opened", "dispute.evidence", "dispute.won"} {
			if !strings.Contains(timeline, event) {
				t.Errorf("the timeline lacks %s: %s", event, timeline)
			}
		}
		w.verify()
	})
}
