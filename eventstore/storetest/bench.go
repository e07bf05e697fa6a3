package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/eventstore"
)

// Benchmark measures Append with records of about 250 bytes: plain, and with what the executor gives them, a key and a
// sealed message. It reports records per second; making and chaining them is not counted.
func Benchmark(b *testing.B, backend Backend) {
	for _, full := range []bool{false, true} {
		for _, n := range []int{1, 100, 1000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", map[bool]string{false: "plain", true: "full"}[full], n), func(b *testing.B) {
				benchmark(b, backend, n, full)
			})
		}
	}
}

func benchmark(b *testing.B, backend Backend, n int, full bool) {
	store, err := backend.Open(b.Context(), backend.New(b, 1))
	if err != nil {
		b.Fatal(err)
	}
	at, err := store.Head(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	data := []byte(`{"note":"` + strings.Repeat("x", 100) + `"}`)
	body := []byte(strings.Repeat("y", 300))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		records := series("wallet:mer_1:INR", at.Seq+1, n)
		for i := range records {
			records[i].Subject = "pay_" + records[i].EventID.String()
			records[i].Data = data
			if full {
				records[i].Keys = []string{"order:mer_1:" + records[i].EventID.String()}
				records[i].Evidence = []eventstore.Evidence{{MediaType: "application/json", Body: body}}
			}
		}
		next := eventstore.Chain(at, records)
		b.StartTimer()
		if err := store.Append(b.Context(), at, records); err != nil {
			b.Fatal(err)
		}
		at = next
	}
	b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "records/s")
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
}
