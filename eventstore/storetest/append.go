package storetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

func emptyLog(t *testing.T, backend Backend) {
	store := open(t, backend, backend.New(t, 3))
	info, err := store.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Partitions != 3 || info.LedgerID == uuid.Nil {
		t.Fatalf("info %+v", info)
	}
	for partition := range 3 {
		want := eventstore.Head{Partition: partition, Hash: eventstore.Genesis(info.LedgerID, partition)}
		got := head(t, store, partition)
		want.Epoch = got.Epoch
		if got != want || !got.RecordedAt.IsZero() {
			t.Errorf("head %+v, want %+v", got, want)
		}
		records, err := store.Read(t.Context(), partition, 0, 10)
		if err != nil || len(records) != 0 {
			t.Errorf("%d records, %v", len(records), err)
		}
	}
}

// oddRecords hold what is unusual and allowed.
func oddRecords() []eventstore.Record {
	odd := series("wallet:mer_1:INR", 1, 12)
	odd[0].Stream = "it's \"quoted\" \\ back % _ \t tab \n line; DROP TABLE events; --"
	odd[1].Subject = "भुगतान-₹-支払い-🪙"
	odd[2].Type, odd[2].Schema, odd[2].Version = strings.Repeat("t", eventstore.MaxNameBytes), math.MaxInt32, math.MaxInt64
	odd[3].Data, odd[3].Meta = nil, nil
	odd[4].Data, odd[4].Meta = []byte(`{"a":"\u0000 ₹ \\x41"}`), []byte(`  {"spaces" : "kept" }  `)
	odd[5].Data = []byte(`"` + strings.Repeat("x", eventstore.MaxDataBytes-2) + `"`)
	odd[6].Keys = []string{"order:o-1"}
	odd[7].Keys = []string{strings.Repeat("k", eventstore.MaxKeyBytes), "a\rb\tc", "ключ", "ref:mer_1:\\N"}
	odd[8].EffectiveAt = time.Date(1947, 8, 15, 0, 0, 0, 1000, time.FixedZone("IST", 19800))
	odd[9].EffectiveAt = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
	odd[10].Evidence = []eventstore.Evidence{{MediaType: "application/json", Body: []byte(`{"raw":1}`)}, {MediaType: "x", Body: nil}}
	for i := range eventstore.MaxEvidence {
		body := bytes.Repeat([]byte{0, 0xff, byte(i), '\n', '\\'}, 1000)
		odd[11].Evidence = append(odd[11].Evidence, eventstore.Evidence{MediaType: "application/octet-stream", Body: body})
	}
	return odd
}

func roundTrip(t *testing.T, backend Backend) {
	location := backend.New(t, 1)
	store := open(t, backend, location)
	wrote := oddRecords()
	for i := range wrote { // a clock with more than microseconds, in another zone
		wrote[i].RecordedAt = day().Add(time.Duration(i) * 1111 * time.Nanosecond).In(time.FixedZone("IST", 19800))
	}
	after := put(t, store, wrote...)
	want := slices.Clone(wrote)
	// What the caller does with its memory afterwards does not reach the log.
	want[4].Data = bytes.Clone(wrote[4].Data)
	wrote[4].Data[0], wrote[6].Keys[0] = 'x', "order:o-2"
	want[6].Keys = []string{"order:o-1"}
	same(t, mustAll(t, store), want)
	got := head(t, store, 0)
	if got.Seq != 12 || got.Hash != after.Hash || !got.RecordedAt.Equal(eventstore.Micros(after.RecordedAt)) {
		t.Errorf("head %+v, want %+v", got, after)
	}
	same(t, mustAll(t, open(t, backend, location)), want)
}

