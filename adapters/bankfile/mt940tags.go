package bankfile

import (
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
)

// finish takes over the tag that was being read.
func (r *mtReader) finish() error {
	tag, value := r.tag, string(r.value)
	r.tag, r.value = "", r.value[:0]
	if tag == "" {
		return nil
	}
	if tag == "86" {
		return r.finishEntry(value)
	}
	if r.entry != nil {
		if err := r.finishEntry(""); err != nil {
			return err
		}
	}
	bad := func(format string, args ...any) error { return fault(r.at, ":"+tag+":", format, args...) }
	if tag == "20" {
		if r.page != nil {
			if r.blocks {
				return bad("a message begins, and that of line %d has not ended", r.page.line)
			}
			if err := r.closePage(); err != nil {
				return err
			}
		}
		r.page = &page{line: r.at}
		return nil
	}
	p := r.page
	if tag == "61" {
		if p.opened == 0 || p.closed > 0 {
			return bad("must stand between the opening and the closing balance")
		}
		return r.line61(value, bad)
	}
	if strings.Contains(value, "\n") && tag != "NS" {
		return bad("goes on in the next line, which is none of it")
	}
	switch tag {
	case "25", "25P":
		if p.account != "" || value == "" {
			return bad("must say one account, once")
		}
		p.account = strings.TrimSpace(value)
	case "28", "28C":
		p.number, p.sequence, _ = strings.Cut(strings.TrimSpace(value), "/")
	case "60F", "60M":
		if p.opened > 0 || p.closed > 0 {
			return bad("stands twice in its message")
		}
		p.opened, p.continued = r.at, tag == "60M"
		var err error
		if p.opening, err = mtBalance(value, bad); err == nil {
			p.currency, p.sum = p.opening.Currency(), money.Zero(p.opening.Currency())
		}
		return err
	case "62F", "62M":
		if p.closed > 0 || p.opened == 0 {
			return bad("must stand behind the opening balance, once")
		}
		p.closed, p.intermitted = r.at, tag == "62M"
		var err error
		if p.closing, err = mtBalance(value, bad); err == nil && p.closing.Currency() != p.currency {
			return bad("is in another currency than the opening balance")
		}
		return err
	case "34F", "90C", "90D":
		return bad("is a tag of MT942, a report within the day, not of a statement: ask the bank for MT940")
	}
	return nil // 13, 21, 64, 65, NS and what banks add: none of it moves money, which the balances prove
}

// mtBalance reads "C240331INR1234,56".
func mtBalance(s string, bad func(string, ...any) error) (money.Amount, error) {
	s = strings.TrimSpace(s)
	if len(s) < 11 {
		return money.Amount{}, bad("is no balance, such as C240331INR1234,56")
	}
	if _, ok := mtDate(s[1:7]); !ok {
		return money.Amount{}, bad("has no date")
	}
	currency := money.Currency(s[7:10])
	if _, known := currency.Exponent(); !known {
		return money.Amount{}, bad("is in a currency that the ledger does not know")
	}
	a, problem := mtAmount(s[10:], currency)
	switch {
	case problem != "":
		return a, bad("%s", problem)
	case s[0] == 'D':
		return a.Neg(), nil
	case s[0] != 'C':
		return a, bad("begins with neither C nor D")
	}
	return a, nil
}

// mtAmount reads "1234,56": the comma must be there.
func mtAmount(s string, c money.Currency) (money.Amount, string) {
	whole, fraction, comma := strings.Cut(s, ",")
	if !comma || !allDigits(whole) || fraction != "" && !allDigits(fraction) {
		return money.Amount{}, "has no amount such as 1234,56"
	}
	return numerals{decimal: ','}.parse(s, c)
}

// mtDate reads YYMMDD: 80 to 99 are of the last century, as SWIFT has it.
func mtDate(s string) (time.Time, bool) {
	if len(s) != 6 || !allDigits(s) {
		return time.Time{}, false
	}
	year := 2000 + two(s)
	if year >= 2080 {
		year -= 100
	}
	return day(year, time.Month(two(s[2:])), two(s[4:]))
}

func two(s string) int { return int(s[0]-'0')*10 + int(s[1]-'0') }

