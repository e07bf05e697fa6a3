package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain/reconcile"
)

// TestKSPayInTheBooks: what apps are paid, in currencies of no, two and three decimals, with refunds, a late payment and a dispute, is in every paper that
// an auditor asks for, and in a copy of the log.
func TestKSPayInTheBooks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	a := w.newApp("INR", "JPY", "KWD")
	config, account := w.gateway(a, "razorpay", "INR", "1.00")
	token := w.token(a)
	paid := map[string]string{}
	for currency, c := range map[string]struct{ id, amount, refund, net string }{
		"INR": {"c_WkmEe23LeI", "345.67", "45.67", ""},
		"JPY": {"c_Jp1yCe9NtB", "1550", "333", ""},
		"KWD": {"c_Kw4dFi7LxV", "12.340", "2.340", ""},
	} {
		tx, signature := w.initiate(a, c.id, netBanking, c.amount, "ORDER-"+currency)
		paid[currency] = tx
		w.checkout(w.process(signature).text("checkoutUrl"), "NET BANKING", "pay")
		w.eventually(10*time.Second, currency+" is paid", func() bool { return w.transaction(token, tx).text("status") == "SUCCESS" })
		w.ledger(nil, "payin", "refund", tx, "--amount", c.refund, "--reason", "goods returned")
		w.eventually(20*time.Second, currency+" is refunded", func() bool {
			var all object
			w.ledger(&all, "payin", "refunds", tx, "--format", "json")
			list, _ := all["refunds"].([]any)
			return len(list) == 1 && object(list[0].(map[string]any)).text("status") == "success"
		})
	}
	// A dispute of the payment in dinars, told by a webhook.
	o := w.transaction(token, paid["KWD"])
	body := fmt.Sprintf(`{"entity":"event","event":"payment.dispute.created","contains":["payment","dispute"],"created_at":%d,"payload":{`+
		`"payment":{"entity":{"id":%q,"entity":"payment","amount":12340,"currency":"KWD","status":"captured","order_id":%q,"captured":true}},`+
		`"dispute":{"entity":{"id":"disp_Review0001","entity":"dispute","payment_id":%q,"amount":10000,"currency":"KWD","amount_deducted":0,`+
		`"reason_code":"fraud","respond_by":%d,"status":"open","phase":"chargeback"}}}}`,
		time.Now().Unix(), o.text("providerTxnId"), o.text("providerOrderId"), o.text("providerTxnId"), time.Now().Add(48*time.Hour).Unix())
	mac := hmac.New(sha256.New, []byte(account.text("webhook_secret")))
	mac.Write([]byte(body))
	hook := "/gateways/razorpay/" + a.ID + "/" + config + "/webhook"
	for range 3 {
		status, answer := w.call(testMerchant{}, http.MethodPost, hook, body, "Content-Type", "application/json",
			"X-Razorpay-Signature", hex.EncodeToString(mac.Sum(nil)), "X-Razorpay-Event-Id", "evt_1")
		if status != http.StatusOK {
			t.Fatalf("the dispute: %d %v", status, answer)
		}
	}
	var disputes object
	w.ledger(&disputes, "dispute", "list", "--transaction", paid["KWD"], "--format", "json")
	if list, _ := disputes["disputes"].([]any); len(list) != 1 {
		t.Errorf("disputes: %v", disputes)
	}
	w.verify()
	w.wantTrialBalance("INR", "JPY", "KWD")
	w.papers(a, paid)

	unpaid, _ := w.initiate(a, "c_Kw4dFi7LxV", netBanking, "5.000", "ORDER-lost")
	w.settlement("KWD", paid["KWD"], unpaid)

	// A copy of the log has the same books.
	file := filepath.Join(dir, "log.ndjson")
	w.ledger(nil, "log", "export", "-o", file)
	copied := "sqlite:" + filepath.Join(dir, "copy", "ledger.db")
	if err := os.MkdirAll(filepath.Join(dir, "copy"), 0o700); err != nil {
		t.Fatal(err)
	}
	was, code := w.run("audit", "trial-balance", "--format", "json")
	if code != 0 {
		t.Fatal(was)
	}
	if out, code := w.execute("log", "import", file, "--db", copied, "--master-key-file", w.keyFile()); code != 0 {
		t.Fatalf("log import: %d %s", code, out)
	}
	if out, code := w.execute("verify", "--db", copied, "--master-key-file", w.keyFile()); code != 0 {
		t.Errorf("verify of the copy: %d %s", code, out)
	}
	is, code := w.execute("audit", "trial-balance", "--format", "json", "--db", copied, "--master-key-file", w.keyFile())
	if sameButTime(t, was) != sameButTime(t, is) || code != 0 {
		t.Errorf("the books of the copy: %d\n%s\n%s", code, is, was)
	}
	w.stop()
}

