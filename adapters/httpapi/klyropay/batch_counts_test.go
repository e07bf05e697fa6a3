package klyropay_test

import (
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/batch"
)

// A batch that was cancelled before it was whole ("never received whole", or by hand: lists show it as processing) has fewer items in
// the views than it announced. Its counts must add up to its count all the same, and it is not "in progress" for ever.
func TestCountsOfABatchThatNeverWasWhole(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, batchBody).want(t, 202, batchData("processing"))
	h := s.works.batches[0] // what projections.BatchTally says it tells then: the items that were received
	h.state.Status, h.state.Reason, h.state.Decided = batch.Cancelled, "never received whole", "system:batches"
	h.items = h.items[:1]
	h.items[0].Status = "cancelled"
	got := s.send("GET", firstBatch, "").body
	if !strings.Contains(got, `"cancelled":2}`) || !strings.Contains(got, `"progress":100`) {
		t.Errorf("count is 2:\n%s", got)
	}
}
