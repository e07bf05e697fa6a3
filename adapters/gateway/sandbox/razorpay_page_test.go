package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRazorpayPage(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	z := newRazorpay(b, `{}`)
	for form, want := range map[string]struct{ method, status string }{
		goodCard + "&action=pay": {"card", "captured"},
		strings.Replace(goodCard, "4111+1111+1111+1111", "4100+2800+0004+0005", 1) + "&action=pay": {"card", "failed"},
		strings.Replace(goodCard, "otp=1234", "otp=123", 1) + "&action=pay":                        {"card", "failed"},
		goodCard + "&action=decline":                   {"card", "failed"},
		"method=netbanking&bank=HDFC&action=pay":       {"netbanking", "captured"},
		"method=netbanking&bank=HDFC&action=decline":   {"netbanking", "failed"},
		"method=wallet&wallet=payzapp&action=pay":      {"wallet", "captured"},
		"method=paylater&action=pay":                   {"paylater", "captured"},
		"method=upi&vpa=success%40razorpay&action=pay": {"upi", "captured"},
		"method=upi&vpa=failure%40razorpay&action=pay": {"upi", "failed"},
		"method=card&card_number=&action=decline":      {"card", "failed"},
		"method=upi&vpa=&action=decline":               {"upi", "failed"},
	} {
		o := z.order(t, 1050)
		action := z.open(t, o.ID)
		back := z.press(t, action, form)
		list := good[struct{ Items []razorpayPaymentEntity }](t, z, "GET", "/orders/"+o.ID+"/payments", "").Items
		if len(list) != 1 || list[0].Status != want.status || list[0].Method != want.method || list[0].Amount != 1050 {
			t.Fatalf("%s: %+v", form, list)
		}
		p := list[0]
		if want.status == "failed" {
			wanted := fmt.Sprintf(`{"payment_id":%q,"order_id":%q}`, p.ID, o.ID)
			if back.Get("error[code]") != *p.ErrorCode || back.Get("error[reason]") != *p.ErrorReason || back.Get("error[metadata]") != wanted || back.Has("razorpay_signature") {
				t.Errorf("%s: %v", form, back)
			}
			// The customer may try again, on the same page.
			if again := z.press(t, action, goodCard+"&action=pay"); again.Get("razorpay_payment_id") == p.ID || again.Get("razorpay_payment_id") == "" {
				t.Errorf("%s: %v", form, again)
			}
			continue
		}
		if back.Get("razorpay_payment_id") != p.ID || back.Get("razorpay_signature") != razorpaySignature(z.KeySecret, []byte(o.ID+"|"+p.ID)) {
			t.Errorf("%s: %v", form, back)
		}
		// Pressed twice, paid once.
		if again := z.press(t, action, form); again.Encode() != back.Encode() {
			t.Errorf("%s: %v", form, again)
		}
		if status, _, page := z.send(http.MethodPost, razorpayBase+"/v1/checkout/embedded", url.Values{
			"key_id": {z.KeyID}, "order_id": {o.ID}, "callback_url": {"http://x/"},
		}.Encode()); status != http.StatusBadRequest || !strings.Contains(page, "already done") {
			t.Errorf("a paid order: %d %s", status, shown(page))
		}
	}
	var truth razorpayTruth
	b.get(razorpayBase+"/truth", &truth)
	if collected, _ := truth.sums(); collected != 12*1050 {
		t.Errorf("collected %d", collected)
	}
}

