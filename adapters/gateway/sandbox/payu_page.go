package sandbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/khata-ledger/khata/domain/money"
)

// firstPayU is the first mihpayid and request id: of 18 digits, as they are in the documentation.
const firstPayU = 403993715_000000000

// payuCategory is a way to pay, by its names in enforce_paymethod and in answers.
type payuCategory struct {
	enforced string
	mode     string
	kind     string
	label    string
}

func payuCategories() []payuCategory {
	return []payuCategory{
		{"creditcard", "CC", methodCard, "Credit card"}, {"debitcard", "DC", methodCard, "Debit card"}, {"netbanking", "NB", methodBank, "Net banking"},
		{"cashcard", "CASH", methodWallet, "Wallet"}, {"upi", "UPI", methodUPI, "UPI"},
	}
}

// payuOffered are the ways to pay that a request leaves. Of banks and card networks that it may name, too, the sandbox knows none; where it names
// nothing known, all are left.
func payuOffered(enforce string) []payuCategory {
	names := strings.Split(strings.ToLower(enforce), "|")
	out := slices.DeleteFunc(payuCategories(), func(c payuCategory) bool { return !slices.Contains(names, c.enforced) })
	if len(out) == 0 {
		return payuCategories()
	}
	return out
}

// payuProblem is a request that PayU shows an error page for.
type payuProblem struct {
	status  int
	problem string
}

func (e *payuProblem) Error() string { return e.problem }

// readPayU checks a request to _payment against its account.
func readPayU(in fields, a *payuAccount) (*payuPayment, error) {
	wrong := func(format string, args ...any) (*payuPayment, error) {
		return nil, &payuProblem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
	}
	for _, name := range []string{"key", "txnid", "amount", "productinfo", "firstname", "email", "phone", "surl", "furl", "hash"} {
		if in[name] == "" {
			return wrong("Mandatory parameter %s is missing.", name)
		}
	}
	if a == nil {
		return wrong("The merchant key is not valid.")
	}
	want := payuHash(in["key"], in["txnid"], in["amount"], in["productinfo"], in["firstname"], in["email"], in["udf1"], in["udf2"], in["udf3"], in["udf4"],
		in["udf5"], "", "", "", "", "", a.Salt)
	if !payuHashIs(in["hash"], want) {
		return wrong("Transaction failed due to incorrectly calculated hash parameter.")
	}
	for name, most := range map[string]int{"txnid": 25, "productinfo": 100, "firstname": 60, "email": 50, "phone": 50, "udf1": 255, "udf2": 255, "udf3": 255, "udf4": 255, "udf5": 255} {
		if len([]rune(in[name])) > most {
			return wrong("Parameter %s is longer than %d characters.", name, most)
		}
	}
	for _, name := range []string{"surl", "furl", "curl"} {
		if in[name] != "" && !isWebURL(in[name]) {
			return wrong("Parameter %s is not a URL.", name)
		}
	}
	amount, err := money.Parse(in["amount"], money.INR)
	minor, fits := amount.Minor()
	if err != nil || !fits || minor < 1 || minor > maxFaceAmount {
		return wrong("Invalid amount.")
	}
	p := &payuPayment{Token: rand.Text(), Key: a.Key, TxnID: in["txnid"], Minor: minor, Status: payuPending, Unmapped: "initiated", Form: map[string]string{}}
	for _, name := range append(payuEchoed(), "surl", "furl", "curl", "enforce_paymethod") {
		p.Form[name] = in[name]
	}
	p.Amount = amount.Fixed()
	return p, nil
}

// servePayUPage opens the hosted page.
func (b *Bank) servePayUPage(w http.ResponseWriter, r *http.Request) {
	in, err := readFields(w, r)
	if err != nil {
		b.payuProblem(w, err)
		return
	}
	var p *payuPayment
	ctx := r.Context()
	err = b.transaction(ctx, func(tx *sql.Tx) error {
		a, err := payuAccountOf(ctx, tx, in["key"])
		if err != nil {
			return err
		}
		if p, err = readPayU(in, a); err != nil {
			return err
		}
		if err := unpaid(ctx, tx, p); err != nil {
			return err
		}
		n, err := number(ctx, tx)
		if err != nil {
			return err
		}
		p.ID, p.CreatedAt = firstPayU+n, b.now()
		form, err := encode(p.Form)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO payu_payments (mihpayid, token, merchant, txnid, amount, status, unmapped, form, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, p.ID, p.Token, p.Key, p.TxnID, p.Minor, p.Status, p.Unmapped, form, p.CreatedAt.UnixMicro())
		return err
	})
	if err != nil {
		b.payuProblem(w, err)
		return
	}
	b.showPayUPage(w, http.StatusOK, p, "", "")
}

