package sandbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// razorpayVisit is a row of razorpay_visits: a customer at the hosted page.
type razorpayVisit struct {
	Token       string
	KeyID       string
	OrderID     string
	PaymentID   string // that paid here
	CallbackURL string
	CancelURL   string
	Form        razorpayVisitForm
}

// razorpayVisitForm is what the merchant's form has said of it.
type razorpayVisitForm struct {
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Email       string            `json:"email"`
	Contact     string            `json:"contact"`
	Notes       map[string]string `json:"notes"`
	Methods     []string          `json:"methods"`
	Chosen      string            `json:"chosen"`
}

func scanRazorpayVisit(scan func(...any) error) (*razorpayVisit, error) {
	v := &razorpayVisit{}
	var form string
	if err := scan(&v.Token, &v.KeyID, &v.OrderID, &v.PaymentID, &v.CallbackURL, &v.CancelURL, &form); err != nil {
		return nil, err
	}
	return v, json.Unmarshal([]byte(form), &v.Form)
}

// razorpayMethods are the methods of the page, in its order.
func razorpayMethods() []option {
	return []option{{methodUPI, "UPI"}, {methodCard, "Card"}, {methodBank, "Net banking"}, {methodWallet, "Wallet"}, {methodLater, "Pay later"}}
}

// readRazorpayVisit reads the merchant's form; *razorpayError says what is wrong with it.
func readRazorpayVisit(in fields) (*razorpayVisit, error) {
	v := &razorpayVisit{
		Token: rand.Text(), KeyID: in["key_id"], OrderID: in["order_id"], CallbackURL: in["callback_url"], CancelURL: in["cancel_url"],
		Form: razorpayVisitForm{
			Name: in["name"], Description: in["description"], Email: in["prefill[email]"], Contact: in["prefill[contact]"], Chosen: in["prefill[method]"],
		},
	}
	var err error
	if v.Form.Notes, err = razorpayNotes(in); err != nil {
		return nil, err
	}
	switch {
	case !isWebURL(v.CallbackURL):
		return nil, badRequest("callback_url", "The callback url must be a valid URL.")
	case v.CancelURL != "" && !isWebURL(v.CancelURL):
		return nil, badRequest("cancel_url", "The cancel url must be a valid URL.")
	}
	for _, m := range razorpayMethods() {
		if setting, given := in["method["+m.Value+"]"]; given && setting != "" && !in.yes("method["+m.Value+"]") {
			continue
		}
		if only := in["method"]; only == "" || only == m.Value {
			v.Form.Methods = append(v.Form.Methods, m.Value)
		}
	}
	if len(v.Form.Methods) == 0 {
		return nil, badRequest("method", "No payment method is left.")
	}
	return v, nil
}

