package vault_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore/vault"
)

func TestCommitments(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		now := time.Date(2026, 3, 31, 23, 59, 0, 0, time.UTC)
		v := open(t, pool(), vault.NewKey(), vault.WithClock(func() time.Time { return now }))
		one, two := uuid.New(), uuid.New()
		text := fmt.Sprintf("%x", sha256.Sum256([]byte(`{"phone":"9876543210"}`)))
		committed := map[string]bool{}
		commit := func(owner string, id uuid.UUID, text string) string {
			t.Helper()
			c, err := v.Commit(t.Context(), owner, id, text)
			if err != nil || len(c) != 66 || !vault.IsCommitment(c) || committed[c] {
				t.Fatalf("%q, %v", c, err)
			}
			committed[c] = true
			return c
		}
		c := commit("mer_1", one, text)
		commit("mer_1", two, text) // another event, another owner, another text: another commitment
		commit("mer_2", one, text)
		commit("mer_1", one, text+"x")
		if again, err := v.Commit(t.Context(), "mer_1", one, text); err != nil || again != c {
			t.Errorf("the same again is %q, %v", again, err)
		}
		matches := func(id uuid.UUID, c, text string, want bool) {
			t.Helper()
			if got, err := v.Matches(t.Context(), id, c, text); err != nil || got != want {
				t.Errorf("%t, %v; want %t", got, err, want)
			}
		}
		matches(one, c, text, true)
		matches(two, c, text, false)
		matches(one, c, text+"x", false)
		matches(one, text, text, true) // a record that is older than commitments
		matches(one, text, text+"x", false)

		now = now.Add(time.Hour) // another month, another key: the commitment names its own
		matches(one, c, text, true)
		next := commit("mer_1", one, text)

		key, err := v.OpenCommitment(t.Context(), one, c)
		if err != nil {
			t.Fatal(err)
		}
		if !vault.Holds(key, c, text) || vault.Holds(key, c, text+"x") || vault.Holds(key, next, text) || vault.Holds(append(key, 0), c, text) || vault.Holds(nil, c, text) {
			t.Error("a commitment does not hold what it should, or holds what it should not")
		}
		if other, err := v.OpenCommitment(t.Context(), two, c); err != nil || bytes.Equal(other, key) {
			t.Errorf("the key of one event is that of another: %v", err)
		}
		b, err := base64.RawURLEncoding.DecodeString(c[2:])
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, key) // as anybody computes it, from the description
		mac.Write([]byte(text))
		if !bytes.Equal(b[16:], mac.Sum(nil)) {
			t.Error("a commitment is not the HMAC of the text under its key")
		}

		if _, err := v.Erase(t.Context(), "mer_1", now); err != nil { // the month before this one
			t.Fatal(err)
		}
		if _, err := v.Matches(t.Context(), one, c, text); !errors.Is(err, vault.ErrErased) {
			t.Errorf("after the erasure: %v", err)
		}
		if _, err := v.OpenCommitment(t.Context(), one, c); !errors.Is(err, vault.ErrErased) {
			t.Errorf("after the erasure: %v", err)
		}
		matches(one, next, text, true)
		for _, broken := range []string{"1.", "1.AA", c[:65], c + "A", c[:65] + "!", strings.Replace(c, "1.", "2.", 1), ""} {
			if _, err := v.OpenCommitment(t.Context(), one, broken); !errors.Is(err, vault.ErrTampered) {
				t.Errorf("%q: %v", broken, err)
			}
		}
	})
}

// What version 1 committed to has to be recognized for ever.
func TestGoldenCommitment(t *testing.T) {
	const (
		event     = "01890a5d-ac96-774b-bcce-b302099a8057"
		committed = "1.BrdMeeB1Shi4KS0X9hj5eo4RRr3TWoSmcu3R9rfZv2f6BSXljWS-fUYdouAgIokA"
	)
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, err := vault.ParseKey([]byte("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"))
		if err != nil {
			t.Fatal(err)
		}
		v := open(t, pool(), key, vault.WithClock(func() time.Time { return time.Date(2026, 4, 20, 0, 0, 0, 0, time.UTC) }))
		file, err := os.Open("testdata/export-v1.ndjson")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := v.Import(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Commit(t.Context(), "mer_1", uuid.MustParse(event), "9f86d081"); err != nil || got != committed {
			t.Errorf("%q, %v", got, err)
		}
		if same, err := v.Matches(t.Context(), uuid.MustParse(event), committed, "9f86d081"); err != nil || !same {
			t.Errorf("%t, %v", same, err)
		}
	})
}

func FuzzCommitment(f *testing.F) {
	key := bytes.Repeat([]byte{7}, 32)
	f.Add("", "")
	f.Add("1."+strings.Repeat("A", 64), "text")
	f.Add("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "text")
	f.Fuzz(func(t *testing.T, committed, text string) {
		if vault.Holds(key, committed, text) {
			b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(committed, "1."))
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(text))
			if err != nil || !bytes.Equal(b[16:], mac.Sum(nil)) {
				t.Errorf("%q holds %q", committed, text)
			}
		}
	})
}

func BenchmarkCommit(b *testing.B) {
	db, err := sql.Open("sqlite", "file:"+b.TempDir()+"/secrets.db")
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
	id, text := uuid.New(), strings.Repeat("9f86d081", 8)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Commit(b.Context(), "mer_1", id, text); err != nil {
			b.Fatal(err)
		}
	}
}
