package razorpay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/wallet"
)

// States of a payment.
const (
	authorized = "authorized"
	captured   = "captured"
	refunded   = "refunded"
	failed     = "failed"
)

type payment struct {
	ID          string          `json:"id"`
	Entity      string          `json:"entity"`
	Amount      int64           `json:"amount"`
	Currency    string          `json:"currency"`
	Status      string          `json:"status"`
	OrderID     string          `json:"order_id"`
	Captured    bool            `json:"captured"`
	Method      string          `json:"method"`
	Bank        string          `json:"bank"`
	Wallet      string          `json:"wallet"`
	Card        *card           `json:"card"`
	ErrorCode   string          `json:"error_code"`
	ErrorReason string          `json:"error_reason"`
	Acquirer    json.RawMessage `json:"acquirer_data"` // an object, or an empty list
	CreatedAt   int64           `json:"created_at"`
}

type card struct {
	Network string `json:"network"`
}

// collected reports whether the money was taken. A payment that was authorised, never captured and therefore given back is "refunded", too.
func (p payment) collected() bool {
	return p.Status == captured || (p.Status == refunded && p.Captured)
}

// definite reports whether the payment has come to an end.
func (p payment) definite() bool {
	return p.Status == captured || p.Status == refunded || p.Status == failed
}

// read brings a definite payment into our terms; false when it is not one that we can have made.
func (p payment) read(reference string) (gateway.Payment, bool) {
	amount, known := plain(p.Amount, p.Currency)
	if !known || !isID(p.ID, "pay_") || p.Entity != "payment" || !p.definite() {
		return gateway.Payment{}, false
	}
	out := gateway.Payment{
		PaymentID: p.ID, Reference: reference, Amount: amount, Currency: p.Currency, UTR: bankReference(p.Acquirer), Method: wire.Text(p.Method, 32),
		Paid: p.collected(), At: unix(p.CreatedAt),
	}
	switch {
	case p.Card != nil:
		out.SubMethod = wire.Text(p.Card.Network, 32)
	default:
		out.SubMethod = wire.Text(cmp.Or(p.Bank, p.Wallet), 32)
	}
	if !out.Paid {
		out.Reason = failure(p.ErrorReason)
	}
	return out, true
}

