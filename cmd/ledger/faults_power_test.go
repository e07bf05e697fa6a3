package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testdisk"
	"github.com/khata-ledger/khata/eventstore/work"
)

// recordedName is the test binary's name when it is the product, on a disk that is recorded.
const (
	recordedName = "ledger-recorded"
	recordedDisk = "LEDGER_TEST_DISK"
	recordedTo   = "LEDGER_TEST_JOURNAL"
)

// recordedMain is the product's main. What SQLite does to the folder of a test goes into the test's journal.
func recordedMain() {
	journal, err := testdisk.Append(os.Getenv(recordedTo))
	if err == nil {
		_, err = testdisk.Record(os.Getenv(recordedDisk), journal)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	main()
}

// TestPowerCut: the power of the server's machine fails at random moments under traffic of every kind. Server and commands, which are the product's own code in
// the test's binary, go on with the next disk: what they had written and not synced may be gone, or there in part, in all four files. What was acknowledged is in
// the log each time, and is answered the same again; in the end everything has ended, and bank, company and ledger agree. The bank and the company have lost
// nothing: they remember what the ledger must not have forgotten.
//
// Of each round's journal more moments are tried than its end: at those, too, what was acknowledged by then must be there, and `verify` content.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	rounds := roundsOr(t, 2)
	p := newPowerTest(t)
	var c *traffic
	failures := 0
	for round := range rounds {
		if c == nil {
			c = newTraffic(t, p.w, random)
		} else {
			p.w.start(p.w.flags...)
			c.repeats()
		}
		c.onAck = func(n int) {
			if err := p.journal.Mark(strconv.Itoa(n)); err != nil {
				t.Error(err)
			}
		}
		c.start()
		c.more(20+c.chance(100), "before the power fails")
		if round == rounds-1 {
			c.everything()
		}
		time.Sleep(time.Duration(c.chance(20_000)) * time.Microsecond)
		p.w.kill()
		c.stop()
		failures += p.fails(c, 2)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
		if round%20 == 19 {
			t.Logf("%d power failures so far: %s", failures, c.summary())
		}
	}
	p.w.start(p.w.flags...)
	c.repeats()
	c.settled()
	t.Logf("%d power failures, %d of them went on: %s", failures, rounds, c.summary())
	p.w.stop()
}

// powerTest is a server on a disk that loses power.
type powerTest struct {
	t       *testing.T
	w       *world
	disk    *testdisk.Disk // as it was when the server was started
	journal *testdisk.Journal
	path    string // of the journal
}

func newPowerTest(t *testing.T) *powerTest {
	p := &powerTest{t: t}
	dir := t.TempDir()
	p.w = newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	p.w.writeKey()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.w.other = func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args[0] = program, recordedName
		cmd.Env = append(cmd.Environ(), recordedDisk+"="+p.w.dir, recordedTo+"="+p.path)
	}
	p.record()
	return p
}

// record begins a journal, on the disk as it is.
func (p *powerTest) record() {
	var err error
	if p.disk, err = testdisk.Load(p.w.dir); err != nil {
		p.t.Fatal(err)
	}
	p.path = filepath.Join(p.t.TempDir(), "journal")
	if p.journal, err = testdisk.Append(p.path); err != nil {
		p.t.Fatal(err)
	}
}

// fails has the power fail at the end of the journal, and before that at so many moments more, each of which is looked at by itself. What the
// last one leaves is the disk that the world goes on with.
func (p *powerTest) fails(c *traffic, more int) (failures int) {
	t := p.t
	t.Helper()
	ops, err := testdisk.ReadJournal(p.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.journal.Close(); err != nil {
		t.Fatal(err)
	}
	moments := map[int]bool{len(ops) - 1: true}
	for range more {
		i := c.chance(len(ops))
		for i < len(ops)-1 && ops[i].Kind != testdisk.Mark { // right behind an answer, which is when it hurts most
			i++
		}
		moments[i] = true
	}
	acknowledged := 0
	for i, op := range ops {
		if err := p.disk.Do(op); err != nil {
			t.Fatalf("operation %d: %v", i, err)
		}
		if op.Kind == testdisk.Mark {
			if acknowledged, err = strconv.Atoi(string(op.Data)); err != nil {
				t.Fatal(err)
			}
		}
		if !moments[i] || acknowledged == 0 {
			continue
		}
		failures++
		at := p.crash(c.random)
		c.wantHolds(at.logged(), acknowledged)
		at.verify()
		if t.Failed() {
			t.Fatalf("the power failed after operation %d of %d", i, len(ops))
		}
		p.discard(at.dir)
	}
	next := p.crash(c.random)
	p.discard(p.w.dir)
	p.discard(p.path)
	p.w.dir, p.w.db = next.dir, next.db
	p.record()
	return failures
}

// discard removes what is not looked at any more: a hundred disks would fill the machine's.
func (p *powerTest) discard(path string) {
	if err := os.RemoveAll(path); err != nil {
		p.t.Error(err)
	}
}

// crash is what the disk may hold now, in a folder of its own.
func (p *powerTest) crash(random *rand.Rand) *world {
	dir := p.t.TempDir()
	if err := p.disk.Crash(dir, random); err != nil {
		p.t.Fatal(err)
	}
	at := &world{t: p.t, dir: dir, db: "sqlite:" + filepath.Join(dir, "ledger.db")}
	at.writeKey() // which is made once, durably: see package vault
	return at
}

// TestSpentStaysSpent: what was used once is used up behind any power failure, on SQLite too, where other work may be lost. A refresh token could be used a
// second time otherwise.
func TestSpentStaysSpent(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "journal")
	journal, err := testdisk.Append(path)
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	stop, err := testdisk.Record(dir, journal)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	open := func(dir string) *stores {
		flags := storeFlags{DB: "sqlite:" + filepath.Join(dir, "ledger.db"), MasterKeyFile: filepath.Join(dir, "master.key")}
		if err := flags.migrate(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		s, err := openDatabases(t.Context(), flags.mustLocation(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeStores(t, s) })
		return s
	}
	s := open(dir)
	until := time.Now().Add(time.Hour)
	const tokens = 8
	for i := range tokens {
		if err := s.work.Put(t.Context(), work.Job{Kind: "k", Key: strconv.Itoa(i), Due: time.Now()}); err != nil { // others write there, too
			t.Fatal(err)
		}
		if first, err := s.spent.SpendOnce(t.Context(), strconv.Itoa(i), until); err != nil || !first {
			t.Fatal(first, err)
		}
		if err := journal.Mark(strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	ops, err := testdisk.ReadJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := testdisk.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i, op := range ops {
		if err := disk.Do(op); err != nil {
			t.Fatalf("operation %d: %v", i, err)
		}
		if op.Kind != testdisk.Mark {
			continue
		}
		after := t.TempDir()
		if err := disk.Crash(after, random); err != nil {
			t.Fatal(err)
		}
		if first, err := open(after).spent.SpendOnce(t.Context(), string(op.Data), until); err != nil || first {
			t.Errorf("token %s was used up, and can be used again behind a power failure: %v, %v", op.Data, first, err)
		}
	}
}

func (f *storeFlags) mustLocation(t *testing.T) location {
	t.Helper()
	at, err := f.location()
	if err != nil {
		t.Fatal(err)
	}
	return at
}
