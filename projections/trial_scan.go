package projections

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Imbalance is the first record that a trial balance counts whose own postings do not balance: since a record is counted with all of its
// postings or not at all, that is where the books stop to sum to zero. Excess is debits less credits.
type Imbalance struct {
	Position eventstore.Position
	Excess   money.Amount
}

// trialPage is how many records are read at once.
const trialPage = 5000

// FirstImbalance reads the log for the first record, by the time of recording, at which a trial balance does not sum to zero. False when every
// record that it counts balances: then the view of the journal is not what the log says, and must be rebuilt.
func (v *Views) FirstImbalance(ctx context.Context, t *TrialBalance) (Imbalance, bool, error) {
	var first Imbalance
	var since eventstore.Record
	found := false
	for _, upTo := range t.Positions {
		err := v.eachUpTo(ctx, upTo, func(f *fact) bool {
			excess, wrong := t.imbalance(f)
			if !wrong {
				return false
			}
			if !found || f.record.RecordedAt.Before(since.RecordedAt) {
				first, since, found = Imbalance{f.record.Position(), excess}, *f.record, true
			}
			return true
		})
		if err != nil {
			return Imbalance{}, false, fmt.Errorf("look for the first record that does not balance: %w", err)
		}
	}
	return first, found, nil
}

// eachUpTo calls f with the records of a partition up to a position, until it has enough.
func (v *Views) eachUpTo(ctx context.Context, upTo eventstore.Position, f func(*fact) (enough bool)) error {
	read := func(ctx context.Context, after int64, limit int) ([]eventstore.Record, error) {
		return v.log.Read(ctx, upTo.Partition, after, limit)
	}
	if upTo.Seq == 0 {
		return nil
	}
	return eventstore.EachPage(ctx, 0, trialPage, read, func(records []eventstore.Record) (bool, error) {
		facts, err := decode(records)
		if err != nil {
			return false, err
		}
		for i := range facts {
			if facts[i].record.Seq > upTo.Seq || f(&facts[i]) {
				return true, nil
			}
		}
		return false, nil
	})
}

// imbalance is what the postings of a record that is counted do not sum to zero by.
func (t *TrialBalance) imbalance(f *fact) (money.Amount, bool) {
	date := f.record.EffectiveAt
	if t.By == ByRecording {
		date = f.record.RecordedAt
	}
	if date.After(t.At) || f.record.RecordedAt.After(t.KnownAt) {
		return money.Amount{}, false
	}
	excess := sumPostings(f.postings)
	for _, c := range slices.Sorted(maps.Keys(excess)) {
		if !excess[c].IsZero() {
			return excess[c], true
		}
	}
	return money.Amount{}, false
}

// sumPostings sums debits less credits, by currency.
func sumPostings(postings []wallet.Posting) map[money.Currency]money.Amount {
	sums := map[money.Currency]money.Amount{}
	for _, p := range postings {
		c := p.Debit.Currency()
		if _, there := sums[c]; !there {
			sums[c] = money.Zero(c)
		}
		sums[c] = sums[c].Add(p.Debit).Sub(p.Credit)
	}
	return sums
}
