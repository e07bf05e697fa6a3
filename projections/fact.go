package projections

import (
	"fmt"
	"strings"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// fact is a record, decoded once for all projections.
type fact struct {
	record   *eventstore.Record
	wallet   wallet.Event    // nil: not a wallet's
	merchant merchant.Event  // nil: not a merchant's, nor an operator's
	batch    batch.Event     // nil: not a payout batch's
	books    books.Event     // nil: not the general ledger's
	postings []books.Posting // of the event, whatever it is about
}

// operator tells an operator's event from a merchant's: both have the same types.
func (f *fact) operator() bool { return strings.HasPrefix(f.record.Stream, "operator:") }

func decode(records []eventstore.Record) ([]fact, error) {
	facts := make([]fact, len(records))
	for i := range records {
		r := &records[i]
		facts[i].record = r
		e, err := event.Decode(r.Stream, r.Type, r.Schema, r.Data)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", r.Position(), err)
		}
		facts[i].postings = event.Postings(e)
		switch e := e.(type) {
		case wallet.Event:
			facts[i].wallet = e
		case merchant.Event:
			facts[i].merchant = e
		case batch.Event:
			facts[i].batch = e
		case books.Event:
			facts[i].books = e
		}
	}
	return facts, nil
}
