package vault_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore/vault"
)

// filled is a vault with two owners' keys and two secrets, one erased key, and what it sealed.
func filled(t *testing.T, db *sql.DB, key vault.Key, id uuid.UUID) (*vault.Vault, []byte, []byte) {
	t.Helper()
	c := newClock()
	v := open(t, db, key, vault.WithClock(c.now))
	erased := seal(t, v, "mer_1", id, "erased")
	c.set(c.now().AddDate(0, 1, 0))
	kept := seal(t, v, "mer_1", id, "Asha Rao")
	seal(t, v, "mer_2", id, "other")
	if _, err := v.Fingerprint(t.Context(), "mer_1", "x"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hook/mer_1", "gateway/<&>"} {
		if err := v.PutSecret(t.Context(), name, []byte("clear secret")); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := v.Erase(t.Context(), "mer_1", c.now()); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	return v, kept, erased
}

func export(t *testing.T, v *vault.Vault) string {
	t.Helper()
	var b bytes.Buffer
	n, err := v.Export(t.Context(), &b)
	if err != nil || n != (vault.Count{Keys: 3, Secrets: 2, Erased: 1}) {
		t.Fatalf("%+v, %v", n, err)
	}
	return b.String()
}

func TestExportImport(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, id := vault.NewKey(), uuid.New()
		v, kept, erased := filled(t, pool(), key, id)
		file := export(t, v)
		if strings.Contains(file, "clear secret") || strings.Contains(file, "Asha") {
			t.Fatal("the export holds clear data")
		}
		if again := export(t, v); again != file {
			t.Fatal("two exports of the same store differ")
		}
		onBoth(t, func(t *testing.T, target func() *sql.DB) {
			w := open(t, target(), key)
			for _, want := range []vault.Count{{Keys: 3, Secrets: 2, Erased: 1}, {}} {
				if n, err := w.Import(t.Context(), strings.NewReader(file)); err != nil || n != want {
					t.Fatalf("%+v, %v, want %+v", n, err, want)
				}
			}
			mustUnseal(t, w, id, kept, "Asha Rao")
			if _, err := w.Unseal(t.Context(), id, erased); !errors.Is(err, vault.ErrErased) {
				t.Fatalf("erased: %v", err)
			}
			if s, err := w.Secret(t.Context(), "gateway/<&>"); err != nil || string(s) != "clear secret" {
				t.Fatalf("%q, %v", s, err)
			}
			if again := export(t, w); again != file {
				t.Fatal("an export of the copy differs")
			}
		})
	})
}

func TestImportWrappedAnew(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, other, id := vault.NewKey(), vault.NewKey(), uuid.New()
		v, _, _ := filled(t, pool(), key, id)
		file := export(t, v)
		if err := v.RotateMaster(t.Context(), key, other); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Import(t.Context(), strings.NewReader(file)); !errors.Is(err, vault.ErrWrongMaster) {
			t.Fatalf("an export from before the rotation: %v", err)
		}
		if err := v.RotateMaster(t.Context(), other, key); err != nil {
			t.Fatal(err)
		}
		if n, err := v.Import(t.Context(), strings.NewReader(file)); err != nil || n != (vault.Count{}) {
			t.Fatalf("the same secrets, wrapped anew: %+v, %v", n, err)
		}
	})
}

func TestImportDoesNotUndoErasure(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, id := vault.NewKey(), uuid.New()
		v, kept, _ := filled(t, pool(), key, id)
		backup := export(t, v)
		if n, err := v.Erase(t.Context(), "mer_1", time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil || n != 2 {
			t.Fatalf("%d, %v", n, err)
		}
		if n, err := v.Import(t.Context(), strings.NewReader(backup)); err != nil || n != (vault.Count{}) {
			t.Fatalf("%+v, %v", n, err)
		}
		if _, err := v.Unseal(t.Context(), id, kept); !errors.Is(err, vault.ErrErased) {
			t.Fatalf("erased, then imported: %v", err)
		}
		// And a newer export erases in an older copy.
		var newer bytes.Buffer
		if _, err := v.Export(t.Context(), &newer); err != nil {
			t.Fatal(err)
		}
		onBoth(t, func(t *testing.T, target func() *sql.DB) {
			copied := open(t, target(), key)
			if _, err := copied.Import(t.Context(), strings.NewReader(backup)); err != nil {
				t.Fatal(err)
			}
			mustUnseal(t, copied, id, kept, "Asha Rao")
			if n, err := copied.Import(t.Context(), &newer); err != nil || n != (vault.Count{Erased: 2}) {
				t.Fatalf("%+v, %v", n, err)
			}
			if _, err := copied.Unseal(t.Context(), id, kept); !errors.Is(err, vault.ErrErased) {
				t.Fatalf("erased there: %v", err)
			}
			newer.Reset()
			if _, err := v.Export(t.Context(), &newer); err != nil {
				t.Fatal(err)
			}
		})
	})
}

