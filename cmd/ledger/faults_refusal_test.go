package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// made makes a store with a merchant in it, without a server.
func (w *world) made() testMerchant {
	w.t.Helper()
	w.writeKey()
	w.ledger(nil, "migrate")
	var m testMerchant
	w.ledger(&m, "merchant", "create", "--name", "Shop", "--service", "payout")
	w.fund(m, "5000.00")
	return m
}

// TestStoreOfNewerVersion: whatever area of the store a newer version has migrated, every command refuses it and leaves it as
// it is.
func TestStoreOfNewerVersion(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		m := w.made()
		for _, area := range []string{"log", "work", "secrets"} {
			w.do(area, "INSERT INTO goose_"+area+" (version_id, is_applied) VALUES (999, true)")
			before := w.contents()
			for _, args := range [][]string{
				{"serve", "--listen", freeAddress(t)},
				{"serve", "--listen", freeAddress(t), "--no-migrate"},
				{"migrate"},
				{"merchant", "list"},
				{"verify"},
				{"wallet", "adjust", "--merchant", m.ID, "--amount", "1.00", "--reason", "test"},
			} {
				w.wantRefusal(args, "the store was made by a newer version", area, "999")
			}
			if w.contents() != before {
				t.Errorf("a store with a newer %s schema was changed", area)
			}
			w.do(area, "DELETE FROM goose_"+area+" WHERE version_id = 999")
		}
		w.start()
		w.verify()
	})
}

// TestMasterKeyRefused: a key that is not the store's is refused, and nothing is changed, above all no key is made.
func TestMasterKeyRefused(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		m := w.made()
		right, err := os.ReadFile(w.keyFile())
		if err != nil {
			t.Fatal(err)
		}
		before := w.contents()
		for _, tt := range []struct{ name, key, says string }{
			{"another", strings.Repeat("6e", 32) + "\n", "the master key is not the one"},
			{"short", "5f5f5f\n", "64 hexadecimal characters"},
			{"long", strings.Repeat("5f", 33), "64 hexadecimal characters"},
			{"not hexadecimal", strings.Repeat("5g", 32), "64 hexadecimal characters"},
			{"empty", "", "64 hexadecimal characters"},
			{"absent", "", "no such file"},
		} {
			write := func() error { return os.WriteFile(w.keyFile(), []byte(tt.key), 0o600) }
			if tt.name == "absent" {
				write = func() error { return os.Remove(w.keyFile()) }
			}
			if err := write(); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{
				{"serve", "--listen", freeAddress(t)},
				{"merchant", "list"},
				{"wallet", "adjust", "--merchant", m.ID, "--amount", "1.00", "--reason", "test"},
				{"verify"},
			} {
				w.wantRefusal(args, tt.says, w.keyFile())
			}
			if got, err := os.ReadFile(w.keyFile()); tt.name == "absent" && err == nil || string(got) != tt.key {
				t.Errorf("%s: the key file holds %q now (%v)", tt.name, got, err)
			}
		}
		if w.contents() != before {
			t.Error("the store was changed")
		}
		if w.onPostgres() {
			got := execute(t, w.dir, nil, "serve", "--listen", freeAddress(t), "--db", w.db)
			if got.code != exitUsage || !strings.Contains(got.stderr, "--master-key-file must be given with PostgreSQL") {
				t.Errorf("no key named: %+v", got)
			}
		}
		if err := os.WriteFile(w.keyFile(), right, 0o600); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.verify()
	})
}

