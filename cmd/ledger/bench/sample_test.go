package bench

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)*time.Millisecond)
	}
	l := latenciesOf([]sample{{took: hundred[:50]}, {took: hundred[50:]}})
	for percent, want := range map[float64]float64{0: 1, 1: 1, 50: 50, 99: 99, 100: 100} {
		if got := l.at(percent); got != want {
			t.Errorf("p%v is %v ms, want %v", percent, got, want)
		}
	}
	if got := (latencies{}).at(50); got != 0 {
		t.Errorf("of none: %v", got)
	}
	if got := (latencies{1500 * time.Microsecond}).at(99); got != 1.5 {
		t.Errorf("of one: %v", got)
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		figures []float64
		want    spread
	}{
		{nil, spread{}},
		{[]float64{7}, spread{7, 7, 7}},
		{[]float64{9, 1, 5}, spread{5, 1, 9}},
		{[]float64{4, 1, 2, 9}, spread{3, 1, 9}},
	} {
		if got := spreadOf(c.figures); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.figures, got, c.want)
		}
	}
	if got := ratios([]float64{1, 6, 5}, []float64{2, 3, 0}); !slices.Equal(got, []float64{0.5, 2}) {
		t.Errorf("%v", got) // a limit of nothing has no ratio
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		f        float64
		decimals int
		want     string
	}{
		{0, 0, ""}, {7, 0, "7"}, {999, 0, "999"}, {1000, 0, "1,000"}, {1234567.5, 1, "1,234,567.5"}, {-1000, 0, "-1,000"}, {-100, 0, "-100"}, {0.456, 2, "0.46"},
	} {
		if got := plain(c.f, c.decimals); got != c.want {
			t.Errorf("%v: %q, want %q", c.f, got, c.want)
		}
	}
	if got := figure(2, 1, 3, 0); got != "2 (1-3)" {
		t.Errorf("%q", got)
	}
}

func TestDriveTo(t *testing.T) {
	t.Parallel()
	w := &world{opts: Options{Batch: 1000}}
	for _, total := range []int64{1, 15, 16, 17, 999, 40_000} {
		var done atomic.Int64
		var finished bool
		s, err := w.driveTo(t.Context(), total, func(_ context.Context, _ int, n int) error {
			if n < 1 || n > 1000 {
				t.Errorf("%d at once", n)
			}
			done.Add(int64(n))
			return nil
		}, func(context.Context) error { finished = true; return nil })
		if err != nil || done.Load() != total || s.count != total || !finished {
			t.Errorf("%d of %d, counted %d, finished %v, %v", done.Load(), total, s.count, finished, err)
		}
	}
}

// One caller's error stops all of them, and is the answer.
func TestDriveFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := drive(t.Context(), 8, time.Hour, func(ctx context.Context, caller int) (int64, error) {
		if caller == 3 {
			return 0, broken
		}
		<-ctx.Done()
		return 0, ctx.Err()
	}, nil)
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := drive(ctx, 8, time.Hour, func(context.Context, int) (int64, error) { return 1, nil }, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestGrowSizes(t *testing.T) {
	t.Parallel()
	for upTo, want := range map[int64][]int64{
		500: {500}, 1_000: {1_000}, 20_000: {1_000, 20_000}, 1_000_000: {1_000, 100_000, 1_000_000},
		10_000_000: {1_000, 100_000, 1_000_000, 10_000_000},
	} {
		if got := growSizes(upTo); !slices.Equal(got, want) {
			t.Errorf("up to %d: %v", upTo, got)
		}
	}
}

func TestCutRows(t *testing.T) {
	t.Parallel()
	row := "\x00\x03" + "\x00\x00\x00\x04\x00\x00\x00\x01" + "\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x2a" + "\xff\xff\xff\xff"
	rows, err := cutRows([]byte(row+row+copyTrailer), 1)
	if err != nil || len(rows) != 2 || rows[1].seq != 42 || string(rows[1].bytes) != row {
		t.Fatalf("%+v, %v", rows, err)
	}
	c := bareCopy{data: slices.Clone(rows[0].bytes), seqs: []int64{42}, at: []int{rows[0].at}}
	c.move(1_000)
	if again, err := cutRows(append(c.data, copyTrailer...), 1); err != nil || again[0].seq != 1_042 {
		t.Errorf("%+v, %v", again, err)
	}
	for n := range len(row) { // whatever is missing
		if rows, err := cutRows([]byte(row[:n]), 1); err == nil {
			t.Errorf("%d bytes: %+v", n, rows)
		}
	}
	if _, err := cutRows([]byte(row+copyTrailer), 0); err == nil {
		t.Error("a seq of four bytes was read")
	}
}
