package vault_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore/vault"
)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

func (c *clock) add(d time.Duration) { c.set(c.now().Add(d)) }

func open(t *testing.T, db *sql.DB, key vault.Key, options ...vault.Option) *vault.Vault {
	t.Helper()
	v, err := vault.Open(t.Context(), db, key, options...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func seal(t *testing.T, v *vault.Vault, owner string, id uuid.UUID, plain string) []byte {
	t.Helper()
	b, err := v.Seal(t.Context(), owner, id, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustUnseal(t *testing.T, v *vault.Vault, id uuid.UUID, sealed []byte, want string) {
	t.Helper()
	got, err := v.Unseal(t.Context(), id, sealed)
	if err != nil || string(got) != want {
		t.Fatalf("unsealed %q, %v, want %q", got, err, want)
	}
}

func count(t *testing.T, db *sql.DB, query string) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWrongMasterIsFoundAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key := vault.NewKey()
		open(t, pool(), key)
		open(t, pool(), key)
		if _, err := vault.Open(t.Context(), pool(), vault.NewKey()); !errors.Is(err, vault.ErrWrongMaster) {
			t.Fatalf("another key: %v", err)
		}
	})
}

func TestSealIsOpenedByAnotherProcess(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, id := vault.NewKey(), uuid.New()
		a, b := open(t, pool(), key), open(t, pool(), key)
		for _, plain := range []string{"", "x", "Asha Rao", strings.Repeat("long ", 10_000)} {
			sealed := seal(t, a, "mer_1", id, plain)
			if len(plain) > 2 && bytes.Contains(sealed, []byte(plain)) {
				t.Fatal("the plaintext is in the sealed value")
			}
			mustUnseal(t, b, id, sealed, plain)
			if again := seal(t, a, "mer_1", id, plain); bytes.Equal(again, sealed) {
				t.Fatal("sealing twice gives the same bytes")
			}
		}
		text, err := b.SealString(t.Context(), "mer_1", id, "98765")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.UnsealString(t.Context(), id, text); err != nil || got != "98765" {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func TestTamperedValuesAreRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		v, id := open(t, pool(), vault.NewKey()), uuid.New()
		sealed := seal(t, v, "mer_1", id, "account 123")
		for at := range sealed {
			if at >= 1 && at <= 16 {
				continue // the key's id: see below
			}
			bad := bytes.Clone(sealed)
			bad[at] ^= 1
			if _, err := v.Unseal(t.Context(), id, bad); !errors.Is(err, vault.ErrTampered) {
				t.Fatalf("byte %d changed: %v", at, err)
			}
		}
		for n := range sealed {
			if _, err := v.Unseal(t.Context(), id, sealed[:n]); !errors.Is(err, vault.ErrTampered) {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
		}
		other := seal(t, v, "mer_2", id, "x")
		swapped := append(bytes.Clone(other[:17]), sealed[17:]...)
		if _, err := v.Unseal(t.Context(), id, swapped); !errors.Is(err, vault.ErrTampered) {
			t.Fatalf("another key's id: %v", err)
		}
		if _, err := v.Unseal(t.Context(), uuid.New(), sealed); !errors.Is(err, vault.ErrTampered) {
			t.Fatalf("another event's id: %v", err)
		}
		if _, err := v.UnsealString(t.Context(), id, "not/base64"); !errors.Is(err, vault.ErrTampered) {
			t.Fatalf("no base64: %v", err)
		}
	})
}

func TestInputBeyondBounds(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		db := pool()
		v, id := open(t, db, vault.NewKey()), uuid.New()
		_, empty := v.Seal(t.Context(), "", id, nil)
		_, long := v.Seal(t.Context(), strings.Repeat("o", vault.MaxNameBytes+1), id, nil)
		_, big := v.Seal(t.Context(), "mer_1", id, make([]byte, vault.MaxPlaintextBytes+1))
		_, nobody := v.Fingerprint(t.Context(), "", "x")
		unnamed := v.PutSecret(t.Context(), "", nil)
		huge := v.PutSecret(t.Context(), "s", make([]byte, vault.MaxSecretBytes+1))
		for i, err := range []error{empty, long, big, nobody, unnamed, huge} {
			if !errors.Is(err, vault.ErrInvalid) {
				t.Errorf("case %d: %v", i, err)
			}
		}
		if n := count(t, db, "SELECT COUNT(*) FROM data_keys"); n != 0 {
			t.Errorf("%d keys were made", n)
		}
	})
}

