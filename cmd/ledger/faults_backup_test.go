package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// manual is the commands of docs/operations.md that stand behind the n-th line (from 0) of its chapter on backups that holds a text.
func manual(t *testing.T, behind string, n int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, found := strings.Cut(string(text), "\n## Backup and restore\n")
	if chapter, _, _ = strings.Cut(chapter, "\n## "); !found {
		t.Fatal("the chapter on backups is not there")
	}
	var commands []string
	for line := range strings.Lines(chapter) {
		command, indented := strings.CutPrefix(line, "    ")
		switch {
		case n < 0 && indented:
			commands = append(commands, command)
		case n < 0 && len(commands) > 0:
			return strings.Join(commands, "")
		case strings.Contains(line, behind):
			n--
		}
	}
	t.Fatalf("nothing stands behind %q", behind)
	return ""
}

// shell runs commands of the manual in a folder, on a store.
func (w *world) shell(commands string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "sh", "-e", "-c", commands)
	path := filepath.Dir(binary(w.t))
	if programs, err := filepath.Glob("/usr/lib/postgresql/*/bin"); err == nil && len(programs) > 0 {
		path += ":" + programs[len(programs)-1]
	}
	cmd.Dir = w.dir
	cmd.Env = append(cmd.Environ(), "PATH="+path+":"+os.Getenv("PATH"), "LEDGER_DB="+w.db, "LEDGER_MASTER_KEY_FILE="+w.keyFile())
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%s\n%v: %s", commands, err, out)
	}
}

// manualStores are the stores that the manual has paragraphs on, and the lines that these stand behind.
var manualStores = []struct {
	name     string
	back, up string
	locate   func(t *testing.T, dir string) string
}{
	{"sqlite", "On SQLite:", "on SQLite:", func(_ *testing.T, dir string) string { return "sqlite:" + filepath.Join(dir, "data", "ledger.db") }},
	{"postgres", "On PostgreSQL a base backup", "On PostgreSQL, into an empty database or over", func(t *testing.T, _ string) string { return testpg.DSN(t) }},
}

// TestBackupByTheManual: a backup is taken beside a server under load, by the very commands of docs/operations.md, and restored into an empty
// place by those of its next paragraph. What was answered before the backup began is there, what was sealed can be read, what was under way
// ends, and payments go on. The secrets are in a folder of their own, and the log's has none.
func TestBackupByTheManual(t *testing.T) {
	t.Parallel()
	for _, store := range manualStores {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, dir, store.locate(t, dir))
			w.writeKey()
			flags := []string{"--gateway-wait", "0s", "--rate-limit", "1000000", "--sandbox-file", filepath.Join(dir, "sandbox.db")}
			w.start(flags...)
			m := w.merchant()
			w.fund(m, "9000000.00")
			kept := w.load(m, 4, "KEPT")
			kept.more(40, "before the backup")
			kept.stop()
			beside := w.load(m, 4, "BESIDE")
			beside.more(10, "when the backup begins")
			w.shell(manual(t, store.back, 0))
			beside.more(10, "after the backup")
			beside.stop()
			beside.wantStored()
			w.kill()

			if files, err := filepath.Glob(filepath.Join(dir, "backup", "log", "*")); err != nil || len(files) != 1 {
				t.Errorf("the backup of the log is %q, %v", files, err)
			}
			r := newWorld(t, t.TempDir(), "")
			r.db = store.locate(t, r.dir)
			r.writeKey() // from a third place
			if err := os.CopyFS(filepath.Join(r.dir, "backup"), os.DirFS(filepath.Join(dir, "backup"))); err != nil {
				t.Fatal(err)
			}
			r.shell(manual(t, store.up, 0))
			r.goOnFrom(kept, flags)
		})
	}
}

// goOnFrom starts a server on a store that was restored, and uses it.
func (w *world) goOnFrom(kept *load, flags []string) {
	w.t.Helper()
	stored := w.initiated(kept.m)
	for ref, id := range kept.answered {
		if ids := stored[ref]; len(ids) != 1 || ids[0] != id {
			w.t.Errorf("payout %s was answered as %s before the backup; in it, it is %v", ref, id, ids)
		}
	}
	w.start(flags...)
	w.eventually(60*time.Second, "what was under way has ended", func() bool {
		status, o := w.call(kept.m, http.MethodGet, "/api/v1/wallet/balance", "")
		return status == http.StatusOK && o.text("data", "locked_balance") == "0.00"
	})
	for ref := range kept.answered { // its personal data opens
		status, o := w.call(kept.m, http.MethodGet, "/api/v1/transactions/service/payout/"+kept.answered[ref], "")
		if status != http.StatusOK || o.text("data", "transaction", "beneficiary_name") != "Rahul Sharma" {
			w.t.Errorf("payout %s after the restore: %d %v", ref, status, o)
		}
		status, o = w.call(kept.m, http.MethodPost, "/api/v1/services/payout/process", payoutBody(loadAccount, "1000", ref))
		if status != http.StatusConflict {
			w.t.Errorf("payout %s again: %d %v", ref, status, o)
		}
		break // one stands for all of a merchant's month
	}
	again := w.load(kept.m, 2, "AGAIN")
	again.more(10, "after the restore")
	again.stop()
	again.wantStored()
	w.stop()
	w.verify()
}