// batches of sizes that no chunk of a store divides.
func batches(t *testing.T, backend Backend) {
	store := empty(t, backend)
	var want []eventstore.Record
	version := int64(1)
	for _, n := range []int{1, 2, 9, 11, 49, 51, 137, 1009} {
		batch := series("s", version, n)
		for i := range batch {
			batch[i].Keys = []string{batch[i].EventID.String()}
			if i%3 == 0 {
				batch[i].Evidence = []eventstore.Evidence{{MediaType: "text/plain", Body: batch[i].EventID[:]}}
			}
		}
		put(t, store, batch...)
		want = append(want, batch...)
		version += int64(n)
	}
	same(t, mustAll(t, store), want)
}

// refusals: a record that breaks a bound, or is not placed behind the head, stops the whole append.
func refusals(t *testing.T, backend Backend) {
	store := empty(t, backend)
	put(t, store, series("s", 1, 2)...)
	kept := mustAll(t, store)
	before := head(t, store, 0)
	long := strings.Repeat("x", eventstore.MaxNameBytes+1)
	for name, spoil := range map[string]func([]eventstore.Record){
		"no stream":          func(r []eventstore.Record) { r[1].Stream = "" },
		"long stream":        func(r []eventstore.Record) { r[1].Stream = long },
		"no subject":         func(r []eventstore.Record) { r[1].Subject = "" },
		"long type":          func(r []eventstore.Record) { r[1].Type = long },
		"text not UTF-8":     func(r []eventstore.Record) { r[1].Subject = "\xff" },
		"text with zero":     func(r []eventstore.Record) { r[1].Stream = "a\x00b" },
		"version zero":       func(r []eventstore.Record) { r[1].Version = 0 },
		"schema zero":        func(r []eventstore.Record) { r[1].Schema = 0 },
		"no event id":        func(r []eventstore.Record) { r[1].EventID = uuid.Nil },
		"no effective time":  func(r []eventstore.Record) { r[1].EffectiveAt = time.Time{} },
		"no recorded time":   func(r []eventstore.Record) { r[1].RecordedAt = time.Time{} },
		"too many keys":      func(r []eventstore.Record) { r[1].Keys = []string{"1", "2", "3", "4", "5"} },
		"empty key":          func(r []eventstore.Record) { r[1].Keys = []string{""} },
		"key with line feed": func(r []eventstore.Record) { r[1].Keys = []string{"a\nb"} },
		"long key":           func(r []eventstore.Record) { r[1].Keys = []string{strings.Repeat("k", eventstore.MaxKeyBytes+1)} },
		"key not UTF-8":      func(r []eventstore.Record) { r[1].Keys = []string{"\xc3("} },
		"much data":          func(r []eventstore.Record) { r[1].Data = make([]byte, eventstore.MaxDataBytes+1) },
		"much meta":          func(r []eventstore.Record) { r[1].Meta = make([]byte, eventstore.MaxDataBytes+1) },
		"much evidence":      func(r []eventstore.Record) { r[1].Evidence = make([]eventstore.Evidence, eventstore.MaxEvidence+1) },
		"evidence no type":   func(r []eventstore.Record) { r[1].Evidence = []eventstore.Evidence{{Body: []byte("x")}} },
		"digests missing":    func(r []eventstore.Record) { r[1].Evidence = []eventstore.Evidence{{MediaType: "x"}} },
		"not chained":        func(r []eventstore.Record) { r[1].Hash = eventstore.Hash{} },
		"gap":                func(r []eventstore.Record) { r[1].Seq++ },
		"repeated position":  func(r []eventstore.Record) { r[1].Seq-- },
		"other partition":    func(r []eventstore.Record) { r[1].Partition = 1 },
		"clock gone back":    func(r []eventstore.Record) { r[1].RecordedAt = r[1].RecordedAt.Add(-time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			records := series("s", 3, 3)
			eventstore.Chain(before, records)
			spoil(records)
			if err := store.Append(t.Context(), before, records); !errors.Is(err, eventstore.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
		})
	}
	if err := store.Append(t.Context(), before, nil); !errors.Is(err, eventstore.ErrInvalid) {
		t.Errorf("an append of nothing: %v", err)
	}
	if err := store.Append(t.Context(), before, make([]eventstore.Record, eventstore.MaxAppend+1)); !errors.Is(err, eventstore.ErrInvalid) {
		t.Errorf("an append of too many records: %v", err)
	}
	same(t, mustAll(t, store), kept)
	put(t, store, series("s", 3, 1)...) // it goes on
}

// claimedTwice: an append trusts its caller that keys are free. Should one be claimed again all the same, the first record holds it.
func claimedTwice(t *testing.T, backend Backend) {
	store := empty(t, backend)
	first, second := record("s", 1), record("s", 2)
	first.Keys, second.Keys = []string{"order:1", "idem:1"}, []string{"idem:1", "order:2"}
	put(t, store, first)
	put(t, store, second)
	taken, err := store.Lookup(t.Context(), 0, 2, []string{"order:1", "order:2", "idem:1"})
	if want := map[string]int64{"order:1": 1, "idem:1": 1, "order:2": 2}; err != nil || !maps.Equal(taken, want) {
		t.Errorf("got %v (%v), want %v", taken, err, want)
	}
}

func conflict(t *testing.T, backend Backend) {
	store := empty(t, backend)
	stale := head(t, store, 0)
	kept := series("s", 1, 2)
	put(t, store, kept...)
	lost := series("s", 1, 3)
	lost[0].Keys = []string{"order:1"}
	eventstore.Chain(stale, lost)
	if err := store.Append(t.Context(), stale, lost); !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("behind an old head: %v", err)
	}
	forged := head(t, store, 0)
	forged.Hash[0]++
	eventstore.Chain(forged, lost)
	if err := store.Append(t.Context(), forged, lost); !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("behind another history: %v", err)
	}
	ahead := head(t, store, 0)
	ahead.Seq += 10
	eventstore.Chain(ahead, lost)
	if err := store.Append(t.Context(), ahead, lost); !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("behind a head that is not there yet: %v", err)
	}
	same(t, mustAll(t, store), kept)
	if taken, err := store.Lookup(t.Context(), 0, math.MaxInt64, []string{"order:1"}); err != nil || len(taken) != 0 {
		t.Errorf("a key of a lost append is taken: %v, %v", taken, err)
	}
	put(t, store, lost...)
	same(t, mustAll(t, store), append(kept, lost...))
}

