package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/ledger"
)

// sealedChecks runs `ledger verify --sealed` and returns the checks of what is sealed.
func (w *world) sealedChecks() (secrets, sealed ledger.Check, code int) {
	w.t.Helper()
	var v verification
	out, code := w.run("verify", "--sealed", "--no-views", "--json")
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		w.t.Fatalf("exit %d, %q: %v", code, out, err)
	}
	for _, c := range v.Checks {
		switch c.Name {
		case "secrets":
			secrets = c
		case "sealed":
			sealed = c
		default:
			if !c.OK {
				w.t.Errorf("%+v", c)
			}
		}
	}
	return secrets, sealed, code
}

// TestSealedIsVerified: `ledger verify --sealed` says, beside a server too, whether what is sealed can still be opened; it names the row of the secrets
// that is altered or lost, and the first record that cannot be read for it. What was erased on purpose is told apart from what is lost.
func TestSealedIsVerified(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		m := used(t, w)
		w.start(w.flags...)
		secrets, sealed, code := w.sealedChecks()
		if code != 0 || !secrets.OK || !sealed.OK || secrets.Checked < 3 || sealed.Checked < 15 || sealed.Problem != "" {
			t.Fatalf("exit %d, %+v, %+v", code, secrets, sealed)
		}
		w.stop()
		for _, tt := range []struct {
			name            string
			edits           []string
			secrets, sealed string // what is said; "" when all is well
			told            string // of what is well
		}{
			{"a wrapped key is altered", []string{"UPDATE data_keys SET wrapped = (SELECT max(w.wrapped) FROM kept_named_secrets w) WHERE owner = '" + m.ID + "' AND kind = 'seal'"},
				"(seal of " + m.ID + "): the sealed value is damaged", "the sealed value is damaged", ""},
			{"a wrapped key is another's", []string{"UPDATE data_keys SET owner = 'mer_aaaaaaaaaaaaaaaa' WHERE owner = '" + m.ID + "' AND kind = 'seal'"},
				"(seal of mer_aaaaaaaaaaaaaaaa): the sealed value is damaged", "the sealed value is damaged", ""},
			{"a key is lost", []string{"DELETE FROM data_keys WHERE owner = '" + m.ID + "' AND kind = 'seal'"},
				"", "is not among the secrets, and was not erased", ""},
			{"a key is erased", []string{
				"INSERT INTO erased_keys SELECT key_id, owner, 1 FROM data_keys WHERE owner = '" + m.ID + "' AND kind = 'seal'",
				"DELETE FROM data_keys WHERE owner = '" + m.ID + "' AND kind = 'seal'",
			}, "", "", "of them are erased"},
			{"what signs callbacks is lost", []string{"DELETE FROM named_secrets WHERE name LIKE 'hmac/%'"}, " of " + m.ID + " is not there", "", ""},
			{"what signs callbacks is altered", []string{"UPDATE named_secrets SET wrapped = (SELECT max(d.wrapped) FROM kept_data_keys d) WHERE name LIKE 'hmac/%'"}, "secret hmac/key_", "", ""},
		} {
			for i, edit := range tt.edits {
				if w.onPostgres() { // which has no max of bytes
					tt.edits[i] = strings.NewReplacer("SELECT max(w.wrapped) FROM kept_named_secrets w", "SELECT w.wrapped FROM kept_named_secrets w LIMIT 1",
						"SELECT max(d.wrapped) FROM kept_data_keys d", "SELECT d.wrapped FROM kept_data_keys d LIMIT 1").Replace(edit)
				}
			}
			tables := []string{"data_keys", "named_secrets", "erased_keys"}
			for _, table := range tables {
				w.do("secrets", "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
			}
			w.do("secrets", tt.edits...)
			secrets, sealed, code := w.sealedChecks()
			want := exitNo
			if tt.secrets+tt.sealed == "" {
				want = 0
			}
			if code != want || secrets.OK != (tt.secrets == "") || sealed.OK != (tt.sealed == "") ||
				!strings.Contains(secrets.Problem, tt.secrets) || !strings.Contains(sealed.Problem, tt.sealed+tt.told) || sealed.OK != (sealed.Position == "") {
				t.Errorf("%s: exit %d\n%+v\n%+v", tt.name, code, secrets, sealed)
			}
			for _, table := range tables {
				w.do("secrets", "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM kept_"+table, "DROP TABLE kept_"+table)
			}
		}
		if got := execute(t, t.TempDir(), nil, "verify", "--sealed", "--db", w.db); got.code != exitUsage || !strings.Contains(got.stderr, "--master-key-file") {
			t.Errorf("without the master key: %+v", got)
		}
	})
}

