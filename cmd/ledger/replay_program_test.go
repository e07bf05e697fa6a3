package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

func everyLine(eventstore.Position, time.Time) (bool, error) { return true, nil }

// startScript starts a shell script as the other program.
func startScript(t *testing.T, ctx context.Context, c replayCommand, text string) *program {
	t.Helper()
	c.Diff.program = filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(c.Diff.program, []byte("#!/bin/sh\n"+text), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	p, err := c.startProgram(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Its bound is kept also when something that the other program has started lives on, and holds the pipe.
func TestOtherProgramIsBounded(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p := startScript(t, ctx, replayCommand{Subject: fifo}, `cat "$4" 2>/dev/null &
echo '{"subject":"x","events":['
wait`)
	for token := json.Token(nil); token != json.Delim('['); {
		var err error
		if token, err = p.lines.Token(); err != nil {
			t.Fatal(err)
		}
	}
	p.inside = true
	cancel()
	_, err := p.next(everyLine)
	if err == nil {
		t.Error("a list that is cut short is taken for the whole")
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // it waits for who reads: what has lived on, and may end now
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// The store's address, which may hold a password, is not in the arguments; a subject is no flag; what the environment says of --diff and --until is not for it.
func TestOtherProgramIsToldInItsEnvironment(t *testing.T) {
	t.Setenv("LEDGER_DIFF", "plan:1")
	t.Setenv("LEDGER_UNTIL", "0:1")
	t.Setenv("LEDGER_DB", "sqlite:another.db")
	c := replayCommand{storeFlags: storeFlags{DB: "postgres://user:secret@127.0.0.1/x", MasterKeyFile: "a.key"}, Subject: "--db=sqlite:third.db"}
	p := startScript(t, t.Context(), c, `echo "$@ $LEDGER_DB $LEDGER_MASTER_KEY_FILE [$LEDGER_DIFF$LEDGER_UNTIL]" >&2`)
	_, err := p.next(everyLine)
	want := "it says: replay --json -- --db=sqlite:third.db postgres://user:secret@127.0.0.1/x a.key []"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}
