package plaintext_test

import (
	"context"
	"io"
	"runtime"
	"testing"

	"github.com/khata-ledger/khata/adapters/plaintext"
	"github.com/khata-ledger/khata/eventstore"
)

// endless is a log of any length, that says one stretch of records again and again.
type endless struct {
	stretch []eventstore.Record
	length  int64
}

func (*endless) Info(context.Context) (eventstore.Info, error) {
	return eventstore.Info{Partitions: 1}, nil
}

func (l *endless) Head(context.Context, int) (eventstore.Head, error) {
	return eventstore.Head{Seq: l.length}, nil
}

func (l *endless) Read(_ context.Context, _ int, after int64, limit int) ([]eventstore.Record, error) {
	records := make([]eventstore.Record, min(int64(limit), l.length-after))
	for i := range records {
		records[i] = l.stretch[(after+int64(i))%int64(len(l.stretch))]
		records[i].Seq = after + int64(i) + 1
	}
	return records, nil
}

// ReadStream finds nothing of the general ledger.
func (*endless) ReadStream(context.Context, int, string, int64, int) ([]eventstore.Record, error) {
	return nil, nil
}

func newEndless(t testing.TB, length int64) *endless {
	log, _ := history(t, 3, 2400)
	stretch, err := log.Read(t.Context(), 0, 0, 2400)
	if err != nil {
		t.Fatal(err)
	}
	if len(stretch) == 0 {
		t.Fatal("the partition is empty")
	}
	return &endless{stretch, length}
}

// What is in memory is as large for a log of 300,000 events as for one of 30,000.
func TestConstantMemory(t *testing.T) {
	most := func(length int64) uint64 {
		var peak uint64
		log := newEndless(t, length)
		_, err := plaintext.Write(t.Context(), log, io.Discard, plaintext.Options{Format: plaintext.HLedger, From: start, Progress: func(done, _ int64) {
			if done%10_000 == 0 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		return peak
	}
	if short, long := most(30_000), most(300_000); long > short+4<<20 {
		t.Errorf("%d bytes for 30,000 events, %d for 300,000", short, long)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, format := range []plaintext.Format{plaintext.HLedger, plaintext.Beancount, plaintext.Ledger, plaintext.CSV, plaintext.JSON} {
		b.Run(string(format), func(b *testing.B) {
			const events = 100_000
			log := newEndless(b, events)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := plaintext.Write(b.Context(), log, io.Discard, plaintext.Options{Format: format}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
		})
	}
}
