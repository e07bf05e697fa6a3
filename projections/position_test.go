package projections

import (
	"slices"
	"testing"
)

func TestPositions(t *testing.T) {
	t.Parallel()
	b := newBook(t, 2)
	at := sqlitePlace(t)
	v := b.views(at.open(), at.dialect, Options{})
	seqs, changed := v.Positions()
	if !slices.Equal(seqs, []int64{0, 0}) {
		t.Errorf("before anything was built: %v", seqs)
	}
	for i := range 6 {
		b.fund(benchMerchant(i), "100.00")
	}
	if err := v.Reach(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told that the views moved")
	}
	seqs, _ = v.Positions()
	for p, seq := range seqs {
		if head, err := b.log.Head(t.Context(), p); err != nil || seq != head.Seq || seq == 0 {
			t.Errorf("partition %d: the views stand at %d, the log at %d, %v", p, seq, head.Seq, err)
		}
	}
	seqs[0] = -1 // the caller's own
	if again, _ := v.Positions(); again[0] < 0 {
		t.Error("the answer is shared")
	}
}