func TestImportConflicts(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, id := vault.NewKey(), uuid.New()
		v, _, _ := filled(t, pool(), key, id)
		file := export(t, v)
		for name, contradict := range map[string]func(*testing.T, *vault.Vault){
			"another value": func(t *testing.T, w *vault.Vault) {
				if err := w.PutSecret(t.Context(), "hook/mer_1", []byte("another")); err != nil {
					t.Fatal(err)
				}
			},
			"another key": func(t *testing.T, w *vault.Vault) {
				if _, err := w.Fingerprint(t.Context(), "mer_1", "x"); err != nil {
					t.Fatal(err)
				}
			},
		} {
			t.Run(name, func(t *testing.T) {
				onBoth(t, func(t *testing.T, target func() *sql.DB) {
					db := target()
					w := open(t, db, key)
					contradict(t, w)
					const rows = `SELECT (SELECT COUNT(*) FROM data_keys) + (SELECT COUNT(*) FROM named_secrets) + (SELECT COUNT(*) FROM erased_keys)`
					if _, err := w.Import(t.Context(), strings.NewReader(file)); !errors.Is(err, vault.ErrConflict) || !strings.Contains(err.Error(), "mer_1") {
						t.Fatalf("%v", err)
					}
					if n := count(t, db, rows); n != 1 {
						t.Fatalf("a refused import left %d rows", n)
					}
				})
			})
		}
	})
}

func TestImportRefusesWhatIsNoExport(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, id := vault.NewKey(), uuid.New()
		v, _, _ := filled(t, pool(), key, id)
		file := export(t, v)
		lines := strings.SplitAfter(strings.TrimSuffix(file, "\n"), "\n")
		without := func(i int) string { return strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), "") }
		last := len(lines) - 1
		cases := map[string]string{
			"empty":             "",
			"no header":         without(0),
			"no end":            without(last),
			"a key less":        without(2),
			"header twice":      lines[0] + file,
			"behind the end":    file + "\n" + lines[1],
			"not JSON":          lines[0] + "hello\n",
			"an empty object":   lines[0] + "{}\n",
			"an unknown field":  lines[0] + `{"keys":{}}` + "\n",
			"another format":    strings.Replace(file, "secrets/1", "secrets/2", 1),
			"a line too long":   lines[0] + strings.Repeat(" ", 2<<20),
			"cut within a line": file[:len(file)-20],
		}
		w := open(t, pool(), key)
		for name, text := range cases {
			if _, err := w.Import(t.Context(), strings.NewReader(text)); !errors.Is(err, vault.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		foreign := strings.Replace(file, `"master_check":"`, `"master_check":"00`, 1)
		if _, err := w.Import(t.Context(), strings.NewReader(foreign)); !errors.Is(err, vault.ErrWrongMaster) {
			t.Errorf("another master key: %v", err)
		}
		if _, err := w.Import(t.Context(), strings.NewReader(swapOwner(t, lines))); !errors.Is(err, vault.ErrTampered) {
			t.Errorf("a key given to another owner: %v", err)
		}
	})
}

// swapOwner gives the first key of an export to another owner.
func swapOwner(t *testing.T, lines []string) string {
	t.Helper()
	for i, l := range lines {
		var parsed map[string]map[string]any
		if err := json.Unmarshal([]byte(l), &parsed); err != nil {
			t.Fatal(err)
		}
		if k := parsed["key"]; k != nil {
			k["owner"] = "mer_9"
			changed, err := json.Marshal(parsed)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Join(lines[:i], "") + string(changed) + "\n" + strings.Join(lines[i+1:], "")
		}
	}
	t.Fatal("no key in the export")
	return ""
}