func TestRazorpayPageRefuses(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	z := newRazorpay(b, `{}`)
	o := z.order(t, 1050)
	action := z.open(t, o.ID, "prefill[method]", "netbanking", "method[wallet]", "0")
	_, _, page := z.send(http.MethodPost, action, "action=pay&method=wallet")
	if !strings.Contains(page, `value="netbanking"`) || strings.Contains(page, `value="wallet"`) || !strings.Contains(page, "A &lt;Shop&gt;") || !strings.Contains(page, "10.50 INR") {
		t.Error(shown(page))
	}
	for form, problem := range map[string]string{
		"": "Choose", "action=pay": "Choose", "method=upi&action=other": "Choose", "method=wallet&action=pay": "Choose",
		"method=upi&action=pay&vpa=x": "UPI ID", "method=card&action=pay": "number of a card",
		strings.Replace(goodCard, "1111&", "1112&", 1) + "&action=pay":   "number of a card",
		strings.Replace(goodCard, "12/49", "12/20", 1) + "&action=pay":   "not valid any more",
		strings.Replace(goodCard, "12/49", "soon", 1) + "&action=pay":    "a month and a year",
		strings.Replace(goodCard, "cvv=123", "cvv=1", 1) + "&action=pay": "security code",
	} {
		status, header, page := z.send(http.MethodPost, action, form)
		if status != http.StatusUnprocessableEntity || !strings.Contains(page, `<p role="alert">`) || !strings.Contains(page, problem) {
			t.Errorf("%s: %d %s", form, status, shown(page))
		}
		checkPage(t, header, page)
	}
	if n := good[struct{ Count int }](t, z, "GET", "/orders/"+o.ID+"/payments", "").Count; n != 0 {
		t.Errorf("%d payments", n)
	}
	if status, header, _ := z.send(http.MethodGet, action+"/cancel", ""); status != http.StatusSeeOther || header.Get("Location") != "https://shop.example/cancel" {
		t.Errorf("cancel: %d %v", status, header)
	}
	for form, status := range map[string]int{
		"": 400, "callback_url=javascript:alert(1)": 400, "callback_url=http://x/": 401, "callback_url=http://x/&key_id=" + z.KeyID: 400,
		"callback_url=http://x/&key_id=" + z.KeyID + "&order_id=order_00000000000000":       400,
		"callback_url=http://x/&cancel_url=x&key_id=" + z.KeyID + "&order_id=" + o.ID:       400,
		"callback_url=http://x/&method=emi&key_id=" + z.KeyID + "&order_id=" + o.ID:         400,
		"callback_url=http://x/&key_id=" + newRazorpay(b, `{}`).KeyID + "&order_id=" + o.ID: 400,
		"callback_url=%zz": 400,
	} {
		got, header, page := z.send(http.MethodPost, razorpayBase+"/v1/checkout/embedded", form)
		if got != status || !strings.Contains(page, `<p role="alert">`) {
			t.Errorf("%s: %d %s", form, got, shown(page))
		}
		checkPage(t, header, page)
	}
	for _, c := range [][2]string{{"POST", "/v1/checkout/nothing"}, {"GET", "/v1/checkout/nothing/cancel"}} {
		if status, _, _ := z.send(c[0], razorpayBase+c[1], ""); status != http.StatusNotFound {
			t.Errorf("%v: %d", c, status)
		}
	}
}

