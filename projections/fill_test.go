package projections

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/khata-ledger/khata/eventstore"
)

// failing is a log of which one read fails: the first one behind a position, once it is armed.
type failing struct {
	Log
	behind int64
	armed  atomic.Bool
	failed atomic.Bool
}

func (f *failing) Read(ctx context.Context, p int, after int64, limit int) ([]eventstore.Record, error) {
	if after >= f.behind && f.armed.CompareAndSwap(true, false) {
		f.failed.Store(true)
		return nil, errAway
	}
	return f.Log.Read(ctx, p, after, limit)
}

// A build gives the same views wherever its transactions end, and also when one of them is cut short: payments that were pending then, and
// those that the cache has forgotten, are gone on with.
func TestABuildDoesNotDependOnItsTransactions(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		b.wanderFar(11, 700)
		head, err := b.log.Head(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, batch := range []int{1, 3, 10, 10_000} { // a transaction on PostgreSQL holds spanStretches of them
			t.Run(fmt.Sprint(batch), func(t *testing.T) {
				log := &failing{Log: b.log, behind: head.Seq / 2}
				opts := quick
				opts.Batch = batch
				v, err := Open(t.Context(), at.open(), at.dialect, log, b.tail, opts)
				if err != nil {
					t.Fatal(err)
				}
				done := int64(0)
				if err := v.Rebuild(t.Context(), nil, func(now, total int64) {
					if now < done || now > total {
						t.Errorf("%d of %d after %d", now, total, done)
					}
					if done = now; !log.failed.Load() {
						log.armed.Store(true)
					}
				}); err != nil {
					t.Fatal(err)
				}
				if done != head.Seq {
					t.Errorf("the progress ends at %d of %d", done, head.Seq)
				}
				if batch < 100 && !log.failed.Load() {
					t.Error("no read has failed")
				}
				b.equalToFold(v)
				findings, err := v.Check(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range findings {
					if f.Fault || f.Absent {
						t.Errorf("%+v", f)
					}
				}
			})
		}
	})
}
