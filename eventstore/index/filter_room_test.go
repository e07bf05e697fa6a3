package index

import "testing"

// TestFilterRoom: a hot partition takes what the others leave, and gives back what is left for it no more.
func TestFilterRoom(t *testing.T) {
	x := New(DB{}, Options{FilterBytes: 8 * blockBytes})
	runs := func(blocks ...int) (all []*run) {
		for _, n := range blocks {
			all = append(all, &run{filter: make(filter, n)})
		}
		return all
	}
	blocks := func(runs []*run) (n int) {
		for _, r := range runs {
			n += len(r.filter)
		}
		return n
	}
	hot, other, idle := x.at(0), x.at(1), x.at(2)
	for _, step := range []struct {
		p    *partition
		runs []*run
		want int
	}{
		{hot, runs(4, 1, 2), 7},
		{idle, nil, 0},
		{hot, runs(5, 1, 2), 8},
		{hot, runs(6, 1, 2), 3}, // the largest is left out
		{hot, runs(5, 1, 2), 8},
		{other, runs(1, 1), 2}, // its share
		{other, runs(3, 1), 1}, // no more than that is left
		{hot, runs(5, 1, 2), 3},
		{other, runs(3, 1), 4},
		{hot, runs(2, 2, 1), 3},
	} {
		before := blocks(step.runs)
		got := step.p.affordable(step.runs)
		if n := blocks(got); n != step.want || len(got) != len(step.runs) {
			t.Errorf("partition %d with %d blocks: %d of %d runs keep %d, want %d", step.p.n, blocks(step.runs), len(got), len(step.runs), n, step.want)
		}
		if blocks(step.runs) != before {
			t.Error("runs that somebody may be reading were changed")
		}
	}
	other.drop()
	if got := blocks(hot.affordable(runs(5, 1, 2))); got != 8 {
		t.Errorf("%d blocks after another partition forgot its own", got)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}
