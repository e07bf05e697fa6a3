package cashfree

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/wallet"
)

// payment is one attempt of a customer to pay an order, as the API and the webhooks tell it.
type payment struct {
	ID        ident                      `json:"cf_payment_id"`
	OrderID   string                     `json:"order_id"` // not in webhooks
	Status    string                     `json:"payment_status"`
	Captured  *bool                      `json:"is_captured"`
	Amount    json.Number                `json:"payment_amount"`
	Currency  string                     `json:"payment_currency"`
	Group     string                     `json:"payment_group"`
	Time      string                     `json:"payment_time"`
	Completed string                     `json:"payment_completion_time"`
	Bank      string                     `json:"bank_reference"`
	Method    map[string]json.RawMessage `json:"payment_method"`
	Failure   failure                    `json:"error_details"`
}

type failure struct {
	Code   string `json:"error_code"`
	Reason string `json:"error_reason"`
}

// Collect meets gateway.Checkout. Cashfree captures by itself.
func (g *Client) Collect(ctx context.Context, a gateway.Account, o gateway.Order, made gateway.Ordered) (gateway.Payments, error) {
	var said []payment
	raw, err := g.call(ctx, a, http.MethodGet, "/orders/"+url.PathEscape(made.OrderID)+"/payments", nil, "", &said)
	if err != nil {
		return gateway.Payments{}, unsettled(err)
	}
	if said == nil { // null is no list: that nobody has paid must be said
		return gateway.Payments{}, errors.New("cashfree: an answer that is no list of payments")
	}
	if len(said) > gateway.MaxPayments {
		return gateway.Payments{}, fmt.Errorf("cashfree: order %s has %d payments", made.OrderID, len(said))
	}
	out := gateway.Payments{Raw: raw}
	for i := range said {
		if said[i].OrderID != made.OrderID {
			return gateway.Payments{}, errors.New("cashfree: a list with a payment of another order")
		}
		p, definite, err := said[i].read(o.Reference)
		if err != nil {
			return gateway.Payments{}, fmt.Errorf("cashfree: a list with a payment that cannot be read: %w", err)
		}
		if definite {
			out.List = append(out.List, p)
		}
	}
	slices.SortStableFunc(out.List, func(x, y gateway.Payment) int { return x.At.Compare(y.At) })
	return out, nil
}

// read reads a payment, and tells whether it has an outcome.
func (p *payment) read(reference string) (out gateway.Payment, definite bool, err error) {
	total, err := amount(p.Amount, p.Currency)
	switch {
	case p.ID == "":
		return out, false, errors.New("no id")
	case err != nil || total.Sign() < 0:
		return out, false, errors.New("no amount")
	}
	out = gateway.Payment{
		PaymentID: string(p.ID), Reference: reference, Amount: total.Fixed(), Currency: p.Currency, UTR: wire.Text(p.Bank, maxID),
		Method: wire.Text(p.Group, maxID), SubMethod: p.subMethod(), At: at(p.Completed, p.Time),
	}
	switch p.Status {
	case "SUCCESS":
		out.Paid = true
		return out, p.Captured == nil || *p.Captured, nil // authorised only: this adapter asks for no such orders
	case "FAILED", "USER_DROPPED", "CANCELLED", "VOID":
		out.Reason = p.reason()
		return out, true, nil
	}
	return out, false, nil // NOT_ATTEMPTED, PENDING, and whatever comes new
}

// reason brings what Cashfree says of a failure to the closed list.
func (p *payment) reason() string {
	if p.Status == "USER_DROPPED" || p.Status == "CANCELLED" {
		return wallet.FailureDeclined
	}
	said := strings.ToLower(p.Failure.Code + " " + p.Failure.Reason)
	for _, known := range []struct{ word, reason string }{
		{"insufficient", wallet.FailureLowBalance},
		{"low_balance", wallet.FailureLowBalance},
		{"limit", wallet.FailureLimitExceeded},
		{"cancelled", wallet.FailureDeclined},
		{"user_dropped", wallet.FailureDeclined},
		{"customer_declined", wallet.FailureDeclined},
		{"timeout", wallet.FailureGatewayTimeout},
		{"timed_out", wallet.FailureGatewayTimeout},
		{"bank_unavailable", wallet.FailureBankUnavailable},
		{"bank_down", wallet.FailureBankUnavailable},
		{"bank_rejected", wallet.FailureRejectedByBank},
		{"transaction_declined", wallet.FailureRejectedByBank},
	} {
		if strings.Contains(said, known.word) {
			return known.reason
		}
	}
	return wallet.FailureOther
}

// subMethod is the bank, wallet or card network. Nothing else of payment_method is taken: it has the customer's numbers.
func (p *payment) subMethod() string {
	var of struct {
		Network  string `json:"card_network"`
		Bank     string `json:"netbanking_bank_name"`
		Provider string `json:"provider"` // of a wallet, of pay later
	}
	for _, kind := range []string{"card", "emi", "netbanking", "app", "paylater", "cardless_emi"} {
		if raw, there := p.Method[kind]; there && json.Unmarshal(raw, &of) == nil {
			return wire.Text(of.Network+of.Bank+of.Provider, maxID)
		}
	}
	return ""
}
