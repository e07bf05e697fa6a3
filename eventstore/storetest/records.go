package storetest

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// day is when the suite's records are made.
func day() time.Time { return time.Date(2026, 3, 31, 18, 0, 0, 123456000, time.UTC) }

// record is a plain record of a stream.
func record(stream string, version int64) eventstore.Record {
	return eventstore.Record{
		Stream: stream, Version: version, Subject: "pay_" + stream, Type: "payout.initiated", Schema: 1,
		EventID: uuid.New(), EffectiveAt: day(), RecordedAt: day(),
		Data: fmt.Appendf(nil, `{"amount":"%d.00","currency":"INR"}`, version),
		Meta: eventstore.Meta{Command: "cmd", Actor: "key:k1"}.Bytes(),
	}
}

// series is n records of a stream, from version first on.
func series(stream string, first int64, n int) []eventstore.Record {
	records := make([]eventstore.Record, n)
	for i := range records {
		records[i] = record(stream, first+int64(i))
	}
	return records
}

// open opens a handle that the test closes.
func open(t *testing.T, backend Backend, location string) eventstore.Store {
	t.Helper()
	store, err := backend.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// empty is a handle on a fresh log of one partition.
func empty(t *testing.T, backend Backend) eventstore.Store {
	t.Helper()
	return open(t, backend, backend.New(t, 1))
}

func head(t *testing.T, store eventstore.Store, partition int) eventstore.Head {
	t.Helper()
	h, err := store.Head(t.Context(), partition)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// put appends records at the head and returns the new head.
func put(t *testing.T, store eventstore.Store, records ...eventstore.Record) eventstore.Head {
	t.Helper()
	before := head(t, store, 0)
	after := eventstore.Chain(before, records)
	if err := store.Append(t.Context(), before, records); err != nil {
		t.Fatal(err)
	}
	return after
}

// all reads a partition from its beginning, in pages.
func all(ctx context.Context, store eventstore.Store, partition, page int) ([]eventstore.Record, error) {
	var records []eventstore.Record
	var after int64
	for {
		more, err := store.Read(ctx, partition, after, page)
		if err != nil || len(more) == 0 {
			return records, err
		}
		if len(more) > page {
			return nil, fmt.Errorf("a page of %d holds %d records", page, len(more))
		}
		records = append(records, more...)
		after = more[len(more)-1].Seq
	}
}

// mustAll reads the whole of partition 0 and checks its chain from the genesis up to the head.
func mustAll(t *testing.T, store eventstore.Store) []eventstore.Record {
	t.Helper()
	records, err := all(t.Context(), store, 0, 500)
	if err != nil {
		t.Fatal(err)
	}
	info, err := store.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	followed, err := eventstore.Follow(eventstore.Head{Hash: eventstore.Genesis(info.LedgerID, 0)}, records)
	if err != nil {
		t.Fatal(err)
	}
	tip := head(t, store, 0)
	followed.Epoch = tip.Epoch
	if followed != tip {
		t.Fatalf("the records lead to %+v, the head is %+v", followed, tip)
	}
	return records
}

// same compares records as the log keeps them: times to the microsecond in UTC, evidence by digest.
func same(t *testing.T, got, want []eventstore.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if g, w := kept(got[i]), kept(want[i]); !reflect.DeepEqual(g, w) {
			t.Fatalf("record %d:\n got %+v\nwant %+v", i, g, w)
		}
		if got[i].Evidence != nil {
			t.Fatalf("record %d was read with its evidence", i)
		}
		if got[i].RecordedAt.Location() != time.UTC || got[i].EffectiveAt.Location() != time.UTC {
			t.Fatalf("record %d: times are not UTC", i)
		}
	}
}

func kept(r eventstore.Record) eventstore.Record {
	r.EffectiveAt, r.RecordedAt = eventstore.Micros(r.EffectiveAt), eventstore.Micros(r.RecordedAt)
	r.Data, r.Meta = append([]byte{}, r.Data...), append([]byte{}, r.Meta...)
	r.Keys = append([]string{}, r.Keys...)
	r.EvidenceDigests = append([]eventstore.Hash{}, r.EvidenceDigests...)
	r.Evidence = nil
	return r
}
