package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/khata-ledger/khata/adapters/bus"
)

// restoredServer is a server, as told to accept a restored log, over a store whose log is empty.
func restoredServer(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	flags := storeFlags{DB: "sqlite:" + filepath.Join(dir, "ledger.db"), MasterKeyFile: filepath.Join(dir, "master.key")}
	if err := flags.migrate(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	stores, err := flags.open(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stores.Close(); err != nil {
			t.Error(err)
		}
	})
	return &server{cfg: &serveCommand{AcceptRestoredLog: true}, logger: slog.New(slog.DiscardHandler), stores: stores}
}

// TestAcceptedLogIsFollowedFromItsEnd: when a restored log is accepted, the queue of callbacks stands at its end before anything is recorded. Were that left to
// its reader, what is recorded before it is up would be passed over, and nobody told of it.
func TestAcceptedLogIsFollowedFromItsEnd(t *testing.T) {
	t.Parallel()
	s := restoredServer(t)
	for _, group := range []string{"callbacks", "expiry"} {
		c := consumer{group: group, topic: "payin"}
		name := bus.Consumer(c.group, c.topic)
		if err := s.stores.work.SetCheckpoint(t.Context(), name, 0, 0, 5); err != nil {
			t.Fatal(err)
		}
		if err := s.checkNotRestored(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if at, err := s.stores.work.Checkpoint(t.Context(), name, 0); err != nil || at != 0 {
			t.Errorf("%s goes on behind record %d of a log of none (%v)", name, at, err)
		}
	}
}

// TestSignedCheckpointThatIsAway: a log is not served unless it was held against what was signed of it, also where the store fails at that very moment.
func TestSignedCheckpointThatIsAway(t *testing.T) {
	t.Parallel()
	s := restoredServer(t)
	if err := s.checkNotRewound(t.Context()); err != nil {
		t.Errorf("nothing was signed, and it is %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.checkNotRewound(ended); err == nil {
		t.Error("the secrets cannot be read, and the log is served")
	}
}
