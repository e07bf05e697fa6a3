package sqlite_test

import (
	"crypto/sha256"
	"database/sql"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/sqlite"
	"github.com/khata-ledger/khata/eventstore/testdisk"
)

// powerFailures is how often the power fails: LEDGER_TEST_KILLS times ten, which `make kills` sets, or some times.
func powerFailures(t *testing.T) int {
	t.Helper()
	text := os.Getenv("LEDGER_TEST_KILLS")
	if text == "" {
		return 40
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("LEDGER_TEST_KILLS is %q", text)
	}
	return 10 * n
}

// TestPowerFailure: the power fails at random moments while a log is made, written, moved from its WAL to its file, closed and opened again. Of what was
// not synced each sector may be gone, there or garbage. Each append that was answered is there afterwards, whole, and nothing else but, perhaps, the one that was under
// way; the file is sound, and is written on.
func TestPowerFailure(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	failures := powerFailures(t)
	path := filepath.Join(t.TempDir(), "journal")
	run := writeRecorded(t, path, random, 40+failures/4)
	ops, err := testdisk.ReadJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := testdisk.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// Half of the failures come right behind an answer.
	places := map[int]int{}
	for range failures / 2 {
		places[random.IntN(len(ops))]++
	}
	for range failures - failures/2 {
		i := random.IntN(len(ops))
		for i < len(ops)-1 && ops[i].Kind != testdisk.Mark {
			i++
		}
		places[i]++
	}
	acknowledged, lost, more := -1, 0, 0
	for i, op := range ops {
		if err := disk.Do(op); err != nil {
			t.Fatalf("operation %d: %v", i, err)
		}
		if op.Kind == testdisk.Mark {
			if acknowledged, err = strconv.Atoi(string(op.Data)); err != nil {
				t.Fatal(err)
			}
		}
		for range places[i] {
			after := run.powerFailed(t, disk, random, acknowledged)
			if after > max(acknowledged, 0) {
				more++
			} else {
				lost++
			}
			if t.Failed() {
				t.Fatalf("the power failed after operation %d of %d", i, len(ops))
			}
		}
	}
	t.Logf("%d operations of the disk, %d appends of %d records; %d power failures, %d of them kept an append that was not answered", len(ops), len(run.ends)-1, run.ends[len(run.ends)-1], lost+more, more)
}

// recordedRun is what was written to a log on a disk that is recorded: after append n it ends at record ends[n], whose hash is hashes[n]. Its
// journal has the mark n behind the answer of append n, and 0 behind that of Migrate.
type recordedRun struct {
	name   string
	ends   []int64
	hashes []eventstore.Hash
}

func writeRecorded(t *testing.T, journalPath string, random *rand.Rand, appends int) *recordedRun {
	t.Helper()
	journal, err := testdisk.Append(journalPath)
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	root := t.TempDir()
	stop, err := testdisk.Record(root, journal)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	path := filepath.Join(root, "ledger.db")
	migrate(t, path)
	run := &recordedRun{name: "ledger.db"}
	store := open(t, path)
	note := func(n int, head eventstore.Head) {
		run.ends, run.hashes = append(run.ends, head.Seq), append(run.hashes, head.Hash)
		if err := journal.Mark(strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
	}
	first, err := store.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	note(0, first)
	for n := 1; n <= appends; n++ {
		head, records := mixed(t, store, random)
		if err := store.Append(t.Context(), head, records); err != nil {
			t.Fatal(err)
		}
		note(n, head.Behind(records))
		switch random.IntN(12) {
		case 0, 1, 2: // as the store itself does when the WAL has grown; and as others may
			mode := []string{"PASSIVE", "RESTART", "TRUNCATE"}[random.IntN(3)]
			if err := execute(t.Context(), path, "PRAGMA wal_checkpoint("+mode+")"); err != nil {
				t.Fatal(err)
			}
		case 3:
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			if store, err = sqlite.Open(t.Context(), path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return run
}

// mixed makes records of all sizes, some with keys and evidence.
func mixed(t *testing.T, store *sqlite.Store, random *rand.Rand) (eventstore.Head, []eventstore.Record) {
	t.Helper()
	size := 20
	if random.IntN(5) == 0 {
		size = 9000 // several pages
	}
	head, records := behind(t, store, 1+random.IntN(1+random.IntN(60)), random.IntN(1+size))
	for i := range records {
		if random.IntN(3) == 0 {
			records[i].Keys = []string{"order:" + uuid.NewString()}
		}
		if random.IntN(4) == 0 {
			body := sha256.Sum256(records[i].EventID[:])
			records[i].Evidence = []eventstore.Evidence{{MediaType: "application/octet-stream", Body: body[:]}}
		}
	}
	eventstore.Chain(head, records)
	return head, records
}

// powerFailed has the power fail now, and looks at what is left: the log must end behind the append that was answered last, or behind the next
// one. It returns which.
func (run *recordedRun) powerFailed(t *testing.T, disk *testdisk.Disk, random *rand.Rand, acknowledged int) (found int) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "after-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := disk.Crash(dir, random); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, run.name)
	if acknowledged < 0 { // nobody was told that there is a log
		migrate(t, path)
	}
	wantSound(t, path)
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatalf("after append %d was answered: %v", acknowledged, err)
	}
	defer store.Close()
	n := int64(count(t, store)) // and checks the chain
	head, err := store.Head(t.Context(), 0)
	if err != nil || head.Seq != n {
		t.Fatalf("%d records, the head says %d, %v", n, head.Seq, err)
	}
	for found = max(acknowledged, 0); found <= max(acknowledged, 0)+1; found++ {
		if found < len(run.ends) && run.ends[found] == n && (acknowledged < 0 || run.hashes[found] == head.Hash) {
			break
		}
	}
	if found > max(acknowledged, 0)+1 {
		t.Fatalf("append %d was answered, which ends at record %d; the log ends at %d", acknowledged, run.ends[max(acknowledged, 0)], n)
	}
	head, records := behind(t, store, 3, 5000)
	if err := store.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	if after := int64(count(t, store)); after != n+3 {
		t.Fatalf("%d records, and 3 more are %d", n, after)
	}
	return found
}

// wantSound has SQLite check every page of a file.
func wantSound(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", uri(path)+"?mode=rw")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var health string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&health); err != nil || health != "ok" {
		t.Fatalf("%q, %v", health, err)
	}
}
