package projections

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/khata-ledger/khata/domain/wallet"
)

// The benchmarks read a log of this shape: payouts that are initiated, submitted and paid, and payins that are created and
// paid, of many merchants, interleaved as they would be.
const (
	benchMerchants = 200
	benchPayments  = 12_000
	benchInFlight  = 500
)

// writeBench writes the log of the benchmarks and returns the number of its records.
func writeBench(tb testing.TB, b *book) int64 {
	tb.Helper()
	var inFlight []string
	for i := range benchMerchants {
		b.fund(benchMerchant(i), "100000000.00")
	}
	for i := range benchPayments {
		m := benchMerchant(i)
		if i%2 == 0 {
			inFlight = append(inFlight, b.payin(m, "1000.00"))
		} else {
			inFlight = append(inFlight, b.payout(m, "1000.00"))
		}
		if len(inFlight) > benchInFlight {
			b.finish(inFlight[0])
			inFlight = inFlight[1:]
		}
	}
	for _, id := range inFlight {
		b.finish(id)
	}
	info, err := b.log.Info(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	var n int64
	for p := range info.Partitions {
		head, err := b.log.Head(tb.Context(), p)
		if err != nil {
			tb.Fatal(err)
		}
		n += head.Seq
	}
	return n
}

func benchMerchant(i int) string { return fmt.Sprintf("mer_%016d", i%benchMerchants) }

func (b *book) finish(id string) {
	p := b.payments[id]
	if p.Kind == wallet.KindPayin {
		b.pay(id, "1000.00")
		return
	}
	base := b.base(p.Merchant, id)
	b.do(wallet.SubmitPayout{Base: base, Attempt: 1, Gateway: "sandbox"})
	b.do(wallet.ReportPayout{Base: base, Gateway: "sandbox", Outcome: wallet.OutcomePaid, UTR: b.id("utr"), Message: b.id("msg")})
}

// BenchmarkRebuild builds all views from the first record.
func BenchmarkRebuild(b *testing.B) {
	for _, c := range []struct {
		name       string
		partitions int
		at         func(testing.TB) place
	}{{"sqlite", 1, sqlitePlace}, {"postgres", 4, postgresPlace}} {
		b.Run(c.name, func(b *testing.B) {
			history := newBook(b, c.partitions)
			records := writeBench(b, history)
			at := c.at(b)
			v := history.views(at.open(), at.dialect, Options{})
			for b.Loop() {
				if err := v.Rebuild(b.Context(), nil, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(records*int64(b.N))/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkApply writes one event after the other to views that serve: what a single payment waits for.
func BenchmarkApply(b *testing.B) {
	for name, open := range map[string]func(testing.TB) place{"sqlite": sqlitePlace, "postgres": postgresPlace} {
		b.Run(name, func(b *testing.B) {
			history := newBook(b, 1)
			at := open(b)
			v := history.views(at.open(), at.dialect, Options{})
			if err := v.Reach(b.Context()); err != nil {
				b.Fatal(err)
			}
			w, err := openWriter(b.Context(), v.db, v.dialect)
			if err != nil {
				b.Fatal(err)
			}
			defer closing(b, closerFunc(w.close))
			for b.Loop() {
				history.payin(benchMerchant(0), "1000.00")
				if _, err := v.step(b.Context(), w, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecode reads and decodes the log, and checks its chain: what every rebuild pays before it writes.
func BenchmarkDecode(b *testing.B) {
	history := newBook(b, 1)
	records := writeBench(b, history)
	db, err := OpenSQLite(context.Background(), filepath.Join(b.TempDir(), "views.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer closing(b, db)
	v := history.views(db, SQLite, Options{})
	for b.Loop() {
		from := mark{}
		head, err := history.log.Read(b.Context(), 0, 0, 1)
		if err != nil {
			b.Fatal(err)
		}
		from.seq, from.hash = 1, head[0].Hash
		for {
			next, err := v.read(b.Context(), 0, from, v.opts.Batch)
			if err != nil {
				b.Fatal(err)
			}
			if len(next.facts) == 0 {
				break
			}
			from = next.to
		}
	}
	b.ReportMetric(float64(records*int64(b.N))/b.Elapsed().Seconds(), "events/s")
}
