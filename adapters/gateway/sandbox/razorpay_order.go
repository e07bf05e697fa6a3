package sandbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// States of an order.
const (
	orderCreated   = "created"
	orderAttempted = "attempted"
	orderPaid      = "paid"
)

// razorpayOrder is a row of razorpay_orders.
type razorpayOrder struct {
	ID        string
	KeyID     string
	Amount    int64 // minor units
	Paid      int64
	Currency  string
	Receipt   string
	Status    string
	Attempts  int
	Notes     map[string]string
	Partial   bool
	Least     int64
	Capture   string
	CreatedAt time.Time
}

type razorpayOrderEntity struct {
	ID         string  `json:"id"`
	Entity     string  `json:"entity"`
	Amount     int64   `json:"amount"`
	AmountPaid int64   `json:"amount_paid"`
	AmountDue  int64   `json:"amount_due"`
	Currency   string  `json:"currency"`
	Receipt    *string `json:"receipt"`
	OfferID    *string `json:"offer_id"`
	Status     string  `json:"status"`
	Attempts   int     `json:"attempts"`
	Notes      any     `json:"notes"`
	CreatedAt  int64   `json:"created_at"`

	PartialPayment bool   `json:"partial_payment,omitempty"`
	Least          *int64 `json:"first_payment_min_amount,omitempty"`
}

func (o *razorpayOrder) due() int64 { return max(o.Amount-o.Paid, 0) }

func (o *razorpayOrder) entity() razorpayOrderEntity {
	e := razorpayOrderEntity{
		ID: o.ID, Entity: "order", Amount: o.Amount, AmountPaid: o.Paid, AmountDue: o.due(), Currency: o.Currency, Receipt: sent(o.Receipt), Status: o.Status,
		Attempts: o.Attempts, Notes: notesOf(o.Notes), CreatedAt: o.CreatedAt.Unix(), PartialPayment: o.Partial,
	}
	if o.Least > 0 {
		e.Least = &o.Least
	}
	return e
}

// captures tells whether a payment of the order is captured by itself.
func (o *razorpayOrder) captures(a *razorpayAccount) bool {
	if o.Capture != "" {
		return o.Capture == captureAuto
	}
	return a.Capture == captureAuto
}

const razorpayOrderColumns = `id, key_id, amount, paid, currency, receipt, status, attempts, notes, partial, least, capture, created_at`

func scanRazorpayOrder(scan func(...any) error) (*razorpayOrder, error) {
	o := &razorpayOrder{}
	var notes string
	var created int64
	err := scan(&o.ID, &o.KeyID, &o.Amount, &o.Paid, &o.Currency, &o.Receipt, &o.Status, &o.Attempts, &notes, &o.Partial, &o.Least, &o.Capture, &created)
	if err != nil {
		return nil, err
	}
	o.CreatedAt = time.UnixMicro(created).UTC()
	return o, json.Unmarshal([]byte(notes), &o.Notes)
}

// razorpayOrderOf finds an order of an account; *razorpayError when it has none of this id.
func razorpayOrderOf(ctx context.Context, q querier, keyID, id string) (*razorpayOrder, error) {
	if rest, ok := strings.CutPrefix(id, "order_"); !ok || !isAlphanumeric(rest, razorpayIDLength, razorpayIDLength) {
		return nil, badRequest("", fmt.Sprintf("%.50s is not a valid id", id))
	}
	o, err := optional(q.QueryRowContext(ctx, `SELECT `+razorpayOrderColumns+` FROM razorpay_orders WHERE id = $1 AND key_id = $2`, id, keyID), scanRazorpayOrder)
	if err == nil && o == nil {
		err = unknownID()
	}
	return o, err
}

// razorpayOrderFields are the parameters that the company knows of an order, these and their members.
func razorpayOrderFields() []string {
	return []string{
		"amount", "currency", "receipt", "notes", "partial_payment", "first_payment_min_amount", "payment_capture", "payment", "method", "bank_account",
		"customer_id", "offer_id", "offers", "discount", "transfers", "customer_details", "token", "products", "checkout_config_id",
	}
}

const maxReceipt = 40

// readRazorpayOrder reads what an order is to be.
func readRazorpayOrder(in fields) (*razorpayOrder, error) {
	var strange []string
	for name := range in {
		top, _, _ := strings.Cut(name, "[")
		if !slices.Contains(razorpayOrderFields(), top) && !slices.Contains(strange, top) {
			strange = append(strange, top)
		}
	}
	if len(strange) > 0 {
		slices.Sort(strange)
		return nil, badRequest("", fmt.Sprintf("%.200s is/are not required and should not be sent", strings.Join(strange, ", ")))
	}
	o := &razorpayOrder{Currency: in["currency"], Receipt: in["receipt"], Status: orderCreated, Partial: in.yes("partial_payment")}
	var err error
	if o.Amount, err = razorpayAmount(in, "amount"); err != nil {
		return nil, err
	}
	if o.Currency == "" {
		return nil, badRequest("currency", "The currency field is required.")
	}
	if exponent, known := money.Currency(o.Currency).Exponent(); !known || len(o.Currency) != 3 || exponent > 3 {
		return nil, badRequest("currency", "Currency is not supported")
	}
	if len([]rune(o.Receipt)) > maxReceipt {
		return nil, badRequest("receipt", fmt.Sprintf("The receipt may not be greater than %d characters.", maxReceipt))
	}
	if in["first_payment_min_amount"] != "" {
		o.Least, err = razorpayAmount(in, "first_payment_min_amount")
		switch {
		case err != nil:
			return nil, err
		case !o.Partial:
			return nil, badRequest("first_payment_min_amount", "The first_payment_min_amount may be sent only when partial_payment is true.")
		case o.Least >= o.Amount:
			return nil, badRequest("first_payment_min_amount", "The first_payment_min_amount should be less than the amount.")
		}
	}
	o.Capture = orderCapture(in)
	o.Notes, err = razorpayNotes(in)
	return o, err
}