// TestSecretsLost: the log is there, and the secrets are not. Nothing starts, so that the backup can still be imported; as a person says, a server goes on
// without: balances and payments are what they were, and new ones are made; what was sealed is not shown, nothing is signed with a lost key, and verify says what is lost.
func TestSecretsLost(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		m := used(t, w)
		ids := w.initiated(m)["P-0"]
		w.ledger(nil, "secrets", "export", "-o", w.dir+"/secrets.ndjson")
		lost := []string{"DELETE FROM data_keys", "DELETE FROM named_secrets", "DELETE FROM master"}
		w.do("secrets", lost...)
		w.wantRefusal([]string{"serve", "--listen", w.addr}, "ledger secrets import", "--accept-lost-secrets")
		w.wantRefusal([]string{"wallet", "adjust", "--merchant", m.ID, "--amount", "1.00", "--reason", "x"}, "ledger secrets import")
		w.verify() // which needs none
		w.ledger(nil, "secrets", "import", w.dir+"/secrets.ndjson")
		if secrets, sealed, code := w.sealedChecks(); code != 0 {
			t.Errorf("imported: exit %d, %+v, %+v", code, secrets, sealed)
		}

		w.do("secrets", lost...)
		w.start(append(w.flags, "--accept-lost-secrets")...)
		w.wantBalance(m, "6960.00", "0.00")
		status, o := w.call(m, http.MethodGet, "/api/v1/transactions/service/payout/"+ids[0], "")
		if name := o.at("data", "transaction", "beneficiary_name"); status != http.StatusOK || name != nil || o.text("data", "transaction", "status") != "success" {
			t.Errorf("a payout of before: %d %v", status, o)
		}
		const process = "/api/v1/services/payout/process"
		if status, o := w.call(m, http.MethodPost, process, payoutBody(loadAccount, "1000", "P-0")); status != http.StatusConflict {
			t.Errorf("a reference that is taken: %d %v", status, o)
		}
		status, o = w.call(m, http.MethodPost, process, payoutBody(loadAccount, "1000", "P-NEW"))
		if status != http.StatusOK || o.text("data", "transaction", "status") != "success" {
			t.Errorf("a new payout: %d %v", status, o)
		}
		if len(w.calls.statuses(o.text("data", "transaction", "transaction_id"))) > 0 {
			t.Error("a callback was signed with a key that is lost")
		}
		w.stop()
		w.verify()
		secrets, sealed, code := w.sealedChecks()
		if code != exitNo || !strings.Contains(secrets.Problem, " of "+m.ID+" is not there") || !strings.Contains(sealed.Problem, "is not among the secrets, and was not erased") {
			t.Errorf("exit %d, %+v, %+v", code, secrets, sealed)
		}
		w.start("--gateway-wait", "5s") // once is enough
		w.stop()
	})
}

// TestSecretsAndMasterKeyLost: with the secrets, the master key beside them is gone. As told, a server on SQLite makes another one, as at its first start; one that
// the secrets are bound to is never made up for.
func TestSecretsAndMasterKeyLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	flags := storeFlags{DB: "sqlite:" + filepath.Join(dir, "ledger.db"), MasterKeyFile: filepath.Join(dir, "master.key")}
	if err := flags.migrate(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	accepted := func() error {
		t.Helper()
		if err := os.Remove(flags.MasterKeyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return flags.acceptLostSecrets(t.Context())
	}
	if err := accepted(); err != nil {
		t.Fatalf("nothing is bound to the key that is lost: %v", err)
	}
	s, err := flags.open(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := accepted(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the secrets are there, and their key is not: %v", err)
	}
}
