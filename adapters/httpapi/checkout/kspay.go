package checkout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
)

// visit is what a request is about.
type visit struct {
	token   string
	app     merchant.Merchant
	payment wallet.Payment
}

// errGone is a page that is not there, or not any more.
var errGone = errors.New("there is no such page")

// visit finds what a token stands for.
func (g *Pages) visit(r *http.Request) (*visit, error) {
	v := &visit{token: r.PathValue("token")}
	t, err := g.ports.Tickets.Open(ticket.Checkout, v.token, g.opts.Clock())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	if v.app, err = g.ports.Merchants.Merchant(r.Context(), t.App); err != nil {
		return nil, gone(err)
	}
	if v.app.App == nil {
		return nil, errGone
	}
	if v.payment, err = g.ports.Payments.Payment(r.Context(), t.App, t.Subject); err != nil {
		return nil, gone(err)
	}
	if v.payment.Kind != wallet.KindPayin {
		return nil, errGone
	}
	return v, nil
}

// gone makes what does not exist errGone.
func gone(err error) error {
	if domain.CodeOf(err) == domain.NotFound {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

// methods are what the customer can choose from: nothing at a shop that is disabled.
func (g *Pages) methods(v *visit) []merchant.Method {
	if v.app.Suspended {
		return nil
	}
	company := func(name string) []merchant.Method { return g.ports.Checkouts.Company(name).Methods }
	all := v.app.App.MethodsOf(v.payment.Currency, company)
	if trial, ok := v.app.App.Gateway(v.payment.Checkout.Trial); ok { // it is not usable yet: that is what is tried
		all = company(trial.Gateway)
	}
	if asked := merchant.Method(v.payment.Checkout.Method); asked != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(m merchant.Method) bool { return m != asked })
	}
	return all
}

// page shows a transaction, or leads on from one that has ended.
func (g *Pages) page(w http.ResponseWriter, r *http.Request) {
	v, err := g.visit(r)
	if err != nil {
		g.refuse(w, r, "opening a checkout", err)
		return
	}
	g.show(w, r, v, "")
}

// show answers with the page of a transaction as it is.
func (g *Pages) show(w http.ResponseWriter, r *http.Request, v *visit, problem string) {
	p := &v.payment
	if p.Status != wallet.Pending {
		g.leave(w, r, v)
		return
	}
	now := g.opts.Clock()
	if !now.Before(p.ExpiresAt) {
		g.wait(w, v, "The time to pay is over", "We are asking the bank whether a payment has come.")
		return
	}
	m := g.methods(v)
	s := sheetOf(v)
	s.Title, s.Heading, s.Problem = "Pay "+v.app.Name, "Choose how to pay", problem
	s.Ends = p.ExpiresAt
	s.Action = "/checkout/" + v.token + "/pay"
	for i, method := range m {
		s.Methods = append(s.Methods, choice{Value: string(method), Label: label(method), Hint: hint(method), Checked: i == 0})
	}
	status := http.StatusOK
	if len(m) == 0 {
		s.Heading, s.Text = "No way to pay", "This shop cannot take a payment of this kind at the moment. Nothing was charged."
		status = http.StatusServiceUnavailable
	}
	g.write(w, status, &s, "'self'")
}

