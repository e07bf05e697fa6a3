package batches_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Three processes, each of which believes that all batches are its own to draw: money trickles in, references are taken by others, batches are
// cancelled. Each item is paid once at most and in order, and nothing stays held.
func TestManyDrawers(t *testing.T) {
	t.Parallel()
	both := atomicTerms
	both.Shortage = batch.QueueShort
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 4))
			w := newWorld(t, "20200")
			var services []*batches.Service
			for i := range 3 {
				s, _ := w.service(fmt.Sprint("work-", i, ".db"), immortal)
				services = append(services, s)
				w.run(s)
			}
			counts := map[string]int{}
			var ids []string
			for i := range 8 {
				terms := []batch.Terms{queueTerms, both, atomicTerms, {Approval: batch.NoApproval}}[random.IntN(4)]
				count := 1 + random.IntN(batch.ChunkSize+30)
				ref := fmt.Sprint("B-", i)
				b, err := w.under(services[i%3], ref, terms, named(fmt.Sprint("B-", i/2), count), count) // each reference twice
				if err != nil {
					t.Fatal(err)
				}
				counts[b.Batch], ids = count, append(ids, b.Batch)
				w.books.adjust(fmt.Sprint(random.IntN(60) * 1010))
				if random.IntN(4) == 0 {
					of := ids[random.IntN(len(ids))]
					_, err := services[i%3].Cancel(t.Context(), ofBatch(of), "no", eventstore.Origin{Actor: "key:maya"})
					if err != nil && domain.CodeOf(err) != domain.Stale { // stale: it has ended
						t.Error(err)
					}
				}
			}
			w.until("all are drawn or ended", func() bool {
				w.books.adjust("5050")
				done := true
				for _, id := range ids {
					b := w.batch(id)
					done = done && (b.Final() || b.AllDrawn())
				}
				return done
			})
			for _, id := range ids {
				w.released(id)
			}
			w.books.settle(wallet.Success)
			held := 0
			for _, id := range ids {
				made, b := w.made(id), w.batch(id)
				if !slices.IsSorted(made) || len(slices.Compact(slices.Clone(made))) != len(made) {
					t.Errorf("%s pays in the order %v", id, made)
				}
				if b.AllDrawn() && len(made)+b.Refused != counts[id] {
					t.Errorf("%s of %d: %d paid, %d refused", id, counts[id], len(made), b.Refused)
				}
				held += len(made)
			}
			w.books.mu.Lock()
			defer w.books.mu.Unlock()
			if got := w.books.wallet.Locked; !got.Equal(inr(fmt.Sprint(held * 1010))) {
				t.Errorf("%s are locked, for %d payouts", got, held)
			}
		})
	}
}