func TestRazorpayUPI(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, false)
	z := newRazorpay(b, fmt.Sprintf(`{"webhook_url":%q}`, h.URL))
	link := func(o razorpayOrderEntity, amount int64) (id, link string) {
		t.Helper()
		made := good[map[string]string](t, z, "POST", "/payments/create/upi",
			fmt.Sprintf(`{"amount":%d,"currency":"INR","order_id":%q,"email":"a@example.com","contact":"9","method":"upi","upi":{"flow":"intent"}}`, amount, o.ID))
		u, err := url.Parse(made["link"])
		if err != nil || u.Scheme != "upi" || u.Host != "pay" || u.Query().Get("tr") != made["razorpay_payment_id"] || u.Query().Get("cu") != "INR" || u.Query().Get("pa") == "" {
			t.Fatalf("%v: %v", made, err)
		}
		return made["razorpay_payment_id"], made["link"]
	}
	play := func(link, outcome, amount string) (int, paymentAnswer) {
		t.Helper()
		status, _, text := b.send(http.MethodPost, "/sandbox/upi/pay", fmt.Sprintf(`{"intent_url":%q,"outcome":%q,"amount":%q}`, link, outcome, amount))
		return status, read[paymentAnswer](t, text)
	}
	state := func(id, want string, amount int64) {
		t.Helper()
		if p := z.payment(t, id); p.Status != want || p.Amount != amount {
			t.Errorf("%+v, want %s %d", p, want, amount)
		}
	}

	o := z.order(t, 1000)
	id, first := link(o, 1000)
	other, second := link(o, 1000) // the customer asks for a link twice
	state(id, "created", 1000)
	if status, a := play(first, "failure", ""); status != http.StatusOK || a.PaymentID != id || a.Status != "failure" || a.Reason == "" {
		t.Errorf("%d %+v", status, a)
	}
	state(id, "failed", 1000)
	// It goes through late, after all. Then nothing more.
	if status, a := play(first, "success", ""); status != http.StatusOK || len(a.UTR) != 12 || a.Amount != "10.00" {
		t.Errorf("%d %+v", status, a)
	}
	state(id, "captured", 1000)
	for _, outcome := range []string{"success", "failure"} {
		if status, _ := play(first, outcome, ""); status != http.StatusUnprocessableEntity {
			t.Errorf("%s again: %d", outcome, status)
		}
	}
	// The second link is paid, too: the order is paid already, so this money is not taken.
	if status, _ := play(second, "success", ""); status != http.StatusOK {
		t.Errorf("%d", status)
	}
	state(other, "authorized", 1000)
	z.refused(t, "POST", "/payments/"+other+"/capture", `{"amount":1000}`, "", "already paid")

	// Another amount comes as it is; less does not pay the order.
	o = z.order(t, 500)
	id, first = link(o, 500)
	if status, a := play(first, "success", "4.99"); status != http.StatusOK || a.Amount != "4.99" {
		t.Errorf("%d %+v", status, a)
	}
	state(id, "captured", 499)
	if got := good[razorpayOrderEntity](t, z, "GET", "/orders/"+o.ID, ""); got.Status != "attempted" || got.AmountPaid != 499 || got.AmountDue != 1 {
		t.Errorf("%+v", got)
	}
	var events []string
	for _, w := range h.wait(t, 7) {
		events = append(events, read[map[string]any](t, w.body)["event"].(string))
	}
	if got := strings.Join(events, " "); got != "payment.failed payment.authorized payment.captured order.paid payment.authorized payment.authorized payment.captured" {
		t.Error(got)
	}

	o = z.order(t, 500)
	for body, want := range map[string][2]string{
		`{"amount":499,"currency":"INR","order_id":"` + o.ID + `","email":"a","contact":"9","upi":{"flow":"intent"}}`:         {"amount", "different from your order amount"},
		`{"amount":500,"currency":"USD","order_id":"` + o.ID + `","email":"a","contact":"9","upi":{"flow":"intent"}}`:         {"currency", "INR"},
		`{"amount":500,"currency":"INR","email":"a","contact":"9","upi":{"flow":"intent"}}`:                                   {"order_id", "required"},
		`{"amount":500,"currency":"INR","order_id":"` + o.ID + `","contact":"9","upi":{"flow":"intent"}}`:                     {"email", "required"},
		`{"amount":500,"currency":"INR","order_id":"` + o.ID + `","email":"a","upi":{"flow":"intent"}}`:                       {"contact", "required"},
		`{"amount":500,"currency":"INR","order_id":"` + o.ID + `","email":"a","contact":"9"}`:                                 {"upi.flow", "intent"},
		`{"amount":500,"currency":"INR","order_id":"` + o.ID + `","email":"a","contact":"9","method":"card","flow":"intent"}`: {"method", "invalid"},
	} {
		z.refused(t, "POST", "/payments/create/upi", body, want[0], want[1])
	}
	// Parts are for orders that may be paid in parts.
	parts := good[razorpayOrderEntity](t, z, "POST", "/orders", `{"amount":500,"currency":"INR","partial_payment":true,"first_payment_min_amount":200}`)
	z.refused(t, "POST", "/payments/create/upi", `{"amount":199,"currency":"INR","order_id":"`+parts.ID+`","email":"a","contact":"9","flow":"intent"}`, "amount", "")
	for _, amount := range []int64{200, 100, 200} {
		_, part := link(parts, amount)
		play(part, "success", "")
	}
	if got := good[razorpayOrderEntity](t, z, "GET", "/orders/"+parts.ID, ""); got.Status != "paid" || got.Attempts != 3 {
		t.Errorf("%+v", got)
	}
}
