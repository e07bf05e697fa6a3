package bankfile

import (
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
)

// maxDetails bounds the transactions of one entry, which are kept until its end.
const maxDetails = 100_000

// transaction is what a TxDtls says.
type transaction struct {
	amount, ccy, detail, detailCcy, side            string
	bankRef, order, instruction, endToEnd, uetr, id string
	clearing                                        string
	debtor, debtorAccount, creditor                 string
	creditorAccount, text                           string
	remittance                                      []string
}

// entry is what a Ntry says.
type entry struct {
	line                  int
	amount, ccy, side     string
	status, booked, value string
	bankRef, text         string
	details               []transaction
}

// begin takes the begin of an element.
func (r *camtReader) begin(is part) error {
	switch is {
	case stmtPart:
		r.page, r.stmt = &page{line: r.line()}, statement{}
	case balancePart:
		r.balance = balanceRead{}
	case entryPart:
		r.entries++
		r.entry = entry{line: r.line(), details: r.entry.details[:0]}
	case txPart:
		r.tx = transaction{remittance: r.tx.remittance[:0]}
		if most := min(maxDetails, r.o.Limits.Lines-r.lines); len(r.entry.details) >= most {
			return r.inEntry("TxDtls", "there are more than %d lines in the file, or %d in an entry", r.o.Limits.Lines, maxDetails)
		}
	default: // only what holds others
	}
	return nil
}

// once keeps what an element says that stands once.
func (r *camtReader) once(field *string, text string) error {
	if *field != "" {
		return r.inEntry(r.open(), "stands twice")
	}
	*field = text
	return nil
}

// inEntry is what is wrong with the entry that is read.
func (r *camtReader) inEntry(field, format string, args ...any) error {
	e := fault(r.line(), field, format, args...)
	e.Entry = r.entries
	return e
}

// finish takes an element that has ended.
func (r *camtReader) finish(is part, text string) error {
	switch is {
	case stmtPart:
		return r.finishStatement()
	case balancePart:
		return r.finishBalance()
	case entryPart:
		return r.finishEntry()
	case txPart:
		tx := r.tx
		tx.remittance = append([]string(nil), r.tx.remittance...)
		r.entry.details = append(r.entry.details, tx)
		return nil
	default: // holds text
	}
	if text == "" && is != entryAmount && is != balanceAmount && is != txAmount {
		return nil
	}
	switch {
	case is >= txPart:
		return r.ofTransaction(is, text)
	case is >= entryPart:
		return r.ofEntry(is, text)
	}
	return r.ofStatement(is, text)
}

func (r *camtReader) ofEntry(is part, text string) error {
	e := &r.entry
	switch is {
	case entryAmount:
		e.ccy = r.ccy
		return r.once(&e.amount, text)
	case entrySide:
		return r.once(&e.side, text)
	case entryStatus:
		return r.once(&e.status, text)
	case entryBooked:
		return r.once(&e.booked, text)
	case entryValue:
		return r.once(&e.value, text)
	case entryBankRef:
		return r.once(&e.bankRef, text)
	case entryText:
		e.text = text
	default: // finish has sent it elsewhere
	}
	return nil
}

func (r *camtReader) ofTransaction(is part, text string) error {
	x := &r.tx
	switch is {
	case txAmount:
		x.ccy = r.ccy
		return r.once(&x.amount, text)
	case txAmountDetail:
		x.detail, x.detailCcy = text, r.ccy
	case txSide:
		return r.once(&x.side, text)
	case txBankRef:
		x.bankRef = noReference(text)
	case txOrder:
		x.order = noReference(text)
	case txInstruction:
		x.instruction = noReference(text)
	case txEndToEnd:
		x.endToEnd = noReference(text)
	case txUETR:
		x.uetr = text
	case txID:
		x.id = noReference(text)
	case txClearing:
		x.clearing = noReference(text)
	case txDebtor:
		x.debtor = text
	case txDebtorAccount:
		x.debtorAccount = text
	case txCreditor:
		x.creditor = text
	case txCreditorAccount:
		x.creditorAccount = text
	case txRemittance:
		if len(x.remittance) < 64 {
			x.remittance = append(x.remittance, text)
		}
	case txText:
		x.text = text
	default: // finish has sent it elsewhere
	}
	return nil
}

// finishEntry makes lines of an entry: one, or one for each of its transactions where these make up its amount.
func (r *camtReader) finishEntry() error {
	e := &r.entry
	r.stmt.entries++
	side, ok := sign(e.side)
	switch {
	case e.status == "":
		return r.inEntry("Sts", "is missing")
	case e.amount == "":
		return r.inEntry("Amt", "is missing")
	case !ok:
		return r.inEntry("CdtDbtInd", "is neither CRDT nor DBIT")
	}
	currency, err := r.inCurrency(e.ccy, "Amt")
	if err != nil {
		return err
	}
	amount, problem := xmlAmount(e.amount, currency)
	if problem != "" {
		return r.inEntry("Amt", "%s", problem)
	}
	line := reconcile.Line{Fee: money.Zero(currency), Tax: money.Zero(currency), Amount: signedBy(amount, side)}
	if line.Booked, ok = r.date(e.booked); e.booked != "" && !ok {
		return r.inEntry("BookgDt", "is not a date as 2024-03-31")
	}
	if line.Date, ok = r.date(e.value); e.value != "" && !ok {
		return r.inEntry("ValDt", "is not a date as 2024-03-31")
	}
	if e.status != "BOOK" {
		return nil // pending or for information: the account has not moved
	}
	if line.Date.IsZero() {
		line.Date = line.Booked
	}
	if line.Date.IsZero() {
		return r.inEntry("ValDt", "is missing, and so is BookgDt")
	}
	r.page.sum = r.page.sum.Add(line.Amount)
	parts, err := r.parts(line.Amount, side)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		var only transaction
		if len(e.details) == 1 {
			only = e.details[0]
		}
		for i := range e.details { // the amount is theirs as a whole: so is what all say alike
			if i > 0 && e.details[i].order == e.details[0].order {
				only.order = e.details[i].order
			}
		}
		return r.add(line, &only, side)
	}
	for i, a := range parts {
		one := line
		one.Amount = a
		e.bankRef = "" // that of all of them together
		if err := r.add(one, &e.details[i], side); err != nil {
			return err
		}
	}
	return nil
}

