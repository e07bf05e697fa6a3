package plaintext

import (
	"fmt"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// opened is the day on which accounts are opened: before any value date, since the oldest one is not known when the first account is
// written.
const opened = "1900-01-01"

// beancountShape writes what `bean-check` accepts.
func beancountShape() shape {
	return shape{
		begin: func(b []byte, w *Written, o *Options) []byte {
			b = preamble(b, w, o)
			return fmt.Appendf(b, "option \"title\" \"Journal of ledger %s\"\n", w.Ledger)
		},
		name: beancountName,
		account: func(b []byte, a *Account) []byte {
			b = append(append(append(b, opened...), " open "...), a.Written...)
			b = append(b, "\n  account: \""...)
			for _, c := range []byte(a.Name) {
				if c == '"' || c == '\\' || c < ' ' {
					c = '-'
				}
				b = append(b, c)
			}
			return append(b, "\"\n"...)
		},
		currency: func(b []byte, c money.Currency) []byte {
			b = append(append(append(b, opened...), " commodity "...), c...)
			return fmt.Appendf(b, "\noption \"operating_currency\" %q\n", string(c))
		},
		entry: beancountEntry,
		end:   beancountBalances,
	}
}

// beancountEntry has the subject as a link: it joins the transactions of one payment.
func beancountEntry(b []byte, e *Entry) []byte {
	b = append(b, '\n')
	b = date(b, e.PostedAt)
	if e.Opening {
		b = append(b, " * \"opening balances\"\n"...)
		return beancountLines(b, e.Lines)
	}
	subject := word(e.Subject)
	b = fmt.Appendf(b, " * %q \"%s %s\" ^%s\n", payee(e), word(e.Event), subject, link(subject))
	key := func(name string) { b = append(append(append(b, "  "...), name...), ": \""...) }
	value := func(name, v string) { key(name); b = append(append(b, v...), "\"\n"...) }
	value("position", e.Position.String())
	value(tagEvent, word(e.Event))
	value(tagSubject, subject)
	key(tagValueAt)
	b = append(instant(b, e.ValueAt), "\"\n"...)
	key(tagRecorded)
	b = append(instant(b, e.RecordedAt), "\"\n"...)
	value(tagEventID, e.EventID.String())
	if e.LateFor != "" {
		value(tagLate, word(e.LateFor))
	}
	for _, r := range e.References {
		value(r.Name, word(r.Value))
	}
	return beancountLines(b, e.Lines)
}

// link is a word that a link can be.
func link(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !letterOrDigit(rune(c)) && c != '_' && c != '.' {
			b[i] = '-'
		}
	}
	return string(b)
}

func beancountLines(b []byte, list []Line) []byte {
	for _, l := range list {
		b = append(append(append(b, "  "...), l.Account.Written...), "  "...)
		b = append(amount(b, l.Amount), '\n')
	}
	return b
}

// beancountBalances asserts the balances of our own books, exactly, at the beginning of the day after the last one.
func beancountBalances(b []byte, _ *Written, closing []Line, last time.Time) []byte {
	b = append(b, '\n')
	next := last.AddDate(0, 0, 1)
	for _, l := range closing {
		b = date(b, next)
		b = append(append(append(b, " balance "...), l.Account.Written...), "  "...)
		b = l.Amount.AppendFixed(b)
		b = append(b, " ~ "...)
		b = append(amount(b, money.Zero(l.Amount.Currency())), '\n')
	}
	return b
}