// pay takes the customer on by the method that was chosen.
func (g *Pages) pay(w http.ResponseWriter, r *http.Request) {
	v, err := g.visit(r)
	if err != nil {
		g.refuse(w, r, "opening a checkout", err)
		return
	}
	form, err := readForm(w, r)
	if err != nil {
		g.fail(w, http.StatusBadRequest, "That could not be read", "Please go back and try again.")
		return
	}
	m := merchant.Method(form.Get("method"))
	if v.payment.Status != wallet.Pending || !g.opts.Clock().Before(v.payment.ExpiresAt) {
		g.show(w, r, v, "")
		return
	}
	if !slices.Contains(g.methods(v), m) {
		g.show(w, r, v, "Please choose one of the ways to pay.")
		return
	}
	if v.payment, err = g.ports.Checkouts.Ensure(r.Context(), v.app, v.payment); err != nil {
		g.opts.Logger.Warn("no order could be made for a checkout", "transaction", v.payment.Of.Payment, "error", err)
		g.again(w, r, v)
		return
	}
	c, err := g.ports.Checkouts.Begin(r.Context(), v.app, v.payment, m)
	if err != nil {
		g.opts.Logger.Warn("a checkout could not go on to the gateway", "transaction", v.payment.Of.Payment, "gateway", v.payment.Gateway, "error", err)
		g.again(w, r, v)
		return
	}
	if c.UPI != "" {
		g.upi(w, v, c.UPI)
		return
	}
	target, err := url.Parse(c.URL)
	if err != nil || target.Scheme != "https" && target.Scheme != "http" || target.Host == "" {
		g.opts.Logger.Error("a gateway's page has no address", "transaction", v.payment.Of.Payment, "gateway", v.payment.Gateway)
		g.again(w, r, v)
		return
	}
	s := sheetOf(v)
	title := g.ports.Checkouts.Company(v.payment.Gateway).Title
	s.Title, s.Heading = "Pay "+v.app.Name, "On to "+title
	s.Text = "You pay on a secure page of " + title + ", and come back here."
	s.Button = "Continue to " + title
	s.Back = "/checkout/" + v.token
	if c.Post {
		s.Action, s.Fields, s.Auto = c.URL, c.Fields, true
	} else {
		s.Link, s.Auto = c.URL, true
	}
	g.write(w, http.StatusOK, &s, target.Scheme+"://"+target.Host+" https:") // gateways lead on from one host of theirs to another
}

// again shows the page with the news that it did not work. The payment may have ended meanwhile.
func (g *Pages) again(w http.ResponseWriter, r *http.Request, v *visit) {
	if now, err := g.ports.Payments.Payment(r.Context(), v.app.ID, v.payment.Of.Payment); err == nil {
		v.payment = now
	}
	g.show(w, r, v, "That did not work. Nothing was charged: please try again, or choose another way to pay.")
}

// upi shows the QR code and the link of a UPI payment.
func (g *Pages) upi(w http.ResponseWriter, v *visit, link string) {
	s := sheetOf(v)
	s.Title, s.Heading, s.Ends = "Pay "+v.app.Name, "Pay with a UPI app", v.payment.ExpiresAt
	s.Text = "Scan the code with any UPI app, or open the app on this phone. This page goes on by itself once you have paid."
	s.Back = "/checkout/" + v.token
	s.Poll = "/checkout/" + v.token + "/status"
	g.writeUPI(w, &s, link)
}

// back is where the gateway's page sends the customer.
func (g *Pages) back(w http.ResponseWriter, r *http.Request) {
	v, err := g.visit(r)
	if err != nil {
		g.refuse(w, r, "coming back to a checkout", err)
		return
	}
	form, err := readForm(w, r)
	if err != nil {
		g.fail(w, http.StatusBadRequest, "That could not be read", "If you have paid, the shop will know: please look there.")
		return
	}
	after, err := g.ports.Checkouts.Return(r.Context(), v.app, v.payment, form)
	if err != nil { // what it was worth is recorded, or will come by another way
		g.opts.Logger.Warn("a customer came back, and it is not known yet with what", "transaction", v.payment.Of.Payment, "error", err)
	} else {
		v.payment = after
	}
	if v.payment.Status == wallet.Pending {
		if form.Get("cancelled") != "" || form.Get("cancel") != "" {
			g.show(w, r, v, "The payment was cancelled. Nothing was charged.")
			return
		}
		g.wait(w, v, "Confirming your payment", "We are waiting for the bank's word. Please leave this page open: it goes on by itself.")
		return
	}
	g.leave(w, r, v)
}

// wait shows a page that asks where the payment stands until that is known.
func (g *Pages) wait(w http.ResponseWriter, v *visit, heading, text string) {
	s := sheetOf(v)
	s.Title, s.Heading, s.Text, s.Busy = "Pay "+v.app.Name, heading, text, true
	s.Poll = "/checkout/" + v.token + "/status"
	s.Reload = "/checkout/" + v.token
	s.Back = "/checkout/" + v.token
	g.write(w, http.StatusOK, &s, "'self'")
}

