package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// testRazorpay is an account of the face.
type testRazorpay struct {
	*testBank
	razorpayAccount
}

func newRazorpay(b *testBank, account string) *testRazorpay {
	b.t.Helper()
	status, _, text := b.send(http.MethodPost, razorpayBase+"/accounts", account)
	if status != http.StatusOK {
		b.t.Fatalf("account: %d %s", status, text)
	}
	return &testRazorpay{b, read[razorpayAccount](b.t, text)}
}

// call calls the API with the account's keys.
func (z *testRazorpay) call(method, path, body string, header ...string) (int, string) {
	z.t.Helper()
	status, _, text := z.send(method, razorpayBase+"/v1"+path, body, func(r *http.Request) {
		r.SetBasicAuth(z.KeyID, z.KeySecret)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
	})
	return status, text
}

// good calls the API, and reads what it answers.
func good[T any](t *testing.T, z *testRazorpay, method, path, body string, header ...string) T {
	t.Helper()
	status, text := z.call(method, path, body, header...)
	if status != http.StatusOK {
		t.Fatalf("%s %s %s: %d %s", method, path, body, status, text)
	}
	return read[T](t, text)
}

// refused calls the API, and wants a refusal in the company's format.
func (z *testRazorpay) refused(t *testing.T, method, path, body, field, description string, header ...string) {
	t.Helper()
	status, text := z.call(method, path, body, header...)
	if status != http.StatusBadRequest {
		t.Errorf("%s %s %.100s: %d %s", method, path, body, status, text)
		return
	}
	e := read[map[string]razorpayError](t, text)["error"]
	got := ""
	if e.Field != nil {
		got = *e.Field
	}
	if e.Code != "BAD_REQUEST_ERROR" || got != field || !strings.Contains(e.Description, description) {
		t.Errorf("%s %s %.100s: %s", method, path, body, text)
	}
}

func (z *testRazorpay) order(t *testing.T, amount int64) razorpayOrderEntity {
	t.Helper()
	return good[razorpayOrderEntity](t, z, "POST", "/orders", fmt.Sprintf(`{"amount":%d,"currency":"INR"}`, amount))
}

func (z *testRazorpay) payment(t *testing.T, id string) razorpayPaymentEntity {
	t.Helper()
	return good[razorpayPaymentEntity](t, z, "GET", "/payments/"+id, "")
}

// open opens the hosted page of an order, and returns where its form goes.
func (z *testRazorpay) open(t *testing.T, orderID string, more ...string) string {
	t.Helper()
	form := url.Values{
		"key_id": {z.KeyID}, "order_id": {orderID}, "name": {"A <Shop>"}, "description": {"Tea"}, "prefill[email]": {"a@example.com"},
		"callback_url": {"https://shop.example/back?x=1"}, "cancel_url": {"https://shop.example/cancel"},
	}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	status, header, page := z.send(http.MethodPost, razorpayBase+"/v1/checkout/embedded", form.Encode())
	if status != http.StatusOK {
		t.Fatalf("page: %d %s", status, shown(page))
	}
	checkPage(t, header, page)
	action, _ := formOf(t, page)
	return action
}

// press presses a button of the page, and returns the form that leads back.
func (z *testRazorpay) press(t *testing.T, action string, form string) url.Values {
	t.Helper()
	status, header, page := z.send(http.MethodPost, action, form)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", form, status, shown(page))
	}
	checkPage(t, header, page)
	to, fields := formOf(t, page)
	if to != "https://shop.example/back?x=1" {
		t.Errorf("the form goes to %s", to)
	}
	return fields
}

// pay pays an order by card, and returns the payment's id.
func (z *testRazorpay) pay(t *testing.T, orderID string) string {
	t.Helper()
	back := z.press(t, z.open(t, orderID), goodCard+"&action=pay")
	if back.Get("razorpay_order_id") != orderID || back.Get("razorpay_signature") != razorpaySignature(z.KeySecret, []byte(orderID+"|"+back.Get("razorpay_payment_id"))) {
		t.Fatalf("back: %v", back)
	}
	return back.Get("razorpay_payment_id")
}

const goodCard = "method=card&card_number=4111+1111+1111+1111&card_expiry=12/49&card_cvv=123&otp=1234"

