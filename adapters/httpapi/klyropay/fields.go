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

// name reads a name of at most a hundred characters of any script.
func (f *form) name(field string, required bool) string {
	s, given := f.text(field, required)
	switch {
	case !given:
	case strings.TrimSpace(s) == "":
		f.problems.add(field, "must not be blank")
	case utf8.RuneCountInString(s) > maxName:
		f.problems.add(field, "must not be longer than 100 characters")
	case strings.ContainsFunc(s, unprintable):
		f.problems.add(field, "must not contain control characters")
	}
	return s
}

// unprintable is a control character or one that breaks lines.
func unprintable(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// reference reads an id that the merchant chose: ^[\x20-\x2E\x30-\x7E]{1,100}$ (no slash; see webhook-signature.md).
func (f *form) reference(field string) string {
	s, _ := f.text(field, false)
	if len(s) > maxReference && utf8.RuneCountInString(s) > maxReference {
		f.problems.add(field, "must not be longer than 100 characters")
		return s
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7E || s[i] == '/' {
			f.problems.add(field, "must be printable ASCII without a slash")
			break
		}
	}
	return s
}

// phone reads ten digits, the first from 6 to 9.
func (f *form) phone(field string) string {
	s, given := f.text(field, true)
	if given && (len(s) != 10 || !digits(s) || s[0] < '6') {
		f.problems.add(field, "must be a 10-digit mobile number that starts with 6 to 9")
	}
	return s
}

func (f *form) account(field string) string {
	s, given := f.text(field, true)
	if given && (len(s) < minAccount || len(s) > maxAccount || !digits(s)) {
		f.problems.add(field, "must be 8 to 20 digits")
	}
	return s
}

// ifsc reads ^[A-Z]{4}0[A-Z0-9]{6}$.
func (f *form) ifsc(field string) string {
	s, given := f.text(field, true)
	if given && !isIFSC(s) {
		f.problems.add(field, "must be an IFSC code such as ABCD0123456")
	}
	return s
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
	if err := t.CheckAmount(a); err != nil {
		f.refused(field, err)
		return money.Zero(c)
	}
	return a
}

// refused takes over the domain's problem with a field.
func (f *form) refused(field string, err error) {
	text := "is not allowed"
	var refusal *domain.Error
	if errors.As(err, &refusal) && refusal.Details[field] != "" {
		text = refusal.Details[field]
	}
	f.problems.add(field, text)
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