// leave tells how a transaction has ended, and leads to the shop.
func (g *Pages) leave(w http.ResponseWriter, r *http.Request, v *visit) {
	s := sheetOf(v)
	s.Title, s.Ended = v.app.Name, string(v.payment.Status)
	s.Heading, s.Text = ending(v.payment.Status)
	target, err := g.redirect(r.Context(), v)
	if err != nil {
		g.opts.Logger.Warn("the shop of a transaction cannot be gone back to", "transaction", v.payment.Of.Payment, "error", err)
	}
	if target != "" {
		s.Link, s.Button, s.Auto, s.Reload = target, "Back to "+v.app.Name, true, target
	}
	g.write(w, http.StatusOK, &s, "'none'")
}

// status tells the page's script where the transaction stands.
func (g *Pages) status(w http.ResponseWriter, r *http.Request) {
	v, err := g.visit(r)
	if err != nil {
		g.refuseStatus(w, r, err)
		return
	}
	if v.payment.Status == wallet.Pending && v.payment.Checkout.Order != "" {
		after, err := g.ports.Checkouts.Refresh(r.Context(), v.app, v.payment)
		if err == nil {
			v.payment = after
		}
	}
	g.writeStatus(w, &v.payment, "/checkout/"+v.token)
}

// writeStatus answers {"status","next"}: next is where the page goes when the payment has ended.
func (g *Pages) writeStatus(w http.ResponseWriter, p *wallet.Payment, page string) {
	said := struct {
		Status string `json:"status"`
		Next   string `json:"next,omitempty"`
	}{Status: string(p.Status)}
	if p.Status != wallet.Pending {
		said.Next = page
	}
	b, err := json.Marshal(said)
	if err != nil {
		panic("checkout: a status does not marshal: " + err.Error()) // two strings always do
	}
	httpapi.Write(w, http.StatusOK, b)
}

func (g *Pages) refuseStatus(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errGone) {
		httpapi.Fail(w, http.StatusNotFound, httpapi.MessageNotFound)
		return
	}
	g.opts.Logger.Warn("the status of a checkout could not be read", "request_id", httpapi.From(r.Context()).ID, "error", err)
	httpapi.Unavailable(w)
}

// redirect is where the customer goes behind the payment: the shop's address with what the document says of the payment; "" without one.
func (g *Pages) redirect(ctx context.Context, v *visit) (string, error) {
	p := &v.payment
	if p.Sealed == "" {
		return "", nil
	}
	id, err := uuid.Parse(p.SealID)
	if err != nil {
		return "", err
	}
	text, err := g.ports.Vault.UnsealString(ctx, id, p.Sealed)
	if err != nil {
		return "", err
	}
	var c wallet.Customer
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return "", err
	}
	if c.RedirectURL == "" {
		return "", nil
	}
	return withOutcome(c.RedirectURL, p)
}

// withOutcome adds the parameters of the document to an address.
func withOutcome(to string, p *wallet.Payment) (string, error) {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "", errors.New("the redirect URL is none")
	}
	q := u.Query()
	q.Set("payment_status", paymentStatus(p.Status))
	q.Set("kspay_id", p.Of.Payment)
	q.Set("provider_payment_id", p.PaymentID)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// paymentStatus is a status as the redirect names it.
func paymentStatus(s wallet.Status) string {
	switch s {
	case wallet.Success:
		return "success"
	case wallet.Failed:
		return "failed"
	case wallet.Expired:
		return "expired"
	default:
		return "pending"
	}
}

// ending is what a customer reads at the end.
func ending(s wallet.Status) (heading, text string) {
	switch s {
	case wallet.Success:
		return "Paid", "Thank you. Your payment has arrived."
	case wallet.Expired:
		return "The time to pay is over", "Nothing was charged. If you have paid all the same, the money is credited or comes back to you."
	default:
		return "The payment has failed", "Nothing was charged, or it comes back to you."
	}
}

// readForm reads query and form of a request together. A name that is in both has both values, the form's first.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	out := url.Values{}
	if r.Method == http.MethodPost {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != "application/x-www-form-urlencoded" {
			return nil, errors.New("the body is no form")
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
		if err != nil {
			return nil, err
		}
		if out, err = url.ParseQuery(string(body)); err != nil {
			return nil, err
		}
	}
	query, err := url.ParseQuery(strings.TrimPrefix(r.URL.RawQuery, "?"))
	if err != nil {
		return nil, err
	}
	for name, values := range query {
		out[name] = append(out[name], values...)
	}
	return out, nil
}