func TestRazorpayAuthentication(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	z := newRazorpay(b, `{}`)
	for name, prepare := range map[string]func(*http.Request){
		"none": func(*http.Request) {}, "wrong secret": func(r *http.Request) { r.SetBasicAuth(z.KeyID, "x") },
		"no secret": func(r *http.Request) { r.SetBasicAuth(z.KeyID, "") }, "unknown key": func(r *http.Request) { r.SetBasicAuth("rzp_test_x", z.KeySecret) },
		"unknown, no secret": func(r *http.Request) { r.SetBasicAuth("rzp_test_x", "") },
	} {
		for _, path := range []string{"/orders", "/payments/pay_00000000000000/capture"} {
			status, header, text := b.send(http.MethodPost, razorpayBase+"/v1"+path, `{"amount":1,"currency":"INR"}`, prepare)
			if status != http.StatusUnauthorized || header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %d %s", name, status, text)
			}
			sameJSON(t, text, `{"error":{"code":"BAD_REQUEST_ERROR","description":"<any>","source":"NA","step":"NA","reason":"NA","metadata":{},"field":null}}`)
		}
	}
	// What is another account's does not exist.
	other := newRazorpay(b, `{}`)
	o := z.order(t, 100)
	other.refused(t, "GET", "/orders/"+o.ID, "", "", "does not exist")
	other.refused(t, "PATCH", "/orders/"+o.ID, `{"notes":{}}`, "", "does not exist")
	other.refused(t, "POST", "/payments/"+z.pay(t, o.ID)+"/refund", "{}", "", "does not exist")
}

