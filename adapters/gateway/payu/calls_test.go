package payu

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// kind names an error by the contract's three kinds.
func kind(err error) string {
	var declined *gateway.Declined
	switch {
	case err == nil:
		return "none"
	case errors.As(err, &declined):
		return "declined"
	case errors.Is(err, gateway.ErrCredentials):
		return "credentials"
	}
	return "unknown"
}

// TestEveryKindOfError asks each call of the adapter against each way in which PayU can fail.
func TestEveryKindOfError(t *testing.T) {
	failures := []struct {
		name, answer, want string
	}{
		{"wrong hash", `{"status":0,"msg":"Invalid Hash."}`, "credentials"},
		{"wrong hash, as a 401", `401 {"Status":0,"msg":"Invalid Hash."}`, "credentials"},
		{"wrong key", `{"status":0,"msg":"Invalid key"}`, "credentials"},
		{"a proxy's 403", "403 <html>", "unknown"},
		{"a proxy's 404", "404 <html>", "unknown"},
		{"400 of something", `400 {"status":0,"msg":"transaction not exists"}`, "unknown"},
		{"too many requests", `429 {"status":0,"msg":"Too many requests"}`, "unknown"},
		{"error of the server", "500 ", "unknown"},
		{"error of the server, in its format", `503 {"status":0,"msg":"down"}`, "unknown"},
		{"redirect", "307 {}", "unknown"},
		{"garbage", "{", "unknown"},
		{"HTML", "<html>maintenance</html>", "unknown"},
		{"nothing", "", "unknown"},
		{"something else", `{"status":1,"msg":"ok"}`, "unknown"},
		{"details of another", `{"status":1,"msg":"ok","transaction_details":{"tx_other0000":{"status":"success"}}}`, "unknown"},
		{"details of no kind", `{"status":1,"msg":"ok","transaction_details":{"` + reference + `":[1],"` + payuID + `":[1],"` + probe + `":[1]}}`, "unknown"},
		{"a list", `[]`, "unknown"},
		{"too large", `"` + strings.Repeat("x", gateway.MaxBodyBytes) + `"`, "unknown"},
		{"cut", dropped, "unknown"},
	}
	calls := []struct {
		name, command string
		call          func(context.Context, *Client, gateway.Account) error
	}{
		{"check", "verify_payment", func(ctx context.Context, c *Client, a gateway.Account) error { return c.Check(ctx, a) }},
		{"collect", "verify_payment", func(ctx context.Context, c *Client, a gateway.Account) error {
			_, err := c.Collect(ctx, a, theOrder(), made)
			return err
		}},
		{"inquire", "check_action_status", func(ctx context.Context, c *Client, a gateway.Account) error {
			_, err := c.InquireRefund(ctx, a, theRefund())
			return err
		}},
		{"refund", "cancel_refund_transaction", func(ctx context.Context, c *Client, a gateway.Account) error {
			_, err := c.Refund(ctx, a, theRefund())
			return err
		}},
	}
	for _, call := range calls {
		for _, f := range failures {
			t.Run(call.name+"/"+f.name, func(t *testing.T) {
				p, c, a := world(t)
				p.on("check_action_status", noActions())
				p.on(call.command, f.answer)
				err := call.call(timeout(t), c, a)
				if kind(err) != f.want {
					t.Fatalf("%s: %v, want %s", kind(err), err, f.want)
				}
				if s := err.Error(); strings.Contains(s, testSalt) || strings.Contains(s, "maintenance") || len(s) > 600 {
					t.Errorf("an error that tells too much: %s", s)
				}
			})
		}
	}
}

