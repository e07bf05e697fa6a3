package projections

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// The benchmarks read a log of this shape: payouts that are initiated, submitted and paid, and payins that are created and
// paid, of many merchants, interleaved as they would be.
const (
	benchMerchants = 200
	benchPayments  = 40_000
	benchInFlight  = 500
	benchWave      = 6000
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

// BenchmarkFollow applies the whole lives of payouts of one hot wallet to views that serve, in batches as a busy executor makes
// them. A payout's later records come in other batches than its first.
func BenchmarkFollow(b *testing.B) {
	for name, open := range map[string]func(testing.TB) place{"sqlite": sqlitePlace, "postgres": postgresPlace} {
		b.Run(name, func(b *testing.B) {
			history := newBook(b, 1)
			history.fund(benchMerchant(0), "100000000000.00")
			hidden := &partly{Log: history.log, shown: 1}
			at := open(b)
			v, err := Open(b.Context(), at.open(), at.dialect, hidden, history.tail, Options{})
			if err != nil {
				b.Fatal(err)
			}
			if err := v.Reach(b.Context()); err != nil {
				b.Fatal(err)
			}
			w, err := openWriter(b.Context(), v.db, v.dialect)
			if err != nil {
				b.Fatal(err)
			}
			defer closing(b, closerFunc(w.close))
			for b.Loop() {
				b.StopTimer()
				for history.versions[wallet.Stream(benchMerchant(0), money.INR)] < hidden.shown+followBatch {
					history.live(benchWave)
				}
				hidden.shown += followBatch
				b.StartTimer()
				if moved, err := v.step(b.Context(), w, 0); !moved || err != nil {
					b.Fatal(moved, err)
				}
			}
			b.ReportMetric(float64(followBatch*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// followBatch is the number of records that BenchmarkFollow applies at once.
const followBatch = 4000

// live writes the lives of n payouts of one wallet, side by side.
func (b *book) live(n int) {
	m := benchMerchant(0)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("txn_%016x", rand.Uint64())
		b.payoutAs(m, ids[i], "1000.00")
	}
	for _, id := range ids {
		b.do(wallet.SubmitPayout{Base: b.base(m, id), Attempt: 1, Gateway: "sandbox"})
	}
	for _, id := range ids {
		b.do(wallet.ReportPayout{Base: b.base(m, id), Gateway: "sandbox", Outcome: wallet.OutcomePaid, UTR: b.id("utr"), Message: b.id("msg")})
	}
	b.postings = nil // nobody compares them
}

// partly is a log of one partition that shows its first records only.
type partly struct {
	Log
	shown int64
}

func (p *partly) Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error) {
	return p.Log.Read(ctx, partition, after, int(min(int64(limit), p.shown-after)))
}

func (p *partly) Head(ctx context.Context, partition int) (eventstore.Head, error) {
	records, err := p.Log.Read(ctx, partition, p.shown-1, 1)
	if err != nil {
		return eventstore.Head{}, err
	}
	return eventstore.Head{Partition: partition, Seq: p.shown, Hash: records[0].Hash}, nil
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
