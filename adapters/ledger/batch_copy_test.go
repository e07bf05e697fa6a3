package ledger

import (
	"testing"

	"github.com/khata-ledger/khata/eventstore/executor"
)

// The stream of a batch of 100,000 items is the longest in bytes that there is (some 60 MB). Without Copy each conflict with a
// second process, while items are added or chunks are noted, makes the executor read and fold all of it again.
func TestBatchStateSurvivesAConflict(t *testing.T) {
	if _, is := any(&batchState{}).(executor.Copier); !is {
		t.Error("batchState is no executor.Copier")
	}
}
