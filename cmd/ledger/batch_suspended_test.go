package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A merchant is suspended (its key was stolen, say) behind the 202 of a batch. Of its items nothing is held yet, they are no money
// in flight: they must not become payouts while it is suspended.
func TestSuspendedMerchantIsNotDrawn(t *testing.T) {
	t.Parallel()
	w := storeIn(t)
	w.start("--gateway-wait", "0s", "--rate-limit", "0")
	m := w.merchant()
	w.fund(m, "9000000.00")
	file := filepath.Join(w.dir, "batch.csv")
	if err := os.WriteFile(file, []byte(batchOf(8000)), 0o600); err != nil {
		t.Fatal(err)
	}
	var b batchJSON
	out, code := w.client(m, "batch", "submit", file, "--json")
	w.kill()
	if code != 0 || json.Unmarshal([]byte(out), &b) != nil {
		t.Fatalf("%d: %s", code, out)
	}
	w.ledger(nil, "merchant", "suspend", m.ID, "--reason", "its key was stolen")
	log, code := w.run("replay", b.ID)
	if code != 0 {
		t.Fatal(log)
	}
	drawn := int64(strings.Count(log, "batch.drawn"))
	w.start(w.flags...)
	time.Sleep(8 * time.Second)
	if status, o := w.call(m, http.MethodPost, pathBatches+"/"+b.ID+"/cancel", `{"reason":"stolen key"}`); status != http.StatusForbidden {
		t.Logf("cancelling while suspended: %d %v", status, o)
	} else {
		t.Log("while it is suspended nobody can cancel the batch: the API answers 403, and operators have no way to")
	}
	w.ledger(nil, "merchant", "resume", m.ID)
	time.Sleep(2 * time.Second)
	out, _ = w.run("replay", b.ID)
	now := int64(strings.Count(out, "batch.drawn"))
	t.Logf("chunks drawn before it was suspended: %d, of 32; now: %d", drawn, now)
	var seen batchJSON
	if out, code = w.client(m, "batch", "status", b.ID, "--json"); code != 0 || json.Unmarshal([]byte(out), &seen) != nil {
		t.Fatalf("%d: %s", code, out)
	}
	if paid := seen.Counts["success"] + seen.Counts["refunded"]; drawn < 25 && paid > (drawn+5)*250 {
		t.Errorf("%d payouts were paid; %d chunks of 250 were drawn when the merchant was suspended: %v", paid, drawn, seen.Counts)
	}
}