// TestWrongUsage: exit 2, a message that names what is wrong, and no store is made.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		says string // separated by spaces
		args string
	}{
		{"serve migrate", ""},
		{"nonsense", "nonsense"},
		{"--nonsense", "serve --nonsense"},
		{"unexpected surplus", "verify surplus"},
		{"--listen", "serve --listen"},
		{"--listen", "serve --listen nonsense"},
		{"--db", "serve --db mysql://root@localhost/ledger"},
		{"--db", "verify --db sqlite:"},
		{"--db", "merchant list --db postgres://user@host:port/name --master-key-file x"},
		{"--payin-expiry", "serve --payin-expiry soon"},
		{"--payin-expiry", "serve --payin-expiry=-1s"},
		{"--gateway-wait", "serve --gateway-wait=-1s"},
		{"--callback-attempts", "serve --callback-attempts 0"},
		{"--callback-attempts", "serve --callback-attempts many"},
		{"--callback-gap", "serve --callback-gap=-5m"},
		{"--callback-allow", "serve --callback-allow localhost"},
		{"--trusted-proxy", "serve --trusted-proxy 10.0.0.0/99"},
		{"--rate-limit", "serve --rate-limit=-1"},
		{"--max-body", "serve --max-body big"},
		{"--max-body", "serve --max-body 0"},
		{"--queue", "serve --queue 0"},
		{"--batch-max", "serve --batch-max=-1"},
		{"--time-zone", "serve --time-zone Mars/Base"},
		{"--log-level", "serve --log-level loud"},
		{"--drain-notice", "serve --drain-notice=-1s"},
		{"--sandbox-url", "serve --sandbox-url http://127.0.0.1:1 --sandbox-secret short"},
		{"--secret", "sandbox"},
		{"--listen", "sandbox --secret 0123456789abcdef --listen nonsense"},
		{"create show", "merchant"},
		{"--name", "merchant create"},
		{"--service", "merchant create --name X --service banking"},
		{"--ip", "merchant create --name X --ip 300.1.1.1/32"},
		{"<id>", "merchant show"},
		{"<key-id>", "merchant revoke-key mer_aaaaaaaaaaaaaaaa"},
		{"--role", "merchant add-key mer_aaaaaaaaaaaaaaaa --role king"},
		{"--overlap", "merchant rotate-key mer_aaaaaaaaaaaaaaaa --overlap=-1h"},
		{"--role", "operator create --name X --role king"},
		{"--reason", "wallet adjust --merchant mer_aaaaaaaaaaaaaaaa --amount 1.00"},
		{"--amount", "wallet adjust --merchant mer_aaaaaaaaaaaaaaaa --reason x --amount ten"},
		{"--amount", "wallet adjust --merchant mer_aaaaaaaaaaaaaaaa --reason x --amount 1.005"},
		{"--amount", "wallet adjust --merchant mer_aaaaaaaaaaaaaaaa --reason x --amount 0"},
		{"--merchant", "wallet show"},
		{"--at", "wallet show --merchant mer_aaaaaaaaaaaaaaaa --at yesterday"},
		{"--outcome", "payout resolve txn_aaaaaaaaaaaaaaaa --outcome maybe --evidence x --actor a --second-actor b"},
		{"--reason", "suspense refund sus_aaaaaaaaaaaaaaaa"},
		{"--status", "callback list --status odd"},
		{"<subject>", "replay"},
		{"--from", "log export --from here"},
	} {
		got := execute(t, dir, nil, strings.Fields(tt.args)...)
		if got.code != exitUsage || got.stdout != "" {
			t.Errorf("ledger %s: exit %d, stdout %q, stderr %q; want exit 2 and a message", tt.args, got.code, got.stdout, got.stderr)
		}
		for text := range strings.FieldsSeq(tt.says) {
			if !strings.Contains(got.stderr, text) {
				t.Errorf("ledger %s: %q does not name %s", tt.args, got.stderr, text)
			}
		}
	}
	got := execute(t, dir, []string{"LEDGER_PAYIN_EXPIRY=soon"}, "serve")
	if got.code != exitUsage || !strings.Contains(got.stderr, "payin-expiry") {
		t.Errorf("LEDGER_PAYIN_EXPIRY=soon: %+v", got)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("wrong usage left %v (%v)", left, err)
	}
}

// TestHelpOfEveryCommand: each command explains itself, with its store flags.
func TestHelpOfEveryCommand(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commandLine{}, kong.Name("ledger"), helpVars())
	if err != nil {
		t.Fatal(err)
	}
	leaves := parser.Model.Leaves(true)
	if len(leaves) < 30 {
		t.Fatalf("%d commands", len(leaves))
	}
	for _, leaf := range leaves {
		words := strings.Fields(leaf.FullPath())[1:]
		got := execute(t, t.TempDir(), nil, append(words, "--help")...)
		usage, _, _ := strings.Cut(got.stdout, "\n")
		if got.code != 0 || got.stderr != "" || !strings.Contains(usage, strings.Join(words, " ")) || !strings.Contains(got.stdout, leaf.Help) && len(leaf.Help) < 80 {
			t.Errorf("%v --help: %+v", words, got)
		}
		storeless := slices.Contains([]string{"version", "sandbox", "batch"}, words[0]) ||
			slices.Contains([]string{"proof verify", "dispute verify"}, strings.Join(words, " ")) // which work offline
		if !storeless && !strings.Contains(got.stdout, "--db=") {
			t.Errorf("%v --help does not show --db", words)
		}
	}
}

// TestRefusalsOfALiveStore: what is wrong beside a running server ends with exit 1 and one line, and the server goes on.
func TestRefusalsOfALiveStore(t *testing.T) {
	t.Parallel()
	w := storeIn(t)
	w.start()
	m := w.merchant()
	w.fund(m, "1000.00")
	for _, tt := range []struct {
		says string
		args []string
	}{
		{"there is no merchant", []string{"merchant", "show", "mer_aaaaaaaaaaaaaaaa"}},
		{"there is no merchant", []string{"wallet", "adjust", "--merchant", "mer_aaaaaaaaaaaaaaaa", "--amount", "1.00", "--reason", "x"}},
		{"nsufficient", []string{"wallet", "adjust", "--merchant", m.ID, "--amount", "-1000.01", "--reason", "x"}},
		{"address already in use", []string{"serve", "--listen", w.addr}},
	} {
		w.wantRefusal(tt.args, tt.says)
	}
	elsewhere := newWorld(t, t.TempDir(), "sqlite:"+filepath.Join(w.dir, "absent", "ledger.db"))
	elsewhere.writeKey()
	elsewhere.wantRefusal([]string{"verify"}, "ledger.db")
	if _, err := os.Stat(filepath.Join(w.dir, "absent")); err == nil {
		t.Error("verify made a folder for a store that is not there")
	}
	w.eventually(5*time.Second, "the server goes on", func() bool {
		status, _ := w.call(m, http.MethodGet, "/api/v1/wallet/balance", "")
		return status == http.StatusOK
	})
	w.wantBalance(m, "1000.00", "0.00")
}