func TestOneKeyPerOwnerAndMonth(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, c, id := vault.NewKey(), newClock(), uuid.New()
		vaults := make([]*vault.Vault, 8)
		for i := range vaults {
			vaults[i] = open(t, pool(), key, vault.WithClock(c.now))
		}
		sealed := make([][]byte, 64)
		var wg sync.WaitGroup
		for i := range sealed {
			wg.Go(func() {
				var err error
				if sealed[i], err = vaults[i%8].Seal(t.Context(), "mer_1", id, []byte("x")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, s := range sealed {
			if !bytes.Equal(s[:17], sealed[0][:17]) {
				t.Fatal("processes that seal at once use different keys")
			}
			mustUnseal(t, vaults[0], id, s, "x")
		}
		c.set(time.Date(2026, 3, 31, 23, 59, 59, 0, time.UTC))
		if s := seal(t, vaults[0], "mer_1", id, "x"); !bytes.Equal(s[:17], sealed[0][:17]) {
			t.Fatal("the last of March has another key")
		}
		// Already April in India, still March in UTC.
		c.set(time.Date(2026, 4, 1, 1, 0, 0, 0, time.FixedZone("IST", 19800)))
		if s := seal(t, vaults[0], "mer_1", id, "x"); !bytes.Equal(s[:17], sealed[0][:17]) {
			t.Fatal("the month is not that of UTC")
		}
		c.set(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))
		if s := seal(t, vaults[0], "mer_1", id, "x"); bytes.Equal(s[:17], sealed[0][:17]) {
			t.Fatal("April has March's key")
		}
		mustUnseal(t, vaults[1], id, sealed[0], "x")
	})
}

func TestFingerprint(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, c := vault.NewKey(), newClock()
		a, b := open(t, pool(), key, vault.WithClock(c.now)), open(t, pool(), key)
		print := func(v *vault.Vault, owner, text string) string {
			f, err := v.Fingerprint(t.Context(), owner, text)
			if err != nil || len(f) != 2*vault.FingerprintBytes {
				t.Fatalf("%q, %v", f, err)
			}
			return f
		}
		first := print(a, "mer_1", "12345678")
		c.add(1000 * time.Hour)
		if print(a, "mer_1", "12345678") != first || print(b, "mer_1", "12345678") != first {
			t.Error("equal account numbers of one merchant have different fingerprints")
		}
		if print(a, "mer_1", "12345679") == first || print(a, "mer_2", "12345678") == first {
			t.Error("another number, or another merchant's, has the same fingerprint")
		}
	})
}

func TestSecrets(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, db := vault.NewKey(), pool()
		a, b := open(t, db, key), open(t, pool(), key)
		ctx := t.Context()
		if _, err := a.Secret(ctx, "hook"); !errors.Is(err, vault.ErrNotFound) {
			t.Fatalf("before it is put: %v", err)
		}
		for _, value := range []string{"one", "two", ""} {
			if err := a.PutSecret(ctx, "hook", []byte(value)); err != nil {
				t.Fatal(err)
			}
			if got, err := b.Secret(ctx, "hook"); err != nil || string(got) != value {
				t.Fatalf("%q, %v, want %q", got, err, value)
			}
		}
		if err := a.PutSecret(ctx, "other", []byte("clear text")); err != nil {
			t.Fatal(err)
		}
		// Rows that were exchanged for one another do not open.
		if _, err := db.ExecContext(ctx, `UPDATE named_secrets SET wrapped = (SELECT wrapped FROM named_secrets WHERE name = 'other') WHERE name = 'hook'`); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Secret(ctx, "hook"); !errors.Is(err, vault.ErrTampered) {
			t.Fatalf("exchanged: %v", err)
		}
		for range 2 {
			if err := b.DeleteSecret(ctx, "other"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.Secret(ctx, "other"); !errors.Is(err, vault.ErrNotFound) {
			t.Fatalf("deleted: %v", err)
		}
	})
}