// settlement reconciles a settlement file of the payment and the refund of a payin, as the company would write it, and of a payment of another one that
// nobody has told of. The first two lines name the company's own ids, and nothing of ours.
func (w *world) settlement(currency, tx, lost string) {
	w.t.Helper()
	var all object
	w.ledger(&all, "payin", "refunds", tx, "--format", "json")
	refund := object(all["refunds"].([]any)[0].(map[string]any))
	day := time.Now().In(time.FixedZone("", 5*3600+1800)).Format(time.DateOnly)
	for file, text := range map[string]string{
		"settled.csv": "date,kind,amount,entity,receipt\n" + day + ",payment,12.340," + refund.text("payment_id") + ",\n" +
			day + ",refund,-2.340," + refund.text("refund_id") + ",\n" + day + ",payment,5.000,pay_lost," + lost + "\n",
		"settled.yaml": "columns: {date: date, amount: amount, gateway_id: entity, reference: receipt}\n",
	} {
		if err := os.WriteFile(filepath.Join(w.dir, file), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	w.ledger(nil, "reconcile", "source", "razorpay", "--kind", "settlement", "--account", "acc", "--books", "gateway:razorpay:receivable", "--currency", currency)
	w.ledger(nil, "reconcile", "import", "settled.csv", "--source", "razorpay", "--map", "settled.yaml")
	var found ran
	w.ledger(&found, "reconcile", "run", "--grace", "0d", "--json")
	if r := found.Sources[0]; r.Matched != 2 || r.Passes[reconcile.PassGateway] != 2 || r.Opened != 1 || r.Open[reconcile.StatusDiffers] != 1 {
		w.t.Errorf("the run: %+v; %v", r, refund)
	}
	var open breaks
	w.ledger(&open, "reconcile", "breaks", "--format", "json")
	if b := open.Breaks; len(b) != 1 || b[0].Transaction != lost || b[0].Amount != "5.000" || !strings.Contains(b[0].Detail, "the ledger says pending") {
		w.t.Errorf("breaks: %+v", b)
	}
}

// sameButTime is a trial balance without when it was made.
func sameButTime(t *testing.T, text string) string {
	t.Helper()
	var o object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	b, err := json.Marshal(o["currencies"])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// papers makes every paper of these payins, and has other programs check the journals.
func (w *world) papers(a testApp, paid map[string]string) {
	w.t.Helper()
	for format, check := range map[string][]string{
		"hledger": {"hledger", "-f", "FILE", "check"}, "beancount": {"bean-check", "FILE"}, "ledger": {"/usr/bin/ledger", "-f", "FILE", "balance"},
	} {
		file := filepath.Join(w.dir, "journal."+format)
		if out, code := w.run("audit", "journal", "--format", format, "-o", file); code != 0 {
			w.t.Errorf("journal for %s: %d %s", format, code, out)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, amount := range []string{"345.67", "1550", "12.340", "45.67", "333", "2.340"} {
			if !bytes.Contains(text, []byte(amount)) {
				w.t.Errorf("the journal for %s has no %s", format, amount)
			}
		}
		for i, part := range check {
			check[i] = strings.Replace(part, "FILE", file, 1)
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		out, err := exec.CommandContext(ctx, check[0], check[1:]...).CombinedOutput()
		cancel()
		if err != nil {
			w.t.Errorf("%s: %v\n%s", check[0], err, out)
		}
	}
	today := time.Now().In(time.FixedZone("", 5*3600+1800))
	days := []string{"--merchant", a.ID, "--from", today.AddDate(0, 0, -2).Format(time.DateOnly), "--to", today.AddDate(0, 0, 2).Format(time.DateOnly)}
	for currency, tx := range paid {
		out, code := w.run(append([]string{"audit", "statement", "--format", "json", "--currency", currency}, days...)...)
		if code != 0 || !strings.Contains(out, tx) {
			w.t.Errorf("statement in %s: %d %s", currency, code, out)
		}
		if out, code := w.run("replay", tx); code != 0 || !strings.Contains(out, "payin.ordered") || !strings.Contains(out, "refund.succeeded") {
			w.t.Errorf("replay %s: %d %s", tx, code, out)
		}
		if out, code := w.run("replay", "--json", "wallet:"+a.ID+":"+currency); code != 0 || !strings.Contains(out, tx) {
			w.t.Errorf("replay of the wallet in %s: %d %s", currency, code, out)
		}
		pack := filepath.Join(w.dir, tx+".zip")
		if out, code := w.run("dispute", "pack", tx, "-o", pack, "--actor", "asha"); code != 0 {
			w.t.Errorf("pack of %s: %d %s", tx, code, out)
			continue
		}
		key, code := w.run("proof", "key")
		if code != 0 {
			w.t.Fatal(key)
		}
		if out, code := w.execute("dispute", "verify", pack, "--public-key", strings.TrimSpace(key)); code != 0 || !strings.HasPrefix(out, "VALID") {
			w.t.Errorf("the pack of %s: %d %s", tx, code, out)
		}
	}
	for _, format := range []string{"pdf", "xlsx"} {
		if out, code := w.run(append([]string{"audit", "statement", "--format", format, "--currency", "KWD", "-o", filepath.Join(w.dir, "KWD."+format)}, days...)...); code != 0 {
			w.t.Errorf("statement as %s: %d %s", format, code, out)
		}
	}
	if out, code := w.run("audit", "edit-log", "--format", "json"); code != 0 || !strings.Contains(out, a.ID) {
		w.t.Errorf("edit log: %d %s", code, out)
	}
}

// TestKSPayTogether: calls at the same time make one transaction of a reference, one order, and one credit.
func TestKSPayTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	a := w.newApp("INR")
	w.gateway(a, "razorpay", "INR", "1.00")
	token := w.token(a)
	var mu sync.Mutex
	made, refused := map[string]string{}, 0
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			status, o, err := w.try(testMerchant{}, http.MethodPost, "/v1/transaction/initiate", fmt.Sprintf(
				`{"currencyId":"c_WkmEe23LeI","amount":%d,"referenceNumber":"ORDER-1","appId":%q}`, 100+i, a.ID), "Authorization", token)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && status == http.StatusCreated {
				made[o.text("signature")] = fmt.Sprint(100+i) + ".00"
			} else if refused++; err != nil || status/100 != 4 {
				t.Errorf("initiate: %d %v %v", status, o, err)
			}
		})
	}
	all.Wait()
	if len(made) != 1 || refused != 9 {
		t.Fatalf("%d were made, %d refused", len(made), refused)
	}
	orders, links := map[string]bool{}, map[string]bool{}
	for signature := range made {
		for range 10 {
			all.Go(func() {
				status, o, err := w.try(testMerchant{}, http.MethodPost, "/v1/transaction/process", "", "x-signature", signature)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || status != http.StatusCreated {
					t.Errorf("process: %d %v %v", status, o, err)
					return
				}
				orders[o.text("result", "providerOrderId")], links[o.text("result", "checkoutUrl")] = true, true
			})
		}
	}
	all.Wait()
	if len(orders) != 1 {
		t.Fatalf("orders: %v", orders)
	}
	for link := range links {
		w.checkout(link, "NET BANKING", "pay")
		for range 6 { // whoever goes back once more
			all.Go(func() { w.browse(http.MethodPost, link+"/return", url.Values{}) })
		}
		break
	}
	all.Wait()
	var wallet object
	w.eventually(10*time.Second, "it is credited", func() bool {
		w.ledger(&wallet, "wallet", "show", "--merchant", a.ID)
		return wallet.text("balance") != "0.99"
	})
	var n int
	w.ask("log", "SELECT COUNT(*) FROM events WHERE type = 'payin.ordered'", &n)
	if n != 2 { // the trial's, and this one's
		t.Errorf("%d orders", n)
	}
	w.ask("log", "SELECT COUNT(*) FROM events WHERE type IN ('payin.succeeded', 'payin.suspended')", &n)
	if n != 2 {
		t.Errorf("%d payments", n)
	}
	w.verify()
	w.stop()
}