// orderCapture reads how an order's payments are to be captured; "" leaves it to the account.
func orderCapture(in fields) string {
	for _, name := range []string{"payment_capture", "payment[capture]"} {
		switch {
		case in[name] == "":
		case in.yes(name):
			return captureAuto
		default:
			return captureManual
		}
	}
	return ""
}

func (b *Bank) razorpayCreateOrder(ctx context.Context, a *razorpayAccount, _ *http.Request, in fields) (any, error) {
	switch a.Orders {
	case faceRefuse:
		return nil, refusal("Order creation is not allowed for this account.")
	case faceError:
		return nil, razorpayServerError()
	}
	o, err := readRazorpayOrder(in)
	if err != nil {
		return nil, err
	}
	o.ID, o.KeyID, o.CreatedAt = faceID("order_", razorpayIDLength), a.KeyID, b.now()
	notes, err := encode(o.Notes)
	if err != nil {
		return nil, err
	}
	err = b.transaction(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO razorpay_orders (`+razorpayOrderColumns+`) VALUES ($1, $2, $3, 0, $4, $5, $6, 0, $7, $8, $9, $10, $11)`,
			o.ID, o.KeyID, o.Amount, o.Currency, o.Receipt, o.Status, notes, o.Partial, o.Least, o.Capture, o.CreatedAt.UnixMicro())
		return err
	})
	if err == nil && a.Orders == faceSilent {
		err = errSilent
	}
	return o.entity(), err
}

func (b *Bank) razorpayListOrders(ctx context.Context, a *razorpayAccount, _ *http.Request, in fields) (any, error) {
	count, skip, from, to, err := razorpayPaging(in)
	if err != nil {
		return nil, err
	}
	authorized, err := strconv.Atoi("0" + in["authorized"])
	if err != nil || authorized > 1 {
		return nil, badRequest("authorized", "The selected authorized is invalid.")
	}
	receipt := "receipt = $2" // by its index
	if in["receipt"] == "" {
		receipt = "$2 = ''"
	}
	list, err := listOf(ctx, b.readers, scanRazorpayOrder, `SELECT `+razorpayOrderColumns+` FROM razorpay_orders o
		WHERE key_id = $1 AND `+receipt+` AND created_at BETWEEN $3 AND $4 AND ($5 = 0 OR EXISTS (
			SELECT 1 FROM razorpay_payments p WHERE p.order_id = o.id AND p.status IN ('authorized', 'captured', 'refunded')))
		ORDER BY seq DESC LIMIT $6 OFFSET $7`, a.KeyID, in["receipt"], from, to, authorized, count, skip)
	return collectionOf(list, (*razorpayOrder).entity), err
}

func (b *Bank) razorpayFetchOrder(ctx context.Context, a *razorpayAccount, r *http.Request, _ fields) (any, error) {
	o, err := razorpayOrderOf(ctx, b.readers, a.KeyID, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return o.entity(), nil
}

func (b *Bank) razorpayEditOrder(ctx context.Context, a *razorpayAccount, r *http.Request, in fields) (any, error) {
	for name := range in {
		if top, _, _ := strings.Cut(name, "["); top != "notes" {
			return nil, badRequest("", fmt.Sprintf("%.50s is/are not required and should not be sent", top))
		}
	}
	if _, given := in.object("notes"); !given {
		return nil, badRequest("notes", "The notes field is required.")
	}
	notes, err := razorpayNotes(in)
	if err != nil {
		return nil, err
	}
	text, err := encode(notes)
	if err != nil {
		return nil, err
	}
	var o *razorpayOrder
	err = b.transaction(ctx, func(tx *sql.Tx) (err error) {
		if o, err = razorpayOrderOf(ctx, tx, a.KeyID, r.PathValue("id")); err != nil {
			return err
		}
		o.Notes = notes
		_, err = tx.ExecContext(ctx, `UPDATE razorpay_orders SET notes = $2 WHERE id = $1`, o.ID, text)
		return err
	})
	if err != nil {
		return nil, err
	}
	return o.entity(), nil
}

func (b *Bank) razorpayOrderPayments(ctx context.Context, a *razorpayAccount, r *http.Request, _ fields) (any, error) {
	o, err := razorpayOrderOf(ctx, b.readers, a.KeyID, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	list, err := listOf(ctx, b.readers, scanRazorpayPayment,
		`SELECT `+razorpayPaymentColumns+` FROM razorpay_payments WHERE order_id = $1 ORDER BY seq DESC LIMIT $2`, o.ID, faceListLimit)
	return collectionOf(list, (*razorpayPayment).entity), err
}
