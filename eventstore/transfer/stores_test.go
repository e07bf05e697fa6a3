package transfer

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/postgres"
	"github.com/khata-ledger/khata/eventstore/sqlite"
	"github.com/khata-ledger/khata/eventstore/testpg"
)

func newSQLite(t *testing.T) eventstore.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	if err := sqlite.Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, store)
	return store
}

func newPostgres(t *testing.T) eventstore.Store {
	t.Helper()
	dsn := testpg.DSN(t)
	if err := postgres.Migrate(t.Context(), dsn, 2); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, store)
	return store
}

func closeAtEnd(t *testing.T, store eventstore.Store) {
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestBetweenStores carries one history from memory to SQLite to PostgreSQL and back, in two parts.
func TestBetweenStores(t *testing.T) {
	t.Parallel()
	first := memory.New(3)
	fill(t, first, 60)
	stores := []eventstore.Store{first, newSQLite(t), newPostgres(t), newSQLite(t), memory.New(1)}
	for round, more := range []int{0, 25} {
		fill(t, first, more)
		file := export(t, first)
		for i := 1; i < len(stores); i++ {
			in, err := restore(t, stores[i], file)
			if err != nil {
				t.Fatalf("round %d, store %d: %v", round, i, err)
			}
			if in.Equal != int64(round*180) {
				t.Errorf("round %d, store %d: imported %+v", round, i, in)
			}
			same(t, stores[i-1], stores[i])
			file = export(t, stores[i])
		}
	}
}

// killed fails for good after some appends, as a process that is killed does.
type killed struct {
	eventstore.Store
	left int
}

var errKilled = errors.New("killed")

func (k *killed) Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error {
	if k.left--; k.left < 0 {
		return errKilled
	}
	return k.Store.Append(ctx, head, records)
}

// TestKilledImportGoesOn kills an import after each of its batches, and completes it.
func TestKilledImportGoesOn(t *testing.T) {
	t.Parallel()
	const batch = 20
	from := memory.New(2)
	fill(t, from, batch+5) // four batches
	file := export(t, from)
	for left := range 4 {
		to := newSQLite(t)
		if _, err := restoreBy(t, &killed{to, left}, file, batch); !errors.Is(err, errKilled) {
			t.Fatalf("after %d batches: %v", left, err)
		}
		if _, err := restore(t, to, file); err != nil {
			t.Fatalf("after %d batches: %v", left, err)
		}
		same(t, from, to)
	}
}

func TestImportBesideAnotherWriter(t *testing.T) {
	from, to := memory.New(1), memory.New(1)
	fill(t, from, 10)
	if _, err := restore(t, to, export(t, from)); err != nil {
		t.Fatal(err)
	}
	file := export(t, from)
	fill(t, from, 10)
	ahead := export(t, from)
	racing := &hasty{Store: to, before: func() { fill(t, to, 1) }}
	if _, err := restore(t, racing, ahead); !errors.Is(err, eventstore.ErrConflict) {
		t.Fatalf("got %v", err)
	}
	if _, err := restore(t, to, file); err != nil {
		t.Fatalf("what both have is still equal: %v", err)
	}
}

// hasty is a store in which somebody else appends just before.
type hasty struct {
	eventstore.Store
	before func()
}

func (h *hasty) Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error {
	h.before()
	return h.Store.Append(ctx, head, records)
}
