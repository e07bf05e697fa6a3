package main

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testpg"
	"github.com/khata-ledger/khata/eventstore/work"
)

// PostgreSQL crashes and comes back under consumers that live on: what they wrote for a record that they are past is there.
func TestWritesOfConsumersSurviveACrash(t *testing.T) {
	t.Parallel()
	cluster, err := testpg.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, t.TempDir(), cluster.URL())
	open := func() *stores {
		flags := storeFlags{DB: w.db, MasterKeyFile: w.keyFile()}
		if err := flags.migrate(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		s, err := flags.open(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	for _, setting := range []string{"ALTER SYSTEM SET wal_writer_delay = '10s'", "ALTER ROLE CURRENT_USER SET synchronous_commit = off", "SELECT pg_reload_conf()"} {
		if _, err := s.workDB.ExecContext(t.Context(), setting); err != nil {
			t.Fatal(err)
		}
	}
	closeStores(t, s)

	s = open()
	writes := []struct {
		name  string
		write func(context.Context) error
		count string
	}{
		{"a job", func(ctx context.Context) error {
			return s.work.Put(ctx, work.Job{Kind: "k", Key: "j", Due: time.Now()})
		}, "SELECT count(*) FROM jobs"},
		{"what else is written through workDB", func(ctx context.Context) error {
			_, err := s.workDB.ExecContext(ctx, "INSERT INTO poison (consumer, partition, seq, event_id, type, reason, at) VALUES ('c', 0, 1, '', '', '', 0)")
			return err
		}, "SELECT count(*) FROM poison"},
	}
	for _, c := range writes {
		if err := c.write(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Kill(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Restart(); err != nil {
			t.Fatal(err)
		}
		closeStores(t, s)
		s = open()
		var n int
		if err := s.workDB.QueryRowContext(t.Context(), c.count).Scan(&n); err != nil || n != 1 {
			t.Errorf("%s: %d rows after the crash, %v", c.name, n, err)
		}
	}
	closeStores(t, s)
}

func closeStores(t *testing.T, s *stores) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Logf("closing the stores: %v", err) // their connections may be dead
	}
}
