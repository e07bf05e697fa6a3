package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/eventstore"
)

// sourceAudits are the sources as far as their records have passed by, and what their matches say of other records. Those may lie in a partition that is
// read earlier or later, so that they are looked up at the end.
type sourceAudits struct {
	byStream map[string]*reconcile.Audit
	claims   []claim
	groups   []groupClaim
}

// claim is what a match says: that an entry has the amount of a line, on an account that the source mirrored then.
type claim struct {
	entry  reconcile.Place
	by     eventstore.Position // the record of the match
	amount money.Amount
	books  []string // shared by the claims of a record
}

// groupClaim is what a match says of another source: that it has lines of a settlement.
type groupClaim struct {
	by             eventstore.Position
	against, group string
}

func newSourceAudits() sourceAudits { return sourceAudits{byStream: map[string]*reconcile.Audit{}} }

// followSource checks an event of a source against the rules.
func (v *verifier) followSource(r *eventstore.Record, e reconcile.Event) {
	a := v.sources.byStream[r.Stream]
	if a == nil {
		a = reconcile.NewAudit()
		v.sources.byStream[r.Stream] = a
	}
	wrong := a.Follow(e)
	v.note(checkSources, r.Position(), wrong, 1)
	matched, is := e.(*reconcile.Matched)
	if !is || wrong != nil {
		return
	}
	for i := range matched.Items {
		m := &matched.Items[i]
		if m.Group != "" {
			v.sources.groups = append(v.sources.groups, groupClaim{r.Position(), a.Against, m.Group})
		} else if amount, there := a.Amount(m.Line); there {
			v.sources.claims = append(v.sources.claims, claim{m.Entry, r.Position(), amount, a.Books})
		}
	}
}

// near is how many records may lie between two claims that are read at once.
const near = 64

// matched compares what matches say with the records that they name.
func (v *verifier) matched(ctx context.Context, heads []eventstore.Head) error {
	for _, c := range v.sources.groups {
		if of := v.sources.byStream[reconcile.Stream(c.against)]; of == nil || !of.Settles(c.group) {
			v.note(checkSources, c.by, fmt.Errorf("a line is matched with settlement %s, of which source %q has no line", c.group, c.against), 0)
		}
	}
	all := v.sources.claims
	slices.SortFunc(all, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.entry.Partition, b.entry.Partition), cmp.Compare(a.entry.Seq, b.entry.Seq))
	})
	for len(all) > 0 {
		first, n := all[0].entry, 1
		for n < len(all) && all[n].entry.Partition == first.Partition && all[n].entry.Seq-all[n-1].entry.Seq <= near && all[n].entry.Seq-first.Seq < verifyPage {
			n++
		}
		if err := v.compareClaims(ctx, heads, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// compareClaims compares those about records that lie together.
func (v *verifier) compareClaims(ctx context.Context, heads []eventstore.Head, claims []claim) error {
	first, last := claims[0].entry, claims[len(claims)-1].entry
	records := map[int64]*eventstore.Record{}
	if first.Partition < len(heads) {
		read, err := v.log.Read(ctx, first.Partition, first.Seq-1, int(last.Seq-first.Seq)+1)
		if err != nil && !errors.Is(err, eventstore.ErrBroken) { // which the chain says
			return err
		}
		for i := range read {
			records[read[i].Seq] = &read[i]
		}
	}
	for _, c := range claims {
		v.note(checkSources, c.by, c.wrong(records[c.entry.Seq]), 0)
	}
	return nil
}

// wrong tells what is wrong with a claim about a record; nil, too, where the record cannot be read: another check says that.
func (c *claim) wrong(r *eventstore.Record) error {
	if r == nil {
		return fmt.Errorf("a line is matched with entry %s, and there is no such record", c.entry)
	}
	fact, err := DecodeFact(r)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	postings := event.Postings(fact)
	if c.entry.Posting > len(postings) {
		return fmt.Errorf("a line is matched with entry %s, and the record has %d postings", c.entry, len(postings))
	}
	return c.differs(&postings[c.entry.Posting-1])
}

func (c *claim) differs(p *books.Posting) error {
	amount := p.Debit.Sub(p.Credit)
	switch {
	case !slices.Contains(c.books, p.Account):
		return fmt.Errorf("a line is matched with entry %s, which is on %s: the source did not mirror that account", c.entry, p.Account)
	case amount.Currency() != c.amount.Currency(), !amount.Equal(c.amount):
		return fmt.Errorf("a line of %s is matched with entry %s of %s", c.amount, c.entry, amount)
	}
	return nil
}