func deposed(t *testing.T, backend Backend) {
	store := empty(t, backend)
	former := put(t, store, record("s", 1))
	former.Epoch = head(t, store, 0).Epoch
	owner, err := store.Claim(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if owner.Epoch != former.Epoch+1 || owner.Seq != 1 || owner.Hash != former.Hash || owner != head(t, store, 0) {
		t.Fatalf("claimed %+v after %+v", owner, former)
	}
	records := series("s", 2, 1)
	eventstore.Chain(former, records)
	if err := store.Append(t.Context(), former, records); !errors.Is(err, eventstore.ErrDeposed) {
		t.Fatalf("the former owner appends: %v", err)
	}
	if err := store.Append(t.Context(), owner, records); err != nil {
		t.Fatalf("the new owner cannot append: %v", err)
	}
	if got := head(t, store, 0); got.Epoch != owner.Epoch || got.Seq != 2 {
		t.Errorf("head %+v", got)
	}
	mustAll(t, store)
}

// endedContext: an append whose caller has gone writes nothing, and the store works on.
func endedContext(t *testing.T, backend Backend) {
	store := empty(t, backend)
	before := head(t, store, 0)
	records := series("s", 1, 3)
	eventstore.Chain(before, records)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Append(ended, before, records); !errors.Is(err, context.Canceled) {
		t.Fatalf("append: %v", err)
	}
	if _, err := store.Read(ended, 0, 0, 10); !errors.Is(err, context.Canceled) {
		t.Fatalf("read: %v", err)
	}
	if got := mustAll(t, store); len(got) != 0 {
		t.Fatalf("%d records were written", len(got))
	}
	put(t, store, records...)
	same(t, mustAll(t, store), records)
}