func TestRazorpayRefusals(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	z := newRazorpay(b, `{}`)
	_, text := z.call("POST", "/orders", `{"amount":0,"currency":"INR"}`)
	sameJSON(t, text, `{"error":{"code":"BAD_REQUEST_ERROR","description":"The amount must be at least 1.","source":"business","step":"payment_initiation",`+
		`"reason":"input_validation_failed","metadata":{},"field":"amount"}}`)
	long := strings.Repeat("x", 257)
	sixteen := strings.Repeat(`"%d":"x",`, 16)
	sixteen = fmt.Sprintf(sixteen[:len(sixteen)-1], 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	for body, want := range map[string][2]string{
		`{"currency":"INR"}`:                                                                {"amount", "required"},
		`{"amount":1.5,"currency":"INR"}`:                                                   {"amount", "integer"},
		`{"amount":"ten","currency":"INR"}`:                                                 {"amount", "integer"},
		`{"amount":-1,"currency":"INR"}`:                                                    {"amount", "at least"},
		`{"amount":99999999999999,"currency":"INR"}`:                                        {"amount", "maximum"},
		`{"amount":999999999999999999999999,"currency":"INR"}`:                              {"amount", "integer"},
		`{"amount":1}`:                                                                      {"currency", "required"},
		`{"amount":1,"currency":"inr"}`:                                                     {"currency", "not supported"},
		`{"amount":1,"currency":"BTC"}`:                                                     {"currency", "not supported"},
		`{"amount":1,"currency":"INR","receipt":"` + long[:41] + `"}`:                       {"receipt", "40"},
		`{"amount":1,"currency":"INR","notes":{"a":"` + long + `"}}`:                        {"notes", "256"},
		`{"amount":1,"currency":"INR","notes":{` + sixteen + `}}`:                           {"notes", "15"},
		`{"amount":1,"currency":"INR","notes":{"a":{"b":1}}}`:                               {"notes", "texts"},
		`{"amount":1,"currency":"INR","strange":1,"odd":{"a":1}}`:                           {"", "odd, strange is/are not required and should not be sent"},
		`{"amount":9,"currency":"INR","first_payment_min_amount":3}`:                        {"first_payment_min_amount", "partial_payment"},
		`{"amount":9,"currency":"INR","partial_payment":true,"first_payment_min_amount":9}`: {"first_payment_min_amount", "less than"},
		`{`: {"", "could not be read"},
	} {
		z.refused(t, "POST", "/orders", body, want[0], want[1])
	}
	for _, path := range []string{
		"/orders?count=0", "/orders?count=101", "/orders?skip=-1", "/payments?from=x", "/orders/nothing", "/orders/order_0000000000000", "/payments/order_00000000000000",
		"/payments/pay_00000000000000", "/payments/pay_00000000000000/refunds", "/refunds/rfnd_00000000000000", "/refunds/x", "/orders?authorized=2",
	} {
		z.refused(t, "GET", path, "", strings.Trim(strings.Split(strings.Split(path+"?", "?")[1], "=")[0], " "), "")
	}
	for _, c := range [][2]string{{"GET", "/nothing"}, {"DELETE", "/orders"}, {"PUT", "/payments/x"}} {
		if status, text := z.call(c[0], c[1], ""); status != http.StatusNotFound || !strings.Contains(text, "The requested URL was not found on the server.") {
			t.Errorf("%v: %d %s", c, status, text)
		}
	}
	// A form is as good as JSON, and a number as a string as a number.
	for _, body := range []string{"amount=100&currency=INR&notes[a]=b&receipt=r", `{"amount":"100","currency":"INR","notes":{"a":"b"},"receipt":"r"}`} {
		_, text := z.call("POST", "/orders", body)
		sameJSON(t, text, `{"id":"order_<id>","entity":"order","amount":100,"amount_paid":0,"amount_due":100,"currency":"INR","receipt":"r","offer_id":null,`+
			`"status":"created","attempts":0,"notes":{"a":"b"},"created_at":<at>}`)
	}
	var truth razorpayTruth
	b.get(razorpayBase+"/truth", &truth)
	if len(truth.Orders) != 2 { // nothing that was refused
		t.Errorf("%d orders", len(truth.Orders))
	}
}

func TestRazorpayOrdersBehave(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	for behaviour, want := range map[string][2]int{"accept": {200, 1}, "refuse": {400, 0}, "error": {500, 0}, "silent": {0, 1}} {
		z := newRazorpay(b, fmt.Sprintf(`{"orders":%q}`, behaviour))
		status, text := z.call("POST", "/orders", `{"amount":100,"currency":"INR","receipt":"r1"}`)
		list := good[struct{ Count int }](t, z, "GET", "/orders?receipt=r1", "")
		if status != want[0] || list.Count != want[1] {
			t.Errorf("%s: %d %s; %d orders", behaviour, status, text, list.Count)
		}
		if status >= 400 && read[map[string]razorpayError](t, text)["error"].Code == "" {
			t.Errorf("%s: %s", behaviour, text)
		}
	}
}

// Of many captures at a time, one takes the money.
func TestRazorpayCapturesOnce(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, false)
	z := newRazorpay(b, fmt.Sprintf(`{"capture":"manual","webhook_url":%q}`, h.URL))
	o := z.order(t, 1000)
	id := z.pay(t, o.ID)
	if p := z.payment(t, id); p.Status != "authorized" || p.Captured || p.Fee != nil {
		t.Errorf("%+v", p)
	}
	z.refused(t, "POST", "/payments/"+id+"/capture", `{"amount":999,"currency":"INR"}`, "amount", "equal")
	z.refused(t, "POST", "/payments/"+id+"/capture", `{"amount":1000,"currency":"USD"}`, "currency", "")
	z.refused(t, "POST", "/payments/"+id+"/refund", `{}`, "", "should be captured")
	var wg sync.WaitGroup
	done := make(chan int, 16)
	for range cap(done) {
		wg.Go(func() {
			status, _ := z.call("POST", "/payments/"+id+"/capture", `{"amount":1000,"currency":"INR"}`)
			done <- status
		})
	}
	wg.Wait()
	close(done)
	captured := 0
	for status := range done {
		if status == http.StatusOK {
			captured++
		} else if status != http.StatusBadRequest {
			t.Errorf("status %d", status)
		}
	}
	got := good[razorpayOrderEntity](t, z, "GET", "/orders/"+o.ID, "")
	if captured != 1 || got.AmountPaid != 1000 || got.Status != "paid" {
		t.Errorf("%d captures; %+v", captured, got)
	}
	var events []string
	for _, w := range h.wait(t, 3) {
		events = append(events, read[map[string]any](t, w.body)["event"].(string))
	}
	if fmt.Sprint(events) != "[payment.authorized payment.captured order.paid]" {
		t.Errorf("%v", events)
	}
}

