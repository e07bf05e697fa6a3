package gateway_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/merchant"
)

// company is a scripted payment company. What a call is to meet is taken from its script, in order; then all goes well.
type company struct {
	spec  gateway.Spec
	power *power // of the process that calls now

	mu     sync.Mutex
	script []string            // declined, credentials, lost (made, but not answered), silent (not made)
	calls  []string            // "create tx_.. again"
	orders map[string][]string // by reference
	paid   map[string][]gateway.Payment
	gate   chan struct{} // CreateOrder waits for it; nil: it does not
	mute   bool          // Collect is not answered
	n      int
}

func newCompany(name string) *company {
	return &company{
		spec: gateway.Spec{
			Name: name, Title: strings.ToUpper(name), Keys: []string{"key_id", "key_secret"}, Public: "key_id", Webhook: "webhook_secret",
			Methods: []merchant.Method{merchant.UPI, merchant.NetBanking},
		},
		power: &power{}, orders: map[string][]string{}, paid: map[string][]gateway.Payment{},
	}
}

func (c *company) Spec() gateway.Spec                           { return c.spec }
func (c *company) Check(context.Context, gateway.Account) error { return nil }

func (c *company) plan(outcomes ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.script = append(c.script, outcomes...)
}

func (c *company) CreateOrder(ctx context.Context, a gateway.Account, o gateway.Order) (gateway.Ordered, error) {
	if a.Credentials["key_secret"] != "secret of "+a.Config {
		return gateway.Ordered{}, gateway.ErrCredentials
	}
	if !c.power.step("before CreateOrder") {
		return gateway.Ordered{}, errPower
	}
	c.mu.Lock()
	gate, call := c.gate, "create "+o.Reference
	if o.Again {
		call += " again"
	}
	c.calls = append(c.calls, call)
	c.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return gateway.Ordered{}, ctx.Err()
		}
	}
	made, err := c.create(o)
	if !c.power.step("after CreateOrder") {
		return gateway.Ordered{}, errPower
	}
	return made, err
}

func (c *company) create(o gateway.Order) (gateway.Ordered, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	outcome := ""
	if len(c.script) > 0 {
		outcome, c.script = c.script[0], c.script[1:]
	}
	switch outcome {
	case "declined":
		return gateway.Ordered{}, &gateway.Declined{Code: "BAD_REQUEST", Reason: "no"}
	case "credentials":
		return gateway.Ordered{}, gateway.ErrCredentials
	case "silent":
		return gateway.Ordered{}, errors.New("connection reset")
	}
	if known := c.orders[o.Reference]; !o.Again || len(known) == 0 {
		c.n++
		c.orders[o.Reference] = append(known, fmt.Sprintf("order_%s_%d", c.spec.Name, c.n))
	}
	id := c.orders[o.Reference][len(c.orders[o.Reference])-1]
	if outcome == "lost" {
		return gateway.Ordered{}, errors.New("the answer was lost")
	}
	return gateway.Ordered{OrderID: id, Session: "session_" + id, Raw: gateway.Raw{Body: []byte(`{"id":"` + id + `"}`), MediaType: "application/json"}}, nil
}

func (c *company) Begin(_ context.Context, _ gateway.Account, o gateway.Order, made gateway.Ordered, m merchant.Method) (gateway.Continuation, error) {
	return gateway.Continuation{Post: true, URL: "https://pay.example/" + made.OrderID + "/" + made.Session, Fields: []gateway.Field{
		{Name: "method", Value: string(m)}, {Name: "name", Value: o.Name}, {Name: "back", Value: o.ReturnURL}, {Name: "hook", Value: o.WebhookURL},
	}}, nil
}

func (c *company) Collect(_ context.Context, _ gateway.Account, _ gateway.Order, made gateway.Ordered) (gateway.Payments, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, "collect "+made.OrderID)
	if c.mute {
		return gateway.Payments{}, errors.New("connection reset")
	}
	b, err := json.Marshal(c.paid[made.OrderID])
	return gateway.Payments{List: slices.Clone(c.paid[made.OrderID]), Raw: gateway.Raw{Body: b, MediaType: "application/json"}}, err
}

func sign(secret string, at int64, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.", at)
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func (c *company) ParseWebhook(_ context.Context, a gateway.Account, h http.Header, body []byte, now time.Time) ([]gateway.Message, error) {
	at, _ := strconv.ParseInt(h.Get("X-At"), 10, 64)
	if !hmac.Equal([]byte(h.Get("X-Signature")), []byte(sign(a.WebhookSecret, at, body))) {
		return nil, gateway.ErrSignature
	}
	if age := now.Sub(time.Unix(at, 0)); age > 5*time.Minute || age < -5*time.Minute {
		return nil, gateway.ErrStale
	}
	var list []gateway.Message
	if json.Unmarshal(body, &list) != nil {
		return nil, gateway.ErrMalformed
	}
	for i := range list {
		list[i].Raw = gateway.Raw{Body: body, MediaType: "application/json"}
	}
	return list, nil
}

func (c *company) ParseReturn(
	_ context.Context, a gateway.Account, _ gateway.Order, made gateway.Ordered, form url.Values, _ time.Time,
) (gateway.Message, error) {
	if form.Get("signature") != sign(a.WebhookSecret, 0, []byte(made.OrderID+form.Get("paid"))) {
		return gateway.Message{}, gateway.ErrSignature
	}
	m := gateway.Message{OrderID: made.OrderID}
	if paid := form.Get("paid"); paid != "" {
		m.Payment = &gateway.Payment{PaymentID: paid, Amount: "1000", Paid: true}
	}
	return m, nil
}

func (c *company) Refund(context.Context, gateway.Account, gateway.Refund) (gateway.RefundAnswer, error) {
	return gateway.RefundAnswer{}, errors.New("not in these tests")
}

func (c *company) InquireRefund(context.Context, gateway.Account, gateway.Refund) (gateway.RefundAnswer, error) {
	return gateway.RefundAnswer{}, errors.New("not in these tests")
}

func (c *company) Hash(a gateway.Account, o gateway.Order, name, text string) (string, error) {
	return sign(a.Credentials["key_secret"], 0, []byte(o.Reference+name+text)), nil
}

func (c *company) Details(_ gateway.Account, o gateway.Order, _ gateway.Ordered) ([]gateway.Field, error) {
	return []gateway.Field{{Name: "txnid", Value: o.Reference}}, nil
}

func (c *company) Config(gateway.Account, gateway.Order, gateway.Ordered) (json.RawMessage, error) {
	return json.RawMessage(`{"display":{}}`), nil
}

// called are the calls so far, and how many orders there are.
func (c *company) called() (calls []string, orders int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, list := range c.orders {
		orders += len(list)
	}
	return slices.Clone(c.calls), orders
}

// pays makes the customer pay an order.
func (c *company) pays(order string, p gateway.Payment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paid[order] = append(c.paid[order], p)
}
