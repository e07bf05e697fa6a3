package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

func paging(t *testing.T, backend Backend) {
	store := empty(t, backend)
	var wrote, ofA []eventstore.Record
	for i := range int64(30) { // three streams, taking turns
		wrote = append(wrote, record(string(rune('a'+i%3)), 1+i/3))
	}
	put(t, store, wrote...)
	for i := range wrote {
		if wrote[i].Stream == "a" {
			ofA = append(ofA, wrote[i])
		}
	}
	for _, page := range []int{1, 7, 29, 30, 31, 1000} {
		got, err := all(t.Context(), store, 0, page)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, wrote)
	}
	for _, tt := range []struct {
		after int64
		limit int
		want  []eventstore.Record
	}{{0, 100, ofA}, {0, 3, ofA[:3]}, {7, 3, ofA[3:6]}, {8, 3, ofA[3:6]}, {9, 3, ofA[3:6]}, {10, 2, ofA[4:6]}, {25, 3, ofA[9:]}, {28, 3, nil}, {99, 3, nil}} {
		got, err := store.ReadStream(t.Context(), 0, "a", tt.after, tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, tt.want)
	}
	hashesOf(t, store, 0, 0, 100, wrote)
	hashesOf(t, store, 0, 4, 7, wrote[4:11])
	hashesOf(t, store, 0, 30, 7, nil)
	for _, name := range []string{"none", "", "a\x00", "\xff", "A", "a ", "%"} {
		if got, err := store.ReadStream(t.Context(), 0, name, 0, 10); err != nil || len(got) != 0 {
			t.Errorf("stream %q: %d records, %v", name, len(got), err)
		}
	}
	if got, err := store.Read(t.Context(), 0, 1000, 10); err != nil || len(got) != 0 {
		t.Errorf("behind the head: %d records, %v", len(got), err)
	}
	for _, wrong := range []struct {
		after int64
		limit int
	}{{-1, 10}, {0, 0}, {0, -1}} {
		_, err := store.Read(t.Context(), 0, wrong.after, wrong.limit)
		_, streamErr := store.ReadStream(t.Context(), 0, "a", wrong.after, wrong.limit)
		if !errors.Is(err, eventstore.ErrInvalid) || !errors.Is(streamErr, eventstore.ErrInvalid) {
			t.Errorf("page %+v: %v, %v", wrong, err, streamErr)
		}
	}
}

func subjects(t *testing.T, backend Backend) {
	store := empty(t, backend)
	const n = 1300 // more than one query takes
	wrote := make([]eventstore.Record, 0, 2*n)
	for _, version := range []int64{1, 2} {
		for i := range n {
			r := record("s", version)
			r.Subject = fmt.Sprintf("pay_%d", i)
			wrote = append(wrote, r)
		}
	}
	put(t, store, wrote...)
	names := make([]string, 0, n)
	for i := range n {
		names = append(names, fmt.Sprintf("pay_%d", n-1-i))
	}
	for _, tt := range []struct {
		names []string
		want  []eventstore.Record
	}{
		{nil, nil},
		{[]string{"none", "", "\xff", "pay\x00"}, nil},
		{[]string{"pay_7"}, []eventstore.Record{wrote[7], wrote[n+7]}},
		{[]string{"pay_9", "none", "pay_2", "pay_9"}, []eventstore.Record{wrote[2], wrote[9], wrote[n+2], wrote[n+9]}},
		{names, wrote},
	} {
		got, err := store.ReadSubjects(t.Context(), 0, tt.names)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, tt.want)
	}
}

