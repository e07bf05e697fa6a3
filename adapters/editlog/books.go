package editlog

import (
	"time"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/eventstore"
)

// booksEntry is about the general ledger: every event of it is an edit, and nobody's but the platform's. An adjustment has a maker and a checker.
func (s *state) booksEntry(r *eventstore.Record) (*Entry, error) {
	fact, err := books.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		return nil, err
	}
	e, err := head(r)
	if err != nil {
		return nil, err
	}
	e.Merchant = ""
	before := booksFields(&s.books)
	s.books.Evolve(fact)
	e.Changes = changes(before, booksFields(&s.books))
	switch f := fact.(type) {
	case *books.Closed:
		e.Actor = f.Actor
	case *books.ReopenRequested:
		e.Actor, e.Reason = f.Actor, f.Reason
	case *books.Reopened:
		e.Actor, e.Reason = f.Requested+", "+f.Actor, f.Reason
	case *books.Adjusted:
		e.Actor, e.Reason, e.Amount, e.Currency = f.Maker+", "+f.Checker, f.Reason, f.Amount.Fixed(), string(f.Currency)
		e.Changes = []Change{{"debit_account", "", f.Debit}, {"credit_account", "", f.Credit}}
	}
	return e, nil
}

// booksFields are how far the books are closed, by which close, and who has asked to undo that.
func booksFields(b *books.Books) fields {
	f := fields{{"closed_up_to", ""}, {"closed_period", ""}, {"reopening", ""}}
	if last, closed := b.Last(); closed {
		f = f.with("closed_up_to", last.To.UTC().Format(time.RFC3339)).with("closed_period", last.Name)
	}
	if b.Request != nil {
		f = f.with("reopening", "asked for by "+b.Request.Actor)
	}
	return f
}
