package bankfile

import (
	"strings"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
)

// cell reads an amount; given is false where there is none.
func (t *table) cell(number int, cells []string, column int) (a money.Amount, given bool, err error) {
	a = money.Zero(t.currency)
	if column < 0 || blankValue(cells[column]) {
		return a, false, nil
	}
	a, problem := t.n.parse(cells[column], t.currency)
	if problem != "" {
		return a, false, fault(number, t.l.name(column), "%s", problem)
	}
	return a, true, nil
}

// amount is what a line says of its amount, signed; given is false where all of it is blank.
func (t *table) amount(number int, cells []string) (a money.Amount, given bool, err error) {
	l := t.l
	amount, hasAmount, err := t.cell(number, cells, l.amount)
	if err != nil {
		return a, false, err
	}
	if l.debit >= 0 {
		return t.sides(number, cells, amount, hasAmount)
	}
	if !hasAmount {
		return a, false, nil
	}
	if l.direction < 0 {
		if t.m.Sign == "debit" && !spellsSide(cells[l.amount]) {
			amount = amount.Neg()
		}
		return amount, true, nil
	}
	if amount.Sign() < 0 {
		return a, false, fault(number, l.name(l.amount), "is negative, though %s says the direction", l.name(l.direction))
	}
	switch word := fold(cells[l.direction]); {
	case t.debits[word] && !t.credit[word]:
		return amount.Neg(), true, nil
	case t.credit[word] && !t.debits[word]:
		return amount, true, nil
	}
	return a, false, fault(number, l.name(l.direction), "says neither debit nor credit")
}

// spellsSide says whether an amount has Cr or Dr behind it, which needs no convention of signs.
func spellsSide(s string) bool {
	s = strings.ToLower(strings.Trim(s, " .()"))
	return strings.HasSuffix(s, "cr") || strings.HasSuffix(s, "dr")
}

// sides is the amount by the columns debit and credit.
func (t *table) sides(number int, cells []string, gross money.Amount, hasGross bool) (a money.Amount, given bool, err error) {
	l := t.l
	debit, hasDebit, err := t.cell(number, cells, l.debit)
	if err != nil {
		return a, false, err
	}
	credit, hasCredit, err := t.cell(number, cells, l.credit)
	if err != nil {
		return a, false, err
	}
	switch {
	case debit.Sign() < 0:
		return a, false, fault(number, l.name(l.debit), "is negative")
	case credit.Sign() < 0:
		return a, false, fault(number, l.name(l.credit), "is negative")
	case debit.Sign() > 0 && credit.Sign() > 0:
		return a, false, fault(number, l.name(l.credit), "and %s both have an amount", l.name(l.debit))
	case !hasDebit && !hasCredit && !hasGross:
		return a, false, nil
	case !hasGross:
		return credit.Sub(debit), hasDebit || hasCredit, nil
	case gross.Sign() < 0:
		return a, false, fault(number, l.name(l.amount), "is negative, though %s and %s say the direction", l.name(l.debit), l.name(l.credit))
	case debit.Sign() > 0:
		return gross.Neg(), true, nil
	}
	return gross, true, nil // where both are zero, net tells whether the charges took all of it
}

// charges are a line's fee, without its tax, and its tax.
func (t *table) charges(number int, cells []string) (fee, tax money.Amount, err error) {
	if fee, _, err = t.cell(number, cells, t.l.fee); err != nil {
		return fee, tax, err
	}
	if tax, _, err = t.cell(number, cells, t.l.tax); err != nil {
		return fee, tax, err
	}
	if t.m.FeeIncludesTax {
		fee = fee.Sub(tax)
	}
	return fee, tax, nil
}

// net checks the line of a gateway that has its amount before and after charges.
func (t *table) net(number int, cells []string, line *reconcile.Line) error {
	l := t.l
	if l.debit < 0 || l.amount < 0 {
		return nil
	}
	debit, _, err := t.cell(number, cells, l.debit)
	if err != nil {
		return err
	}
	credit, _, err := t.cell(number, cells, l.credit)
	if err != nil {
		return err
	}
	if moved := credit.Sub(debit); !line.Net().Equal(moved) {
		return fault(number, l.name(l.amount), "is %s, which without fee %s and tax %s is %s, but the line moves %s",
			line.Amount.Fixed(), line.Fee.Fixed(), line.Tax.Fixed(), line.Net().Fixed(), moved.Fixed())
	}
	return nil
}

// balanceAlone takes a record without an amount: it states a balance, or it is a mistake.
func (t *table) balanceAlone(number int, cells []string, narration string) error {
	l := t.l
	name := fold(narration)
	if l.balance >= 0 && !blankValue(cells[l.balance]) {
		groups := []string{"", cells[l.balance]}
		for _, words := range []string{"openingbalance", "balancebf", "bf", "broughtforward", "balancebroughtforward"} {
			if name == words {
				return t.state(&t.opening, number, l.name(l.balance), groups)
			}
		}
		for _, words := range []string{"closingbalance", "balancecf", "cf", "carriedforward", "balancecarriedforward"} {
			if name == words {
				return t.state(&t.closing, number, l.name(l.balance), groups)
			}
		}
	}
	field := l.name(max(l.amount, 0))
	if l.debit >= 0 {
		field = l.name(l.debit) + " and " + l.name(l.credit)
	}
	return fault(number, field, "is blank: the line has no amount")
}