// What is given back is never more than what was captured, however it is asked for.
func TestRazorpayRefundsNeverAbove(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Millisecond, false)
	z := newRazorpay(b, `{}`)
	id := z.pay(t, z.order(t, 1000).ID)
	path := "/payments/" + id + "/refund"
	z.refused(t, "POST", path, `{"amount":1001}`, "amount", "greater than amount captured")
	z.refused(t, "POST", path, `{"amount":0}`, "amount", "at least")
	z.refused(t, "POST", path, `{"speed":"fast"}`, "speed", "")
	z.refused(t, "POST", path, `{}`, "", "idempotency key", "X-Refund-Idempotency", "short")

	// The same key is the same refund; with another body it is refused.
	const key = "rfd_aaaaaaaaa"
	first := good[razorpayRefundEntity](t, z, "POST", path, `{"amount":300}`, "X-Refund-Idempotency", key)
	again := good[razorpayRefundEntity](t, z, "POST", path, `{"amount":"300"}`, "X-Refund-Idempotency", key)
	if first.ID != again.ID || first.Amount != 300 {
		t.Errorf("%+v, %+v", first, again)
	}
	z.refused(t, "POST", path, `{"amount":301}`, "", "Different request body", "X-Refund-Idempotency", key)

	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { z.call("POST", path, `{"amount":200}`) })
	}
	wg.Wait()
	if p := z.payment(t, id); p.AmountRefunded != 900 || *p.RefundStatus != "partial" || p.Status != "captured" {
		t.Errorf("%+v", p)
	}
	z.refused(t, "POST", path, `{"amount":101}`, "amount", "The total refund amount is greater")
	if last := good[razorpayRefundEntity](t, z, "POST", path, ``); last.Amount != 100 {
		t.Errorf("%+v", last)
	}
	z.refused(t, "POST", path, ``, "", "fully refunded already")
	if again := good[razorpayRefundEntity](t, z, "POST", path, `{"amount":300}`, "X-Refund-Idempotency", key); again.ID != first.ID {
		t.Errorf("%+v", again)
	}
	var truth razorpayTruth
	b.get(razorpayBase+"/truth", &truth)
	if collected, refunded := truth.sums(); collected != 1000 || refunded != 1000 || len(truth.Refunds) != 5 {
		t.Errorf("%d %d %+v", collected, refunded, truth.Refunds)
	}
	b.get(razorpayBase+"/truth?limit=2", &truth)
	if len(truth.Refunds) != 2 || truth.Refunds[0].Amount != 100 {
		t.Errorf("%+v", truth.Refunds)
	}
	eventually(t, "the refund is processed", func() bool {
		r := good[razorpayRefundEntity](t, z, "GET", "/refunds/"+first.ID, "")
		return r.Status == "processed" && r.AcquirerData["arn"] != nil
	})
}

// eventually polls until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// A refund that fails is the merchant's money again, and can be given back anew.
func TestRazorpayRefundsFailAndAreHeld(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Millisecond, false)
	z := newRazorpay(b, `{"refunds":"fail"}`)
	z = newRazorpay(b, fmt.Sprintf(`{"key_id":%q,"key_secret":%q,"webhook_url":%q}`, z.KeyID, z.KeySecret, h.URL))
	id := z.pay(t, z.order(t, 1000).ID)
	h.wait(t, 3)
	state := func(refundID, want string) func() bool {
		return func() bool { return good[razorpayRefundEntity](t, z, "GET", "/refunds/"+refundID, "").Status == want }
	}
	for _, speed := range []string{"normal", "optimum"} {
		failed := good[razorpayRefundEntity](t, z, "POST", "/payments/"+id+"/refund", `{"speed":"`+speed+`"}`)
		eventually(t, "the refund fails", state(failed.ID, "failed"))
		if p := z.payment(t, id); p.Status != "captured" || p.AmountRefunded != 0 || p.RefundStatus != nil {
			t.Errorf("%+v", p)
		}
	}
	if got := h.wait(t, 7); !strings.Contains(got[4].body, `"event":"refund.failed"`) {
		t.Errorf("%+v", got[4])
	}
	newRazorpay(b, fmt.Sprintf(`{"key_id":%q,"key_secret":%q,"refunds":"hold"}`, z.KeyID, z.KeySecret))
	held := good[razorpayRefundEntity](t, z, "POST", "/payments/"+id+"/refund", ``)
	eventually(t, "the refund is held", func() bool {
		var again int // its timer was planned anew, for later
		err := b.readers.QueryRowContext(t.Context(), `SELECT count(*) FROM timers t JOIN razorpay_refunds r ON r.id = t.reference
			WHERE r.id = $1 AND t.due_at >= r.created_at + $2`, held.ID, holdGap.Microseconds()).Scan(&again)
		return err == nil && again == 1
	})
	if !state(held.ID, "pending")() {
		t.Error("the refund is not held")
	}
	newRazorpay(b, fmt.Sprintf(`{"key_id":%q,"key_secret":%q,"refunds":"process"}`, z.KeyID, z.KeySecret))
	eventually(t, "the refund is processed", state(held.ID, "processed"))
}