// entryDate is the day that MMDD means beside a value date: that of the nearest year, so that a value of 31 December may be entered in January.
func entryDate(s string, value time.Time) (time.Time, bool) {
	var best time.Time
	for _, year := range []int{value.Year(), value.Year() - 1, value.Year() + 1} {
		at, ok := day(year, time.Month(two(s)), two(s[2:]))
		if ok && (best.IsZero() || at.Sub(value).Abs() < best.Sub(value).Abs()) {
			best = at
		}
	}
	return best, !best.IsZero()
}

// line61 reads the line of a statement: value date, entry date, direction, amount, kind and references.
func (r *mtReader) line61(value string, bad func(string, ...any) error) error {
	if r.count++; r.count > r.o.Limits.Lines {
		return bad("the file has more than %d lines", r.o.Limits.Lines)
	}
	first, extra, _ := strings.Cut(value, "\n")
	rest := first
	line := reconcile.Line{Number: r.at}
	var ok bool
	if len(rest) < 6 {
		return bad("has no value date")
	}
	if line.Date, ok = mtDate(rest[:6]); !ok {
		return bad("has no value date such as 240331")
	}
	if rest = rest[6:]; len(rest) >= 4 && allDigits(rest[:4]) {
		if line.Booked, ok = entryDate(rest[:4], line.Date); !ok {
			return bad("has no entry date such as 0331")
		}
		rest = rest[4:]
	}
	negative := false
	switch {
	case strings.HasPrefix(rest, "RC"): // a credit taken back
		negative, rest = true, rest[2:]
	case strings.HasPrefix(rest, "RD"):
		rest = rest[2:]
	case strings.HasPrefix(rest, "C"):
		rest = rest[1:]
	case strings.HasPrefix(rest, "D"):
		negative, rest = true, rest[1:]
	default:
		return bad("says no direction: C, D, RC or RD")
	}
	if rest != "" && rest[0] >= 'A' && rest[0] <= 'Z' { // third letter of the currency
		rest = rest[1:]
	}
	end := 0
	for end < len(rest) && (rest[end] >= '0' && rest[end] <= '9' || rest[end] == ',') {
		end++
	}
	a, problem := mtAmount(rest[:end], r.page.currency)
	if problem != "" {
		return bad("%s", problem)
	}
	if negative {
		a = a.Neg()
	}
	line.Amount = a
	line.Fee, line.Tax = money.Zero(r.page.currency), money.Zero(r.page.currency)
	if rest = rest[end:]; len(rest) < 4 || rest[0] < 'A' || rest[0] > 'Z' {
		return bad("has no kind such as NTRF behind its amount")
	}
	ours, theirs, _ := strings.Cut(rest[4:], "//")
	r.refs = [2]string{noReference(ours), noReference(theirs)}
	for _, s := range r.refs {
		if len(s) > maxText {
			return bad("has a reference of more than %d bytes", maxText)
		}
	}
	line.Reference, line.Gateway = r.refs[0], r.refs[1]
	r.page.sum = r.page.sum.Add(a)
	r.entry, r.extra = &line, strings.ReplaceAll(extra, "\n", " ")
	return nil
}

// noReference takes off what banks write where they have none.
func noReference(s string) string {
	s = strings.TrimSpace(s)
	switch strings.ToUpper(s) {
	case "NONREF", "NOTPROVIDED", "NOT PROVIDED", "NOREF", "NONE":
		return ""
	}
	return s
}

// finishEntry adds a line to its page, with what :86: says of it. Without a line, the text is about the whole message.
func (r *mtReader) finishEntry(text string) error {
	if r.entry == nil {
		return nil
	}
	line := r.entry
	r.entry = nil
	d := details(text)
	if d.reference != "" {
		line.Reference = d.reference
	}
	line.Tail = tailOf(d.account)
	line.Narration = strings.TrimSpace(strings.Join([]string{d.text, r.extra}, " "))
	if line.UTR = d.utr; line.UTR == "" {
		line.UTR = r.utrs.find(line.Narration, r.refs[0], r.refs[1], d.reference)
	}
	r.page.lines = append(r.page.lines, *line)
	return nil
}
