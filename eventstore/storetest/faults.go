package storetest

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/eventstore"
)

// committed finds what was appended, and nothing else.
func committed(t *testing.T, backend Backend) {
	store := empty(t, backend)
	before := head(t, store, 0)
	wrote := series("s", 1, 5)
	eventstore.Chain(before, wrote)
	if found, err := store.Committed(t.Context(), wrote); err != nil || found {
		t.Fatalf("before it is appended: %v, %v", found, err)
	}
	before = head(t, store, 0) // what is denied must not come any more: the epoch may be another one
	if err := store.Append(t.Context(), before, wrote); err != nil {
		t.Fatal(err)
	}
	put(t, store, series("s", 6, 2)...) // others may follow
	others := series("s", 1, 5)         // lost against wrote: the same positions
	eventstore.Chain(before, others)
	longer := append(wrote[:4:4], others[4])
	for _, tt := range []struct {
		name    string
		records []eventstore.Record
		want    bool
	}{{"appended", wrote, true}, {"lost", others, false}, {"one of another append", longer, false}} {
		if found, err := store.Committed(t.Context(), tt.records); err != nil || found != tt.want {
			t.Errorf("%s: %v, %v", tt.name, found, err)
		}
	}
	if _, err := store.Committed(t.Context(), nil); !errors.Is(err, eventstore.ErrInvalid) {
		t.Errorf("nothing to look for: %v", err)
	}
	put(t, store, series("s", 8, 1)...) // it holds no lock
	mustAll(t, store)
}

// cutCommit breaks the connection in the middle of a COMMIT: the store says that it does not know, and then finds out.
func cutCommit(t *testing.T, backend Backend, arrives bool) {
	location := backend.New(t, 1)
	store, cut := backend.Cut(t, location)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	first := series("s", 1, 2)
	put(t, store, first...)
	before := head(t, store, 0)
	records := series("s", 3, 3)
	records[0].Keys = []string{"order:1"}
	eventstore.Chain(before, records)
	cut(arrives)
	if err := store.Append(t.Context(), before, records); !errors.Is(err, eventstore.ErrUnknown) {
		t.Fatalf("got %v, want ErrUnknown", err)
	}
	found, err := store.Committed(t.Context(), records)
	if err != nil || found != arrives {
		t.Fatalf("committed: %v, %v; want %v", found, err, arrives)
	}
	if !arrives { // the same records may be tried again
		same(t, mustAll(t, store), first)
		before = head(t, store, 0)
		if err := store.Append(t.Context(), before, records); err != nil {
			t.Fatal(err)
		}
	}
	same(t, mustAll(t, store), append(first, records...))
}

