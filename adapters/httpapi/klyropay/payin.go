package klyropay

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/wallet"
)

const maxNote = 50 // characters of tn in a UPI link

func (a *API) payinCreation() creation {
	return creation{scope: http.MethodPost + " " + PathPayinCreate, command: a.payinCommand, answer: payinCreated}
}

// payinCommand reads a payin. The fields are read in the document's order, which is that of the problems.
func (a *API) payinCommand(ctx context.Context, c *caller, f *form, at moment) (wallet.Command, error) {
	plan := c.merchant.Plan
	orderID := f.ruled("order_id", false, referenceFault)
	amount := f.amount("amount", plan.Payin, plan.Currency)
	customer := wallet.Customer{Phone: f.ruled("customer_phone", true, phoneFault), Name: f.ruled("customer_name", false, nameFault)}
	if len(f.problems) > 0 {
		return nil, nil
	}
	charge, err := plan.PayinCharge(amount)
	if err != nil {
		return nil, err
	}
	if orderID == "" {
		orderID = newOrderID()
	}
	sealed, err := a.seal(ctx, c, at, customer)
	if err != nil {
		return nil, err
	}
	ref := newTxnRef()
	return wallet.CreatePayin{
		Base: wallet.Base{
			Of: wallet.Of{Merchant: c.merchant.ID, Currency: plan.Currency, Payment: newTransactionID()},
			At: at.now,
		},
		Amount: amount, Charge: charge, OrderID: orderID, TxnRef: ref,
		PhoneLast4: customer.Phone[len(customer.Phone)-4:], Sealed: sealed,
		IntentURL: intentURL(a.opts.VPA, a.opts.PayeeName, ref, amount.Fixed(), string(plan.Currency), "Order "+orderID),
		Gateway:   a.opts.Gateway, ExpiresAt: at.now.Add(a.opts.PayinExpiry),
	}, nil
}

// seal seals what is personal in a payment, for its first event.
func (a *API) seal(ctx context.Context, c *caller, at moment, personal any) (string, error) {
	b, err := json.Marshal(personal)
	if err != nil {
		return "", fmt.Errorf("encoding personal data: %w", err)
	}
	return a.ports.Vault.SealString(ctx, c.merchant.ID, at.id, string(b))
}

// intentURL is the UPI link, its parts in the contract's order, percent-encoded with %20.
func intentURL(vpa, payee, ref, amount, currency, note string) string {
	b := append(make([]byte, 0, 192), "upi://pay?pa="...)
	b = appendEscaped(b, vpa)
	b = appendEscaped(append(b, "&pn="...), payee)
	b = appendEscaped(append(b, "&tr="...), ref)
	b = append(append(b, "&am="...), amount...)
	b = append(append(b, "&cu="...), currency...)
	b = appendEscaped(append(b, "&tn="...), cut(note, maxNote))
	return string(append(b, "&mode=04"...))
}

// cut returns the first n characters of s.
func cut(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

// appendEscaped percent-encodes all but the unreserved characters of RFC 3986 and the @ of a UPI address, which a query may
// hold as it is and UPI apps want so.
func appendEscaped(b []byte, s string) []byte {
	const hexUpper = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~', c == '@':
			b = append(b, c)
		default:
			b = append(b, '%', hexUpper[c>>4], hexUpper[c&15])
		}
	}
	return b
}

// payinCreated is the answer to a payin's creation; expires_in counts from asOf, and is rounded up.
func payinCreated(p *wallet.Payment, asOf time.Time) (int, []byte) {
	left := max(p.ExpiresAt.Sub(asOf), 0)
	b := append(make([]byte, 0, 512), `{"success":true,"data":{"transaction_id":`...)
	b = httpapi.AppendString(b, p.Payment)
	b = httpapi.AppendString(append(b, `,"order_id":`...), p.OrderID)
	b = httpapi.AppendString(append(b, `,"txn_ref":`...), p.TxnRef)
	b = httpapi.AppendAmount(append(b, `,"amount":`...), p.Amount)
	b = httpapi.AppendAmount(append(b, `,"commission":`...), p.Commission)
	b = httpapi.AppendString(append(b, `,"intent_url":`...), p.IntentURL)
	b = strconv.AppendInt(append(b, `,"expires_in":`...), int64((left+time.Second-1)/time.Second), 10)
	b = httpapi.AppendString(append(b, `,"status":`...), string(p.Status))
	return http.StatusCreated, append(b, "}}"...)
}

func (a *API) payinByRef(w http.ResponseWriter, r *http.Request, c *caller) {
	a.onePayin(w, r, c, a.ports.Payments.Payin, r.PathValue("txn_ref"))
}

func (a *API) payinByOrder(w http.ResponseWriter, r *http.Request, c *caller) {
	a.onePayin(w, r, c, a.ports.Payments.PayinByOrder, r.PathValue("order_id"))
}

func (a *API) onePayin(w http.ResponseWriter, r *http.Request, c *caller, find finder, id string) {
	p, err := a.find(r.Context(), c, find, id)
	if err != nil {
		a.refuse(w, r, "reading a payin", err)
		return
	}
	b := appendPayin([]byte(`{"success":true,"data":`), &p)
	httpapi.Write(w, http.StatusOK, append(b, '}'))
}

// appendPayin appends the status answer's data.
func appendPayin(b []byte, p *wallet.Payment) []byte {
	b = httpapi.AppendString(append(b, `{"transaction_id":`...), p.Payment)
	b = httpapi.AppendString(append(b, `,"order_id":`...), p.OrderID)
	b = httpapi.AppendString(append(b, `,"txn_ref":`...), p.TxnRef)
	b = httpapi.AppendAmount(append(b, `,"amount":`...), p.Amount)
	b = httpapi.AppendAmount(append(b, `,"commission":`...), p.Commission)
	b = httpapi.AppendOptional(append(b, `,"utr":`...), p.UTR)
	b = httpapi.AppendString(append(b, `,"status":`...), string(p.Status))
	b = httpapi.AppendTime(append(b, `,"created_at":`...), p.CreatedAt)
	return append(b, '}')
}