// serveRazorpayPage opens the hosted page for an order.
func (b *Bank) serveRazorpayPage(w http.ResponseWriter, r *http.Request) {
	in, err := readFields(w, r)
	if err != nil {
		b.visitProblem(w, err)
		return
	}
	v, err := readRazorpayVisit(in)
	if err != nil {
		b.visitProblem(w, err)
		return
	}
	var o *razorpayOrder
	ctx := r.Context()
	err = b.transaction(ctx, func(tx *sql.Tx) error {
		a, err := b.razorpayAccountOf(ctx, tx, v.KeyID)
		if err != nil {
			return err
		}
		if a == nil {
			return authenticationFailed("The api key provided is invalid")
		}
		if o, err = razorpayOrderOf(ctx, tx, v.KeyID, v.OrderID); err != nil {
			return err
		}
		if err := payable(o, o.due()); err != nil {
			return err
		}
		form, err := encode(v.Form)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO razorpay_visits (token, key_id, order_id, callback_url, cancel_url, form, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`, v.Token, v.KeyID, v.OrderID, v.CallbackURL, v.CancelURL, form, b.now().UnixMicro())
		return err
	})
	if err != nil {
		b.visitProblem(w, err)
		return
	}
	b.showRazorpayPage(w, http.StatusOK, v, o, "")
}

func (b *Bank) visitProblem(w http.ResponseWriter, err error) {
	var refused *razorpayError
	switch {
	case errors.As(err, &refused):
		b.pageProblem(w, refused.status, refused.Description)
	case errors.Is(err, errFields):
		b.pageProblem(w, http.StatusBadRequest, "The request could not be read.")
	default:
		b.log.Error("the Razorpay face failed", "error", err)
		b.pageProblem(w, http.StatusServiceUnavailable, "The sandbox is not available.")
	}
}

func (b *Bank) showRazorpayPage(w http.ResponseWriter, status int, v *razorpayVisit, o *razorpayOrder, problem string) {
	page := payPage{
		Title: "Razorpay checkout", Payee: v.Form.Name, Purpose: v.Form.Description, Order: o.ID, Problem: problem,
		Amount: money.FromMinor(o.due(), money.Currency(o.Currency)).String(), Action: razorpayBase + "/v1/checkout/" + v.Token, Banks: banks(),
		Wallets: []option{{"olamoney", "Ola Money"}, {"mobikwik", "MobiKwik"}, {"payzapp", "PayZapp"}}, VPA: "success@razorpay",
	}
	if v.CancelURL != "" {
		page.Cancel = page.Action + "/cancel"
	}
	for _, m := range razorpayMethods() {
		for _, offered := range v.Form.Methods {
			if offered == m.Value {
				page.Methods = append(page.Methods, payMethod{Value: m.Value, Label: m.Label, Kind: m.Value, Checked: m.Value == v.Form.Chosen})
			}
		}
	}
	preselect(page.Methods)
	b.writePage(w, status, "pay", page)
}

// preselect checks the first method when none is.
func preselect(methods []payMethod) {
	for _, m := range methods {
		if m.Checked {
			return
		}
	}
	if len(methods) > 0 {
		methods[0].Checked = true
	}
}

func banks() []option {
	return []option{{"HDFC", "HDFC Bank"}, {"ICIC", "ICICI Bank"}, {"SBIN", "State Bank of India"}, {"UTIB", "Axis Bank"}}
}

// razorpayVisitOf returns nil when there is none.
func razorpayVisitOf(ctx context.Context, q querier, token string) (*razorpayVisit, error) {
	return optional(q.QueryRowContext(ctx,
		`SELECT token, key_id, order_id, payment_id, callback_url, cancel_url, form FROM razorpay_visits WHERE token = $1`, token), scanRazorpayVisit)
}

func (b *Bank) serveRazorpayCancel(w http.ResponseWriter, r *http.Request) {
	v, err := razorpayVisitOf(r.Context(), b.readers, r.PathValue("token"))
	switch {
	case err != nil:
		b.visitProblem(w, err)
	case v == nil || v.CancelURL == "":
		b.pageProblem(w, http.StatusNotFound, "There is no such page.")
	default:
		http.Redirect(w, r, v.CancelURL, http.StatusSeeOther)
	}
}

// serveRazorpayVisit takes what the customer has done on the page.
func (b *Bank) serveRazorpayVisit(w http.ResponseWriter, r *http.Request) {
	in, err := readFields(w, r)
	if err != nil {
		b.visitProblem(w, err)
		return
	}
	ctx := r.Context()
	var v *razorpayVisit
	var a *razorpayAccount
	var p *razorpayPayment
	var o *razorpayOrder
	err = b.transaction(ctx, func(tx *sql.Tx) (err error) {
		if v, err = razorpayVisitOf(ctx, tx, r.PathValue("token")); err != nil || v == nil {
			return err
		}
		if a, err = b.razorpayAccountOf(ctx, tx, v.KeyID); err != nil {
			return err
		}
		if o, err = razorpayOrderOf(ctx, tx, v.KeyID, v.OrderID); err != nil {
			return err
		}
		if v.PaymentID != "" { // pressed again
			p, err = razorpayPaymentOf(ctx, tx, v.KeyID, v.PaymentID)
			return err
		}
		p, err = (&razorpayBook{tx: tx, account: a, order: o, now: b.now()}).visit(ctx, v, in)
		return err
	})
	var typed *typingError
	switch {
	case errors.As(err, &typed):
		v.Form.Chosen = in["method"]
		b.showRazorpayPage(w, http.StatusUnprocessableEntity, v, o, typed.problem)
	case err != nil:
		b.visitProblem(w, err)
	case v == nil:
		b.pageProblem(w, http.StatusNotFound, "There is no such page.")
	default:
		b.signal()
		b.writePage(w, http.StatusOK, "return", returnPage{URL: v.CallbackURL, Fields: razorpayReturn(a, p)})
	}
}

// razorpayReturn is the form that the browser brings to the merchant.
func razorpayReturn(a *razorpayAccount, p *razorpayPayment) []formField {
	f := p.Details.Failure
	if f == nil {
		return []formField{
			{"razorpay_payment_id", p.ID}, {"razorpay_order_id", p.OrderID},
			{"razorpay_signature", razorpaySignature(a.KeySecret, []byte(p.OrderID+"|"+p.ID))},
		}
	}
	return []formField{
		{"error[code]", f.Code}, {"error[description]", f.Description}, {"error[source]", f.Source}, {"error[step]", f.Step}, {"error[reason]", f.Reason},
		{"error[metadata]", fmt.Sprintf(`{"payment_id":%q,"order_id":%q}`, p.ID, p.OrderID)},
	}
}

// typingError is something that the customer can type better.
type typingError struct{ problem string }

func (e *typingError) Error() string { return e.problem }

// visit makes the payment of what the customer has done.
func (k *razorpayBook) visit(ctx context.Context, v *razorpayVisit, in fields) (*razorpayPayment, error) {
	if err := payable(k.order, k.order.due()); err != nil {
		return nil, err
	}
	method, action := in["method"], in["action"]
	known := false
	for _, m := range v.Form.Methods {
		known = known || m == method
	}
	if !known || (action != "pay" && action != "decline") {
		return nil, &typingError{"Choose how to pay, then Pay or Decline."}
	}
	details := razorpayDetails{Method: method, Email: v.Form.Email, Contact: v.Form.Contact, Description: v.Form.Description, Notes: v.Form.Notes}
	pays := action == "pay"
	switch method {
	case methodCard:
		c, good, err := readCard(in, k.now)
		if err != nil && pays {
			return nil, err
		}
		pays = pays && good
		details.Card = &razorpayCard{
			ID: faceID("card_", razorpayIDLength), Entity: "card", Last4: c.last4, Network: c.network, Type: "debit",
		}
	case methodBank:
		details.Bank = in["bank"]
	case methodWallet:
		details.Wallet = in["wallet"]
	case methodLater:
		details.Wallet = "lazypay"
	case methodUPI:
		details.VPA = in["vpa"]
		if pays && !strings.Contains(details.VPA, "@") {
			return nil, &typingError{"A UPI ID looks like name@bank."}
		}
		pays = pays && details.VPA != "failure@razorpay"
	}
	p, err := k.begin(ctx, k.order.due(), details)
	if err != nil {
		return nil, err
	}
	if !pays {
		return p, k.fail(ctx, p, razorpayDeclined(method))
	}
	if err := k.authorize(ctx, p); err != nil {
		return nil, err
	}
	_, err = k.tx.ExecContext(ctx, `UPDATE razorpay_visits SET payment_id = $2 WHERE token = $1`, v.Token, p.ID)
	return p, err
}

// card is what is kept of one.
type card struct{ last4, network string }

// declinedCard is a test card that its bank refuses.
const declinedCard = "4100280000040005"

// readCard reads what was typed of a card, and tells whether its bank accepts it: a one-time password of fewer than four digits fails, as on
// the company's test page.
func readCard(in fields, now time.Time) (c card, good bool, err error) {
	digits := strings.NewReplacer(" ", "", "-", "").Replace(in["card_number"])
	if !isDigits(digits, 12, 19) || digits != declinedCard && !luhn(digits) {
		return c, false, &typingError{"This is not the number of a card."}
	}
	c = card{last4: digits[len(digits)-4:], network: network(digits)}
	until, err := time.Parse("01/06", strings.ReplaceAll(in["card_expiry"], " ", ""))
	switch {
	case err != nil:
		return c, false, &typingError{"Valid until: a month and a year, such as 12/49."}
	case until.AddDate(0, 1, 0).Before(now):
		return c, false, &typingError{"The card is not valid any more."}
	case !isDigits(in["card_cvv"], 3, 4):
		return c, false, &typingError{"The security code has three or four digits."}
	}
	return c, digits != declinedCard && (in["otp"] == "" || isDigits(in["otp"], 4, 10)), nil
}

func network(digits string) string {
	switch {
	case strings.HasPrefix(digits, "4"):
		return "Visa"
	case strings.HasPrefix(digits, "5"):
		return "MasterCard"
	case strings.HasPrefix(digits, "6"):
		return "RuPay"
	}
	return "Unknown"
}

func isDigits(s string, least, most int) bool {
	return isAlphanumeric(s, least, most) && strings.Trim(s, "0123456789") == ""
}

// luhn checks the last digit of a card number.
func luhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
