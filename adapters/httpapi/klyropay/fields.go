package klyropay

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

// Bounds of fields, in characters.
const (
	maxName      = 100
	maxReference = 100
	minAccount   = 8
	maxAccount   = 20
	maxWhole     = 13 // digits of an amount before the point: far inside 64 bits of paisa
)

// problem is what is wrong with a field. The text goes on from the field's name: "is required".
type problem struct{ field, text string }

// problems are all that is wrong with a request, in the order of the document's fields.
type problems []problem

func (p *problems) add(field, text string) { *p = append(*p, problem{field, text}) }

// join takes over the fields of a domain.Invalid.
func (p *problems) join(e *domain.Error) {
	for _, field := range slices.Sorted(maps.Keys(e.Details)) {
		p.add(field, e.Details[field])
	}
}

// write answers 422 with all of them: "errors":{"amount":["The amount is required."]}.
func (p problems) write(w http.ResponseWriter) {
	b := []byte(`{"success":false,"message":"` + messageValidation + `","data":null,"errors":{`)
	for i, one := range p {
		if i > 0 {
			b = append(b, ',')
		}
		b = httpapi.AppendString(b, one.field)
		b = httpapi.AppendString(append(b, `:[`...), "The "+one.field+" "+one.text+".")
		b = append(b, ']')
	}
	httpapi.Write(w, http.StatusUnprocessableEntity, append(b, "}}"...))
}

// form reads the fields of a body, and gathers what is wrong with them.
type form struct {
	body     httpapi.Object
	problems problems
}

// text reads a string. An absent field, null and "" are the same: "", a problem only when it is required.
func (f *form) text(field string, required bool) (string, bool) {
	m := f.body.Get(field)
	switch {
	case m.Kind == httpapi.Absent, m.Kind == httpapi.Null, m.Kind == httpapi.String && m.Text == "":
		if required {
			f.problems.add(field, "is required")
		}
		return "", false
	case m.Kind != httpapi.String:
		f.problems.add(field, "must be a string")
		return "", false
	}
	return m.Text, true
}

// ruled reads a string that obeys a rule.
func (f *form) ruled(field string, required bool, fault rule) string {
	s, given := f.text(field, required)
	if !given {
		return s
	}
	if text := fault(s); text != "" {
		f.problems.add(field, text)
	}
	return s
}

// rule says what is wrong with a value that is there, or "". Single payments and the items of batches obey the same ones.
type rule func(s string) string

// nameFault allows a hundred characters of any script.
func nameFault(s string) string {
	switch {
	case strings.TrimSpace(s) == "":
		return "must not be blank"
	case utf8.RuneCountInString(s) > maxName:
		return "must not be longer than 100 characters"
	case strings.ContainsFunc(s, unprintable):
		return "must not contain control characters"
	}
	return ""
}

// unprintable is a control character or one that breaks lines.
func unprintable(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// referenceFault allows ^[\x20-\x2E\x30-\x7E]{1,100}$ (no slash; see webhook-signature.md).
func referenceFault(s string) string {
	if len(s) > maxReference && utf8.RuneCountInString(s) > maxReference {
		return "must not be longer than 100 characters"
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7E || s[i] == '/' {
			return "must be printable ASCII without a slash"
		}
	}
	return ""
}

// phoneFault allows ten digits, the first from 6 to 9.
func phoneFault(s string) string {
	if len(s) != 10 || !digits(s) || s[0] < '6' {
		return "must be a 10-digit mobile number that starts with 6 to 9"
	}
	return ""
}

func accountFault(s string) string {
	if len(s) < minAccount || len(s) > maxAccount || !digits(s) {
		return "must be 8 to 20 digits"
	}
	return ""
}

// ifscFault allows ^[A-Z]{4}0[A-Z0-9]{6}$.
func ifscFault(s string) string {
	if !isIFSC(s) {
		return "must be an IFSC code such as ABCD0123456"
	}
	return ""
}

func transferFault(s string) string {
	if s != imps {
		return `must be "5" (IMPS)`
	}
	return ""
}

func isIFSC(s string) bool {
	if len(s) != 11 || s[4] != '0' {
		return false
	}
	for i := range len(s) {
		letter := s[i] >= 'A' && s[i] <= 'Z'
		digit := s[i] >= '0' && s[i] <= '9'
		if !letter && (i < 4 || !digit) {
			return false
		}
	}
	return true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// amount reads an amount exactly as it is written, and holds it against the tariff. It is zero when there is a problem.
func (f *form) amount(field string, t fee.Tariff, c money.Currency) money.Amount {
	m := f.body.Get(field)
	switch {
	case m.Kind == httpapi.Absent, m.Kind == httpapi.Null, m.Kind == httpapi.String && m.Text == "":
		f.problems.add(field, "is required")
		return money.Zero(c)
	case m.Kind != httpapi.Number && m.Kind != httpapi.String:
		f.problems.add(field, "must be a number")
		return money.Zero(c)
	}
	a, fault := parseAmount(m.Text, c)
	if fault != "" {
		f.problems.add(field, fault)
		return money.Zero(c)
	}
	if fault := boundsFault(a, t); fault != "" {
		f.problems.add(field, fault)
		return money.Zero(c)
	}
	return a
}

// boundsFault holds an amount against the tariff: the domain's words.
func boundsFault(a money.Amount, t fee.Tariff) string {
	err := t.CheckAmount(a)
	if err == nil {
		return ""
	}
	var refusal *domain.Error
	if errors.As(err, &refusal) && refusal.Details["amount"] != "" {
		return refusal.Details["amount"]
	}
	return "is not allowed"
}

// parseAmount reads digits with at most two decimals. It returns what is wrong, or "".
func parseAmount(s string, c money.Currency) (a money.Amount, fault string) {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	switch {
	case !digits(whole) || point && !digits(fraction) || len(whole) > 1 && whole[0] == '0':
		return a, "must be a plain decimal number"
	case len(fraction) > 2:
		return a, "must have at most two decimals"
	case len(whole) > maxWhole:
		return a, "is too large"
	}
	fraction += "00"[len(fraction):]
	minor, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil {
		return a, "is too large"
	}
	if s[0] == '-' {
		minor = -minor
	}
	return money.FromMinor(minor, c), ""
}
