package testdisk_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/khata-ledger/khata/eventstore/testdisk"
)

// TestJournalCutShort: a journal whose last entry is not whole, as a kill leaves it, is read up to there.
func TestJournalCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	journal, err := testdisk.Append(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if err := journal.Mark(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		ops, err := testdisk.ReadJournal(path)
		if err != nil || len(ops) != 2*size/len(whole) { // both entries are of one size
			t.Fatalf("%d of %d bytes: %v, %v", size, len(whole), ops, err)
		}
	}
}

// TestWhatACrashLeaves: of each kind of operation, whether it can be gone behind a crash, and whether it can be there.
func TestWhatACrashLeaves(t *testing.T) {
	const name, absent = "a.db-wal", "(absent)"
	create, write := testdisk.Op{Kind: testdisk.Create, Name: name}, testdisk.Op{Kind: testdisk.Write, Name: name, Data: []byte("new")}
	syncDir, sync := testdisk.Op{Kind: testdisk.SyncDir, Name: name}, testdisk.Op{Kind: testdisk.Sync, Name: name}
	for what, c := range map[string]struct {
		ops   []testdisk.Op
		every []string // that must be seen in some crash; nothing else may be, but for garbage
	}{
		"created":                    {[]testdisk.Op{create}, []string{absent, ""}},
		"created and synced":         {[]testdisk.Op{create, syncDir}, []string{""}},
		"file synced, folder not":    {[]testdisk.Op{create, write, sync}, []string{absent, "new"}},
		"written":                    {[]testdisk.Op{create, syncDir, write}, []string{"", "new"}},
		"written and synced":         {[]testdisk.Op{create, write, syncDir}, []string{"new"}},
		"truncated":                  {[]testdisk.Op{create, write, syncDir, {Kind: testdisk.Truncate, Name: name, Offset: 1}}, []string{"new", "n"}},
		"deleted":                    {[]testdisk.Op{create, write, syncDir, {Kind: testdisk.Delete, Name: name}}, []string{absent, "new"}},
		"deleted, the folder synced": {[]testdisk.Op{create, write, syncDir, {Kind: testdisk.Delete, Name: name}, syncDir}, []string{absent}},
	} {
		t.Run(what, func(t *testing.T) {
			disk, err := testdisk.Load(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, op := range c.ops {
				if err := disk.Do(op); err != nil {
					t.Fatal(err)
				}
			}
			random := rand.New(rand.NewPCG(1, 1))
			seen := map[string]bool{}
			for range 40 {
				dir := t.TempDir()
				if err := disk.Crash(dir, random); err != nil {
					t.Fatal(err)
				}
				text, err := os.ReadFile(filepath.Join(dir, name))
				switch {
				case errors.Is(err, fs.ErrNotExist):
					seen[absent] = true
				case err != nil:
					t.Fatal(err)
				default:
					seen[string(text)] = true
				}
			}
			for _, want := range c.every {
				if !seen[want] {
					t.Errorf("never %q in %v", want, seen)
				}
			}
			if what != "written" && what != "truncated" && len(seen) != len(c.every) {
				t.Errorf("%v, want only %q", seen, c.every)
			}
		})
	}
	disk, err := testdisk.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.Do(write); err == nil {
		t.Error("a write to a file that is not there")
	}
}
