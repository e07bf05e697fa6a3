package sandbox

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// testPayU is an account of the face.
type testPayU struct {
	*testBank
	payuAccount
}

func newPayU(b *testBank, account string) *testPayU {
	b.t.Helper()
	status, _, text := b.send(http.MethodPost, payuBase+"/accounts", account)
	if status != http.StatusOK {
		b.t.Fatalf("account: %d %s", status, text)
	}
	return &testPayU{b, read[payuAccount](b.t, text)}
}

func sha(s string) string {
	sum := sha512.Sum512([]byte(s))
	return hex.EncodeToString(sum[:])
}

// form is a request to _payment, signed as the documentation says: sha512(key|txnid|amount|productinfo|firstname|email|udf1|...|udf5||||||salt).
func (u *testPayU) form(txnid, amount string, more ...string) url.Values {
	f := url.Values{
		"key": {u.Key}, "txnid": {txnid}, "amount": {amount}, "productinfo": {"Tea & more"}, "firstname": {"Asha"}, "email": {"a@example.com"},
		"phone": {"9999999999"}, "surl": {"https://shop.example/good"}, "furl": {"https://shop.example/bad"}, "udf1": {"one"}, "udf5": {"five"},
	}
	for i := 0; i+1 < len(more); i += 2 {
		f.Set(more[i], more[i+1])
	}
	if !f.Has("hash") {
		f.Set("hash", sha(u.Key+"|"+txnid+"|"+amount+"|"+f.Get("productinfo")+"|"+f.Get("firstname")+"|"+f.Get("email")+"|"+f.Get("udf1")+"||||"+f.Get("udf5")+"||||||"+u.Salt))
	}
	return f
}

// open opens the hosted page, and returns where its form goes.
func (u *testPayU) open(t *testing.T, form url.Values) (action, page string) {
	t.Helper()
	status, header, page := u.send(http.MethodPost, payuBase+"/_payment", form.Encode())
	if status != http.StatusOK {
		t.Fatalf("%v: %d %s", form, status, shown(page))
	}
	checkPage(t, header, page)
	action, _ = formOf(t, page)
	return action, page
}

// press presses a button of the page, and returns what leads back, whose hash must be the reverse one.
func (u *testPayU) press(t *testing.T, action, form string) (to string, f url.Values) {
	t.Helper()
	status, header, page := u.send(http.MethodPost, action, form)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", form, status, shown(page))
	}
	checkPage(t, header, page)
	to, f = formOf(t, page)
	u.checkHash(t, f)
	return to, f
}

// checkHash checks the hash of an answer: sha512(salt|status||||||udf5|udf4|udf3|udf2|udf1|email|firstname|productinfo|amount|txnid|key).
func (u *testPayU) checkHash(t *testing.T, f url.Values) {
	t.Helper()
	want := sha(u.Salt + "|" + f.Get("status") + "||||||" + strings.Join([]string{
		f.Get("udf5"), f.Get("udf4"), f.Get("udf3"), f.Get("udf2"), f.Get("udf1"), f.Get("email"), f.Get("firstname"), f.Get("productinfo"), f.Get("amount"),
		f.Get("txnid"), u.Key,
	}, "|"))
	if f.Get("hash") != want {
		t.Errorf("hash of %v", f)
	}
}

// command runs a command.
func (u *testPayU) command(t *testing.T, command, var1 string, more ...string) string {
	t.Helper()
	form := url.Values{"key": {u.Key}, "command": {command}, "var1": {var1}, "hash": {sha(u.Key + "|" + command + "|" + var1 + "|" + u.Salt)}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	status, _, text := u.send(http.MethodPost, payuBase+"/merchant/postservice?form=2", form.Encode())
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", command, status, text)
	}
	return text
}