// unpaid refuses a txnid that has been paid.
func unpaid(ctx context.Context, tx *sql.Tx, p *payuPayment) error {
	var paid int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM payu_payments WHERE merchant = $1 AND txnid = $2 AND status = $3`, p.Key, p.TxnID, payuSuccess).Scan(&paid)
	if err == nil && paid > 0 {
		err = &payuProblem{http.StatusConflict, "Duplicate Order ID: this txnid has been paid."}
	}
	return err
}

func (b *Bank) payuProblem(w http.ResponseWriter, err error) {
	var problem *payuProblem
	switch {
	case errors.As(err, &problem):
		b.pageProblem(w, problem.status, problem.problem)
	case errors.Is(err, errFields):
		b.pageProblem(w, http.StatusBadRequest, "The request could not be read.")
	default:
		b.log.Error("the PayU face failed", "error", err)
		b.pageProblem(w, http.StatusServiceUnavailable, "The sandbox is not available.")
	}
}

func (b *Bank) showPayUPage(w http.ResponseWriter, status int, p *payuPayment, chosen, problem string) {
	page := payPage{
		Title: "PayU checkout", Purpose: p.Form["productinfo"], Order: p.TxnID, Problem: problem, Amount: p.money().String(),
		Action: payuBase + "/_payment/" + p.Token, CancelButton: true, Banks: []option{{"HDFB", "HDFC Bank"}, {"ICIB", "ICICI Bank"}, {"SBIB", "State Bank of India"}, {"AXIB", "Axis Bank"}},
		Wallets: []option{{"PAYTM", "Paytm"}, {"AMON", "Airtel Money"}, {"PHONEPE", "PhonePe"}}, VPA: "anything@payu",
	}
	for _, c := range payuOffered(p.Form["enforce_paymethod"]) {
		page.Methods = append(page.Methods, payMethod{Value: c.mode, Label: c.label, Kind: c.kind, Checked: c.mode == chosen})
	}
	preselect(page.Methods)
	b.writePage(w, status, "pay", page)
}

// servePayUVisit takes what the customer has done on the page.
func (b *Bank) servePayUVisit(w http.ResponseWriter, r *http.Request) {
	in, err := readFields(w, r)
	if err != nil {
		b.payuProblem(w, err)
		return
	}
	var p *payuPayment
	var a *payuAccount
	ctx := r.Context()
	err = b.transaction(ctx, func(tx *sql.Tx) (err error) {
		p, err = optional(tx.QueryRowContext(ctx, `SELECT `+payuPaymentColumns+` FROM payu_payments WHERE token = $1`, r.PathValue("token")), scanPayUPayment)
		if err != nil {
			return err
		}
		if p == nil {
			return &payuProblem{http.StatusNotFound, "There is no such page."}
		}
		if a, err = payuAccountOf(ctx, tx, p.Key); err != nil || p.Status != payuPending { // pressed again
			return err
		}
		if err := b.payuVisit(ctx, tx, p, in); err != nil {
			return err
		}
		return b.tellPayU(ctx, tx, a, p)
	})
	var typed *typingError
	switch {
	case errors.As(err, &typed):
		b.showPayUPage(w, http.StatusUnprocessableEntity, p, in["method"], typed.problem)
		return
	case err != nil:
		b.payuProblem(w, err)
		return
	}
	b.signal()
	target := p.Form["furl"]
	switch {
	case p.Status == payuSuccess:
		target = p.Form["surl"]
	case p.Unmapped == payuUserCancelled && p.Form["curl"] != "":
		target = p.Form["curl"]
	}
	b.writePage(w, http.StatusOK, "return", returnPage{URL: target, Fields: p.answer(a.Salt)})
}

// payuUserCancelled is the unmapped status of what the customer did not want.
const payuUserCancelled = "userCancelled"

// payuVisit records what the customer has done.
func (b *Bank) payuVisit(ctx context.Context, tx *sql.Tx, p *payuPayment, in fields) error {
	if in["action"] == "cancel" {
		p.Status, p.Unmapped, p.Error, p.Message = payuFailure, payuUserCancelled, "E1605", "Transaction failed due to customer pressing cancel button."
		p.Said = "Cancelled by user"
		return p.store(ctx, tx)
	}
	offered := payuOffered(p.Form["enforce_paymethod"])
	at := slices.IndexFunc(offered, func(c payuCategory) bool { return c.mode == in["method"] })
	if at < 0 || (in["action"] != "pay" && in["action"] != "decline") {
		return &typingError{"Choose how to pay, then Pay, Decline or Cancel."}
	}
	if err := unpaid(ctx, tx, p); err != nil {
		return err
	}
	pays := in["action"] == "pay"
	p.Mode = offered[at].mode
	p.BankCode = p.Mode
	switch offered[at].kind {
	case methodCard:
		c, good, err := readCard(in, b.now())
		if err != nil && pays {
			return err
		}
		if c.last4 != "" {
			p.Card = "XXXXXXXXXXXX" + c.last4
		}
		pays = pays && good
	case methodBank:
		p.BankCode = in["bank"]
	case methodWallet:
		p.BankCode = in["wallet"]
	case methodUPI:
		if pays && !strings.Contains(in["vpa"], "@") {
			return &typingError{"A UPI ID looks like name@bank."}
		}
	}
	if len(p.BankCode) > 20 {
		return &typingError{"Choose a bank or a wallet of the list."}
	}
	if !pays {
		p.Status, p.Unmapped, p.Error, p.Message, p.Said = payuFailure, "failed", "E500", "Bank was unable to authenticate.", "Transaction failed at bank end."
		return p.store(ctx, tx)
	}
	n, err := number(ctx, tx)
	if err != nil {
		return err
	}
	p.Status, p.Unmapped, p.BankRef, p.Error, p.Message = payuSuccess, "captured", utr(n, b.now()), "E000", "No Error"
	p.Said = "Transaction Completed Successfully"
	return p.store(ctx, tx)
}

// tellPayU plans the webhook about an attempt.
func (b *Bank) tellPayU(ctx context.Context, tx *sql.Tx, a *payuAccount, p *payuPayment) error {
	form := url.Values{}
	for _, f := range p.answer(a.Salt) {
		form.Set(f.Name, f.Value)
	}
	return planWebhook(ctx, tx, webhook{
		group: "payu " + p.Key + " " + p.TxnID, id: randomID("msg_"), url: a.WebhookURL, body: []byte(form.Encode()),
		headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
	}, b.now())
}
