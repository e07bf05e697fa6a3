package vault_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore/vault"
)

func TestRotateMaster(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		old, next, c, id := vault.NewKey(), vault.NewKey(), newClock(), uuid.New()
		ctx := t.Context()
		a, b := open(t, pool(), old, vault.WithClock(c.now)), open(t, pool(), old, vault.WithClock(c.now))
		sealed := seal(t, a, "mer_1", id, "x")
		print, err := a.Fingerprint(ctx, "mer_1", "x")
		if err != nil {
			t.Fatal(err)
		}
		if err := a.PutSecret(ctx, "hook", []byte("s3")); err != nil {
			t.Fatal(err)
		}
		if err := a.RotateMaster(ctx, next, old); !errors.Is(err, vault.ErrWrongMaster) {
			t.Fatalf("rotated from another key: %v", err)
		}
		if err := a.RotateMaster(ctx, old, next); err != nil {
			t.Fatal(err)
		}
		for _, v := range []*vault.Vault{a, open(t, pool(), next)} {
			mustUnseal(t, v, id, sealed, "x")
			if s, err := v.Secret(ctx, "hook"); err != nil || string(s) != "s3" {
				t.Fatalf("%q, %v", s, err)
			}
			if again, err := v.Fingerprint(ctx, "mer_1", "x"); err != nil || again != print {
				t.Fatalf("another fingerprint, %v", err)
			}
		}
		_, reopened := vault.Open(ctx, pool(), old)
		_, secret := b.Secret(ctx, "hook")
		_, unsealed := b.Unseal(ctx, id, sealed)
		_, newKey := b.Seal(ctx, "mer_2", id, nil)
		_, export := b.Export(ctx, &bytes.Buffer{})
		put := b.PutSecret(ctx, "late", nil)
		for i, err := range []error{reopened, secret, unsealed, newKey, export, put} {
			if !errors.Is(err, vault.ErrWrongMaster) {
				t.Errorf("case %d with the old key: %v", i, err)
			}
		}
	})
}

// Whatever is written while the key changes is either stored under the new key or refused.
func TestRotateAgainstWriters(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key := vault.NewKey()
		rotating := open(t, pool(), key)
		ctx, stop := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		var mu sync.Mutex
		stored := make(map[string]bool)
		for w := range 4 {
			v := open(t, pool(), key)
			writers.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					name := fmt.Sprintf("%d/%d", w, i)
					err := v.PutSecret(t.Context(), name, []byte(name))
					if err == nil {
						_, err = v.Seal(t.Context(), name, uuid.New(), nil)
						mu.Lock()
						stored[name] = true
						mu.Unlock()
					}
					if errors.Is(err, vault.ErrWrongMaster) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		next := vault.NewKey()
		waitFor(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(stored) >= 40
		})
		if err := rotating.RotateMaster(ctx, key, next); err != nil {
			t.Fatal(err)
		}
		writers.Wait()
		stop()
		final := open(t, pool(), next)
		for name := range stored {
			if got, err := final.Secret(t.Context(), name); err != nil || string(got) != name {
				t.Fatalf("%s: %q, %v", name, got, err)
			}
		}
		// Rotating once more opens every row.
		if err := final.RotateMaster(t.Context(), next, vault.NewKey()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRotateRefusesDamage(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, id, db := vault.NewKey(), uuid.New(), pool()
		v := open(t, db, key)
		seal(t, v, "mer_1", id, "x")
		if err := v.PutSecret(t.Context(), "good", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), `INSERT INTO named_secrets (name, wrapped, updated_at) SELECT 'zz', wrapped, 0 FROM data_keys`); err != nil {
			t.Fatal(err)
		}
		if err := v.RotateMaster(t.Context(), key, vault.NewKey()); !errors.Is(err, vault.ErrTampered) {
			t.Fatalf("damaged: %v", err)
		}
		if got, err := open(t, pool(), key).Secret(t.Context(), "good"); err != nil || string(got) != "x" {
			t.Fatalf("a failed rotation changed something: %q, %v", got, err)
		}
	})
}

func TestMasterSource(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		old, next, id := vault.NewKey(), vault.NewKey(), uuid.New()
		ctx := t.Context()
		file := old
		server := open(t, pool(), old, vault.WithMasterSource(func() (vault.Key, error) { return file, nil }))
		if err := server.PutSecret(ctx, "hook", []byte("s")); err != nil {
			t.Fatal(err)
		}
		if err := open(t, pool(), old).RotateMaster(ctx, old, next); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Secret(ctx, "hook"); !errors.Is(err, vault.ErrWrongMaster) {
			t.Fatalf("the source has the old key still: %v", err)
		}
		file = next
		if got, err := server.Secret(ctx, "hook"); err != nil || string(got) != "s" {
			t.Fatalf("the source has the new key: %q, %v", got, err)
		}
		mustUnseal(t, server, id, seal(t, server, "mer_1", id, "x"), "x")
	})
}

func TestRotateMasterFile(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		path := filepath.Join(t.TempDir(), "master.key")
		old, err := vault.LoadOrCreateMaster(path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, db := t.Context(), pool()
		if err := open(t, db, old).PutSecret(ctx, "hook", []byte("s")); err != nil {
			t.Fatal(err)
		}
		check := func(not vault.Key) vault.Key {
			t.Helper()
			k, err := vault.LoadMaster(path)
			if err != nil || k == not {
				t.Fatalf("the key file was not changed: %v", err)
			}
			if got, err := open(t, pool(), k).Secret(ctx, "hook"); err != nil || string(got) != "s" {
				t.Fatalf("%q, %v", got, err)
			}
			if _, err := os.Stat(path + ".next"); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("a next key is left: %v", err)
			}
			return k
		}
		if err := vault.RotateMasterFile(ctx, db, path); err != nil {
			t.Fatal(err)
		}
		second := check(old)

		// Killed behind the store's commit: the next key is there, the store has it, the file does not.
		third, err := vault.LoadOrCreateMaster(path + ".next")
		if err != nil {
			t.Fatal(err)
		}
		if err := open(t, db, second).RotateMaster(ctx, second, third); err != nil {
			t.Fatal(err)
		}
		if err := vault.RotateMasterFile(ctx, db, path); err != nil {
			t.Fatal(err)
		}
		if check(second) != third {
			t.Fatal("the interrupted rotation was not completed")
		}

		// Another ledger's key file.
		foreign := filepath.Join(t.TempDir(), "master.key")
		if _, err := vault.LoadOrCreateMaster(foreign); err != nil {
			t.Fatal(err)
		}
		if err := vault.RotateMasterFile(ctx, db, foreign); !errors.Is(err, vault.ErrWrongMaster) {
			t.Fatalf("another key file: %v", err)
		}
		check(vault.Key{})
	})
}