func lookup(t *testing.T, backend Backend) {
	store := empty(t, backend)
	const n = 1300
	wrote := series("s", 1, n)
	want := map[string]int64{}
	var keys []string
	for i := range wrote {
		for _, kind := range []string{"order", "idem"} {
			key := kind + ":" + wrote[i].EventID.String()
			wrote[i].Keys = append(wrote[i].Keys, key)
			want[key] = int64(i + 1)
			keys = append(keys, key)
		}
	}
	put(t, store, wrote...)
	taken, err := store.Lookup(t.Context(), 0, math.MaxInt64, slices.Concat([]string{"free", ""}, keys))
	if err != nil || !maps.Equal(taken, want) {
		t.Fatalf("%d keys found of %d: %v", len(taken), len(want), err)
	}
	half := wrote[3].Keys[0][:20]
	for _, free := range [][]string{nil, {"free"}, {half, "\xff", "a\x00", wrote[3].DedupeKey()}} {
		taken, err := store.Lookup(t.Context(), 0, math.MaxInt64, free)
		if err != nil || len(taken) != 0 {
			t.Errorf("keys %q: %v, %v", free, taken, err)
		}
	}
	taken, err = store.Lookup(t.Context(), 0, math.MaxInt64, []string{wrote[5].Keys[1], wrote[5].Keys[1], "free"})
	if err != nil || !maps.Equal(taken, map[string]int64{wrote[5].Keys[1]: 6}) {
		t.Errorf("%v, %v", taken, err)
	}
}