func TestPayUPage(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	u := newPayU(b, `{}`)
	card := strings.Replace(goodCard, "method=card", "method=CC", 1)
	for i, c := range []struct{ form, to, mode, status, unmapped, code, debit string }{
		{card + "&action=pay", "good", "CC", "success", "captured", "E000", "10.5"},
		{strings.Replace(card, "=CC", "=DC", 1) + "&action=pay", "good", "DC", "success", "captured", "E000", "10.5"},
		{"method=NB&bank=SBIB&action=pay", "good", "NB", "success", "captured", "E000", "10.5"},
		{"method=CASH&wallet=PAYTM&action=pay", "good", "CASH", "success", "captured", "E000", "10.5"},
		{"method=UPI&vpa=anything%40payu&action=pay", "good", "UPI", "success", "captured", "E000", "10.5"},
		{card + "&action=decline", "bad", "CC", "failure", "failed", "E500", "0.00"},
		{strings.Replace(card, "otp=1234", "otp=1", 1) + "&action=pay", "bad", "CC", "failure", "failed", "E500", "0.00"},
		{"method=NB&bank=SBIB&action=decline", "bad", "NB", "failure", "failed", "E500", "0.00"},
		{"action=cancel", "bad", "", "failure", "userCancelled", "E1605", "0.00"},
	} {
		txnid := fmt.Sprintf("tx_page%d", i)
		action, _ := u.open(t, u.form(txnid, "10.5"))
		to, f := u.press(t, action, c.form)
		if to != "https://shop.example/"+c.to || f.Get("mode") != c.mode || f.Get("status") != c.status || f.Get("unmappedstatus") != c.unmapped || f.Get("error") != c.code ||
			f.Get("net_amount_debit") != c.debit || f.Get("txnid") != txnid || f.Get("amount") != "10.50" || len(f.Get("mihpayid")) != 18 ||
			f.Get("productinfo") != "Tea & more" || f.Get("udf1") != "one" || f.Get("udf2") != "" || (f.Get("bank_ref_num") == "") == (c.status == "success") {
			t.Errorf("%s: %s %v", c.form, to, f)
		}
		if _, again := u.press(t, action, card+"&action=pay"); again.Encode() != f.Encode() { // pressed again
			t.Errorf("%s: %v", c.form, again)
		}
	}
	// A page that was asked for by its method shows that one alone; what it does not show cannot be chosen.
	for enforce, want := range map[string]string{
		"netbanking": "NB", "creditcard|debitcard": "CC DC", "UPI": "UPI", "cashcard|VISA": "CASH", "SBIB": "CC DC NB CASH UPI", "": "CC DC NB CASH UPI",
	} {
		action, page := u.open(t, u.form("tx_enforced", "1", "enforce_paymethod", enforce))
		for _, mode := range []string{"CC", "DC", "NB", "CASH", "UPI"} {
			offered := strings.Contains(" "+want+" ", " "+mode+" ")
			if strings.Contains(page, `value="`+mode+`"`) != offered {
				t.Errorf("%s: %s %s", enforce, mode, shown(page))
			}
			if offered {
				continue
			}
			if status, _, _ := u.send(http.MethodPost, action, "action=pay&method="+mode); status != http.StatusUnprocessableEntity {
				t.Errorf("%s: %s %d", enforce, mode, status)
			}
		}
	}
	action, _ := u.open(t, u.form("tx_curl", "1", "curl", "https://shop.example/cancelled"))
	if to, _ := u.press(t, action, "action=cancel"); to != "https://shop.example/cancelled" {
		t.Error(to)
	}
}

