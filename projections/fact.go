package projections

import (
	"fmt"
	"strings"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// fact is a record, decoded once for all projections.
type fact struct {
	record   *eventstore.Record
	wallet   wallet.Event     // nil: not a wallet's
	merchant merchant.Event   // nil: not a merchant's, nor an operator's
	batch    batch.Event      // nil: not a payout batch's
	postings []wallet.Posting // of a wallet's event
}

// operator tells an operator's event from a merchant's: both have the same types.
func (f *fact) operator() bool { return strings.HasPrefix(f.record.Stream, "operator:") }

func decode(records []eventstore.Record) ([]fact, error) {
	facts := make([]fact, len(records))
	for i := range records {
		r := &records[i]
		facts[i].record = r
		var err error
		switch kind, _, _ := strings.Cut(r.Stream, ":"); kind {
		case "wallet":
			if facts[i].wallet, err = wallet.Decode(r.Type, r.Schema, r.Data); err == nil {
				facts[i].postings = wallet.Postings(facts[i].wallet)
			}
		case "merchant", "operator":
			facts[i].merchant, err = merchant.Decode(r.Type, r.Schema, r.Data)
		case "batch":
			facts[i].batch, err = batch.Decode(r.Type, r.Schema, r.Data)
		default:
			err = fmt.Errorf("stream %q is of no known kind", r.Stream)
		}
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", r.Position(), err)
		}
	}
	return facts, nil
}