func snapshots(t *testing.T, backend Backend) {
	store := open(t, backend, backend.New(t, 2))
	tip := put(t, store, series("s", 1, 3)...)
	if _, there, err := store.Snapshot(t.Context(), 0, "s"); err != nil || there {
		t.Errorf("a snapshot that nobody kept: %t, %v", there, err)
	}
	older := eventstore.Snapshot{Stream: "s", Seq: 2, Hash: tip.Hash, Version: 2, Fold: 1, State: []byte(`{"a":1}`)}
	newer := eventstore.Snapshot{Stream: "s", Seq: 3, Hash: tip.Hash, Version: 3, Fold: 7, State: []byte{0, 1, 0xff}}
	other := eventstore.Snapshot{Partition: 1, Stream: "s", Seq: 1, Version: 1, Fold: 1, State: []byte{}}
	for _, s := range []eventstore.Snapshot{older, other, newer} {
		if err := store.KeepSnapshot(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	for partition, want := range []eventstore.Snapshot{newer, other} {
		got, there, err := store.Snapshot(t.Context(), partition, "s")
		if err != nil || !there || string(got.State) != string(want.State) {
			t.Fatalf("partition %d: %+v, %t, %v", partition, got, there, err)
		}
		got.State, want.State = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("partition %d: got %+v, want %+v", partition, got, want)
		}
	}
	for _, name := range []string{"none", "", "\xff", "s\x00"} {
		if _, there, err := store.Snapshot(t.Context(), 0, name); err != nil || there {
			t.Errorf("stream %q: %t, %v", name, there, err)
		}
	}
	for name, spoil := range map[string]func(*eventstore.Snapshot){
		"no stream":          func(s *eventstore.Snapshot) { s.Stream = "" },
		"no position":        func(s *eventstore.Snapshot) { s.Seq = 0 },
		"no version":         func(s *eventstore.Snapshot) { s.Version = 0 },
		"more than there is": func(s *eventstore.Snapshot) { s.Version = 4 },
		"no fold":            func(s *eventstore.Snapshot) { s.Fold = 0 },
		"too large":          func(s *eventstore.Snapshot) { s.State = make([]byte, eventstore.MaxSnapshotBytes+1) },
	} {
		spoilt := newer
		spoil(&spoilt)
		if err := store.KeepSnapshot(t.Context(), spoilt); !errors.Is(err, eventstore.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func evidence(t *testing.T, backend Backend) {
	store := empty(t, backend)
	wrote := series("s", 1, 3)
	want := []eventstore.Evidence{
		{MediaType: "application/json; charset=utf-8", Body: []byte(`{"amount":"1.00"}`)},
		{MediaType: "text/plain", Body: []byte{}},
		{MediaType: "application/octet-stream", Body: bytes.Repeat([]byte{0, 1, 0xff}, eventstore.MaxEvidenceBytes/3)},
	}
	wrote[1].Evidence = want
	put(t, store, wrote...)
	got, err := store.Evidence(t.Context(), eventstore.Position{Partition: 0, Seq: 2})
	if err != nil {
		t.Fatal(err)
	}
	equal := func(a, b eventstore.Evidence) bool { return a.MediaType == b.MediaType && bytes.Equal(a.Body, b.Body) }
	if !slices.EqualFunc(got, want, equal) {
		t.Errorf("%d messages, want %d, or not the same", len(got), len(want))
	}
	records := mustAll(t, store)
	for i := range want {
		if records[1].EvidenceDigests[i] != want[i].Digest() {
			t.Errorf("message %d: its digest is not the record's", i)
		}
	}
	if got, err := store.Evidence(t.Context(), eventstore.Position{Partition: 0, Seq: 1}); err != nil || len(got) != 0 {
		t.Errorf("a record without evidence: %d messages, %v", len(got), err)
	}
	for _, seq := range []int64{-1, 0, 4} {
		if _, err := store.Evidence(t.Context(), eventstore.Position{Partition: 0, Seq: seq}); !errors.Is(err, eventstore.ErrNotFound) {
			t.Errorf("no record %d: %v", seq, err)
		}
	}
	eachEvidence(t, store, want)
}

// hashesOf: a store that reads the hashes of records alone gives those that the records have.
func hashesOf(t *testing.T, store eventstore.Store, partition int, after int64, limit int, records []eventstore.Record) {
	t.Helper()
	log, able := store.(interface {
		Hashes(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Hash, error)
	})
	if !able {
		return
	}
	var want []eventstore.Hash
	for i := range records {
		want = append(want, records[i].Hash)
	}
	got, err := log.Hashes(t.Context(), partition, after, limit)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("hashes of %d records behind %d:%d: %v, %v, want %v", limit, partition, after, got, err, want)
	}
	if _, err := log.Hashes(t.Context(), 1<<40, after, limit); !errors.Is(err, eventstore.ErrPartition) {
		t.Errorf("hashes of no such partition: %v", err)
	}
}

// eachEvidence: a store that reads the messages of many records at once gives them in order. Record 2 has those that are wanted; two
// more are put behind it.
func eachEvidence(t *testing.T, store eventstore.Store, want []eventstore.Evidence) {
	t.Helper()
	log, able := store.(interface {
		EachEvidence(ctx context.Context, partition int, from, to int64, f func(seq int64, message eventstore.Evidence) error) error
	})
	if !able {
		return
	}
	more := series("t", 4, 3)
	for i, text := range []string{"first", "", "last"} {
		if text != "" {
			more[i].Evidence = []eventstore.Evidence{{MediaType: "text/plain", Body: []byte(text)}}
		}
	}
	put(t, store, more...)
	for _, c := range []struct {
		from, to int64
		want     []int64
	}{
		{1, 6, []int64{2, 2, 2, 4, 6}},
		{2, 4, []int64{2, 2, 2, 4}},
		{3, 5, []int64{4}},
		{5, 5, nil},
		{7, 100, nil},
	} {
		var seqs []int64
		err := log.EachEvidence(t.Context(), 0, c.from, c.to, func(seq int64, message eventstore.Evidence) error {
			seqs = append(seqs, seq)
			if n := len(seqs) - 1; seq == 2 && (message.MediaType != want[n].MediaType || !bytes.Equal(message.Body, want[n].Body)) {
				t.Errorf("message %d of record 2 is not the one that was kept", n)
			}
			if seq == 6 && string(message.Body) != "last" {
				t.Errorf("record 6 has %q", message.Body)
			}
			return nil
		})
		if err != nil || !slices.Equal(seqs, c.want) {
			t.Errorf("messages of records %d to %d: of %v, want %v: %v", c.from, c.to, seqs, c.want, err)
		}
	}
	enough := errors.New("enough")
	calls := 0
	err := log.EachEvidence(t.Context(), 0, 1, 6, func(int64, eventstore.Evidence) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if err := log.EachEvidence(t.Context(), 1<<40, 1, 6, func(int64, eventstore.Evidence) error { return nil }); !errors.Is(err, eventstore.ErrPartition) {
		t.Errorf("no such partition: %v", err)
	}
}

func partitions(t *testing.T, backend Backend) {
	store := open(t, backend, backend.New(t, 3))
	for partition := range 3 { // the same names, versions and keys in each: nothing is shared
		before := head(t, store, partition)
		records := series("s", 1, partition+1)
		records[0].Keys = []string{"order:1"}
		eventstore.Chain(before, records)
		if err := store.Append(t.Context(), before, records); err != nil {
			t.Fatal(err)
		}
		got, err := all(t.Context(), store, partition, 10)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, records)
		bySubject, err := store.ReadSubjects(t.Context(), partition, []string{"pay_s"})
		if err != nil {
			t.Fatal(err)
		}
		same(t, bySubject, records)
		taken, err := store.Lookup(t.Context(), partition, math.MaxInt64, []string{"order:1"})
		if err != nil || taken["order:1"] != 1 {
			t.Errorf("partition %d: %v, %v", partition, taken, err)
		}
	}
	for _, none := range []int{-1, 3, 1 << 40} {
		records := series("s", 1, 1)
		place := eventstore.Head{Partition: none}
		eventstore.Chain(place, records)
		_, headErr := store.Head(t.Context(), none)
		_, claimErr := store.Claim(t.Context(), none)
		_, readErr := store.Read(t.Context(), none, 0, 1)
		_, streamErr := store.ReadStream(t.Context(), none, "s", 0, 1)
		_, subjectErr := store.ReadSubjects(t.Context(), none, []string{"pay_s"})
		_, lookupErr := store.Lookup(t.Context(), none, math.MaxInt64, []string{"order:1"})
		_, evidenceErr := store.Evidence(t.Context(), eventstore.Position{Partition: none, Seq: 1})
		_, committedErr := store.Committed(t.Context(), records)
		for what, err := range map[string]error{
			"Head": headErr, "Claim": claimErr, "Read": readErr, "ReadStream": streamErr, "ReadSubjects": subjectErr, "Lookup": lookupErr,
			"Evidence": evidenceErr, "Committed": committedErr, "Append": store.Append(t.Context(), place, records),
		} {
			if !errors.Is(err, eventstore.ErrPartition) {
				t.Errorf("%s of partition %d: %v", what, none, err)
			}
		}
	}
}

func adopt(t *testing.T, backend Backend) {
	location := backend.New(t, 2)
	store, other := open(t, backend, location), open(t, backend, location)
	was := head(t, store, 0)
	for _, wrong := range []eventstore.Info{{}, {LedgerID: uuid.New()}, {Partitions: 1}, {LedgerID: uuid.New(), Partitions: -1}} {
		if err := store.Adopt(t.Context(), wrong); !errors.Is(err, eventstore.ErrInvalid) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	for _, partitions := range []int{5, 1, 3} {
		info := eventstore.Info{LedgerID: uuid.New(), Partitions: partitions}
		if err := store.Adopt(t.Context(), info); err != nil {
			t.Fatal(err)
		}
		if got, err := other.Info(t.Context()); err != nil || got != info {
			t.Fatalf("%+v, %v", got, err)
		}
		for partition := range partitions {
			if got := head(t, other, partition); got.Seq != 0 || got.Hash != eventstore.Genesis(info.LedgerID, partition) {
				t.Errorf("head %+v", got)
			}
		}
		if _, err := store.Head(t.Context(), partitions); !errors.Is(err, eventstore.ErrPartition) {
			t.Errorf("partition %d of %d: %v", partitions, partitions, err)
		}
	}
	records := series("s", 1, 1)
	eventstore.Chain(was, records)
	if err := other.Append(t.Context(), was, records); !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("a head of the former ledger still stands: %v", err)
	}
	put(t, other, record("s", 1))
	before, err := store.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Adopt(t.Context(), eventstore.Info{LedgerID: uuid.New(), Partitions: 3}); !errors.Is(err, eventstore.ErrNotEmpty) {
		t.Errorf("a ledger with records: %v", err)
	}
	if got, err := store.Info(t.Context()); err != nil || got != before {
		t.Errorf("%+v, %v", got, err)
	}
	mustAll(t, store)
}