// statement is what the whole file says, once all of it agrees.
func (t *table) statement() (reconcile.Statement, error) {
	s := reconcile.Statement{Account: t.account, Currency: t.currency, Lines: t.lines, Opening: money.Zero(t.currency), Closing: money.Zero(t.currency)}
	if t.o.Account != "" && t.account != "" && !SameAccount(t.account, t.o.Account) {
		return s, fault(t.spoken, "", "the file is of account %s, not of %s", shown(t.account), shown(t.o.Account))
	}
	s.Account = askedFor(t.o.Account, t.account)
	if err := t.states(); err != nil {
		return s, err
	}
	if len(t.lines) == 0 && t.opening.line == 0 {
		if len(t.others) > 0 {
			return s, fault(0, "", "the file has no line of account %s", shown(t.o.Account))
		}
		return s, fault(0, "", "the table has no lines")
	}
	if t.count.line > 0 && t.count.number != len(t.lines) {
		return s, fault(t.count.line, "count_pattern", "the file says that it has %d lines, and has %d", t.count.number, len(t.lines))
	}
	if err := t.running(); err != nil {
		return s, err
	}
	if t.opening.line > 0 && t.closing.line > 0 {
		sum := t.opening.amount
		for i := range t.lines {
			sum = sum.Add(t.lines[i].Net())
		}
		if !sum.Equal(t.closing.amount) {
			return s, fault(t.closing.line, t.closing.field, "the closing balance is %s, but the opening balance and the lines make %s",
				t.closing.amount.Fixed(), sum.Fixed())
		}
		s.Balanced, s.Opening, s.Closing = true, t.opening.amount, t.closing.amount
	}
	return s, nil
}

// states refuses a file that lacks what the mapping says it states.
func (t *table) states() error {
	for _, p := range []struct {
		pattern string
		is      stated
		name    string
	}{{t.m.OpeningPattern, t.opening, "opening_pattern"}, {t.m.ClosingPattern, t.closing, "closing_pattern"}, {t.m.CountPattern, t.count, "count_pattern"}} {
		if p.pattern != "" && p.is.line == 0 {
			return fault(0, p.name, "is found nowhere: the file is another, or was cut off")
		}
	}
	if t.m.AccountPattern != "" && t.account == "" {
		return fault(0, "account_pattern", "is found nowhere: the file is another, or was cut off")
	}
	return nil
}

// running checks the balance behind each line, whether the oldest line is the first or the last, and takes opening and closing balance from
// them.
func (t *table) running() error {
	if len(t.balances) == 0 {
		return nil
	}
	up, upAt := t.oldestFirst()
	down, downAt := t.newestFirst()
	first, last := t.lines[0].Date, t.lines[len(t.lines)-1].Date
	switch {
	case upAt < 0 && (downAt >= 0 || !first.After(last)):
		return t.take(up.opening, up.closing, 0, len(t.lines)-1)
	case downAt < 0:
		return t.take(down.opening, down.closing, len(t.lines)-1, 0)
	}
	at, is := upAt, up.broken
	if downAt > upAt || downAt == upAt && first.After(last) {
		at, is = downAt, down.broken
	}
	return fault(t.lines[at].Number, t.l.name(t.l.balance), "the balance is %s, but with the lines before it makes %s", is[0].Fixed(), is[1].Fixed())
}

// ends are the balances that a running balance leads to, and where it breaks: what is there, and what should be.
type ends struct {
	opening, closing money.Amount
	broken           [2]money.Amount
}

// oldestFirst goes down the file. The index of the line that breaks it, or -1.
func (t *table) oldestFirst() (e ends, at int) {
	sum, next := money.Zero(t.currency), 0
	for i := range t.lines {
		sum = sum.Add(t.lines[i].Net())
		if next == len(t.balances) || t.balances[next].line != i {
			continue
		}
		is := t.balances[next].is
		if next++; next == 1 {
			e.opening = is.Sub(sum)
			continue
		}
		if want := e.opening.Add(sum); !want.Equal(is) {
			e.broken = [2]money.Amount{is, want}
			return e, i
		}
	}
	e.closing = e.opening.Add(sum)
	return e, -1
}

// newestFirst does so for a file whose last line is the oldest: the balance behind a line has all lines below it.
func (t *table) newestFirst() (e ends, at int) {
	sum, next := money.Zero(t.currency), 0 // of the lines above
	for i := range t.lines {
		if next < len(t.balances) && t.balances[next].line == i {
			is := t.balances[next].is
			next++
			if next == 1 {
				e.closing = is.Add(sum)
			} else if want := e.closing.Sub(sum); !want.Equal(is) {
				e.broken = [2]money.Amount{is, want}
				return e, i
			}
		}
		sum = sum.Add(t.lines[i].Net())
	}
	e.opening = e.closing.Sub(sum)
	return e, -1
}

// take compares the balances that the lines lead to with those that are stated, and takes over what is not, unless lines before the first
// balance or behind the last are vouched for by none.
func (t *table) take(opening, closing money.Amount, firstLine, lastLine int) error {
	whole := t.balances[0].line == 0 && t.balances[len(t.balances)-1].line == len(t.lines)-1
	for _, b := range []struct {
		of   *stated
		is   money.Amount
		line int
		what string
	}{{&t.opening, opening, firstLine, "before this line"}, {&t.closing, closing, lastLine, "behind this line"}} {
		number := t.lines[b.line].Number
		if b.of.line > 0 && !b.of.amount.Equal(b.is) {
			return fault(number, t.l.name(t.l.balance), "the balance %s is %s, but line %d says %s", b.what, b.is.Fixed(), b.of.line, b.of.amount.Fixed())
		}
		if b.of.line == 0 && whole {
			*b.of = stated{line: number, field: t.l.name(t.l.balance), amount: b.is}
		}
	}
	return nil
}