// parts are the amounts of an entry's transactions, signed; none unless each says its own and all of them make the entry's.
func (r *camtReader) parts(whole money.Amount, side int) ([]money.Amount, error) {
	if len(r.entry.details) < 2 {
		return nil, nil
	}
	currency, sum := whole.Currency(), money.Zero(whole.Currency())
	parts := make([]money.Amount, 0, len(r.entry.details))
	for i := range r.entry.details {
		x := &r.entry.details[i]
		text, ccy := x.amount, x.ccy
		if text == "" || ccy != string(currency) {
			text, ccy = x.detail, x.detailCcy
		}
		if text == "" || ccy != string(currency) {
			return nil, nil
		}
		a, problem := xmlAmount(text, currency)
		if problem != "" {
			return nil, r.inEntry("TxDtls "+itoa(i+1)+", Amt", "%s", problem)
		}
		own := side
		if x.side != "" {
			var ok bool
			if own, ok = sign(x.side); !ok {
				return nil, r.inEntry("TxDtls "+itoa(i+1)+", CdtDbtInd", "is neither CRDT nor DBIT")
			}
		}
		a = signedBy(a, own)
		parts, sum = append(parts, a), sum.Add(a)
	}
	if !sum.Equal(whole) {
		return nil, nil
	}
	return parts, nil
}

// add adds a line with what its transaction says.
func (r *camtReader) add(line reconcile.Line, x *transaction, side int) error {
	if r.lines++; r.lines > r.o.Limits.Lines {
		return r.inEntry("Ntry", "the file has more than %d lines", r.o.Limits.Lines)
	}
	line.Number = r.lines
	if x.side != "" {
		side, _ = sign(x.side) // parts has checked it, or it is not used but for the other side
	}
	account, name := x.debtorAccount, x.debtor
	if side < 0 {
		account, name = x.creditorAccount, x.creditor
	}
	line.Tail = tailOf(account)
	line.Reference = firstOf(x.endToEnd, x.instruction, x.order)
	line.Gateway = firstOf(x.bankRef, noReference(r.entry.bankRef))
	texts := make([]string, 0, 4+len(x.remittance))
	for _, s := range append([]string{r.entry.text, x.text, name}, x.remittance...) {
		if s != "" {
			texts = append(texts, s)
		}
	}
	line.Narration = strings.Join(texts, " ")
	if len(line.Narration) > 4*r.o.Limits.Field {
		return r.inEntry("RmtInf", "has more than %d bytes", 4*r.o.Limits.Field)
	}
	for _, s := range []string{line.Reference, line.Gateway, x.id, x.clearing, x.uetr} {
		if len(s) > maxText {
			return r.inEntry("Refs", "has a reference of more than %d bytes", maxText)
		}
	}
	for _, find := range []func() string{
		func() string { return r.utrs.find("", x.clearing) },
		func() string { return r.utrs.find("", x.id) },
		func() string {
			return r.utrs.find(line.Narration, x.endToEnd, x.instruction, x.bankRef, r.entry.bankRef)
		},
		func() string { return x.uetr },
	} {
		if line.UTR = find(); line.UTR != "" {
			break
		}
	}
	r.page.lines = append(r.page.lines, line)
	return nil
}

func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

// sign is 1 for a credit. The indicator is that of the entry itself, also where it reverses another (RvslInd): a reversed credit is a debit.
func sign(side string) (int, bool) {
	switch side {
	case "CRDT":
		return 1, true
	case "DBIT":
		return -1, true
	}
	return 0, false
}

func signedBy(a money.Amount, side int) money.Amount {
	if side < 0 {
		return a.Neg()
	}
	return a
}

// xmlAmount reads 1234.5: no sign, no grouping, no exponent.
func xmlAmount(s string, c money.Currency) (money.Amount, string) {
	whole, fraction, point := strings.Cut(s, ".")
	if !allDigits(whole) || point && !allDigits(fraction) {
		return money.Amount{}, notAmount
	}
	return numerals{decimal: '.'}.parse(s, c)
}

// date reads 2024-03-31, or the day of a time: as it is written, or in Options.Zone where the time has an offset.
func (r *camtReader) date(s string) (time.Time, bool) {
	if len(s) < 10 || len(s) > 40 {
		return time.Time{}, false
	}
	if d := s[:10]; s[4] != '-' || s[7] != '-' || !allDigits(d[:4]) || !allDigits(d[5:7]) || !allDigits(d[8:]) {
		return time.Time{}, false
	}
	written, ok := day(two(s)*100+two(s[2:]), time.Month(two(s[5:])), two(s[8:]))
	rest := s[10:]
	switch {
	case !ok:
		return written, false
	case rest == "", rest == "Z", len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':': // xs:date may have a zone
		return written, true
	}
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		if r.o.Zone != nil {
			return sane(midnight(at.In(r.o.Zone)))
		}
		return written, true
	}
	_, err := time.Parse("2006-01-02T15:04:05.999999999", s)
	return written, err == nil
}
