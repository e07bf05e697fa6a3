package cashfree

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/merchant"
)

// unknownPhone is what Cashfree's own plugins send when the customer's phone is not known: the API insists on one.
const unknownPhone = "9999999999"

// maxURL is the longest address that Cashfree takes.
const maxURL = 250

// minOpen is for how long an order is open at least.
const minOpen = 20 * time.Minute

type orderRequest struct {
	OrderID  string      `json:"order_id"`
	Amount   json.Number `json:"order_amount"`
	Currency string      `json:"order_currency"`
	Customer customer    `json:"customer_details"`
	Meta     orderMeta   `json:"order_meta"`
	Expiry   string      `json:"order_expiry_time,omitempty"`
	Note     string      `json:"order_note,omitempty"`
}

type customer struct {
	ID    string `json:"customer_id"` // alphanumeric
	Phone string `json:"customer_phone"`
	Name  string `json:"customer_name,omitempty"`
	Email string `json:"customer_email,omitempty"`
}

type orderMeta struct {
	ReturnURL string `json:"return_url,omitempty"`
	NotifyURL string `json:"notify_url,omitempty"` // https only
	Methods   string `json:"payment_methods,omitempty"`
}

type order struct {
	OrderID  string      `json:"order_id"`
	Amount   json.Number `json:"order_amount"`
	Currency string      `json:"order_currency"`
	Status   string      `json:"order_status"` // ACTIVE, PAID, EXPIRED, TERMINATED, TERMINATION_REQUESTED
	Session  string      `json:"payment_session_id"`
}

// CreateOrder meets gateway.Checkout.
func (g *Client) CreateOrder(ctx context.Context, a gateway.Account, o gateway.Order) (gateway.Ordered, error) {
	if o.Again {
		made, err := g.fetchOrder(ctx, a, o)
		if _, none := missing(err); !none {
			return made, unsettled(err)
		}
	}
	body, err := json.Marshal(newOrder(o))
	if err != nil {
		return gateway.Ordered{}, fmt.Errorf("cashfree: encoding order %s: %w", o.Reference, err)
	}
	key := idempotencyKey("order", o.Reference, string(body))
	if o.Again {
		key = uuid.NewString() // the answer that is kept under the first key may be a 500
	}
	var said order
	raw, err := g.call(ctx, a, http.MethodPost, "/orders", body, key, &said)
	if conflict := new(refusal); exists(err) || errors.As(err, &conflict) && conflict.status == http.StatusConflict {
		made, err := g.fetchOrder(ctx, a, o)
		return made, unsettled(err)
	}
	if err != nil {
		return gateway.Ordered{}, err
	}
	return said.ordered(o, raw)
}

// fetchOrder finds the order of a reference.
func (g *Client) fetchOrder(ctx context.Context, a gateway.Account, o gateway.Order) (gateway.Ordered, error) {
	var said order
	raw, err := g.call(ctx, a, http.MethodGet, "/orders/"+url.PathEscape(o.Reference), nil, "", &said)
	if err != nil {
		return gateway.Ordered{}, err
	}
	return said.ordered(o, raw)
}

// ordered makes sure that an answer is about this order.
func (said *order) ordered(o gateway.Order, raw gateway.Raw) (gateway.Ordered, error) {
	total, err := amount(said.Amount, said.Currency)
	switch {
	case said.OrderID != o.Reference:
		return gateway.Ordered{}, errors.New("cashfree: an answer about another order")
	case err != nil || !total.Equal(o.Amount):
		return gateway.Ordered{}, fmt.Errorf("cashfree: order %s has another amount there", o.Reference)
	case !session(said.Session):
		return gateway.Ordered{}, fmt.Errorf("cashfree: order %s has no payment session", o.Reference)
	}
	return gateway.Ordered{OrderID: said.OrderID, Session: said.Session, Raw: raw}, nil
}