// reopened: what a handle has written, the next one finds, and goes on with.
func reopened(t *testing.T, backend Backend) {
	location := backend.New(t, 1)
	var want []eventstore.Record
	for i := range int64(4) {
		store, err := backend.Open(t.Context(), location)
		if err != nil {
			t.Fatal(err)
		}
		same(t, mustAll(t, store), want)
		more := series("s", 1+2*i, 2)
		put(t, store, more...)
		want = append(want, more...)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What the child that is killed appends at a time, and how often it is killed.
const (
	killedBatch = 20
	kills       = 2
)

// killed: a process that is killed while it appends has written every batch that it was told of, and none of them half.
func killed(t *testing.T, backend Backend, name string) {
	location := backend.New(t, 1)
	acknowledged := int64(0)
	for round := range kills {
		last, err := killChild(t, location, name, acknowledged+int64(killedBatch*(3+4*round)))
		if err != nil {
			t.Fatal(err)
		}
		store := open(t, backend, location)
		records := mustAll(t, store)
		tip := head(t, store, 0).Seq
		if tip < last || tip%killedBatch != 0 {
			t.Fatalf("the head is at %d; %d was acknowledged, in batches of %d", tip, last, killedBatch)
		}
		checkWhole(t, store, records)
		acknowledged = tip
	}
	if acknowledged == 0 {
		t.Fatal("nothing was ever acknowledged")
	}
	put(t, open(t, backend, location), record("after", 1))
}

// checkWhole checks that every record has its key and its evidence.
func checkWhole(t *testing.T, store eventstore.Store, records []eventstore.Record) {
	t.Helper()
	var keys []string
	for i := range records {
		keys = append(keys, records[i].Keys...)
	}
	taken, err := store.Lookup(t.Context(), 0, math.MaxInt64, keys)
	if err != nil || len(taken) != len(records) {
		t.Fatalf("%d of %d keys: %v", len(taken), len(records), err)
	}
	for i := range records {
		messages, err := store.Evidence(t.Context(), records[i].Position())
		if err != nil || len(messages) != 1 || messages[0].Digest() != records[i].EvidenceDigests[0] {
			t.Fatalf("record %s: %d messages, %v", records[i].Position(), len(messages), err)
		}
	}
}

// killChild lets this test's program append in a process of its own until position enough, then kills it with a signal
// that cannot be caught. It returns the last position that the child was told to be durable.
func killChild(t *testing.T, location, name string, enough int64) (last int64, err error) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	child := exec.CommandContext(t.Context(), program, "-test.run=^"+name+"$")
	child.Env = append(os.Environ(), childEnv+"="+location)
	child.Stderr = os.Stderr
	output, err := child.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := child.Start(); err != nil {
		return 0, err
	}
	var other []string
	for lines := bufio.NewScanner(output); lines.Scan(); {
		position, ok := strings.CutPrefix(lines.Text(), "acknowledged ")
		if !ok {
			other = append(other, lines.Text())
			continue
		}
		if last, err = strconv.ParseInt(position, 10, 64); err != nil {
			return 0, err
		}
		if enough > 0 && last >= enough {
			if err := child.Process.Kill(); err != nil {
				return 0, err
			}
			enough = 0 // read on: what it said before it died counts
		}
	}
	if err := child.Wait(); err == nil || enough != 0 {
		return 0, fmt.Errorf("the child ended by itself: %w\n%s", err, strings.Join(other, "\n"))
	}
	return last, nil
}

// appendUntilKilled is what the child does.
func appendUntilKilled(t *testing.T, backend Backend, location string) {
	store, err := backend.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	at := head(t, store, 0)
	for {
		batch := series("s", at.Seq+1, killedBatch)
		for i := range batch {
			batch[i].Keys = []string{batch[i].EventID.String()}
			batch[i].Evidence = []eventstore.Evidence{{MediaType: "text/plain", Body: batch[i].EventID[:]}}
		}
		next := eventstore.Chain(at, batch)
		if err := store.Append(t.Context(), at, batch); err != nil {
			t.Fatal(err)
		}
		at = next
		fmt.Printf("acknowledged %d\n", at.Seq)
	}
}

// appendOnly: the schema itself refuses to change what is written, whoever asks.
func appendOnly(t *testing.T, backend Backend) {
	location := backend.New(t, 1)
	store := open(t, backend, location)
	wrote := series("s", 1, 3)
	wrote[0].Keys = []string{"order:1"}
	wrote[0].Evidence = []eventstore.Evidence{{MediaType: "text/plain", Body: []byte("x")}}
	put(t, store, wrote...)
	if err := backend.Execute(t.Context(), location, "UPDATE heads SET epoch = epoch + 1"); err != nil {
		t.Fatalf("what is allowed is refused: %v", err)
	}
	for _, statement := range []string{
		"UPDATE events SET data = '{}' WHERE seq = 1",
		"UPDATE events SET seq = 9 WHERE seq = 3",
		"DELETE FROM events WHERE seq = 3",
		"DELETE FROM events",
		"UPDATE evidence SET body = 'y'",
		"DELETE FROM evidence",
		"UPDATE heads SET seq = seq - 1",
		"UPDATE heads SET epoch = epoch - 1",
		"UPDATE heads SET hash = (SELECT data FROM events LIMIT 1)",
		"UPDATE heads SET recorded_at = 0",
		"UPDATE heads SET partition = 7",
		"DELETE FROM heads",
		"UPDATE ledger SET partitions = 2",
		"DELETE FROM ledger",
	} {
		err := backend.Execute(t.Context(), location, statement)
		if err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("not refused: %s: %v", statement, err)
		}
	}
	same(t, mustAll(t, store), wrote)
}
