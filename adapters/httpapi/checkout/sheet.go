package checkout

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rsc.io/qr"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/merchant"
)

//go:embed page.html
var pageTemplate string

//go:embed page.css
var style string

//go:embed page.js
var script string

// sheet is what the page shows. What is empty is left out.
type sheet struct {
	Title    string
	Merchant string
	Amount   string // with its currency
	Order    string // the merchant's own reference
	Test     bool   // no money moves
	Heading  string
	Text     string
	Problem  string
	Ended    string // status of a payment that has ended

	Methods []choice
	Action  string // of the form
	Fields  []Field
	Link    string
	UPI     template.URL
	Code    template.HTML // the QR code, as SVG
	Button  string
	Back    string

	Auto   bool   // go on by itself
	Busy   bool   // something is under way
	Poll   string // ask here where it stands
	Reload string // go here after a while, without script
	Ends   time.Time

	Style, Script string
}

// choice is one way to pay.
type choice struct {
	Value, Label, Hint string
	Checked            bool
}

// EndsAt is the end of the time to pay, for the script's countdown.
func (s *sheet) EndsAt() string {
	if s.Ends.IsZero() {
		return ""
	}
	return s.Ends.UTC().Format(time.RFC3339)
}

// EndsText is the same for people.
func (s *sheet) EndsText() string { return s.Ends.UTC().Format("15:04 MST") }

// Delay is how many seconds a page without script waits before it goes on.
func (s *sheet) Delay() int {
	if s.Busy || s.Code != "" {
		return 5
	}
	return 0
}

// sheetOf begins a page about a visit.
func sheetOf(v *visit) sheet {
	s := sheet{
		Merchant: v.app.Name, Amount: amountText(v), Order: v.payment.OrderID, Style: pathStyle, Script: pathScript,
	}
	s.Test = v.app.App != nil && v.app.App.Mode == merchant.Test
	return s
}

// amountText is the amount as customers read it: with the symbol of its currency, where that has one.
func amountText(v *visit) string {
	a := v.payment.Amount
	if a.Currency() == "INR" {
		return "₹" + a.Grouped()
	}
	if k, known := merchant.CurrencyByCode(a.Currency()); known && len([]rune(k.Symbol)) == 1 {
		return k.Symbol + a.Grouped() + " " + string(a.Currency())
	}
	return string(a.Currency()) + " " + a.Grouped()
}

// label is a method as customers read it.
func label(m merchant.Method) string {
	switch m {
	case merchant.UPI:
		return "UPI"
	case merchant.NetBanking:
		return "Net banking"
	case merchant.DebitCard:
		return "Debit card"
	case merchant.CreditCard:
		return "Credit card"
	case merchant.EWallet:
		return "Wallet"
	case merchant.PayLater:
		return "Pay later"
	case merchant.PayPal:
		return "PayPal"
	}
	return string(m)
}

func hint(m merchant.Method) string {
	switch m {
	case merchant.UPI:
		return "Scan a code, or open your UPI app"
	case merchant.NetBanking:
		return "Log in at your bank"
	case merchant.DebitCard, merchant.CreditCard:
		return "Visa, Mastercard, RuPay and others"
	case merchant.EWallet:
		return "Pay from a wallet's balance"
	case merchant.PayLater:
		return "Pay in parts, or next month"
	case merchant.PayPal:
		return "Log in at PayPal"
	}
	return ""
}

// write answers with a page. form is where its forms may go, for the policy.
func (g *Pages) write(w http.ResponseWriter, status int, s *sheet, form string) {
	var b bytes.Buffer
	if err := g.layout.Execute(&b, s); err != nil {
		g.opts.Logger.Error("a page cannot be rendered", "error", err)
		http.Error(w, "Internal server error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; "+
		"frame-ancestors 'none'; form-action "+form)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "origin") // a gateway may look where its customer comes from; the address of the page is nobody's
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) //nolint:errcheck // the client is gone; see httpapi.Write
}

// writeUPI answers with the page of a UPI link.
func (g *Pages) writeUPI(w http.ResponseWriter, s *sheet, link string) {
	code, err := qrCode(link)
	if err != nil || !strings.HasPrefix(link, "upi://") {
		g.opts.Logger.Error("a UPI link cannot be shown", "error", err)
		g.fail(w, http.StatusInternalServerError, "Something went wrong", "Nothing was charged. Please try again.")
		return
	}
	s.Code, s.UPI = code, template.URL(link) //nolint:gosec // a upi:// link, checked above; the template knows web addresses alone
	s.Reload = strings.TrimSuffix(s.Poll, "/status")
	g.write(w, http.StatusOK, s, "'none'")
}

// quiet is the width of the empty border that readers of QR codes need, in modules.
const quiet = 4

// qrCode draws a text as SVG: one path, a rectangle for each run of dark modules.
func qrCode(text string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("drawing a QR code: %w", err)
	}
	var b strings.Builder
	side := code.Size + 2*quiet
	fmt.Fprintf(&b, `<svg class="qr" role="img" aria-label="QR code for a UPI app" viewBox="0 0 %d %d" shape-rendering="crispEdges">`, side, side)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/><path fill="#000" d="`, side, side)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String()), nil //nolint:gosec // numbers alone
}

// fail answers with a page that only says what went wrong.
func (g *Pages) fail(w http.ResponseWriter, status int, heading, text string) {
	g.write(w, status, &sheet{Title: heading, Heading: heading, Text: text, Style: pathStyle, Script: pathScript}, "'none'")
}

// refuse answers an error with a page that says nothing of its inside.
func (g *Pages) refuse(w http.ResponseWriter, r *http.Request, doing string, err error) {
	if errors.Is(err, errGone) {
		g.fail(w, http.StatusNotFound, "This page is not here", "The link is wrong, or its time is over. Please go back to the shop.")
		return
	}
	g.opts.Logger.Warn("a page could not be served", "request_id", httpapi.From(r.Context()).ID, "doing", doing, "error", err)
	httpapi.RetryAfter(w, time.Second)
	g.fail(w, http.StatusServiceUnavailable, "Please try again", "Something is not answering at the moment. Nothing was charged by opening this page.")
}

// asset serves a file of the pages.
func asset(kind, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "public, max-age=300")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte(body)) //nolint:errcheck // the client is gone
	})
}
