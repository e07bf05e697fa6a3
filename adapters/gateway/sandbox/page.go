package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
)

// The pages that a customer sees at the faces. They load nothing, and work without scripts: the one script presses the one button of the
// page that leads back.

const pageStyle = `:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:0;background:Canvas;color:CanvasText}
main{max-width:30rem;margin:0 auto;padding:1rem}h1{font-size:1.4rem;margin:.5rem 0}dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:1rem 0}
dt{opacity:.75}dd{margin:0;overflow-wrap:anywhere}dd.amount{font-weight:700;font-size:1.2rem}fieldset{border:1px solid GrayText;border-radius:.5rem;margin:0 0 1rem;padding:.5rem 1rem 1rem}
label{display:block;margin-top:.5rem}label.choice{padding:.5rem 0}input:not([type=radio]),select{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.6rem;margin-top:.2rem}
button,.button{display:block;width:100%;box-sizing:border-box;font:inherit;font-weight:600;text-align:center;padding:.8rem;margin:.6rem 0;border-radius:.5rem;border:2px solid #1a56c4;color:#1a56c4;background:#fff;text-decoration:none;cursor:pointer}
button.main{background:#1a56c4;color:#fff}:focus-visible{outline:3px solid #e08a00;outline-offset:2px}[role=alert]{border-left:.3rem solid #b3261e;padding:.3rem .8rem}.note{font-size:.9rem;opacity:.8}
@supports selector(:has(a)){.of{display:none}form:has([data-kind=card]:checked) .of-card,form:has([data-kind=netbanking]:checked) .of-netbanking,form:has([data-kind=wallet]:checked) .of-wallet,form:has([data-kind=upi]:checked) .of-upi{display:block}}`

const pageScript = `document.getElementById("return").submit()`

const pageSource = `{{define "head"}}<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.}}</title><style>` + pageStyle + `</style></head>
<body><main>{{end}}
{{define "pay"}}{{template "head" .Title}}<h1>{{.Title}}</h1><p class="note">A sandbox: no money moves here.</p>
{{with .Problem}}<p role="alert">{{.}}</p>{{end}}
<dl>{{with .Payee}}<dt>To</dt><dd>{{.}}</dd>{{end}}{{with .Purpose}}<dt>For</dt><dd>{{.}}</dd>{{end}}<dt>Order</dt><dd>{{.Order}}</dd><dt>Amount</dt><dd class="amount">{{.Amount}}</dd></dl>
<form method="post" action="{{.Action}}" id="pay-form">
<fieldset><legend>Pay with</legend>{{range .Methods}}
<label class="choice"><input type="radio" name="method" value="{{.Value}}" data-kind="{{.Kind}}" id="method-{{.Value}}" required{{if .Checked}} checked{{end}}> {{.Label}}</label>{{end}}</fieldset>
{{if .Has "card"}}<fieldset class="of of-card"><legend>Card</legend>
<label>Card number <input name="card_number" id="card_number" inputmode="numeric" autocomplete="off" value="4111 1111 1111 1111" maxlength="30"></label>
<label>Valid until (MM/YY) <input name="card_expiry" id="card_expiry" autocomplete="off" value="12/49" maxlength="7"></label>
<label>Security code <input name="card_cvv" id="card_cvv" inputmode="numeric" autocomplete="off" value="123" maxlength="4"></label>
<label>One-time password (fewer than 4 digits fail) <input name="otp" id="otp" inputmode="numeric" autocomplete="off" value="1111" maxlength="10"></label></fieldset>{{end}}
{{if .Has "netbanking"}}<fieldset class="of of-netbanking"><legend>Net banking</legend><label>Bank <select name="bank" id="bank">{{range .Banks}}<option value="{{.Value}}">{{.Label}}</option>{{end}}</select></label></fieldset>{{end}}
{{if .Has "wallet"}}<fieldset class="of of-wallet"><legend>Wallet</legend><label>Wallet <select name="wallet" id="wallet">{{range .Wallets}}<option value="{{.Value}}">{{.Label}}</option>{{end}}</select></label></fieldset>{{end}}
{{if .Has "upi"}}<fieldset class="of of-upi"><legend>UPI</legend><label>UPI ID <input name="vpa" id="vpa" autocomplete="off" value="{{.VPA}}" maxlength="100"></label></fieldset>{{end}}
<button class="main" name="action" value="pay" id="pay">Pay {{.Amount}}</button>
<button name="action" value="decline" id="decline">Decline</button>{{if .Cancel}}
<a class="button" href="{{.Cancel}}" id="cancel">Cancel</a>{{else if .CancelButton}}
<button name="action" value="cancel" id="cancel">Cancel</button>{{end}}
</form></main></body></html>{{end}}
{{define "return"}}{{template "head" "Back to the merchant"}}<h1>Back to the merchant</h1><p>If nothing happens, go on by the button.</p>
<form method="post" action="{{.URL}}" id="return">{{range .Fields}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">{{end}}<button class="main" id="continue">Continue</button></form>
</main><script>` + pageScript + `</script></body></html>{{end}}
{{define "problem"}}{{template "head" "This cannot be paid"}}<h1>This cannot be paid</h1><p role="alert">{{.}}</p></main></body></html>{{end}}`

// payPage is where the customer pays.
type payPage struct {
	Title        string
	Payee        string
	Purpose      string
	Order        string
	Amount       string // with its currency
	Problem      string // with what was typed
	Action       string // path that the form goes to
	Cancel       string // path of a link; "" is none
	CancelButton bool   // instead of a link
	Methods      []payMethod
	Banks        []option
	Wallets      []option
	VPA          string
}

// payMethod is one that the customer can choose.
type payMethod struct {
	Value, Label string
	Kind         string // card, netbanking, wallet, upi
	Checked      bool
}

type option struct{ Value, Label string }

// Has tells whether some method needs the fields of a kind.
func (p payPage) Has(kind string) bool {
	for _, m := range p.Methods {
		if m.Kind == kind {
			return true
		}
	}
	return false
}

// returnPage leads the browser back with a form.
type returnPage struct {
	URL    string
	Fields []formField
}

type formField struct{ Name, Value string }

func hashSource(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// writePage writes one of the pages.
func (b *Bank) writePage(w http.ResponseWriter, status int, name string, data any) {
	var out bytes.Buffer
	if err := b.pages.ExecuteTemplate(&out, name, data); err != nil {
		b.fail(w, err)
		return
	}
	policy := "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; style-src " + hashSource(pageStyle)
	switch name {
	case "pay":
		policy += "; form-action 'self'"
	case "return":
		// No form-action: browsers hold it against every redirect that follows, and where the merchant's server sends the customer on is
		// not known here.
		policy += "; script-src " + hashSource(pageScript)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(out.Bytes()) //nolint:errcheck // who went away comes again
}

// parsePages makes the templates of the pages.
func parsePages() *template.Template { return template.Must(template.New("").Parse(pageSource)) }

// pageProblem is shown instead of a page.
func (b *Bank) pageProblem(w http.ResponseWriter, status int, problem string) {
	b.writePage(w, status, "problem", problem)
}