func TestPayUPageRefuses(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	u := newPayU(b, `{}`)
	long := strings.Repeat("x", 300)
	for name, form := range map[string]url.Values{
		"hash":              u.form("tx_1", "10", "hash", strings.Repeat("a", 128)),
		"hash parameter":    u.form("tx_1", "10", "hash", "x"),
		"parameter hash":    u.form("tx_1", "10", "hash", ""),
		"parameter phone":   u.form("tx_1", "10", "phone", ""),
		"parameter surl":    u.form("tx_1", "10", "surl", ""),
		"merchant key":      u.form("tx_1", "10", "key", "other"),
		"Invalid amount":    u.form("tx_1", "10.001"),
		"Invalid amount.":   u.form("tx_1", "0"),
		"amount":            u.form("tx_1", "-1"),
		"txnid is longer":   u.form(long[:26], "10"),
		"productinfo is":    u.form("tx_1", "10", "productinfo", long),
		"surl is not a URL": u.form("tx_1", "10", "surl", "javascript:alert(1)"),
		"furl is not a URL": u.form("tx_1", "10", "furl", "x"),
	} {
		status, header, page := u.send(http.MethodPost, payuBase+"/_payment", form.Encode())
		if status != http.StatusBadRequest || !strings.Contains(page, `<p role="alert">`) || !strings.Contains(page, name) {
			t.Errorf("%s: %d %s", name, status, shown(page))
		}
		checkPage(t, header, page)
	}
	// The hash holds each of its parts.
	for _, name := range []string{"amount", "productinfo", "firstname", "email", "udf1", "udf2", "udf5", "txnid"} {
		form := u.form("tx_1", "10")
		form.Set(name, form.Get(name)+"1")
		if status, _, page := u.send(http.MethodPost, payuBase+"/_payment", form.Encode()); status != http.StatusBadRequest || !strings.Contains(page, "hash") {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _, _ := u.send(http.MethodPost, payuBase+"/_payment/nothing", "action=pay"); status != http.StatusNotFound {
		t.Errorf("%d", status)
	}
	var truth struct{ Payments []payuPayment }
	b.get(payuBase+"/truth", &truth)
	if len(truth.Payments) != 0 {
		t.Errorf("%+v", truth)
	}
}

// However many pages are open, a txnid is paid once.
func TestPayUPaysOnce(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	u, other := newPayU(b, `{}`), newPayU(b, `{}`)
	var wg sync.WaitGroup
	statuses := make(chan int, 8)
	var actions []string
	for range cap(statuses) {
		action, _ := u.open(t, u.form("tx_once", "10"))
		actions = append(actions, action)
	}
	for _, action := range actions {
		wg.Go(func() {
			status, _, _ := u.send(http.MethodPost, action, "method=NB&bank=SBIB&action=pay")
			statuses <- status
		})
	}
	wg.Wait()
	close(statuses)
	paid := 0
	for status := range statuses {
		if status == http.StatusOK {
			paid++
		} else if status != http.StatusConflict {
			t.Errorf("status %d", status)
		}
	}
	if paid != 1 {
		t.Errorf("paid %d times", paid)
	}
	if status, _, page := u.send(http.MethodPost, payuBase+"/_payment", u.form("tx_once", "10").Encode()); status != http.StatusConflict || !strings.Contains(page, "Duplicate Order ID") {
		t.Errorf("%d %s", status, shown(page))
	}
	other.open(t, other.form("tx_once", "10")) // of another merchant
}

func TestPayUCommands(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	u := newPayU(b, `{}`)
	failed, _ := u.open(t, u.form("tx_a", "10"))
	_, no := u.press(t, failed, "method=NB&bank=SBIB&action=decline")
	action, _ := u.open(t, u.form("tx_a", "10"))
	_, f := u.press(t, action, "method=NB&bank=SBIB&action=pay")
	u.open(t, u.form("tx_b", "2.25"))
	id := f.Get("mihpayid")

	common := `"Merchant_UTR":null,"PG_TYPE":"NB","Settled_At":null,"addedon":"<at>","additional_charges":"0.00",`
	sameJSON(t, u.command(t, "verify_payment", "tx_a"), `{"status":1,"msg":"1 out of 1 Transactions Fetched Successfully","transaction_details":{"tx_a":{`+common+
		`"amt":"10.00","bank_ref_num":"`+f.Get("bank_ref_num")+`","bankcode":"SBIB","card_no":null,"card_type":"UNKNOWN","disc":"0.00","error_Message":"No Error",`+
		`"error_code":"E000","field9":"Transaction Completed Successfully","firstname":"Asha","mihpayid":"`+id+`","mode":"NB","name_on_card":null,"net_amount_debit":10,`+
		`"payment_source":"payu","productinfo":"Tea \u0026 more","request_id":"","status":"success","transaction_amount":"10.00","txnid":"tx_a","udf1":"one","udf2":"",`+
		`"udf3":"","udf4":"","udf5":"five","unmappedstatus":"captured"}}}`)
	sameJSON(t, u.command(t, "check_payment", id), `{"status":1,"msg":"Transaction Fetched Successfully","transaction_details":{`+common+
		`"amount":"10.00","amount_paid":"10.00","amt":"10.00","bank_ref_num":"`+f.Get("bank_ref_num")+`","bankcode":"SBIB","card_no":null,"disc":"0.00","discount":"0.00",`+
		`"field9":"Transaction Completed Successfully","firstname":"Asha","mihpayid":`+id+`,"mode":"NB","name_on_card":null,"net_amount":null,"net_amount_debit":10,`+
		`"payment_source":"payu","productinfo":"Tea \u0026 more","request_id":null,"status":"success","txnid":"tx_a","udf1":"one","udf2":"","udf3":"","udf4":"",`+
		`"udf5":"five","unmappedstatus":"captured"}}`)
	list := read[payuAnswer](t, u.command(t, "verify_payment", "tx_b|tx_a|tx_c"))
	details := list.Details.(map[string]any)
	if list.Status != 1 || list.Message != "2 out of 3 Transactions Fetched Successfully" || details["tx_b"].(map[string]any)["status"] != "pending" ||
		details["tx_b"].(map[string]any)["net_amount_debit"] != "0.00" {
		t.Errorf("%+v", list)
	}
	for text, want := range map[string]string{
		u.command(t, "verify_payment", "tx_c"):                                                      `{"status":0,"msg":"0 out of 1 Transactions Fetched Successfully","transaction_details":{"tx_c":{"mihpayid":"Not Found","status":"Not Found"}}}`,
		u.command(t, "check_payment", "1"):                                                          `{"status":0,"msg":"Transaction not exists"}`,
		u.command(t, "check_payment", "x"):                                                          `{"status":0,"msg":"Transaction not exists"}`,
		u.command(t, "check_action_status", "13127842"):                                             `{"status":0,"msg":"0 out of 1 Transactions Fetched Successfully","transaction_details":{"13127842":"No action status found"}}`,
		u.command(t, "verify_payment", "tx_a", "hash", "00"):                                        `{"status":0,"msg":"Invalid Hash."}`,
		u.command(t, "verify_payment", "tx_a", "var1", "tx_b"):                                      `{"status":0,"msg":"Invalid Hash."}`,
		u.command(t, "verify_payment", "tx_a", "key", "nobody"):                                     `{"status":0,"msg":"Invalid merchant key"}`,
		u.command(t, "verify_payment", ""):                                                          `{"status":0,"msg":"Parameter missing"}`,
		u.command(t, "no_command", "x"):                                                             `{"status":0,"msg":"Invalid Command"}`,
		u.command(t, "verify_payment", strings.Repeat("x|", 100)):                                   `{"status":0,"msg":"More than 100 transactions are asked for"}`,
		u.command(t, "cancel_refund_transaction", id):                                               `{"status":0,"msg":"token is empty"}`,
		u.command(t, "cancel_refund_transaction", id, "var2", "t"):                                  `{"status":0,"msg":"amount is empty"}`,
		u.command(t, "cancel_refund_transaction", "1", "var2", "t", "var3", "1"):                    `{"status":0,"msg":"Refund FAILURE - Transaction Not Found","error_code":116}`,
		u.command(t, "cancel_refund_transaction", id, "var2", "t", "var3", "10.01"):                 `{"status":0,"msg":"Refund FAILURE - Invalid amount","mihpayid":` + id + `,"error_code":105}`,
		u.command(t, "cancel_refund_transaction", id, "var2", "t", "var3", "x"):                     `{"status":0,"msg":"Refund FAILURE - Invalid amount","mihpayid":` + id + `,"error_code":105}`,
		u.command(t, "cancel_refund_transaction", id, "var2", "t", "var3", "0"):                     `{"status":0,"msg":"Refund FAILURE - Invalid amount","mihpayid":` + id + `,"error_code":105}`,
		u.command(t, "cancel_refund_transaction", no.Get("mihpayid"), "var2", "t", "var3", "1"):     `{"status":0,"msg":"Refund FAILURE - Invalid transaction status","mihpayid":` + no.Get("mihpayid") + `,"error_code":111}`,
		u.command(t, "cancel_refund_transaction", id, "var2", strings.Repeat("t", 24), "var3", "1"): `{"status":0,"msg":"token is longer than 23 characters"}`,
	} {
		sameJSON(t, text, want)
	}
	// Without form=2 it would be PHP's own format.
	if status, _, text := u.send(http.MethodPost, payuBase+"/merchant/postservice.php", "key=x"); status != http.StatusOK || !strings.Contains(text, "form=2") {
		t.Errorf("%d %s", status, text)
	}
	for behaviour, want := range map[string]int{"error": 500, "silent": 0, "accept": 200} {
		v := newPayU(b, fmt.Sprintf(`{"key":%q,"salt":%q,"verify":%q}`, u.Key, u.Salt, behaviour))
		form := url.Values{"key": {v.Key}, "command": {"verify_payment"}, "var1": {"tx_a"}, "hash": {sha(v.Key + "|verify_payment|tx_a|" + v.Salt)}}
		if status, _, text := v.send(http.MethodPost, payuBase+"/merchant/postservice.php?form=2", form.Encode()); status != want {
			t.Errorf("%s: %d %s", behaviour, status, text)
		}
	}
}

func TestPayURefundsFail(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Millisecond, false)
	u := newPayU(b, `{"refunds":"fail"}`)
	action, _ := u.open(t, u.form("tx_f", "10"))
	_, back := u.press(t, action, "method=UPI&vpa=a%40b&action=pay")
	request := read[payuAnswer](t, u.command(t, "cancel_refund_transaction", back.Get("mihpayid"), "var2", "t1", "var3", "10")).RequestID
	eventually(t, "the refund fails", func() bool {
		return strings.Contains(u.command(t, "check_action_status", request), `"status":"failure"`)
	})
	newPayU(b, fmt.Sprintf(`{"key":%q,"salt":%q,"refunds":"process"}`, u.Key, u.Salt))
	request = read[payuAnswer](t, u.command(t, "cancel_refund_transaction", back.Get("mihpayid"), "var2", "t2", "var3", "10")).RequestID
	eventually(t, "the refund has reached the customer", func() bool {
		return strings.Contains(u.command(t, "check_action_status", request), `"status":"success"`)
	})
}

// Refunds and webhooks live through a kill; what is given back is never more than what was paid.
func TestPayURefundsAndWebhooks(t *testing.T) {
	t.Parallel()
	path, h := filepath.Join(t.TempDir(), "sandbox.db"), newHook(t)
	b := start(t, path, "http://127.0.0.1:1", time.Millisecond, true)
	u := newPayU(b, fmt.Sprintf(`{"webhook_url":%q}`, h.URL))
	action, _ := u.open(t, u.form("tx_r", "10"))
	_, back := u.press(t, action, "method=UPI&vpa=a%40b&action=pay")
	id := back.Get("mihpayid")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			u.command(t, "cancel_refund_transaction", id, "var2", fmt.Sprintf("rfd_%d", i), "var3", "3", "var5", h.URL+"/refunds")
		})
	}
	wg.Wait()
	last := u.command(t, "cancel_refund_transaction", id, "var2", "rfd_last", "var3", "1.00")
	sameJSON(t, last, `{"status":1,"msg":"Refund Request Queued","request_id":"<id>","bank_ref_num":null,"mihpayid":`+id+`,"error_code":102}`)
	sameJSON(t, u.command(t, "cancel_refund_transaction", id, "var2", "rfd_last", "var3", "1.00"),
		`{"status":0,"msg":"Refund FAILURE - Token already exists.","mihpayid":`+id+`,"error_code":106}`)
	request := read[payuAnswer](t, last).RequestID
	state := func(status string) string {
		return `{"status":1,"msg":"1 out of 1 Transactions Fetched Successfully","transaction_details":{"` + request + `":{"` + request + `":{"UTR_no":null,"action":"refund",` +
			`"amount_settled":null,"amt":"1.00","bank_arn":null,"bank_ref_num":` + status + `,"token":"rfd_last","value_date":null}}}}`
	}
	sameJSON(t, u.command(t, "check_action_status", request), state(`null,"mihpayid":"`+id+`","mode":"UPI","refund_mode":"Back to Source","request_id":"`+request+
		`","settlement_id":null,"status":"queued"`))
	if len(h.all()) != 0 {
		t.Fatal("told before it lives")
	}
	b.stop() // as good as a kill: nothing ran

	u.testBank = start(t, path, "http://127.0.0.1:1", time.Millisecond, false)
	eventually(t, "the refund has reached the customer", func() bool {
		return strings.Contains(u.command(t, "check_action_status_txnid", request), `"status":"success"`)
	})
	all := read[payuAnswer](t, u.command(t, "check_action_status", id, "var2", "payuid")).Details.(map[string]any)[id].(map[string]any)
	if len(all) != 5 { // the capture, three of 3.00, one of 1.00
		t.Errorf("%v", all)
	}
	var truth struct {
		Payments []payuPayment
		Refunds  []payuRefund
	}
	u.get(payuBase+"/truth?key="+u.Key, &truth)
	if len(truth.Payments) != 1 || truth.Payments[0].Refunded != 1000 || len(truth.Refunds) != 4 || truth.Refunds[0].Token == truth.Refunds[1].Token {
		t.Errorf("%+v", truth)
	}
	got := h.wait(t, 5) // the payment, and the refunds
	form, err := url.ParseQuery(got[0].body)
	if err != nil || form.Encode() != back.Encode() || got[0].header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("%v, %+v", err, got[0])
	}
	u.checkHash(t, form)
	for _, w := range got[1:] {
		sameJSON(t, w.body, `{"action":"refund","additionalValue1":null,"additionalValue2":null,"amt":"<amt>","bank_arn":"<arn>","bank_ref_num":"<ref>","key":"`+u.Key+
			`","merchantTxnId":"tx_r","mihpayid":"`+id+`","refund_mode":"Back to Source","remark":null,"request_id":"<id>","status":"success","token":"rfd_<n>"}`)
	}
}
