package razorpay

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
)

// asked is a request as Razorpay got it.
type asked struct {
	line        string // method and path with query
	body        string
	idempotency string
}

// razorpay is Razorpay as a test tells it to be: answers by "METHOD path", the path without its query; those of one line in turn, the last for ever.
type razorpay struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	answers map[string][]string
	asked   []asked
}

const (
	reference = "tx_abc123xyz"
	orderID   = "order_IluGWxBm9U8zJ8"
	payID     = "pay_29QQoUBi66xm2f"
	refundRef = "rfd_abc123xyz"
	dropped   = "\x00dropped"
)

func world(t *testing.T) (*razorpay, *Client, gateway.Account) {
	t.Helper()
	r := &razorpay{t: t, answers: map[string][]string{}}
	r.Server = httptest.NewServer(r)
	c := New()
	t.Cleanup(func() { c.Close(); r.Close() })
	return r, c, gateway.Account{
		Config: "gc_abc123xyz", Base: r.URL + "/sandbox/razorpay", WebhookSecret: "hook secret",
		Credentials: map[string]string{"key_id": "rzp_test_1DP5mmOlF5G5ag", "key_secret": "key secret"},
	}
}

// on tells what Razorpay answers: a body, with another status than 200 in front of it ("400 {...}").
func (r *razorpay) on(line string, answers ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[line] = answers
}

func (r *razorpay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Error(err)
	}
	if id, secret, ok := req.BasicAuth(); !ok || id != "rzp_test_1DP5mmOlF5G5ag" || secret != "key secret" {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, refusalBody("BAD_REQUEST_ERROR", "Authentication failed", ""))
		return
	}
	path := strings.TrimPrefix(req.URL.Path, "/sandbox/razorpay")
	r.mu.Lock()
	line := req.Method + " " + path
	answers := r.answers[line]
	if len(answers) > 1 {
		r.answers[line] = answers[1:]
	}
	if req.URL.RawQuery != "" {
		path += "?" + req.URL.RawQuery
	}
	r.asked = append(r.asked, asked{req.Method + " " + path, string(body), req.Header.Get("X-Refund-Idempotency")})
	r.mu.Unlock()
	if len(answers) == 0 {
		r.t.Errorf("unexpected: %s %s", req.Method, path)
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
		w.Header().Set("Location", r.URL+"/elsewhere")
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	fmt.Fprint(w, text)
}

// lines are what Razorpay was asked, in order.
func (r *razorpay) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]string, len(r.asked))
	for i, a := range r.asked {
		out[i] = a.line
	}
	return out
}

func (r *razorpay) last() asked {
	all := r.all()
	return all[len(all)-1]
}

func (r *razorpay) all() []asked {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

func refusalBody(code, description, reason string) string {
	b, err := json.Marshal(map[string]any{"error": map[string]any{
		"code": code, "description": description, "source": "business", "step": "payment_initiation", "reason": reason, "metadata": map[string]any{}, "field": "amount",
	}})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func collectionBody(items ...string) string {
	return fmt.Sprintf(`{"entity":"collection","count":%d,"items":[%s]}`, len(items), strings.Join(items, ","))
}

func orderBody(id, receipt, currency string, amount, at int) string {
	return fmt.Sprintf(`{"id":%q,"entity":"order","amount":%d,"amount_paid":0,"amount_due":%d,"currency":%q,"receipt":%q,"offer_id":null,
		"status":"created","attempts":0,"notes":[],"created_at":%d}`, id, amount, amount, currency, receipt, at)
}

func paymentBody(id, order, status string, amount int, at int) string {
	took, reason := "false", `"insufficient_funds"`
	if status == "captured" {
		took = "true"
	}
	if status != "failed" {
		reason = "null"
	}
	return fmt.Sprintf(`{"id":%q,"entity":"payment","amount":%d,"currency":"INR","status":%q,"order_id":%q,"invoice_id":null,"international":false,
		"method":"netbanking","amount_refunded":0,"refund_status":null,"captured":%s,"bank":"HDFC","wallet":null,"vpa":null,"email":"g@example.com",
		"contact":"+919900000000","notes":[],"fee":2,"tax":0,"error_code":null,"error_reason":%s,"acquirer_data":{"bank_transaction_id":"4827433"},
		"created_at":%d}`, id, amount, status, order, took, reason, at)
}

func refundBody(id, receipt, status string, amount int) string {
	return fmt.Sprintf(`{"id":%q,"entity":"refund","amount":%d,"currency":"INR","payment_id":%q,"notes":[],"receipt":%q,"acquirer_data":{"arn":"10000000000000"},
		"created_at":1597078866,"batch_id":null,"status":%q,"speed_processed":"normal","speed_requested":"normal"}`, id, amount, payID, receipt, status)
}

func theOrder() gateway.Order {
	return gateway.Order{
		Reference: reference, Amount: money.MustParse("500.00", money.INR), Merchant: "Acme", Description: "Invoice 7", ReturnURL: "https://shop.example/back",
	}
}

func theRefund() gateway.Refund {
	return gateway.Refund{
		Reference: refundRef, PaymentID: payID, OrderID: orderID, Payin: reference, Amount: money.MustParse("100.00", money.INR),
		Total: money.MustParse("500.00", money.INR),
	}
}

var made = gateway.Ordered{OrderID: orderID}

func sign(secret, message string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(message))
	return hex.EncodeToString(mac.Sum(nil))
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
