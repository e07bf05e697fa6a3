package payu

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
)

// payu is PayU as a test tells it to be: answers by command, those of one in turn, the last for ever.
type payu struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	answers map[string][]string
	asked   []url.Values
}

// PayU's published test account, with which its documentation's samples are made.
const (
	testKey  = "JPM7Fg"
	testSalt = "TuxqAugd"
)

const (
	reference = "tx_abc123xyz"
	payuID    = "403993715521937565"
	refundRef = "rfd_abc123xyz"
	dropped   = "\x00dropped"
)

func world(t *testing.T) (*payu, *Client, gateway.Account) {
	t.Helper()
	p := &payu{t: t, answers: map[string][]string{}}
	p.Server = httptest.NewServer(p)
	c := New()
	t.Cleanup(func() { c.Close(); p.Close() })
	return p, c, gateway.Account{
		Config: "gc_abc123xyz", Base: p.URL + "/sandbox/payu/", Credentials: map[string]string{"key": testKey, "salt": testSalt},
	}
}

// on tells what PayU answers: a body, with another status than 200 in front of it ("500 ...").
func (p *payu) on(command string, answers ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[command] = answers
}

func (p *payu) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost || req.URL.Path != "/sandbox/payu/merchant/postservice" || req.URL.RawQuery != "form=2" {
		p.t.Errorf("asked %s %s", req.Method, req.URL)
	}
	if err := req.ParseForm(); err != nil {
		p.t.Error(err)
	}
	f := req.PostForm
	if f.Get("key") != testKey || f.Get("hash") != sum(f.Get("key"), f.Get("command"), f.Get("var1"), testSalt) {
		fmt.Fprint(w, `{"status":0,"msg":"Invalid Hash."}`)
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, f)
	answers := p.answers[f.Get("command")]
	if len(answers) > 1 {
		p.answers[f.Get("command")] = answers[1:]
	}
	p.mu.Unlock()
	if len(answers) == 0 {
		p.t.Errorf("unexpected: %v", f)
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	if answers[0] == dropped {
		panic(http.ErrAbortHandler)
	}
	status, text := http.StatusOK, answers[0]
	if _, err := fmt.Sscanf(text, "%3d ", &status); err == nil {
		text = text[4:]
	}
	if status == http.StatusTemporaryRedirect {
		w.Header().Set("Location", p.URL+"/elsewhere")
	}
	w.Header().Set("Content-Type", "text/html; charset=UTF-8") // as PayU does
	w.WriteHeader(status)
	fmt.Fprint(w, text)
}

// all are what PayU was asked, in order.
func (p *payu) all() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// verified is an answer of verify_payment, as in the documentation; changes are "name", value.
func verified(changes ...any) string {
	details := map[string]any{
		"mihpayid": payuID, "request_id": nil, "bank_ref_num": "431998369241", "amt": "500.00", "transaction_amount": "500.00", "txnid": reference,
		"additional_charges": "0.00", "productinfo": "Invoice 7", "firstname": "Gaurav", "bankcode": "TEZOMNI", "udf1": reference, "error_code": "E000",
		"addedon": "2026-05-01 16:06:40", "net_amount_debit": 500, "disc": "0.00", "mode": "UPI", "status": "success", "unmappedstatus": "captured",
	}
	for i := 0; i < len(changes); i += 2 {
		details[changes[i].(string)] = changes[i+1]
	}
	return body(map[string]any{"status": 1, "msg": "1 out of 1 Transactions Fetched Successfully", "transaction_details": map[string]any{reference: details}})
}

func unknown(txnid string) string {
	return body(map[string]any{"status": 0, "msg": "0 out of 1 Transactions Fetched Successfully",
		"transaction_details": map[string]any{txnid: map[string]any{"mihpayid": "Not Found", "status": "Not Found"}}})
}

// actions is an answer of check_action_status: a capture, and refunds by token, state and amount.
func actions(refunds ...[3]string) string {
	all := map[string]any{"131278418": map[string]any{"mihpayid": payuID, "bank_ref_num": "399900", "request_id": "131278418", "amt": "500.00", "mode": "CC",
		"action": "capture", "token": "", "status": "SUCCESS", "bank_arn": nil, "refund_mode": "-"}}
	for i, r := range refunds {
		id := fmt.Sprint(131278422 + i)
		all[id] = map[string]any{"mihpayid": payuID, "bank_ref_num": "527013524405", "request_id": id, "amt": r[2], "mode": "CC", "action": "refund",
			"token": r[0], "status": r[1], "bank_arn": 308239782136, "refund_mode": "Back to Source"}
	}
	return body(map[string]any{"status": 1, "msg": "1 out of 1 Transactions Fetched Successfully", "transaction_details": map[string]any{payuID: all}})
}

func noActions() string {
	return body(map[string]any{"status": 0, "msg": "0 out of 1 Transactions Fetched Successfully", "transaction_details": map[string]any{payuID: "No action status found"}})
}

func body(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func theOrder() gateway.Order {
	return gateway.Order{
		Reference: reference, Amount: money.MustParse("500.00", money.INR), Description: "Invoice 7", Name: "Gaurav", Email: "g@example.com", Phone: "9000090000",
		ReturnURL: "https://shop.example/back",
	}
}

func theRefund() gateway.Refund {
	return gateway.Refund{
		Reference: refundRef, PaymentID: payuID, OrderID: reference, Payin: reference, Amount: money.MustParse("100.00", money.INR),
		Total: money.MustParse("500.00", money.INR),
	}
}

var made = gateway.Ordered{OrderID: reference}

// posted is what PayU posts after a payment; changes are "name", value, and are signed.
func posted(changes ...string) url.Values {
	f := map[string]string{
		"mihpayid": payuID, "mode": "UPI", "status": "success", "unmappedstatus": "captured", "key": testKey, "txnid": reference, "amount": "500.00",
		"discount": "0.00", "net_amount_debit": "500", "addedon": "2026-05-01 16:06:40", "productinfo": "Invoice 7", "firstname": "Gaurav",
		"email": "g@example.com", "udf1": reference, "bank_ref_num": "431998369241", "error": "E000",
	}
	for i := 0; i < len(changes); i += 2 {
		f[changes[i]] = changes[i+1]
	}
	base := strings.Join([]string{
		testSalt, f["status"], "", "", "", "", "", f["udf5"], f["udf4"], f["udf3"], f["udf2"], f["udf1"], f["email"], f["firstname"], f["productinfo"], f["amount"],
		f["txnid"], f["key"],
	}, "|")
	if c := f["additionalCharges"]; c != "" {
		base = c + "|" + base
	}
	f["hash"] = sum(base)
	out := url.Values{}
	for k, v := range f {
		out.Set(k, v)
	}
	return out
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
