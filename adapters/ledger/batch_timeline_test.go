package ledger_test

import (
	"slices"
	"testing"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// A replay of a batch shows what was held for it: see ADR 11.
func TestReplayOfABatchShowsItsHolds(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(1))
	b.fund(merchantA, "txn_fund", "1000")
	s := b.announce("bat_1", 2, batch.Terms{Approval: batch.NoApproval, Mode: batch.Atomic})
	s.hold(0, 2)
	s.do(batch.Cancel{Base: s.by("key:maker"), Reason: "no"})
	b.submit(wallet.ReleaseBatch{Base: s.base(), Done: true})
	var types []string
	if err := b.Timeline(t.Context(), "bat_1", func(m ledger.Moment) error {
		types = append(types, m.Type)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"batch.submitted", "batch.items", "batch.held", "batch.cancelled", "batch.released"}; !slices.Equal(types, want) {
		t.Errorf("it shows %v, want %v", types, want)
	}
}
