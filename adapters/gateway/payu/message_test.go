package payu

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func TestWebhook(t *testing.T) {
	for name, one := range map[string]struct {
		form   url.Values
		answer string
		paid   int // 1 paid, -1 failed, 0 nothing
		err    bool
	}{
		"paid":                      {posted(), verified(), 1, false},
		"failed":                    {posted("status", "failure"), verified("status", "failure"), -1, false},
		"failed, then paid":         {posted("status", "failure"), verified(), 1, false},
		"failed, and nothing known": {posted("status", "failure"), unknown(reference), 0, false},
		"paid, and not confirmed":   {posted(), unknown(reference), 0, true},
		"paid, and still under way": {posted(), verified("status", "pending"), 0, true},
		"paid, and no answer":       {posted(), dropped, 0, true},
		"paid, and not our account": {posted(), `{"status":0,"msg":"Invalid Hash."}`, 0, true},
		"with charges":              {posted("additionalCharges", "5.00"), verified("additional_charges", "5.00"), 1, false},
		"an old one":                {posted("addedon", "2019-01-01 00:00:00"), verified(), 1, false},
	} {
		p, c, a := world(t)
		p.on("verify_payment", one.answer)
		got, err := c.ParseWebhook(timeout(t), a, http.Header{}, []byte(one.form.Encode()), now)
		if (err != nil) != one.err || (len(got) == 1) != (one.paid != 0) {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		for _, bad := range []error{gateway.ErrSignature, gateway.ErrMalformed, gateway.ErrStale} {
			if errors.Is(err, bad) {
				t.Errorf("%s would not be sent again: %v", name, err)
			}
		}
		for _, m := range got {
			if m.Reference != reference || m.OrderID != reference || m.Payment == nil || m.Payment.Paid != (one.paid == 1) || m.Payment.PaymentID != payuID || string(m.Body) != one.answer {
				t.Errorf("%s: %+v", name, m)
			}
		}
	}
}

// TestWhatIsNotSignedIsNotBelieved plays a customer who has paid once, and posts PayU's own form again with what no hash covers changed.
func TestWhatIsNotSignedIsNotBelieved(t *testing.T) {
	p, c, a := world(t)
	p.on("verify_payment", verified("disc", "50.00"))
	form := posted()
	form.Set("mihpayid", "999999999999999999")
	form.Set("discount", "0.00")
	form.Set("net_amount_debit", "500")
	form.Set("bank_ref_num", "forged")
	got, err := c.ParseWebhook(timeout(t), a, nil, []byte(form.Encode()), now)
	if err != nil || len(got) != 1 || got[0].Payment.PaymentID != payuID || got[0].Payment.Amount != "450.00" || got[0].Payment.UTR == "forged" {
		t.Errorf("%+v, %v", got, err)
	}
	m, err := c.ParseReturn(timeout(t), a, theOrder(), made, form, now)
	if err != nil || m.Payment.PaymentID != payuID || m.Payment.Amount != "450.00" {
		t.Errorf("%+v, %v", m.Payment, err)
	}
}

func TestWebhookAsJSON(t *testing.T) {
	p, c, a := world(t)
	p.on("verify_payment", verified())
	fields := map[string]any{"merchant_id": 8739528, "nothing": nil, "nested": map[string]any{"a": 1}}
	for k, v := range posted() {
		fields[k] = v[0]
	}
	if got, err := c.ParseWebhook(timeout(t), a, nil, []byte(body(fields)), now); err != nil || len(got) != 1 || !got[0].Payment.Paid {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWebhookRefused(t *testing.T) {
	_, c, a := world(t) // nobody is asked
	changed := func(name, value string) string {
		f := posted()
		f.Set(name, value)
		return f.Encode()
	}
	for name, one := range map[string]struct {
		body string
		want error
	}{
		"no hash":             {changed("hash", ""), gateway.ErrSignature},
		"another amount":      {changed("amount", "5.00"), gateway.ErrSignature},
		"another status":      {changed("status", "failure"), gateway.ErrSignature},
		"another transaction": {changed("txnid", "tx_other0000"), gateway.ErrSignature},
		"charges added":       {changed("additionalCharges", "x"), gateway.ErrSignature},
		"another account's":   {posted("key", "gtKFFx").Encode(), gateway.ErrSignature},
		"no transaction":      {posted("txnid", "").Encode(), gateway.ErrMalformed},
		"two transactions":    {posted("txnid", reference+"|tx_other0000").Encode(), gateway.ErrMalformed},
		"a field twice":       {posted().Encode() + "&status=success", gateway.ErrMalformed},
		"no form":             {"%zz", gateway.ErrMalformed},
		"no JSON":             {`{"a":`, gateway.ErrMalformed},
		"too large":           {"a=" + strings.Repeat("x", gateway.MaxBodyBytes), gateway.ErrMalformed},
		"too many fields":     {strings.Repeat("a=1&", 1) + manyFields(), gateway.ErrMalformed},
		"nothing":             {"", gateway.ErrSignature},
		"a dispute":           {`{"type":"payments","event":"dispute","cb_id":1761758,"txn_id":"999000000000468","cb_amount":"1.0","cb_status":"New"}`, gateway.ErrSignature},
		"a refund of others":  {`{"action":"refund","key":"gtKFFx","mihpayid":"1","token":"x"}`, gateway.ErrSignature},
		"a refund of nothing": {`{"action":"refund","key":"` + testKey + `","mihpayid":"x","token":"x"}`, gateway.ErrMalformed},
		"a refund, no token":  {`{"action":"refund","key":"` + testKey + `","mihpayid":"1","token":null}`, gateway.ErrMalformed},
	} {
		if got, err := c.ParseWebhook(timeout(t), a, nil, []byte(one.body), now); !errors.Is(err, one.want) || len(got) != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	a.Credentials = map[string]string{"key": testKey}
	if _, err := c.ParseWebhook(timeout(t), a, nil, []byte(posted().Encode()), now); !errors.Is(err, gateway.ErrSignature) {
		t.Errorf("an account without salt: %v", err)
	}
}

func manyFields() string {
	f := url.Values{}
	for i := range maxFields + 1 {
		f.Set(strings.Repeat("x", i+1), "")
	}
	return f.Encode()
}

func TestWebhookOfRefund(t *testing.T) {
	const message = `{"additionalValue1":null,"bank_arn":308239782136,"refund_mode":"Instant Credit through UPI","bank_ref_num":"308239782136","key":"JPM7Fg",
		"amt":"100.00","remark":null,"status":"success","token":"rfd_abc123xyz","mihpayid":" 403993715521937565 ","request_id":"1",
		"merchantTxnId":"tx_abc123xyz","additionalValue2":null,"action":"refund"}`
	p, c, a := world(t)
	p.on("check_action_status", actions([3]string{refundRef, "failure", "100.00"}))
	got, err := c.ParseWebhook(timeout(t), a, nil, []byte(message), now)
	if err != nil || len(got) != 1 || got[0].Reference != refundRef || got[0].Refund == nil || got[0].Refund.State != gateway.RefundFailed || got[0].Refund.RefundID != "131278422" {
		t.Errorf("PayU's answer is what counts, not the message: %+v, %v", got, err)
	}
	p.on("check_action_status", actions())
	if _, err := c.ParseWebhook(timeout(t), a, nil, []byte(message), now); !errors.Is(err, gateway.ErrSignature) {
		t.Errorf("a refund that PayU does not know: %v", err)
	}
	p.on("check_action_status", "500 ")
	if _, err := c.ParseWebhook(timeout(t), a, nil, []byte(message), now); err == nil || errors.Is(err, gateway.ErrSignature) {
		t.Errorf("PayU does not answer: %v", err)
	}
}

func TestReturn(t *testing.T) {
	for name, one := range map[string]struct {
		form     url.Values
		answer   string
		paid     int
		approved bool
	}{
		"paid":                    {posted(), verified(), 1, false},
		"failed":                  {posted("status", "failure"), verified("status", "failure"), -1, false},
		"paid, not confirmed":     {posted(), unknown(reference), 0, true},
		"paid, no answer":         {posted(), dropped, 0, true},
		"failed, no answer":       {posted("status", "failure"), "500 ", 0, false},
		"amount written shorter":  {posted("amount", "500"), verified(), 1, false},
		"pending, and then it is": {posted("status", "pending"), verified(), 1, false},
	} {
		p, c, a := world(t)
		p.on("verify_payment", one.answer)
		m, err := c.ParseReturn(timeout(t), a, theOrder(), made, one.form, now)
		if err != nil || m.Reference != reference || m.OrderID != reference || m.Approved != one.approved || (m.Payment != nil) != (one.paid != 0) || len(m.Body) == 0 {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if m.Payment != nil && m.Payment.Paid != (one.paid == 1) {
			t.Errorf("%s: %+v", name, m.Payment)
		}
		if strings.Contains(string(m.Body), "g%40example.com") {
			t.Errorf("%s keeps the customer's address as evidence in clear", name)
		}
	}
	_, c, a := world(t)
	if m, err := c.ParseReturn(timeout(t), a, theOrder(), made, url.Values{}, now); err != nil || m.Reference != reference || m.Payment != nil || m.Approved {
		t.Errorf("gone back: %+v, %v", m, err)
	}
}

func TestReturnRefused(t *testing.T) {
	_, c, a := world(t)
	twice := posted()
	twice.Add("amount", "1.00")
	unsigned := posted()
	unsigned.Del("hash")
	for name, one := range map[string]struct {
		form url.Values
		want error
	}{
		"no hash":             {unsigned, gateway.ErrSignature},
		"another amount":      {posted("amount", "1.00"), gateway.ErrMalformed}, // signed, and of less
		"another transaction": {posted("txnid", "tx_other0000"), gateway.ErrMalformed},
		"another account":     {posted("key", "gtKFFx"), gateway.ErrMalformed},
		"two amounts":         {twice, gateway.ErrMalformed},
	} {
		if m, err := c.ParseReturn(timeout(t), a, theOrder(), made, one.form, now); !errors.Is(err, one.want) || m.Payment != nil || m.Approved {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// FuzzWebhook signs whatever comes, or leaves it as it is: nothing is believed that PayU, who answers nothing here, has not said.
func FuzzWebhook(f *testing.F) {
	f.Add(posted().Encode(), true)
	f.Add(posted().Encode(), false)
	f.Add(body(map[string]string{"status": "success", "hash": "00", "txnid": "1"}), true)
	f.Add(`{"action":"refund","key":"JPM7Fg","mihpayid":"1","token":"x"}`, false)
	a := gateway.Account{Base: "http://127.0.0.1:1", Credentials: map[string]string{"key": testKey, "salt": testSalt}}
	f.Fuzz(func(t *testing.T, text string, resign bool) {
		if form, err := url.ParseQuery(text); err == nil && resign {
			var changes []string
			for name := range form {
				changes = append(changes, name, form.Get(name))
			}
			text = posted(changes...).Encode()
		}
		got, err := New().ParseWebhook(t.Context(), a, nil, []byte(text), now)
		if len(got) != 0 || err == nil {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func FuzzReturn(f *testing.F) {
	f.Add(posted().Encode())
	f.Add("status=success&hash=00")
	a := gateway.Account{Base: "http://127.0.0.1:1", Credentials: map[string]string{"key": testKey, "salt": "another"}}
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		m, err := New().ParseReturn(t.Context(), a, theOrder(), made, form, now)
		if m.Payment != nil || m.Approved {
			t.Errorf("nobody has signed this: %+v", m)
		}
		if err != nil && !slices.ContainsFunc([]error{gateway.ErrSignature, gateway.ErrMalformed}, func(e error) bool { return errors.Is(err, e) }) {
			t.Error(err)
		}
	})
}
