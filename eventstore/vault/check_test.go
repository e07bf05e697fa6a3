package vault_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore/vault"
)

// TestCheck: whatever row of the secrets is another one than was written, Check names it, unless that changes nothing; it writes nothing, and follows a
// rotation of the master key.
func TestCheck(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		db, key, clock := pool(), vault.NewKey(), newClock()
		current := key
		v := open(t, db, key, vault.WithClock(clock.now), vault.WithMasterSource(func() (vault.Key, error) { return current, nil }))
		id := uuid.New()
		sealed := seal(t, v, "mer_a", id, "text")
		if _, err := v.Fingerprint(t.Context(), "mer_a", "text"); err != nil {
			t.Fatal(err)
		}
		erased := seal(t, v, "mer_b", id, "text")
		clock.add(60 * 24 * time.Hour)
		if n, err := v.Erase(t.Context(), "mer_b", clock.now()); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		for _, name := range []string{"one", "two"} {
			if err := v.PutSecret(t.Context(), name, []byte("secret")); err != nil {
				t.Fatal(err)
			}
		}
		check := func() (found []string) {
			t.Helper()
			n, err := v.Check(t.Context(), func(err error) { found = append(found, err.Error()) })
			if want := (vault.Count{Keys: 2, Secrets: 2, Erased: 1}); err != nil || n.Secrets != want.Secrets || n.Erased != want.Erased {
				t.Errorf("%+v, %v; want %+v", n, err, want)
			}
			return found
		}
		writes := count(t, db, "SELECT writes FROM master")
		if found := check(); found != nil || count(t, db, "SELECT writes FROM master") != writes {
			t.Errorf("found %q, or it wrote", found)
		}
		for edit, names := range map[string]string{
			"UPDATE data_keys SET owner = 'mer_c' WHERE kind = 'seal'":                                                  "seal of mer_c",
			"UPDATE data_keys SET period = period + 1 WHERE kind = 'seal'":                                              "seal of mer_a",
			"UPDATE data_keys SET kind = 'fingerprint', period = 7 WHERE kind = 'seal'":                                 "fingerprint of mer_a",
			"UPDATE data_keys SET wrapped = (SELECT wrapped FROM named_secrets WHERE name = 'one') WHERE kind = 'seal'": "seal of mer_a",
			"UPDATE data_keys SET key_id = (SELECT key_id FROM erased_keys) WHERE kind = 'fingerprint'":                 "fingerprint of mer_a",
			"UPDATE named_secrets SET name = 'three' WHERE name = 'one'":                                                "secret three",
			"UPDATE named_secrets SET wrapped = (SELECT wrapped FROM named_secrets WHERE name = 'two')":                 "secret one",
			"UPDATE erased_keys SET key_id = (SELECT key_id FROM data_keys WHERE kind = 'seal')":                        "was erased",
			"UPDATE data_keys SET created_at = created_at + 1":                                                          "",
			"UPDATE named_secrets SET updated_at = updated_at + 1":                                                      "",
			"UPDATE erased_keys SET owner = 'mer_c', erased_at = erased_at + 1":                                         "",
		} {
			kept := []string{"data_keys", "named_secrets", "erased_keys"}
			for _, table := range kept {
				execute(t, db, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
			}
			execute(t, db, edit)
			found := check()
			if (names == "") != (found == nil) || names != "" && !strings.Contains(strings.Join(found, "\n"), names) {
				t.Errorf("%s: found %q, want %q", edit, found, names)
			}
			for _, table := range kept {
				execute(t, db, "DELETE FROM "+table)
				execute(t, db, "INSERT INTO "+table+" SELECT * FROM kept_"+table)
				execute(t, db, "DROP TABLE kept_"+table)
			}
		}
		for value, want := range map[string]bool{string(sealed): false, string(erased): true} {
			of, err := vault.KeyOf([]byte(value))
			if err != nil {
				t.Fatal(err)
			}
			if gone, err := v.Erased(t.Context(), of); err != nil || gone != want {
				t.Errorf("erased: %t, %v; want %t", gone, err, want)
			}
		}
		if _, err := vault.KeyOf(sealed[:20]); !errors.Is(err, vault.ErrTampered) {
			t.Errorf("a value that was cut: %v", err)
		}

		next := vault.NewKey()
		if err := open(t, pool(), key).RotateMaster(t.Context(), key, next); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Check(t.Context(), func(err error) { t.Error(err) }); !errors.Is(err, vault.ErrWrongMaster) {
			t.Errorf("under the old master key: %v", err)
		}
		current = next
		if found := check(); found != nil {
			t.Errorf("after a rotation: %q", found)
		}
	})
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
