package eventstore_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/khata-ledger/khata/eventstore"
)

func TestEachPage(t *testing.T) {
	broken := errors.New("broken")
	var fails int64 = -1 // position behind which reading fails
	const last = 10
	read := func(ctx context.Context, after int64, limit int) (records []eventstore.Record, err error) {
		if after == fails {
			return nil, broken
		}
		for seq := after + 1; seq <= last && len(records) < limit; seq++ {
			records = append(records, eventstore.Record{Seq: seq})
		}
		return records, ctx.Err()
	}
	for _, c := range []struct {
		name         string
		after, fails int64
		limit        int
		until        int64 // enough with the page that holds it
		refuses      bool
		want         []int64 // the first position of each page
		err          error
	}{
		{"all", 0, -1, 4, 99, false, []int64{1, 5, 9}, nil},
		{"in full pages", 0, -1, 5, 99, false, []int64{1, 6}, nil},
		{"at once", 0, -1, 11, 99, false, []int64{1}, nil},
		{"from the middle", 7, -1, 2, 99, false, []int64{8, 10}, nil},
		{"nothing", 10, -1, 2, 99, false, nil, nil},
		{"enough", 0, -1, 2, 4, false, []int64{1, 3}, nil},
		{"enough, and reading ahead has failed", 0, 4, 2, 4, false, []int64{1, 3}, nil},
		{"reading fails", 0, 4, 2, 99, false, []int64{1, 3}, broken},
		{"f fails", 0, -1, 2, 4, true, []int64{1, 3}, broken},
	} {
		fails = c.fails
		var got []int64
		err := eventstore.EachPage(t.Context(), c.after, c.limit, read, func(records []eventstore.Record) (bool, error) {
			got = append(got, records[0].Seq)
			done := records[len(records)-1].Seq >= c.until
			if done && c.refuses {
				return false, broken
			}
			return done, nil
		})
		if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: pages from %v (%v), want %v (%v)", c.name, got, err, c.want, c.err)
		}
	}
}

// Pages of large records are small: however many fit the number, memory holds some MiB of them.
func TestPagesOfLargeRecords(t *testing.T) {
	const last, recordBytes = 3000, 200_000
	data := make([]byte, recordBytes)
	most, sum := 0, 0
	read := func(_ context.Context, after int64, limit int) (records []eventstore.Record, err error) {
		for seq := after + 1; seq <= last && len(records) < limit; seq++ {
			r := eventstore.Record{Seq: seq}
			if seq > 1000 && seq < 2500 { // behind small ones, which let the pages grow
				r.Data = data
			}
			records = append(records, r)
		}
		return records, nil
	}
	err := eventstore.EachPage(t.Context(), 0, 5000, read, func(records []eventstore.Record) (bool, error) {
		sum += len(records)
		if records[0].Seq > 1000 {
			size := 0
			for i := range records {
				size += len(records[i].Data)
			}
			most = max(most, size)
		}
		return false, nil
	})
	if err != nil || sum != last || most > 40<<20 {
		t.Errorf("%d records, pages of up to %d bytes, %v", sum, most, err)
	}
}
