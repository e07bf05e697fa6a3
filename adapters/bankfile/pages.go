package bankfile

import (
	"strings"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
)

// maxPages bounds the messages or statements of a file.
const maxPages = 20_000

// page is one message of MT940, or one statement of camt.053: a whole statement, or a part of one.
type page struct {
	line                   int    // on which it begins
	account, bare          string // as the file says it, and without what is not the account
	number, sequence       string
	currency               money.Currency
	opening, closing       money.Amount
	opened, closed         int  // lines of the balances; 0: not there
	continued, intermitted bool // begins or ends within a statement: 60M, 62M
	sum                    money.Amount
	lines                  []reconcile.Line
}

// together makes one statement of the pages of one account. Each must begin with the balance that the one before it ended with.
func together(pages []*page, o *Options) (reconcile.Statement, error) {
	pages, err := ofAccount(pages, o)
	if err != nil {
		return reconcile.Statement{}, err
	}
	first, last := pages[0], pages[len(pages)-1]
	s := reconcile.Statement{
		Account: askedFor(o.Account, first.bare), Currency: first.currency, Opening: money.Zero(first.currency), Closing: money.Zero(first.currency), Balanced: true,
		Lines: first.lines,
	}
	for i, p := range pages {
		if i == 0 {
			if p.continued {
				return s, fault(p.line, "", "this is a page within a statement, whose first page is not in the file")
			}
		} else if err := follows(pages[i-1], p); err != nil {
			return s, err
		}
		if i > 0 {
			s.Lines = append(s.Lines, p.lines...)
		}
		s.Balanced = s.Balanced && p.opened > 0 && p.closed > 0
	}
	if last.intermitted {
		return s, fault(max(last.closed, last.line), "", "another page of the statement must follow, and is not in the file: it was cut off")
	}
	if s.Balanced {
		s.Opening, s.Closing = first.opening, last.closing
	}
	return s, nil
}

// follows says whether a page may stand behind another.
func follows(before, p *page) error {
	switch {
	case before.intermitted != p.continued:
		return fault(p.line, "", "the statement of line %d says otherwise whether another page of it follows", before.line)
	case before.intermitted && before.number != p.number:
		return fault(p.line, "", "this is another statement than that of line %d, which goes on", before.line)
	case before.intermitted && before.sequence != "" && p.sequence != "" && !succeeds(before.sequence, p.sequence):
		return fault(p.line, "", "this is not the page that follows that of line %d", before.line)
	case before.closed > 0 && p.opened > 0 && !before.closing.Equal(p.opening):
		return fault(p.opened, "", "the opening balance is %s, but the statement of line %d ended with %s: statements are missing between them, or they "+
			"are not in their order", p.opening.Fixed(), before.line, before.closing.Fixed())
	}
	return nil
}

// succeeds says whether a page number is the other's successor.
func succeeds(before, after string) bool {
	a, okA := digitsOf(before, "", 0)
	b, okB := digitsOf(after, "", 0)
	return !okA || !okB || b == a+1
}

// ofAccount picks the pages of the account that is wanted. Without a wish there must be one account.
func ofAccount(pages []*page, o *Options) ([]*page, error) {
	var mine []*page
	var others []string
	seen := map[string]bool{}
	for _, p := range pages {
		name := p.account + " in " + string(p.currency)
		if !seen[name] && len(others) < 20 {
			seen[name] = true
			others = append(others, shown(name))
		}
		if (o.Account == "" || SameAccount(p.account, o.Account) || SameAccount(p.bare, o.Account)) &&
			(o.Currency == "" || p.currency == o.Currency) {
			mine = append(mine, p)
		}
	}
	if len(mine) == 0 {
		wanted := o.Account
		if o.Currency != "" {
			wanted = strings.TrimSpace(wanted + " in " + string(o.Currency))
		}
		return nil, fault(pages[0].line, "", "the file has no statement of account %s, but of %s", shown(wanted), strings.Join(others, ", "))
	}
	for _, p := range mine {
		if !SameAccount(p.account, mine[0].account) || p.currency != mine[0].currency {
			return nil, fault(p.line, "", "the file holds statements of several accounts, say which is wanted: %s", strings.Join(others, ", "))
		}
	}
	return mine, nil
}

// bareAccount is an account as :25: and others give it, without the bank before it and the currency behind it.
func bareAccount(s string, c money.Currency) string {
	if i := strings.LastIndexByte(s, '/'); i >= 0 && i+1 < len(s) {
		s = s[i+1:]
	}
	if bare := strings.TrimSpace(strings.TrimSuffix(s, string(c))); strings.ContainsAny(bare, "0123456789") {
		s = bare
	}
	return strings.TrimSpace(s)
}