func TestErase(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, c, id := vault.NewKey(), newClock(), uuid.New()
		a, b := open(t, pool(), key, vault.WithClock(c.now)), open(t, pool(), key, vault.WithClock(c.now))
		ctx := t.Context()
		march := seal(t, a, "mer_1", id, "march")
		other := seal(t, a, "mer_2", id, "other")
		before, err := a.Fingerprint(ctx, "mer_1", "x")
		if err != nil {
			t.Fatal(err)
		}
		c.set(time.Date(2026, 4, 10, 0, 0, 0, 0, time.UTC))
		april := seal(t, a, "mer_1", id, "april")
		mustUnseal(t, b, id, march, "march") // and keeps the key

		erase := func(at time.Time, want int) {
			t.Helper()
			if n, err := a.Erase(ctx, "mer_1", at); err != nil || n != want {
				t.Fatalf("erased %d keys, %v, want %d", n, err, want)
			}
		}
		erase(time.Date(2026, 3, 31, 23, 59, 59, 0, time.UTC), 0)
		mustUnseal(t, a, id, march, "march")
		erase(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), 1)
		if _, err := a.Unseal(ctx, id, march); !errors.Is(err, vault.ErrErased) {
			t.Fatalf("erased: %v", err)
		}
		c.add(vault.CacheTTL)
		if _, err := b.Unseal(ctx, id, march); !errors.Is(err, vault.ErrErased) {
			t.Fatalf("erased, in another process: %v", err)
		}
		mustUnseal(t, b, id, april, "april")
		if after, err := b.Fingerprint(ctx, "mer_1", "x"); err != nil || after != before {
			t.Fatalf("the fingerprint changed while there was a key left: %v", err)
		}

		erase(c.now().AddDate(0, 1, 0), 2)
		erase(c.now().AddDate(0, 1, 0), 0)
		if _, err := a.Unseal(ctx, id, april); !errors.Is(err, vault.ErrErased) {
			t.Fatalf("all erased: %v", err)
		}
		if after, err := a.Fingerprint(ctx, "mer_1", "x"); err != nil || after == before {
			t.Fatalf("the fingerprint outlived the last key: %v", err)
		}
		mustUnseal(t, a, id, other, "other")
		mustUnseal(t, a, id, seal(t, a, "mer_1", id, "new"), "new") // a merchant who comes back gets a new key
	})
}

func TestStoreAway(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, c, id, db := vault.NewKey(), newClock(), uuid.New(), pool()
		v := open(t, db, key, vault.WithClock(c.now))
		sealed := seal(t, v, "mer_1", id, "x")
		rename := func(from, to string) {
			if _, err := db.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
				t.Fatal(err)
			}
		}
		rename("data_keys", "gone")
		mustUnseal(t, v, id, sealed, "x")
		c.add(vault.CacheTTL)
		_, err := v.Unseal(t.Context(), id, sealed)
		if err == nil || errors.Is(err, vault.ErrErased) || errors.Is(err, vault.ErrTampered) {
			t.Fatalf("a store that fails passes for something else: %v", err)
		}
		rename("gone", "data_keys")
		mustUnseal(t, v, id, sealed, "x")

		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := v.Secret(canceled, "s"); !errors.Is(err, context.Canceled) {
			t.Fatalf("canceled: %v", err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	dsn := "file:" + b.TempDir() + "/secrets.db"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	v, err := vault.Open(b.Context(), migrated(b, db), vault.NewKey())
	if err != nil {
		b.Fatal(err)
	}
	id, plain := uuid.New(), make([]byte, 250)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Seal(b.Context(), "mer_1", id, plain); err != nil {
			b.Fatal(err)
		}
	}
}

// TestChangeSecret: whoever changes a secret at the same time as others builds on what they have made of it.
func TestChangeSecret(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key := vault.NewKey()
		a, b := open(t, pool(), key), open(t, pool(), key)
		ctx := t.Context()
		var group sync.WaitGroup
		for _, v := range []*vault.Vault{a, b} {
			group.Go(func() {
				for range 10 {
					if err := v.ChangeSecret(ctx, "count", func(old []byte) ([]byte, error) { return append(old, '.'), nil }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		refused := errors.New("refused")
		if err := a.ChangeSecret(ctx, "count", func([]byte) ([]byte, error) { return nil, refused }); !errors.Is(err, refused) {
			t.Errorf("a change that is refused: %v", err)
		}
		if err := a.ChangeSecret(ctx, "count", func([]byte) ([]byte, error) { return make([]byte, vault.MaxSecretBytes+1), nil }); !errors.Is(err, vault.ErrInvalid) {
			t.Errorf("a change beyond the bound: %v", err)
		}
		if got, err := b.Secret(ctx, "count"); err != nil || string(got) != strings.Repeat(".", 20) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestImportLeavesWhatMovesOn: an older export does not take what moves on by itself back, nor does it contradict it.
func TestImportLeavesWhatMovesOn(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		v := open(t, pool(), vault.NewKey())
		ctx, name := t.Context(), vault.MovingPrefix+"newest"
		if err := v.PutSecret(ctx, name, []byte("older")); err != nil {
			t.Fatal(err)
		}
		var export bytes.Buffer
		if _, err := v.Export(ctx, &export); err != nil {
			t.Fatal(err)
		}
		if err := v.PutSecret(ctx, name, []byte("newer")); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Import(ctx, &export); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Secret(ctx, name); err != nil || string(got) != "newer" {
			t.Errorf("%q, %v", got, err)
		}
	})
}
