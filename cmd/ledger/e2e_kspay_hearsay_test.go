package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// TestKSPaySelfSigned: who has an app's webhook secret, as the app has, gets nothing by it. The company is asked, and what it knows of is booked.
func TestKSPaySelfSigned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	a := w.newApp("INR")
	config, account := w.gateway(a, "razorpay", "INR", "1.00")
	token := w.token(a)
	tx, signature := w.initiate(a, "c_WkmEe23LeI", netBanking, "50000", "ORDER-1")
	side := w.process(signature)
	tell := func(event, payment, status string, amount int) {
		t.Helper()
		body := fmt.Sprintf(`{"entity":"event","event":%q,"contains":["payment"],"created_at":%d,"payload":{"payment":{"entity":{"id":%q,"entity":"payment","amount":%d,`+
			`"currency":"INR","status":%q,"order_id":%q,"captured":%t}}}}`,
			event, time.Now().Unix(), payment, amount, status, side.text("providerOrderId"), status == "captured")
		mac := hmac.New(sha256.New, []byte(account.text("webhook_secret")))
		mac.Write([]byte(body))
		code, answer := w.call(testMerchant{}, http.MethodPost, "/gateways/razorpay/"+a.ID+"/"+config+"/webhook", body, "Content-Type", "application/json",
			"X-Razorpay-Signature", hex.EncodeToString(mac.Sum(nil)), "X-Razorpay-Event-Id", "evt_"+payment)
		if code != http.StatusOK {
			t.Errorf("%s: %d %v", event, code, answer)
		}
	}
	for range 2 {
		tell("payment.captured", "pay_SelfSigned0001", "captured", 5000000)
		tell("payment.failed", "pay_SelfSigned0002", "failed", 5000000)
	}
	if o := w.transaction(token, tx); o.text("status") != "PENDING" {
		t.Errorf("self-signed: %v", o)
	}
	w.wantWallet(a.ID, "INR", "0.99") // of the trial order
	// A stranger cannot have the account at the face told to him, or changed.
	code, answer := w.call(testMerchant{}, http.MethodPost, "/sandbox/razorpay/accounts", fmt.Sprintf(`{"key_id":%q}`, account.text("key_id")))
	if code != http.StatusForbidden || answer.text("key_secret") != "" {
		t.Errorf("the account of another: %d %v", code, answer)
	}
	w.checkout(side.text("checkoutUrl"), "NET BANKING", "pay")
	w.eventually(10*time.Second, "it is paid", func() bool { return w.transaction(token, tx).text("status") == "SUCCESS" })
	w.wantWallet(a.ID, "INR", "49500.99")
	// The same payment again, for more.
	tell("payment.captured", w.transaction(token, tx).text("providerTxnId"), "captured", 9900000)
	w.wantWallet(a.ID, "INR", "49500.99")
	w.verify()
	w.stop()
}