func TestCheck(t *testing.T) {
	p, c, a := world(t)
	p.on("verify_payment", unknown(probe))
	if err := c.Check(timeout(t), a); err != nil {
		t.Error(err)
	}
	a.Credentials = map[string]string{"key": testKey, "salt": "other"}
	if err := c.Check(timeout(t), a); kind(err) != "credentials" {
		t.Error(err)
	}
	a.Credentials = map[string]string{"key": testKey}
	if err := c.Check(timeout(t), a); kind(err) != "credentials" {
		t.Error(err)
	}
	if n := len(p.all()); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestEndedContext(t *testing.T) {
	_, c, a := world(t)
	ctx, end := context.WithCancel(t.Context())
	end()
	if _, err := c.Collect(ctx, a, theOrder(), made); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCreateOrderAsksNobody(t *testing.T) {
	_, c, a := world(t) // it would complain
	got, err := c.CreateOrder(timeout(t), a, theOrder())
	if err != nil || got.OrderID != reference {
		t.Errorf("%+v, %v", got, err)
	}
	for name, change := range map[string]func(*gateway.Order){
		"dollars":           func(o *gateway.Order) { o.Amount = money.MustParse("1", "USD") },
		"nothing":           func(o *gateway.Order) { o.Amount = money.Zero(money.INR) },
		"too long":          func(o *gateway.Order) { o.Reference = strings.Repeat("x", 26) },
		"a bar in its name": func(o *gateway.Order) { o.Reference = "tx|1" },
	} {
		o := theOrder()
		change(&o)
		if _, err := c.CreateOrder(timeout(t), a, o); kind(err) != "declined" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Begin(timeout(t), a, o, made, ""); kind(err) != "declined" {
			t.Errorf("the form of %s: %v", name, err)
		}
	}
	a.Credentials = map[string]string{"key": testKey}
	if _, err := c.CreateOrder(timeout(t), a, theOrder()); kind(err) != "credentials" {
		t.Error(err)
	}
	if _, err := c.Begin(timeout(t), a, theOrder(), made, ""); kind(err) != "credentials" {
		t.Error(err)
	}
}

func TestBegin(t *testing.T) {
	p, c, a := world(t)
	o := theOrder()
	o.Description, o.Name = "Invoice | 7 <b>", "Gaurav \"K\"|umar"
	next, err := c.Begin(timeout(t), a, o, made, merchant.EWallet)
	if err != nil || !next.Post || next.URL != p.URL+"/sandbox/payu/_payment" {
		t.Fatalf("%+v, %v", next, err)
	}
	want := []gateway.Field{
		{Name: "key", Value: testKey}, {Name: "txnid", Value: reference}, {Name: "amount", Value: "500.00"}, {Name: "productinfo", Value: "Invoice   7  b"},
		{Name: "firstname", Value: "Gaurav  K  umar"}, {Name: "email", Value: "g@example.com"}, {Name: "phone", Value: "9000090000"},
		{Name: "surl", Value: o.ReturnURL}, {Name: "furl", Value: o.ReturnURL}, {Name: "enforce_paymethod", Value: "cashcard"}, {Name: "udf1", Value: reference},
		{Name: "hash", Value: signature(testKey + "|" + reference + "|500.00|Invoice   7  b|Gaurav  K  umar|g@example.com|" + reference + "||||||||||")},
	}
	if !slices.Equal(next.Fields, want) {
		t.Errorf("%+v", next.Fields)
	}
	o.Method = merchant.EWallet
	details, err := c.Details(a, o, made)
	if err != nil || !slices.Equal(details, want[:len(want)-1]) {
		t.Errorf("%+v, %v", details, err)
	}
	bare := gateway.Order{Reference: reference, Amount: money.MustParse("1", money.INR), ReturnURL: "https://pay.shop.example/x"}
	next, err = c.Begin(timeout(t), a, bare, made, "")
	for _, f := range []gateway.Field{{Name: "firstname", Value: "Customer"}, {Name: "email", Value: reference + "@pay.shop.example"}, {Name: "phone", Value: "0000000000"}, {Name: "amount", Value: "1.00"}} {
		if err != nil || !slices.Contains(next.Fields, f) {
			t.Errorf("no %+v in %+v, %v", f, next.Fields, err)
		}
	}
	if slices.ContainsFunc(next.Fields, func(f gateway.Field) bool { return f.Name == "enforce_paymethod" }) {
		t.Error("a method is enforced that nobody chose")
	}
	for base, live := range map[string]bool{"https://test.payu.in/_payment": false, "https://secure.payu.in/_payment": true} {
		a.Base, a.Live = "", live
		if next, err := c.Begin(timeout(t), a, bare, made, ""); err != nil || next.URL != base {
			t.Errorf("%s, %v", next.URL, err)
		}
	}
	for _, m := range c.Spec().Methods {
		if method(m) == "" {
			t.Errorf("%s is none of PayU's", m)
		}
	}
}

func TestCollect(t *testing.T) {
	paid := gateway.Payment{
		PaymentID: payuID, Reference: reference, Amount: "500.00", Currency: "INR", UTR: "431998369241", Method: "UPI", SubMethod: "TEZOMNI", Paid: true,
		At: time.Date(2026, 5, 1, 10, 36, 40, 0, time.UTC),
	}
	with := func(change func(*gateway.Payment)) []gateway.Payment {
		p := paid
		change(&p)
		return []gateway.Payment{p}
	}
	for name, one := range map[string]struct {
		answer string
		want   []gateway.Payment
		err    string
	}{
		"paid":               {verified(), []gateway.Payment{paid}, "none"},
		"paid less an offer": {verified("amt", "450.00", "disc", "50.00"), with(func(p *gateway.Payment) { p.Amount = "450.00" }), "none"},
		"numbers as numbers": {verified("transaction_amount", 500, "disc", 0, "mihpayid", 403993715521937565), []gateway.Payment{paid}, "none"},
		"an amount alone":    {verified("transaction_amount", nil, "amt", "499.5", "disc", "7"), with(func(p *gateway.Payment) { p.Amount = "499.50" }), "none"},
		"without a time":     {verified("addedon", "0000-00-00 00:00:00"), with(func(p *gateway.Payment) { p.At = time.Time{} }), "none"},
		"failed":             {verified("status", "failure", "unmappedstatus", "failed", "bank_ref_num", nil), with(func(p *gateway.Payment) { p.Paid, p.UTR, p.Reason = false, "", wallet.FailureRejectedByBank }), "none"},
		"cancelled":          {verified("status", "failure", "unmappedstatus", "userCancelled"), with(func(p *gateway.Payment) { p.Paid, p.Reason = false, wallet.FailureDeclined }), "none"},
		"under way":          {verified("status", "pending", "unmappedstatus", "in progress"), nil, "none"},
		"not there":          {unknown(reference), nil, "none"},
		"of another":         {verified("txnid", "tx_other0000"), nil, "unknown"},
		"of no number":       {verified("mihpayid", "../1"), nil, "unknown"},
		"too many decimals":  {verified("transaction_amount", "500.001"), nil, "unknown"},
		"negative":           {verified("transaction_amount", "-500"), nil, "unknown"},
		"an offer too large": {verified("disc", "500.01"), nil, "unknown"},
		"with exponent":      {verified("transaction_amount", "5e2"), nil, "unknown"},
	} {
		p, c, a := world(t)
		p.on("verify_payment", one.answer)
		got, err := c.Collect(timeout(t), a, theOrder(), made)
		if kind(err) != one.err || !slices.Equal(got.List, one.want) || (err == nil && len(got.Body) == 0) {
			t.Errorf("%s: %+v, %v", name, got.List, err)
		}
	}
	_, c, a := world(t)
	if _, err := c.Collect(timeout(t), a, theOrder(), gateway.Ordered{OrderID: "tx_other0000"}); kind(err) != "unknown" {
		t.Error(err)
	}
}

func TestRefund(t *testing.T) {
	queued := `{"status":1,"msg":"Refund Request Queued","request_id":"131278422","bank_ref_num":null,"mihpayid":403993715521937565,"error_code":102}`
	ours := [3]string{refundRef, "success", "100.00"}
	other := [3]string{"other", "success", "100.00"}
	for name, one := range map[string]struct {
		ask, list string
		state     gateway.RefundState
		err       string
	}{
		"queued":                        {queued, "", gateway.RefundPending, "none"},
		"capture is of today":           {`{"status":1,"msg":"Capture is done today, please check for refund status tomorrow","request_id":131278422,"bank_ref_num":"1","mihpayid":"` + payuID + `"}`, "", gateway.RefundPending, "none"},
		"cancelled before capture":      {`{"status":1,"msg":"Cancel Request Queued","txn_update_id":"131278422","bank_ref_num":"1"}`, "", gateway.RefundPending, "none"},
		"token used, and done":          {`{"status":0,"msg":"token already used or request pending"}`, actions(ours), gateway.RefundDone, "none"},
		"token used, and failed":        {`{"status":0,"msg":"Token already exists","error_code":106}`, actions([3]string{refundRef, "FAILURE", "100.00"}), gateway.RefundFailed, "none"},
		"token used, and nowhere":       {`{"status":0,"msg":"token already used or request pending"}`, actions(other), "", "unknown"},
		"token used, over other amount": {`{"status":0,"msg":"token already used or request pending"}`, actions([3]string{refundRef, "success", "99.00"}), "", "unknown"},
		"refused":                       {`{"status":0,"msg":"Invalid amount","error_code":105}`, actions(other), "", "declined"},
		"refused, but there":            {`{"status":0,"msg":"Refund request failed"}`, actions(other, ours), gateway.RefundDone, "none"},
		"refused, nothing was done":     {`{"status":0,"msg":"transaction not exists"}`, noActions(), "", "declined"},
		"refused, with a status":        {`{"status":236,"msg":"Refund Split Info must be of JSON format","mihpayid":"` + payuID + `"}`, actions(other), "", "declined"},
		"refused, cannot be looked up":  {`{"status":0,"msg":"Invalid amount","error_code":105}`, "500 ", "", "unknown"},
		"refused, the account is gone":  {`{"status":0,"msg":"Invalid amount","error_code":105}`, `{"status":0,"msg":"Invalid Hash."}`, "", "unknown"},
		"waits for a person":            {`{"status":0,"msg":"Request set as pending","error_code":"123"}`, actions(other), "", "unknown"},
		"accepted, without a request":   {`{"status":1,"msg":"ok"}`, actions(other), "", "unknown"},
		"accepted, of another payment":  {strings.Replace(queued, payuID, "1", 1), actions(other), "", "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			p, c, a := world(t)
			p.on("cancel_refund_transaction", one.ask)
			if one.list != "" {
				p.on("check_action_status", one.list)
			}
			got, err := c.Refund(timeout(t), a, theRefund())
			if got.State != one.state || kind(err) != one.err {
				t.Fatalf("%+v, %v", got, err)
			}
			if err == nil && (!strings.HasPrefix(got.RefundID, "1312784") || len(got.Body) == 0) {
				t.Errorf("%+v", got)
			}
			if f := p.all()[0]; f.Get("var1") != payuID || f.Get("var2") != refundRef || f.Get("var3") != "100.00" {
				t.Errorf("asked %v", f)
			}
		})
	}
	_, c, a := world(t)
	for name, change := range map[string]struct {
		of   func(*gateway.Refund)
		kind string
	}{
		"dollars":    {func(r *gateway.Refund) { r.Amount = money.MustParse("1", "USD") }, "declined"},
		"nothing":    {func(r *gateway.Refund) { r.Amount = money.Zero(money.INR) }, "declined"},
		"no payment": {func(r *gateway.Refund) { r.PaymentID = "1|2" }, "unknown"},
		"too long":   {func(r *gateway.Refund) { r.Reference = strings.Repeat("x", 24) }, "unknown"},
	} {
		r := theRefund()
		change.of(&r)
		if _, err := c.Refund(timeout(t), a, r); kind(err) != change.kind {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.InquireRefund(timeout(t), a, r); kind(err) != "unknown" {
			t.Errorf("inquiring, %s: %v", name, err)
		}
	}
}

func TestInquireRefund(t *testing.T) {
	for state, want := range map[string]gateway.RefundState{
		"success": gateway.RefundDone, "SUCCESS": gateway.RefundDone, "failure": gateway.RefundFailed, "QUEUED": gateway.RefundPending, "IN PROGRESS": gateway.RefundPending,
		"requested": gateway.RefundPending, "od_hit": gateway.RefundPending,
	} {
		p, c, a := world(t)
		p.on("check_action_status", actions([3]string{"other", "failure", "100.00"}, [3]string{refundRef, state, "100.00"}))
		got, err := c.InquireRefund(timeout(t), a, theRefund())
		if err != nil || got.State != want || got.RefundID != "131278423" || got.UTR != "308239782136" || len(got.Body) == 0 {
			t.Errorf("%s: %+v, %v", state, got, err)
		}
		if f := p.all()[0]; f.Get("var1") != payuID || f.Get("var2") != "payuid" {
			t.Errorf("asked %v", f)
		}
	}
	p, c, a := world(t)
	for answer, want := range map[string]string{
		noActions(): "none", actions(): "none",
		actions([3]string{refundRef, "odd", "100.00"}):              "unknown",
		strings.Replace(actions(), `"`+payuID+`",`, `"12",`, 1):     "unknown",
		strings.Replace(noActions(), "No action", "Some", 1):        "unknown",
		strings.Replace(noActions(), `"status":0`, `"status":1`, 1): "unknown",
	} {
		p.on("check_action_status", answer)
		got, err := c.InquireRefund(timeout(t), a, theRefund())
		if kind(err) != want || (err == nil && got.State != gateway.RefundUnknown) {
			t.Errorf("%s: %+v, %v", answer, got, err)
		}
	}
}