// session reports whether a payment session is one: one word.
func session(s string) bool {
	return s != "" && len(s) <= 1024 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func newOrder(o gateway.Order) orderRequest {
	r := orderRequest{
		OrderID: o.Reference, Amount: number(o.Amount), Currency: string(o.Amount.Currency()),
		Customer: customer{
			ID:   strings.Map(alphanumeric, o.Reference), // of this order alone: nothing ties the orders of a customer together
			Name: wire.Text(o.Name, 100), Email: o.Email, Phone: o.Phone,
		},
		Meta: orderMeta{ReturnURL: returnURL(o.ReturnURL), Methods: methodOf(o.Method)},
		Note: wire.Text(o.Description, 200),
	}
	if r.Customer.Phone == "" {
		r.Customer.Phone = unknownPhone
	}
	if strings.HasPrefix(o.WebhookURL, "https://") {
		r.Meta.NotifyURL = o.WebhookURL
	}
	if len([]rune(r.Note)) < 3 { // the shortest that it takes
		r.Note = ""
	}
	if closes := o.ExpiresAt; !closes.IsZero() {
		if least := o.CreatedAt.Add(minOpen); closes.Before(least) {
			closes = least
		}
		r.Expiry = closes.UTC().Format(time.RFC3339)
	}
	return r
}

func alphanumeric(r rune) rune {
	if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return -1
}

// returnURL has Cashfree put the order's id into the address, as it recommends: {order_id} is its placeholder. Not beyond what it takes.
func returnURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || address == "" || u.Query().Has("order_id") {
		return address
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "order_id={order_id}"
	if full := u.String(); len(full) <= maxURL {
		return full
	}
	return address
}

// methodOf is a method in Cashfree's words; "" is any.
func methodOf(m merchant.Method) string {
	switch m {
	case merchant.UPI:
		return "upi"
	case merchant.NetBanking:
		return "nb"
	case merchant.DebitCard:
		return "dc"
	case merchant.CreditCard:
		return "cc"
	case merchant.EWallet:
		return "app"
	case merchant.PayLater:
		return "paylater"
	case merchant.PayPal:
		return "paypal"
	}
	return ""
}

// Begin meets gateway.Checkout. The order shows the method it was made for; a customer who chose UPI is given the link of his UPI app, where
// the merchant may have one.
func (g *Client) Begin(ctx context.Context, a gateway.Account, _ gateway.Order, made gateway.Ordered, m merchant.Method) (gateway.Continuation, error) {
	if !session(made.Session) {
		return gateway.Continuation{}, fmt.Errorf("cashfree: order %s has no payment session", made.OrderID)
	}
	if m == merchant.UPI {
		next, err := g.upiLink(ctx, a, made)
		if declined := new(gateway.Declined); !errors.As(err, &declined) && !errors.Is(err, gateway.ErrCredentials) {
			return next, err
		}
		// "Order Pay" is not enabled for this merchant: the hosted page takes UPI, too
	}
	base, err := wire.Base(a, liveBase, testBase)
	if err != nil {
		return gateway.Continuation{}, fmt.Errorf("cashfree: %w", err)
	}
	return gateway.Continuation{
		Post: true, URL: base + "/pg/view/sessions/checkout",
		Fields: []gateway.Field{{Name: "payment_session_id", Value: made.Session}},
	}, nil
}

// upiLink asks for the link that opens a UPI app. In the sandbox, and in newer versions, it is a page of Cashfree's instead.
func (g *Client) upiLink(ctx context.Context, a gateway.Account, made gateway.Ordered) (gateway.Continuation, error) {
	body, err := json.Marshal(map[string]any{
		"payment_session_id": made.Session,
		"payment_method":     map[string]any{"upi": map[string]any{"channel": "link"}},
	})
	if err != nil {
		return gateway.Continuation{}, fmt.Errorf("cashfree: encoding the payment of order %s: %w", made.OrderID, err)
	}
	req, err := request(ctx, a, http.MethodPost, "/orders/sessions", body)
	if err != nil {
		return gateway.Continuation{}, err
	}
	var said struct {
		Data struct {
			URL     string         `json:"url"`
			Payload map[string]any `json:"payload"`
		} `json:"data"`
	}
	if _, err := g.do(req, &said); err != nil {
		return gateway.Continuation{}, err
	}
	for _, found := range []any{said.Data.Payload["default"], said.Data.Payload["bhim"], said.Data.URL, said.Data.Payload["web"]} {
		link, is := found.(string)
		u, err := url.Parse(link)
		switch {
		case !is || err != nil || len(link) > 4096:
		case u.Scheme == "upi" && u.Host == "pay" && u.RawQuery != "":
			return gateway.Continuation{UPI: link}, nil
		case u.Scheme == "https" && u.Host != "" && u.User == nil:
			return gateway.Continuation{URL: link}, nil
		}
	}
	return gateway.Continuation{}, fmt.Errorf("cashfree: an answer without a link for UPI, for order %s", made.OrderID)
}