// unix is a time that Razorpay gives; zero when it gives none.
func unix(seconds int64) time.Time {
	if seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// bankReference is the first of the references by which banks know a payment or refund.
func bankReference(acquirer json.RawMessage) string {
	var said map[string]any
	if json.Unmarshal(acquirer, &said) != nil {
		return "" // an empty list, or nothing: there is none
	}
	for _, name := range []string{"rrn", "utr", "arn", "bank_transaction_id", "auth_code"} {
		if s, ok := said[name].(string); ok && s != "" {
			return wire.Text(s, 64)
		}
	}
	return ""
}

// Collect meets gateway.Checkout.
func (c *Client) Collect(ctx context.Context, a gateway.Account, o gateway.Order, made gateway.Ordered) (gateway.Payments, error) {
	out, err := c.collect(ctx, a, o, made.OrderID)
	if err != nil {
		return gateway.Payments{}, fmt.Errorf("razorpay: collecting %s: %w", o.Reference, err)
	}
	return out, nil
}

func (c *Client) collect(ctx context.Context, a gateway.Account, o gateway.Order, orderID string) (gateway.Payments, error) {
	list, raw, err := c.payments(ctx, a, orderID)
	if err != nil {
		return gateway.Payments{}, err
	}
	if p, due := toCapture(list, o); due {
		if err := c.capture(ctx, a, p); err != nil {
			return gateway.Payments{}, err
		}
		if list, raw, err = c.payments(ctx, a, orderID); err != nil {
			return gateway.Payments{}, err
		}
	}
	out := gateway.Payments{Raw: raw}
	for _, p := range list {
		if !p.definite() {
			continue
		}
		one, ok := p.read(o.Reference)
		if !ok {
			return gateway.Payments{}, errors.New("a list with a payment that cannot be read")
		}
		out.List = append(out.List, one)
	}
	return out, nil
}

// payments lists an order's payments, oldest first.
func (c *Client) payments(ctx context.Context, a gateway.Account, orderID string) ([]payment, gateway.Raw, error) {
	if !isID(orderID, "order_") {
		return nil, gateway.Raw{}, errors.New("that is no order of Razorpay's")
	}
	var said collection[payment]
	raw, err := c.call(ctx, a, request{method: http.MethodGet, path: "/v1/orders/" + orderID + "/payments"}, &said)
	if err != nil {
		return nil, gateway.Raw{}, wire.Doubt(err)
	}
	if said.Entity != "collection" || len(said.Items) > gateway.MaxPayments {
		return nil, gateway.Raw{}, errors.New("an answer that is no list of payments, or too long a one")
	}
	for _, p := range said.Items {
		if p.OrderID != orderID || !isID(p.ID, "pay_") {
			return nil, gateway.Raw{}, errors.New("a list with a payment of another order")
		}
	}
	slices.SortStableFunc(said.Items, func(x, y payment) int {
		return cmp.Or(cmp.Compare(x.CreatedAt, y.CreatedAt), cmp.Compare(x.ID, y.ID))
	})
	return said.Items, raw, nil
}

// toCapture is the payment that is to be captured, if one is.
func toCapture(list []payment, o gateway.Order) (payment, bool) {
	amount, fits := o.Amount.Minor()
	if !fits || slices.ContainsFunc(list, payment.collected) {
		return payment{}, false
	}
	for _, p := range list {
		if p.Status == authorized && p.Amount == amount && p.Currency == string(o.Amount.Currency()) {
			return p, true
		}
	}
	return payment{}, false
}

// capture takes an authorised payment. A refusal is no error: it was captured meanwhile, or cannot be any more, and the list that is read next
// tells which.
func (c *Client) capture(ctx context.Context, a gateway.Account, p payment) error {
	var said payment
	_, err := c.call(ctx, a, request{method: http.MethodPost, path: "/v1/payments/" + p.ID + "/capture", body: struct {
		Amount   int64  `json:"amount"`
		Currency string `json:"currency"`
	}{p.Amount, p.Currency}}, &said)
	if declined := (*gateway.Declined)(nil); err != nil && !errors.As(err, &declined) {
		return fmt.Errorf("capturing %s: %w", p.ID, err)
	}
	return nil
}

// failure brings Razorpay's reason (documentation, List of Errors) to one of ours.
func failure(reason string) string {
	switch reason {
	case "insufficient_funds":
		return wallet.FailureLowBalance
	case "payment_cancelled", "authentication_failed", "incorrect_otp", "incorrect_pin", "incorrect_cvv", "incorrect_atm_pin", "otp_expired",
		"otp_attempts_exceeded", "pin_attempts_exceeded", "authorisation_declined_by_psp", "payment_declined", "payment_collect_request_expired":
		return wallet.FailureDeclined
	case "payment_timed_out", "verification_failed", "server_error", "gateway_technical_error", "request_timed_out":
		return wallet.FailureGatewayTimeout
	case "bank_technical_error", "bank_not_available", "bank_cutoff_in_progress", "upi_app_technical_error", "issuer_technical_error":
		return wallet.FailureBankUnavailable
	case "transaction_daily_limit_exceeded", "transaction_limit_exceeded", "transaction_frequency_limit_exceeded", "emi_greater_than_max_amount":
		return wallet.FailureLimitExceeded
	case "card_declined", "debit_instrument_blocked", "payment_failed", "payment_risk_check_failed", "transaction_on_vpa_restricted",
		"international_transaction_not_allowed", "card_expired", "card_number_invalid", "incorrect_card_details", "incorrect_card_expiry_date":
		return wallet.FailureRejectedByBank
	case "bank_account_invalid", "invalid_vpa":
		return wallet.FailureAccountInvalid
	}
	return wallet.FailureOther
}
