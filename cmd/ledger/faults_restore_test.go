package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRestoredToAPointInTime: the log is put back to a backup, by the commands of the manual, where views, work and the bank have seen more. It is served only
// when a person says so. Then a payout that was under way in the backup, and that the bank has paid since, ends as paid with the bank's own UTR, and is not paid twice; what is
// not in the log at all is found in the bank's list and booked, as the manual says; and payments go on.
func TestRestoredToAPointInTime(t *testing.T) {
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
			flags := []string{"--gateway-wait", "0s", "--sandbox-file", filepath.Join(dir, "sandbox.db")}
			slow := append([]string{"--sandbox-delay", "1h"}, flags...)
			w.start(slow...)
			m := w.merchant()
			w.fund(m, "20000.00")
			ids := map[string]string{}
			payout := func(ref, account string) {
				t.Helper()
				status, o := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody(account, "1000", ref))
				if ids[ref] = o.text("data", "transaction", "transaction_id"); status != http.StatusOK {
					t.Fatalf("%s: %d %v", ref, status, o)
				}
			}
			for i := range 3 {
				payout(fmt.Sprint("UNDER-WAY-", i), "123456789001") // the bank says pending, and pays after its delay
			}
			payout("PAID-0", loadAccount)
			w.eventually(20*time.Second, "the bank has them all", func() bool { return len(w.transfers()) == 4 })
			w.wantStatus(m, ids["PAID-0"], "success")
			w.shell(manual(t, store.back, 0))
			payout("LATER-0", loadAccount)
			payout("LATER-1", loadAccount)
			w.wantStatus(m, ids["LATER-1"], "success")
			w.kill()
			w.bankGoesOn()
			w.start(flags...)
			for _, id := range ids {
				w.wantStatus(m, id, "success")
			}
			w.wantBalance(m, "13940.00", "0.00")
			paid := w.transfers()
			w.stop()
			w.proven("checkpoint", "-o", "signed.txt")

			if !w.onPostgres() {
				w.shell(manual(t, "Over a log that is there", 0))
			}
			w.shell(manual(t, store.up, 0))
			w.wantRestoredRefused(flags, "has seen")
			w.do("work", "CREATE TABLE kept AS SELECT * FROM checkpoints", "DELETE FROM checkpoints")
			w.wantRestoredRefused(flags, "has signed") // without work, too
			w.do("work", "INSERT INTO checkpoints SELECT * FROM kept", "DROP TABLE kept")
			w.do("work", "DELETE FROM jobs") // what is lost had ended them
			w.start(append(flags, "--accept-restored-log")...)
			for ref, id := range ids {
				if !strings.HasPrefix(ref, "LATER") {
					w.wantStatus(m, id, "success")
				}
			}
			w.wantBalance(m, "15960.00", "0.00")
			if now := w.transfers(); !maps.Equal(now, paid) {
				t.Errorf("the bank has paid %v, and now %v", paid, now)
			}
			for reference, utr := range w.transfers() {
				var there int
				w.ask("log", "SELECT count(*) FROM events WHERE type = 'payout.succeeded' AND subject = '"+reference+"'", &there)
				if there == 0 {
					w.ledger(nil, "wallet", "adjust", "--merchant", m.ID, "--amount=-1010.00", "--reason", "restored; the bank has paid "+reference+", UTR "+utr)
				}
			}
			w.wantBalance(m, "13940.00", "0.00")
			payout("AFTER-0", loadAccount)
			w.wantStatus(m, ids["AFTER-0"], "success")
			w.stop()
			w.wantRestoredRefused(flags, "has signed")
			w.ledger(nil, "proof", "key", "--rotate")
			w.proven("checkpoint", "-o", "anew.txt")
			w.start(flags...) // once is enough
			w.stop()
			w.verify()
		})
	}
}

// wantRestoredRefused starts a server, which must not serve the log, and say why.
func (w *world) wantRestoredRefused(flags []string, why string) {
	w.t.Helper()
	got := execute(w.t, w.dir, nil, append([]string{"serve", "--listen", w.addr, "--db", w.db, "--master-key-file", w.keyFile()}, flags...)...)
	for _, text := range []string{"an older copy of the log was restored", "--accept-restored-log", why} {
		if got.code != exitNo || !strings.Contains(got.stderr, text) {
			w.t.Errorf("exit %d, and it does not say %q: %s", got.code, text, got.stderr)
		}
	}
}

// transfers are what the sandbox bank has made of payouts, by reference: the UTR, empty while it is pending.
func (w *world) transfers() map[string]string {
	w.t.Helper()
	_, o := w.call(testMerchant{}, http.MethodGet, "/sandbox/bank/transfers", "")
	out := map[string]string{}
	for _, t := range o["transfers"].([]any) {
		tr := object(t.(map[string]any))
		out[tr.text("reference")] = tr.text("utr")
	}
	return out
}

// bankGoesOn lets what the sandbox bank would do later be due; nobody uses it.
func (w *world) bankGoesOn() {
	w.t.Helper()
	bank := *w
	bank.db = "sqlite:" + filepath.Join(w.dir, "sandbox.db")
	bank.do("log", "UPDATE timers SET due_at = 0")
}

// wantStatus waits until a payout has a status.
func (w *world) wantStatus(m testMerchant, id, status string) {
	w.t.Helper()
	w.eventually(30*time.Second, id+" is "+status, func() bool {
		_, o := w.call(m, http.MethodGet, "/api/v1/transactions/service/payout/"+id, "")
		return o.text("data", "transaction", "status") == status
	})
}
