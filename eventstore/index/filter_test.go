package index

import (
	"math/rand/v2"
	"testing"
)

// TestFilter: what was added is found, and little else.
func TestFilter(t *testing.T) {
	const names = 10_000
	random := rand.New(rand.NewPCG(1, 2))
	f, added := make(filter, blocksFor(names)), make([]uint64, names)
	for i := range added {
		added[i] = random.Uint64()
		f.add(added[i])
	}
	f = parseFilter(f.bytes(nil))
	for _, hash := range added {
		if !f.may(hash) {
			t.Fatalf("%x was added", hash)
		}
	}
	wrong := 0
	for range 10 * names {
		if f.may(random.Uint64()) {
			wrong++
		}
	}
	if wrong > 10*names/250 {
		t.Errorf("wrong about %d of %d", wrong, 10*names)
	}
	if !filter(nil).may(1) {
		t.Error("a filter that is not loaded knows something")
	}
}

// BenchmarkFilter asks for a thousand hashes that are not in the filters of a log of ten million records.
func BenchmarkFilter(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	var runs []*run
	for _, names := range []int64{8 << 20, 8 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 17, 1 << 17, 1 << 17} {
		r := &run{filter: make(filter, blocksFor(names)), fences: []entry{{}}}
		for range names {
			r.filter.add(random.Uint64())
		}
		runs = append(runs, r)
	}
	hashes := make([]uint64, 1000)
	found := int64(0)
	for b.Loop() {
		for i := range hashes {
			hashes[i] = random.Uint64()
		}
		for _, r := range runs {
			for _, h := range hashes {
				_, end := r.span(h, 0)
				found += end
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(hashes)), "ns/hash")
	b.ReportMetric(float64(found)/float64(b.N*len(hashes)*len(runs)), "found")
}
