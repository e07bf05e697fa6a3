package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

func TestTruncatedFile(t *testing.T) {
	t.Parallel()
	from := memory.New(2)
	fill(t, from, 4)
	file := export(t, from)
	lines := bytes.SplitAfter(file, []byte("\n"))
	for cut := range len(file) - 1 { // without the last line feed the file is whole
		to := memory.New(1)
		_, err := restore(t, to, file[:cut])
		whole := file[:cut]
		if file[cut] == '\n' { // a line is whole without its line feed
			whole = file[:cut+1]
		}
		want := fmt.Sprintf("line %d:", bytes.Count(whole, []byte("\n"))+1)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want) {
			t.Fatalf("cut at byte %d: %v, want %s", cut, err, want)
		}
		if head, err := to.Head(t.Context(), 0); err != nil || head.Seq != 0 && cut < len(lines[0])+len(lines[1]) {
			t.Fatalf("cut at byte %d: head %v, %v", cut, head, err)
		}
	}
}

// TestFlippedBits flips each bit of a file: what is not refused must have been harmless, such as the case of a hexadecimal
// digit.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	from := memory.New(1)
	fill(t, from, 3)
	file := export(t, from)
	header, end := bytes.IndexByte(file, '\n'), bytes.Index(file, []byte(`{"end"`))-1
	good, harmless := export(t, from), 0
	for i := range file {
		for bit := range 8 {
			damaged := bytes.Clone(file)
			damaged[i] ^= 1 << bit
			to := memory.New(1)
			_, err := restore(t, to, damaged)
			if err == nil {
				harmless++
				if got := export(t, to); !bytes.Equal(got, good) {
					t.Fatalf("bit %d of byte %d: accepted, and another log", bit, i)
				}
				continue
			}
			// Only behind an undamaged batch may anything have been written: the damage is in the header's count or in
			// the last line.
			if head, herr := to.Head(t.Context(), 0); herr != nil || head.Seq != 0 && i > header && i < end {
				t.Fatalf("bit %d of byte %d: %v left head %v, %v", bit, i, err, head, herr)
			}
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrGap) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
	if harmless > len(file) {
		t.Errorf("%d of %d flipped bits were accepted", harmless, 8*len(file))
	}
}

func TestBadBatchIsNotImported(t *testing.T) {
	const batch = 40
	from, to := memory.New(1), memory.New(1)
	fill(t, from, 2*batch+10)
	lines := bytes.SplitAfter(export(t, from), []byte("\n"))
	bad := batch + 20 // in the second batch
	lines[bad] = bytes.Replace(lines[bad], []byte("10.00"), []byte("99.00"), 1)
	_, err := restoreBy(t, to, bytes.Join(lines, nil), batch)
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), fmt.Sprintf("line %d:", bad+1)) || !strings.Contains(err.Error(), fmt.Sprintf("0:%d", bad)) {
		t.Fatalf("got %v", err)
	}
	if head, err := to.Head(t.Context(), 0); err != nil || head.Seq != batch {
		t.Fatalf("head %v, %v", head, err)
	}
	// With the whole file it is completed.
	if in, err := restore(t, to, export(t, from)); err != nil || in.Equal != batch {
		t.Fatalf("imported %+v, %v", in, err)
	}
	same(t, from, to)
}

func TestDamagedFrame(t *testing.T) {
	from := memory.New(2)
	fill(t, from, 2)
	lines := bytes.SplitAfter(export(t, from), []byte("\n"))
	head, one, two, last := lines[0], lines[1], lines[2], lines[len(lines)-2]
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	whole := bytes.Join(lines, nil)
	for name, file := range map[string][]byte{
		"no header":        join(one, two, last),
		"empty":            {},
		"two headers":      join(head, head, one),
		"record missing":   join(head, two, last),
		"records swapped":  join(head, two, one, last),
		"record twice":     join(head, one, one, two, last),
		"end too early":    join(head, one, last),
		"more behind end":  join(whole, one),
		"blank behind end": join(whole, []byte("\n")),
		"blank line":       join(head, []byte("\n"), one, two, last),
		"two on a line":    join(head, bytes.TrimSuffix(one, []byte("\n")), two, last),
		"unknown field":    join(head, []byte(`{"record":{"amount":1}}`+"\n")),
		"no kind":          join(head, []byte("{}\n")),
		"other format":     bytes.Replace(whole, []byte("log/1"), []byte("log/2"), 1),
		"partitions":       bytes.Replace(whole, []byte(`"partitions":2`), []byte(`"partitions":3`), 1),
		"partition":        join(head, bytes.Replace(one, []byte(`"partition":0`), []byte(`"partition":2`), 1)),
		"no record at all": join(head, last),
	} {
		to := memory.New(1)
		if _, err := restore(t, to, file); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLongLine(t *testing.T) {
	from := memory.New(1)
	fill(t, from, 1)
	head, _, _ := bytes.Cut(export(t, from), []byte("\n"))
	file := append(append(bytes.Clone(head), '\n'), bytes.Repeat([]byte(" "), 1<<20)...)
	m := importer{store: memory.New(1), lines: bufio.NewReader(bytes.NewReader(file)), maxLine: 1 << 19}
	if err := m.run(t.Context()); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "line 2: longer") {
		t.Fatalf("got %v", err)
	}
}

// unsure reports that the outcome of its first append is unknown.
type unsure struct {
	eventstore.Store
	written bool // whether that append took effect
	asked   int
}

func (u *unsure) Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error {
	u.asked++
	if u.asked > 1 {
		return u.Store.Append(ctx, head, records)
	}
	if u.written {
		if err := u.Store.Append(ctx, head, records); err != nil {
			return err
		}
	}
	return eventstore.ErrUnknown
}

func TestUnknownOutcomeIsFoundOut(t *testing.T) {
	from := memory.New(1)
	fill(t, from, 5)
	for _, written := range []bool{true, false} {
		to := &unsure{Store: memory.New(1), written: written}
		if _, err := restore(t, to, export(t, from)); err != nil {
			t.Fatalf("written %t: %v", written, err)
		}
		same(t, from, to)
	}
}

func FuzzDecode(f *testing.F) {
	store := memory.New(1)
	head, err := store.Head(context.Background(), 0)
	if err != nil {
		f.Fatal(err)
	}
	records := []eventstore.Record{sample(0, 1), sample(0, 2), sample(0, 3)}
	eventstore.Chain(head, records)
	if err := store.Append(context.Background(), head, records); err != nil {
		f.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := Export(context.Background(), store, nil, &file, nil); err != nil {
		f.Fatal(err)
	}
	for l := range bytes.Lines(file.Bytes()) {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decode(b)
		if err != nil || l.Record == nil {
			return
		}
		r, err := l.Record.record()
		if err != nil {
			return
		}
		// What was read is written and read again as the same record: same canonical bytes, same evidence.
		var again bytes.Buffer
		if err := newEncoder(&again).write(line{Record: toLine(&r, r.Evidence)}); err != nil {
			t.Fatal(err)
		}
		l, err = decode(again.Bytes())
		if err != nil {
			t.Fatalf("%v: %s", err, again.Bytes())
		}
		second, err := l.Record.record()
		if err != nil {
			t.Fatalf("%v: %s", err, again.Bytes())
		}
		if !bytes.Equal(r.Canonical(nil), second.Canonical(nil)) || r.Hash != second.Hash {
			t.Fatalf("%s became %s", b, again.Bytes())
		}
	})
}
