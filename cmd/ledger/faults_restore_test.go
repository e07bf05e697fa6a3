package main

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOlderLogRestored: a log that lacks what the server has seen is served only when a person says so.
func TestOlderLogRestored(t *testing.T) {
	t.Parallel()
	w := storeIn(t)
	w.start()
	m := w.merchant()
	w.fund(m, "5000.00")
	w.stop()
	log := filepath.Join(w.dir, "ledger.db")
	older, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}

	w.start()
	if status, o := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "1000", "LOST")); status != http.StatusOK {
		t.Fatalf("%d %v", status, o)
	}
	w.wantBalance(m, "3990.00", "0.00")
	w.stop()
	if err := os.WriteFile(log, older, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, beside := range []string{"-wal", "-shm"} {
		if err := os.Remove(log + beside); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}

	w.wantRefusal([]string{"serve", "--listen", w.addr}, "an older copy of the log was restored", "--accept-restored-log")
	w.start("--accept-restored-log")
	w.eventually(10*time.Second, "the views follow the log back", func() bool {
		status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", "")
		return status == http.StatusOK && o.text("data", "balance") == "5000.00" // 503 while the views are built anew
	})
	w.verify()
	w.stop()
}