// A bank that dies after a payment, and before anybody was told, tells of it when it lives again, until it is heard.
func TestRazorpayWebhooksSurviveAKill(t *testing.T) {
	t.Parallel()
	path, h := filepath.Join(t.TempDir(), "sandbox.db"), newHook(t)
	b := start(t, path, "http://127.0.0.1:1", time.Millisecond, true)
	z := newRazorpay(b, fmt.Sprintf(`{"webhook_url":%q}`, h.URL))
	o := z.order(t, 700)
	id := z.pay(t, o.ID)
	refund := good[razorpayRefundEntity](t, z, "POST", "/payments/"+id+"/refund", `{"amount":200}`)
	if refund.Status != "pending" || len(h.all()) != 0 {
		t.Fatalf("%+v, %d webhooks", refund, len(h.all()))
	}
	b.stop() // as good as a kill: nothing ran

	h.answer(http.StatusInternalServerError)
	z.testBank = start(t, path, "http://127.0.0.1:1", time.Millisecond, false)
	first := h.wait(t, 2)
	if first[0].body != first[1].body || first[0].header.Get("X-Razorpay-Event-Id") != first[1].header.Get("X-Razorpay-Event-Id") {
		t.Errorf("a repetition is another message: %+v", first[:2])
	}
	h.answer(http.StatusAccepted)
	seen := map[string]string{} // by event
	eventually(t, "all webhooks have come", func() bool {
		for _, w := range h.all() {
			if w.header.Get("X-Razorpay-Signature") != razorpaySignature(z.WebhookSecret, []byte(w.body)) || w.header.Get("Content-Type") != "application/json" {
				t.Fatalf("%+v", w)
			}
			seen[read[map[string]any](t, w.body)["event"].(string)] = w.body
		}
		return len(seen) == 5
	})
	sameJSON(t, seen["order.paid"], `{"entity":"event","account_id":"`+z.AccountID+`","event":"order.paid","contains":["payment","order"],"payload":{"order":{"entity":`+
		`{"id":"`+o.ID+`","entity":"order","amount":700,"amount_paid":700,"amount_due":0,"currency":"INR","receipt":null,"offer_id":null,"status":"paid","attempts":1,`+
		`"notes":[],"created_at":<at>}},"payment":{"entity":{"id":"`+id+`","entity":"payment","amount":700,"currency":"INR","status":"captured","order_id":"`+o.ID+`",`+
		`"invoice_id":null,"international":false,"method":"card","amount_refunded":0,"refund_status":null,"captured":true,"description":"Tea","card_id":"card_<id>",`+
		`"card":{"id":"card_<id>","entity":"card","name":"","last4":"1111","network":"Visa","type":"debit","issuer":null,"international":false,"emi":false},`+
		`"bank":null,"wallet":null,"vpa":null,"email":"a@example.com","contact":null,"notes":[],"fee":17,"tax":3,"error_code":null,"error_description":null,`+
		`"error_source":null,"error_step":null,"error_reason":null,"acquirer_data":{"auth_code":"<code>"},"created_at":<at>}}},"created_at":<at>}`)
	if !strings.Contains(seen["refund.processed"], refund.ID) || !strings.Contains(seen["refund.created"], `"status":"pending"`) {
		t.Errorf("%s\n%s", seen["refund.created"], seen["refund.processed"])
	}
	if p := z.payment(t, id); p.Status != "captured" || p.AmountRefunded != 200 {
		t.Errorf("%+v", p)
	}
}
