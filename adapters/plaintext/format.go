package plaintext

import (
	"fmt"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// Format is how a journal is written.
type Format string

// The formats.
const (
	HLedger   Format = "hledger"
	Beancount Format = "beancount"
	Ledger    Format = "ledger" // the program of that name
	CSV       Format = "csv"
	JSON      Format = "json"
)

// shape is a format at work. What is appended to b is written; name gives an account's name before any other.
type shape struct {
	begin    func(b []byte, w *Written, o *Options) []byte
	name     func(account string) string
	account  func(b []byte, a *Account) []byte
	currency func(b []byte, c money.Currency) []byte
	entry    func(b []byte, e *Entry) []byte
	// end is told the balances at the end as lines, and the last date.
	end func(b []byte, w *Written, closing []Line, last time.Time) []byte
}

func (f Format) shape() (shape, error) {
	switch f {
	case HLedger:
		return hledgerShape(), nil
	case Ledger:
		return ledgerShape(), nil
	case Beancount:
		return beancountShape(), nil
	case CSV:
		return csvShape(), nil
	case JSON:
		return jsonShape(), nil
	}
	return shape{}, fmt.Errorf("%q is no format of a journal", string(f))
}

// preamble says what the file is, as comments.
func preamble(b []byte, w *Written, o *Options) []byte {
	b = fmt.Appendf(b, "; The journal of ledger %s.\n", w.Ledger)
	if o.Merchant != "" {
		b = fmt.Appendf(b, "; Of merchant %s alone.\n", word(o.Merchant))
	}
	if !o.From.IsZero() {
		b = fmt.Appendf(b, "; From value date %s on, behind one transaction of opening balances.\n", o.From.In(o.Zone).Format(time.DateOnly))
	}
	if !o.Until.IsZero() {
		b = fmt.Appendf(b, "; To value date %s, inclusive.\n", o.Until.Add(-1).In(o.Zone).Format(time.DateOnly))
	}
	b = fmt.Appendf(b, "; Dates are value dates, days in %s; what is late for a closed period has the first day behind it, and says so. The order is that of recording.\n", o.Zone)
	for _, h := range w.Heads {
		b = fmt.Appendf(b, "; Log of partition %d up to %d:%d, hash %s\n", h.Partition, h.Partition, h.Seq, h.Hash)
	}
	return append(b, '\n')
}

// word is a text that means nothing to any of the programs: one word, in which nothing ends, begins or quotes.
func word(s string) string {
	return strings.Map(func(c rune) rune {
		if letterOrDigit(c) || strings.ContainsRune("_-./@+#", c) {
			return c
		}
		return '-'
	}, s)
}

// instant is an exact time.
func instant(b []byte, t time.Time) []byte {
	return t.AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
}

func date(b []byte, t time.Time) []byte { return t.AppendFormat(b, time.DateOnly) }

// amount is "-12.50 INR".
func amount(b []byte, a money.Amount) []byte {
	b = a.AppendFixed(b)
	b = append(b, ' ')
	return append(b, a.Currency()...)
}
