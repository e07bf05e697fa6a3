package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRefunds: a payin is refunded in two parts, the server is killed in the middle, and a payment in suspense is sent back: the bank and the
// books agree.
func TestRefunds(t *testing.T) {
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
		p := w.payin(m, "1000", "ORDER-1")
		for range 2 { // the second one fits no payin
			w.pay(p.text("intent_url"), "success", "")
		}
		w.eventually(10*time.Second, "it is paid", func() bool { return w.payinStatus(m, p.text("txn_ref")).text("status") == "success" })
		w.wantBalance(m, "990.00", "0.00")

		path := "/ops/v1/payins/" + p.text("transaction_id") + "/refunds"
		first := operate(http.MethodPost, path, `{"amount":"400.01","reason":"one item returned","reference":"RET-1"}`)
		if first.text("data", "refund", "net") != "396.01" || first.text("data", "refundable") != "599.99" {
			t.Errorf("the first part: %v", first)
		}
		w.restart()
		refunds := func() (found []object) {
			list, _ := operate(http.MethodGet, "/ops/v1/payins/"+p.text("txn_ref")+"/refunds", "").at("data", "refunds").([]any)
			for _, r := range list {
				found = append(found, object(r.(map[string]any)))
			}
			return found
		}
		ended := func(n int, status string) func() bool {
			return func() bool { all := refunds(); return len(all) > n && all[n].text("status") == status }
		}
		w.eventually(20*time.Second, "the first part is made", ended(0, "success"))
		w.wantBalance(m, "593.99", "0.00")
		operate(http.MethodPost, path, `{"reason":"all of it"}`)
		w.eventually(20*time.Second, "the rest is made", ended(1, "success"))
		w.wantBalance(m, "0.00", "0.00") // the commission came back with it

		var list object
		w.ledger(&list, "suspense", "list")
		entries, _ := list["suspense"].([]any)
		if len(entries) != 1 {
			t.Fatalf("in suspense: %v", list)
		}
		entry := object(entries[0].(map[string]any))
		var settled object
		w.ledger(&settled, "suspense", "refund", entry.text("id"), "--reason", "paid twice")
		w.eventually(20*time.Second, "what was in suspense is sent back", ended(2, "success"))

		given := map[string]string{}
		for _, r := range refunds() {
			_, o := w.call(testMerchant{}, http.MethodGet, "/sandbox/upi/refunds?payment_id="+r.text("payment_id"), "")
			all, _ := o["refunds"].([]any)
			for _, at := range all {
				at := object(at.(map[string]any))
				given[at.text("reference")] = at.text("status") + " " + at.text("amount")
			}
		}
		for _, r := range refunds() {
			if given[r.text("id")] != "refunded "+r.text("amount") || r.text("utr") == "" {
				t.Errorf("%v, at the bank %v", r, given)
			}
		}
		if len(given) != 3 || !strings.HasPrefix(refunds()[2].text("id"), "sus_") {
			t.Errorf("the bank has %v", given)
		}
		w.verify()
	})
}

// TestRefundsOfKSPay: transactions that were paid at payment companies are refunded there, in their currencies and through the app's own account.
func TestRefundsOfKSPay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	for face, c := range map[string]struct{ currency, id, amount, part, rest, before, after string }{
		"razorpay": {"JPY", "c_Jp1yCe9NtB", "1550", "333", "1217", "1534", "0"},          // 1550 - 16
		"payu":     {"INR", "c_WkmEe23LeI", "99.99", "33.33", "66.66", "100.97", "1.98"}, // 2.00 - 0.02, and 99.99 - 1.00
	} {
		a := w.newApp("INR", "JPY")
		config, _ := w.gateway(a, face, "INR", "2.00")
		token := w.token(a)
		tx, signature := w.initiate(a, c.id, netBanking, c.amount, "ORDER-"+face)
		w.checkout(w.process(signature).text("checkoutUrl"), "NET BANKING", "pay")
		w.eventually(10*time.Second, face+" is paid", func() bool { return w.transaction(token, tx).text("status") == "SUCCESS" })
		w.wantWallet(a.ID, c.currency, c.before)
		for i, amount := range []string{c.part, c.rest} {
			var begun object
			arguments := []string{"payin", "refund", tx, "--reason", "goods returned"}
			if i == 0 {
				arguments = append(arguments, "--amount", amount)
			}
			w.ledger(&begun, arguments...)
			if begun.text("amount") != amount || begun.text("gateway") != face || begun.text("config_id") != config {
				t.Errorf("%s: %v", face, begun)
			}
			w.eventually(20*time.Second, face+" has refunded "+amount, func() bool {
				var all object
				w.ledger(&all, "payin", "refunds", tx, "--format", "json")
				list, _ := all["refunds"].([]any)
				return len(list) > i && object(list[i].(map[string]any)).text("status") == "success"
			})
		}
		w.wantWallet(a.ID, c.currency, c.after)
	}
	w.verify()
}
