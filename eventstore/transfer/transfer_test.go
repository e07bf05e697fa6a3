package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// fill appends n records to each partition, in several appends, some with evidence, keys and awkward bytes.
func fill(t *testing.T, store eventstore.Store, n int) {
	t.Helper()
	info, err := store.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for p := range info.Partitions {
		for done := 0; done < n; {
			head, err := store.Head(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			var records []eventstore.Record
			for ; done < n && len(records) < 7; done++ {
				records = append(records, sample(p, int(head.Seq)+len(records)+1))
			}
			eventstore.Chain(head, records)
			if err := store.Append(t.Context(), head, records); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func sample(partition, i int) eventstore.Record {
	at := time.Date(2026, 4, 1, 10, 0, i, 123456000, time.UTC)
	r := eventstore.Record{
		Stream: fmt.Sprintf("wallet:mer_%d:INR", partition), Version: int64(i), Subject: fmt.Sprintf("txn_%d", i/3),
		Type: "payout.initiated", Schema: 1, EventID: uuid.Must(uuid.NewV7()), EffectiveAt: at, RecordedAt: at,
		Data: []byte(`{ "amount":"10.00",` + "\t" + `"name":"Śri <&> \u2028 ` + "\u2028" + `","n":` + fmt.Sprint(i) + `} `),
		Meta: []byte(`{"cmd":"x"}`),
	}
	if i%2 == 0 {
		r.Keys = []string{fmt.Sprintf("payout:%d:%d", partition, i), "other/" + fmt.Sprint(i)}
	}
	if i%3 == 0 {
		r.Evidence = []eventstore.Evidence{
			{MediaType: "application/json", Body: bytes.Repeat([]byte{0, 255, byte(i)}, i)},
			{MediaType: "text/plain", Body: []byte{}},
		}
	}
	return r
}

func export(t *testing.T, store Source, from ...eventstore.Position) []byte {
	t.Helper()
	var file bytes.Buffer
	if _, err := Export(t.Context(), store, from, &file, nil); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func restore(t *testing.T, store Target, file []byte) (Imported, error) {
	t.Helper()
	return Import(t.Context(), store, bytes.NewReader(file), nil)
}

// restoreBy imports in batches of so many records.
func restoreBy(t *testing.T, store Target, file []byte, batch int) (Imported, error) {
	t.Helper()
	m := importer{store: store, lines: bufio.NewReader(bytes.NewReader(file)), maxLine: maxLine, maxBatch: batch}
	err := m.run(t.Context())
	return m.done, err
}

// same checks that both logs have the same id, hashes and evidence, and that the copy's chain holds.
func same(t *testing.T, a, b eventstore.Store) {
	t.Helper()
	infoA, errA := a.Info(t.Context())
	infoB, errB := b.Info(t.Context())
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if infoA != infoB {
		t.Fatalf("ledgers %v and %v", infoA, infoB)
	}
	linesA, linesB := bytes.Split(export(t, a), []byte("\n")), bytes.Split(export(t, b), []byte("\n"))
	for i := range min(len(linesA), len(linesB)) {
		if !bytes.Equal(linesA[i], linesB[i]) {
			t.Fatalf("the logs differ in line %d:\n%s\n%s", i+1, linesA[i], linesB[i])
		}
	}
	if len(linesA) != len(linesB) {
		t.Fatalf("the logs have %d and %d lines", len(linesA), len(linesB))
	}
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 40, 1200} {
		from, to := memory.New(3), memory.New(1)
		fill(t, from, n)
		var told [2]int64
		var file bytes.Buffer
		out, err := Export(t.Context(), from, nil, &file, func(done, total int64) { told = [2]int64{done, total} })
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(3 * n); out.Records != want || n > 0 && told != [2]int64{want, want} {
			t.Errorf("exported %d of %d records, told %v", out.Records, want, told)
		}
		in, err := restore(t, to, file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if in.Records != int64(3*n) || in.Equal != 0 {
			t.Errorf("imported %+v", in)
		}
		same(t, from, to)
	}
}

func TestBytesThatAreNotText(t *testing.T) {
	from, to := memory.New(1), memory.New(1)
	head, err := from.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	r := sample(0, 3)
	r.Data, r.Meta = []byte{0xff, 0, '"', 0xfe}, nil
	records := []eventstore.Record{r}
	eventstore.Chain(head, records)
	if err := from.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(t, to, export(t, from)); err != nil {
		t.Fatal(err)
	}
	same(t, from, to)
}

func TestImportContinues(t *testing.T) {
	from, to := memory.New(2), memory.New(2)
	fill(t, from, 30)
	if _, err := restore(t, to, export(t, from)); err != nil {
		t.Fatal(err)
	}
	fill(t, from, 15)

	in, err := restore(t, to, export(t, from))
	if err != nil || in.Records != 30 || in.Equal != 60 {
		t.Fatalf("imported %+v, %v", in, err)
	}
	same(t, from, to)

	// The store may be ahead of the file.
	old := export(t, from)
	fill(t, from, 5)
	if in, err = restore(t, from, old); err != nil || in.Records != 0 || in.Equal != 90 {
		t.Fatalf("imported %+v, %v", in, err)
	}

	// A part connects to what is there, with an overlap or without.
	part := export(t, from, eventstore.Position{Partition: 0, Seq: 46}, eventstore.Position{Partition: 1, Seq: 40})
	if in, err = restore(t, to, part); err != nil || in.Records != 10 || in.Equal != 6 {
		t.Fatalf("imported %+v, %v", in, err)
	}
	same(t, from, to)
}

func TestImportRefusesAGap(t *testing.T) {
	from, to := memory.New(1), memory.New(1)
	fill(t, from, 20)
	part := export(t, from, eventstore.Position{Seq: 11})
	if _, err := restore(t, to, part); !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), "0:10") {
		t.Fatalf("into an empty store: %v", err)
	}
	fresh := memory.New(1)
	fill(t, fresh, 5)
	if _, err := restore(t, fresh, part); !errors.Is(err, ErrForeign) {
		t.Fatalf("into another ledger: %v", err)
	}
	copied, err := from.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Adopt(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(t, to, part); !errors.Is(err, ErrGap) {
		t.Fatalf("into the empty copy: %v", err)
	}
}

func TestImportRefusesWhatContradicts(t *testing.T) {
	from, other := memory.New(1), memory.New(1)
	info, err := from.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Adopt(t.Context(), info); err != nil {
		t.Fatal(err)
	}
	fill(t, from, 10)
	if _, err := restore(t, other, export(t, from)); err != nil {
		t.Fatal(err)
	}
	fill(t, from, 5)
	fill(t, other, 2) // other event ids
	before := export(t, other)
	_, err = restore(t, other, export(t, from))
	if !errors.Is(err, ErrContradicts) || !strings.Contains(err.Error(), "0:11") || !strings.Contains(err.Error(), "line 12") {
		t.Fatalf("got %v", err)
	}
	_, err = restore(t, other, export(t, from, eventstore.Position{Seq: 13}))
	if !errors.Is(err, ErrContradicts) || !strings.Contains(err.Error(), "0:12") {
		t.Fatalf("got %v", err)
	}
	if !bytes.Equal(before, export(t, other)) {
		t.Error("a refused import changed the store")
	}
}

func TestExportOfNothingThere(t *testing.T) {
	store := memory.New(1)
	fill(t, store, 3)
	for _, c := range []struct {
		from []eventstore.Position
		want error
	}{
		{[]eventstore.Position{{Partition: 1, Seq: 1}}, eventstore.ErrPartition},
		{[]eventstore.Position{{Seq: 5}}, eventstore.ErrNotFound},
		{[]eventstore.Position{{Seq: 1}, {Seq: 2}}, eventstore.ErrInvalid},
	} {
		if _, err := Export(t.Context(), store, c.from, &bytes.Buffer{}, nil); !errors.Is(err, c.want) {
			t.Errorf("from %v: got %v, want %v", c.from, err, c.want)
		}
	}
	if got := bytes.Count(export(t, store, eventstore.Position{Seq: 4}), []byte("\n")); got != 2 {
		t.Errorf("an export from behind the head has %d lines", got)
	}
}

// bent is a store whose records or evidence were altered under the ledger's feet.
type bent struct {
	eventstore.Store
	record   func(*eventstore.Record)
	evidence func(*eventstore.Evidence)
}

func (b bent) Read(ctx context.Context, p int, after int64, limit int) ([]eventstore.Record, error) {
	records, err := b.Store.Read(ctx, p, after, limit)
	for i := range records {
		b.record(&records[i])
	}
	return records, err
}

func (b bent) Evidence(ctx context.Context, p eventstore.Position) ([]eventstore.Evidence, error) {
	evidence, err := b.Store.Evidence(ctx, p)
	for i := range evidence {
		b.evidence(&evidence[i])
	}
	return evidence, err
}

func TestExportRefusesABrokenLog(t *testing.T) {
	store := memory.New(1)
	fill(t, store, 9)
	for name, b := range map[string]bent{
		"0:5": {store, func(r *eventstore.Record) {
			if r.Seq == 5 {
				r.Data = []byte(`{}`)
			}
		}, func(*eventstore.Evidence) {}},
		"0:3": {store, func(*eventstore.Record) {}, func(e *eventstore.Evidence) { e.Body = []byte("other") }},
	} {
		_, err := Export(t.Context(), b, nil, &bytes.Buffer{}, nil)
		if !errors.Is(err, eventstore.ErrBroken) || !strings.Contains(err.Error(), name) {
			t.Errorf("record %s altered: %v", name, err)
		}
	}
}
