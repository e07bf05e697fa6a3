package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/postgres"
	"github.com/khata-ledger/khata/eventstore/testpg"
)

// TestSilence: connections over which nothing comes are given up, all of them with the first, and what was being committed is found out.
func TestSilence(t *testing.T) {
	t.Parallel()
	dsn := testpg.DSN(t)
	if err := postgres.Migrate(t.Context(), dsn, 1); err != nil {
		t.Fatal(err)
	}
	proxy := testpg.NewProxy(t, dsn)
	store, err := postgres.Open(t.Context(), proxy.DSN(), postgres.WithSilence(postgres.NewSilence(2*time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	read := make(chan error)
	for range 10 { // so many connections
		go func() {
			_, err := store.Head(t.Context(), 0)
			read <- err
		}()
	}
	for range 10 {
		if err := <-read; err != nil {
			t.Fatal(err)
		}
	}
	head, records := behind(t, store, 3)

	proxy.Freeze()
	if err := store.Append(t.Context(), head, records); err == nil {
		t.Fatal("records were appended over connections that stand still")
	}
	if _, err := store.Head(t.Context(), 0); err == nil {
		t.Fatal("a head was read over connections that stand still")
	}
	proxy.Thaw()
	// What was sent before is carried out now, or never: the answer holds from now on.
	committed, err := store.Committed(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	if now, err := store.Head(t.Context(), 0); err != nil || (now.Seq == 3) != committed {
		t.Errorf("committed: %v, and the head is at %d (%v)", committed, now.Seq, err)
	}

	proxy.Forsake()
	silent := 0
	for ; ; silent++ {
		_, err := store.Head(t.Context(), 0)
		if err == nil {
			break
		}
		if !errors.Is(err, postgres.ErrSilent) || silent > 3 {
			t.Fatalf("after %d: %v", silent, err)
		}
	}
	after, more := behind(t, store, 1)
	if err := store.Append(t.Context(), after, more); err != nil {
		t.Error(err)
	}
	if n := count(t, store); int64(n) != after.Seq+1 {
		t.Errorf("%d records behind %d", n, after.Seq)
	}
}
