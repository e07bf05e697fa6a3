package bankfile

import (
	"strings"

	"github.com/khata-ledger/khata/domain/money"
)

// balanceRead is what a Bal says.
type balanceRead struct {
	kind, amount, ccy, side string
}

// dated is a balance and the line of its end.
type dated struct {
	line   int
	amount money.Amount
}

// statement is what a Stmt says beside its entries.
type statement struct {
	balances map[string]dated // by kind
	interim  []dated          // of pages
	currency string           // of the account
	count    string           // of entries
	pageNo   string
	last     string
	entries  int
}

func (r *camtReader) ofStatement(is part, text string) error {
	switch is {
	case messageLast:
		if text == "false" || text == "0" {
			return fault(r.line(), "MsgPgntn", "the message goes on in another file: reading a part of it is refused")
		}
	case stmtPage:
		return r.once(&r.stmt.pageNo, text)
	case stmtLast:
		return r.once(&r.stmt.last, text)
	case stmtAccount:
		return r.once(&r.page.account, text)
	case stmtCurrency:
		return r.once(&r.stmt.currency, text)
	case stmtCount:
		return r.once(&r.stmt.count, text)
	case balanceKind:
		return r.once(&r.balance.kind, text)
	case balanceAmount:
		r.balance.ccy = r.ccy
		return r.once(&r.balance.amount, text)
	case balanceSide:
		return r.once(&r.balance.side, text)
	default: // finish has sent it elsewhere
	}
	return nil
}

// inCurrency checks the currency of an amount, which must be that of all of the statement.
func (r *camtReader) inCurrency(ccy, field string) (money.Currency, error) {
	c := money.Currency(ccy)
	if _, known := c.Exponent(); !known {
		return c, r.inEntry(field, "is in a currency that the ledger does not know, or in none")
	}
	if r.page.currency == "" {
		if r.stmt.currency != "" && r.stmt.currency != ccy {
			return c, r.inEntry(field, "is in another currency than the account")
		}
		r.page.currency, r.page.sum = c, money.Zero(c)
	}
	if c != r.page.currency {
		return c, r.inEntry(field, "is in another currency than the statement")
	}
	return c, nil
}

func (r *camtReader) finishBalance() error {
	b := &r.balance
	bad := func(field, format string, args ...any) error { return fault(r.line(), field, format, args...) }
	if b.kind != "OPBD" && b.kind != "CLBD" && b.kind != "PRCD" && b.kind != "ITBD" {
		return nil // available, expected and others: not what is booked
	}
	side, ok := sign(b.side)
	switch {
	case !ok:
		return bad("Bal, CdtDbtInd", "is neither CRDT nor DBIT")
	case r.stmt.entries > 0 && r.page.currency == "":
		return bad("Bal", "stands behind entries without a currency")
	}
	currency, err := r.inCurrency(b.ccy, "Bal, Amt")
	if err != nil {
		return err
	}
	amount, problem := xmlAmount(b.amount, currency)
	if problem != "" {
		return bad("Bal, Amt", "%s", problem)
	}
	is := dated{line: r.line(), amount: signedBy(amount, side)}
	if b.kind == "ITBD" {
		if r.stmt.interim = append(r.stmt.interim, is); len(r.stmt.interim) > 1000 {
			return bad("Bal", "there are more than 1000 interim balances")
		}
		return nil
	}
	if before, twice := r.stmt.balances[b.kind]; twice {
		if !before.amount.Equal(is.amount) {
			return bad("Bal", "%s is another balance than on line %d", b.kind, before.line)
		}
		return nil
	}
	if r.stmt.balances == nil {
		r.stmt.balances = map[string]dated{}
	}
	r.stmt.balances[b.kind] = is
	return nil
}

// finishStatement checks a whole Stmt. Opening is OPBD, or the closing balance of the statement before (PRCD); closing is CLBD; between pages they
// are interim ones (ITBD).
func (r *camtReader) finishStatement() error {
	p, s := r.page, &r.stmt
	if p.account == "" {
		return fault(p.line, "Acct", "has neither IBAN nor another number")
	}
	p.bare = p.account
	if p.currency == "" {
		if p.currency = money.Currency(s.currency); s.currency == "" {
			return fault(p.line, "Stmt", "has neither balance nor entry: its currency is not known")
		}
		if _, known := p.currency.Exponent(); !known {
			return fault(p.line, "Ccy", "is a currency that the ledger does not know")
		}
		p.sum = money.Zero(p.currency)
	}
	opening, opened := s.balances["OPBD"]
	if !opened {
		opening, opened = s.balances["PRCD"]
	}
	if !opened && len(s.interim) > 0 {
		opening, opened, s.interim = s.interim[0], true, s.interim[1:]
	}
	closing, closed := s.balances["CLBD"]
	if !closed && len(s.interim) > 0 {
		closing, closed = s.interim[len(s.interim)-1], true
	}
	if opened {
		p.opening, p.opened = opening.amount, opening.line
	}
	if closed {
		p.closing, p.closed = closing.amount, closing.line
	}
	switch {
	case opened && closed:
		if sum := p.opening.Add(p.sum); !sum.Equal(p.closing) {
			return fault(p.closed, "Bal", "the closing balance is %s, but the opening balance and the entries make %s", p.closing.Fixed(), sum.Fixed())
		}
	case s.count != "":
		if n, ok := digitsOf(s.count, "", 0); !ok || n != int64(s.entries) {
			return fault(p.line, "TxsSummry", "says another number of entries than the %d that are there", s.entries)
		}
	}
	p.continued = s.pageNo != "" && strings.TrimLeft(s.pageNo, "0") != "1"
	p.intermitted = s.last == "false" || s.last == "0"
	p.sequence = s.pageNo
	if len(r.pages) == maxPages {
		return fault(p.line, "Stmt", "the file holds more than %d statements", maxPages)
	}
	r.pages = append(r.pages, p)
	r.page = nil
	return nil
}
