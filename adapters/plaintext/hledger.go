package plaintext

import (
	"fmt"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
)

// hledgerShape writes what `hledger check --strict` accepts: accounts, their types, commodities and tags are declared.
func hledgerShape() shape {
	return shape{
		begin: func(b []byte, w *Written, o *Options) []byte {
			b = append(preamble(b, w, o), "decimal-mark .\n"...)
			return declareTags(b)
		},
		name: plainName,
		account: func(b []byte, a *Account) []byte {
			letter := 'E' // equity
			switch a.Type {
			case books.Asset:
				letter = 'A'
			case books.Liability:
				letter = 'L'
			case books.Income: // revenue
				letter = 'R'
			}
			return fmt.Appendf(b, "account %s  ; type: %c\n", a.Written, letter)
		},
		currency: func(b []byte, c money.Currency) []byte {
			thousand := "1000."
			if exp, _ := c.Exponent(); exp > 0 {
				thousand += strings.Repeat("0", int(exp))
			}
			return fmt.Appendf(b, "commodity %s %s\n", thousand, c)
		},
		entry: func(b []byte, e *Entry) []byte { return transaction(b, e, " | ") },
		end:   assertions,
	}
}

// ledgerShape writes what `ledger --pedantic` accepts.
func ledgerShape() shape {
	return shape{
		begin: func(b []byte, w *Written, o *Options) []byte { return declareTags(preamble(b, w, o)) },
		name:  plainName,
		account: func(b []byte, a *Account) []byte {
			return fmt.Appendf(b, "account %s\n", a.Written)
		},
		currency: func(b []byte, c money.Currency) []byte {
			thousand := "1000"
			if exp, _ := c.Exponent(); exp > 0 {
				thousand += "." + strings.Repeat("0", int(exp))
			}
			return fmt.Appendf(b, "commodity %s\n    format %s %s\n", c, thousand, c)
		},
		entry: func(b []byte, e *Entry) []byte { return transaction(b, e, "  ; ") },
		end:   assertions,
	}
}

// The tags of every transaction, beside its references.
const (
	tagSubject  = "subject"
	tagEvent    = "event"
	tagValueAt  = "value_at"
	tagRecorded = "recorded_at"
	tagEventID  = "event_id"
	tagLate     = "late_for" // of what is dated behind its value date
)

func declareTags(b []byte) []byte {
	for _, tag := range append([]string{tagSubject, tagEvent, tagValueAt, tagRecorded, tagEventID, tagLate}, referenceNames()...) {
		b = fmt.Appendf(b, "tag %s\n", tag)
	}
	return b
}

// transaction writes an entry in the syntax that hledger and ledger share. The position is its code. Behind the payee, which is the
// merchant, a separator begins the note.
func transaction(b []byte, e *Entry, note string) []byte {
	b = append(b, '\n')
	b = date(b, e.PostedAt)
	if e.Opening {
		b = append(b, " * opening balances\n"...)
		return lines(b, e.Lines)
	}
	b = fmt.Appendf(b, " * (%s) %s%s%s %s\n", e.Position, payee(e), note, word(e.Event), word(e.Subject))
	tag := func(name string) { b = append(append(append(b, "    ; "...), name...), ": "...) }
	value := func(name, v string) { tag(name); b = append(append(b, v...), '\n') }
	value(tagEvent, word(e.Event))
	value(tagSubject, word(e.Subject))
	tag(tagValueAt)
	b = append(instant(b, e.ValueAt), '\n')
	tag(tagRecorded)
	b = append(instant(b, e.RecordedAt), '\n')
	value(tagEventID, e.EventID.String())
	if e.LateFor != "" {
		value(tagLate, word(e.LateFor))
	}
	for _, r := range e.References {
		value(r.Name, word(r.Value))
	}
	return lines(b, e.Lines)
}

// payee is the merchant, or the platform.
func payee(e *Entry) string {
	if e.Merchant == "" {
		return "platform"
	}
	return word(e.Merchant)
}

func lines(b []byte, list []Line) []byte {
	for _, l := range list {
		b = append(append(append(b, "    "...), l.Account.Written...), "    "...)
		b = append(amount(b, l.Amount), '\n')
	}
	return b
}

// assertions end the file with the balances of our own books: the program refuses the file when it comes to others.
func assertions(b []byte, _ *Written, closing []Line, last time.Time) []byte {
	if len(closing) == 0 {
		return b
	}
	b = append(b, '\n')
	b = append(date(b, last), " * balances asserted\n"...)
	for _, l := range closing {
		b = append(append(append(b, "    "...), l.Account.Written...), "    "...)
		b = append(amount(b, money.Zero(l.Amount.Currency())), " = "...)
		b = append(amount(b, l.Amount), '\n')
	}
	return b
}
