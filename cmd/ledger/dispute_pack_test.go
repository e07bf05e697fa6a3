package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/pack"
)

// verifyPack runs `ledger dispute verify --json`, which needs no store.
func (w *world) verifyPack(file string) (v pack.Verdict, code int) {
	w.t.Helper()
	got := execute(w.t, w.dir, nil, "dispute", "verify", file, "--public-key", "key.txt", "--json")
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil {
		w.t.Fatalf("dispute verify answered %+v: %v", got, err)
	}
	return v, got.code
}

// packed makes a pack and verifies it.
func (w *world) packed(txn, file string, flags ...string) map[string]string {
	w.t.Helper()
	w.ledger(nil, append([]string{"dispute", "pack", txn, "-o", file}, flags...)...)
	if v, code := w.verifyPack(file); !v.Holds || code != 0 || v.Payment != txn {
		w.t.Fatalf("%s: exit %d, %+v", file, code, v)
	}
	b, err := os.ReadFile(filepath.Join(w.dir, file))
	if err != nil {
		w.t.Fatal(err)
	}
	return unzipped(w.t, b)
}

func unzipped(t *testing.T, b []byte) map[string]string {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(body)
	}
	return files
}

func wantIn(t *testing.T, files map[string]string, name string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(files[name], part) {
			t.Errorf("%s does not say %q:\n%s", name, part, files[name])
		}
	}
}

// TestPacks: beside a running server, of a payin and of payouts, from the command line and over HTTP.
func TestPacks(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start()
		m := w.merchant()
		w.fund(m, "50000.00")
		w.keepKey("key.txt")
		status, paid := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "1000", "R-1"), "Idempotency-Key", "once")
		txn := paid.text("data", "transaction", "transaction_id")
		if status != http.StatusOK || txn == "" {
			t.Fatalf("%d %v", status, paid)
		}
		w.eventually(20*time.Second, "the callback is delivered", func() bool {
			out, _ := w.run("callback", "list", "--merchant", m.ID, "--status", "delivered")
			return strings.Contains(out, txn)
		})
		masked := w.packed(txn, "masked.zip")
		for name, body := range masked {
			for _, secret := range []string{"Rahul", "123456789099", "9876543210"} {
				if strings.Contains(body, secret) {
					t.Errorf("%s of a masked pack has %s", name, secret)
				}
			}
		}
		wantIn(t, masked, "callbacks.json", `"status": "delivered"`, `"http_status": 200`, "transaction.updated")
		wantIn(t, masked, "answers.json", `"request": "POST /api/v1/services/payout/process"`, txn)
		wantIn(t, masked, "postings.csv", "payout.initiated", "gateway:sandbox:float,,1000.00,INR")
		wantIn(t, masked, "timeline.json", `"balance": "50000.00"`, `"balance": "48990.00"`)
		clear := w.packed(txn, "clear.zip", "--unmasked", "--reason", "chargeback 7", "--actor", "asha")
		wantIn(t, clear, "personal.json", "Rahul Sharma", "123456789099", "9876543210")
		wantIn(t, clear, "actions.json", "merchant.data_opened", "asha", "chargeback 7")
		if v, _ := w.verifyPack("clear.zip"); !strings.Contains(strings.Join(v.Proves, "\n"), "1 request body or document is shown as received") {
			t.Errorf("what was received is not proven: %v", v.Proves)
		}
		w.packsOverHTTP(txn)
		out, code := w.run("audit", "edit-log", "--format", "csv")
		if code != 0 || strings.Count(out, "merchant.data_opened") != 4 || !strings.Contains(out, "chargeback 7") || !strings.Contains(out, "data opened of "+txn) {
			t.Errorf("the edit log has\n%s", out)
		}
		w.verify()
	})
}

func (w *world) packsOverHTTP(txn string) {
	t := w.t
	t.Helper()
	path := "/ops/v1/transactions/" + txn + "/pack"
	support, auditor := w.operator("support"), w.operator("auditor")
	status, body, h := w.exported(support, http.MethodGet, path, "")
	if status != http.StatusOK || h.Get("Content-Type") != "application/zip" || strings.Contains(body, "Rahul") {
		t.Fatalf("a pack for support: %d %v", status, h)
	}
	if status, _, _ := w.exported(support, http.MethodGet, path+"?unmasked=true&reason=x", ""); status != http.StatusForbidden {
		t.Errorf("support sees personal data: %d", status)
	}
	if status, body, _ := w.exported(auditor, http.MethodGet, "/ops/v1/transactions/bat_aaaaaaaaaaaaaaaa/pack", ""); status != http.StatusUnprocessableEntity {
		t.Errorf("a pack of a batch: %d %s", status, body)
	}
	status, clear, _ := w.exported(auditor, http.MethodGet, path+"?unmasked=true&reason=court+order", "")
	if status != http.StatusOK || !strings.Contains(clear, "Rahul Sharma") {
		t.Errorf("a pack for an auditor: %d", status)
	}
	for name, b := range map[string]string{"support.zip": body, "auditor.zip": clear} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if v, code := w.verifyPack(name); !v.Holds || code != 0 {
			t.Errorf("%s: exit %d, %+v", name, code, v)
		}
	}
}

// TestAPackOfABatch has who approved it, and nothing of its other items.
func TestAPackOfABatch(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start()
		m := w.merchant()
		w.fund(m, "50000.00")
		w.keepKey("key.txt")
		b := w.askBatch(m, "submit", w.batchFile("B.csv", 3))
		w.untilBatch(m, b.ID, "completed")
		txn, _ := w.firstItem(m, b.ID, "")["transaction_id"].(string)
		files := w.packed(txn, "item.zip")
		wantIn(t, files, "timeline.json", "batch.submitted", "batch.completed", `"part": "batch"`)
		wantIn(t, files, "messages/index.json", `"shown": "left_out"`)
		if strings.Contains(files["proof/inclusion.json"], "batch.items") {
			t.Error("the pack has the items of the whole batch")
		}
	})
}

// TestPacksAtOnce: many packs beside a server that goes on paying; each is whole, and each opening is in the log once.
func TestPacksAtOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start()
		m := w.merchant()
		w.fund(m, "50000.00")
		w.keepKey("key.txt")
		_, paid := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "1000", "R-1"))
		txn := paid.text("data", "transaction", "transaction_id")
		key := w.operator("support")
		const packs = 6
		var all sync.WaitGroup
		made := make([]string, packs)
		for i := range packs {
			all.Go(func() {
				again := time.NewTicker(100 * time.Millisecond)
				defer again.Stop()
				for deadline := time.Now().Add(60 * time.Second); made[i] == "" && time.Now().Before(deadline); <-again.C { // the exports at once are bounded
					if status, body, err := w.tryExport(key, "/ops/v1/transactions/"+txn+"/pack"); err == nil && status == http.StatusOK {
						made[i] = body
					}
				}
			})
		}
		for i := range 10 {
			w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "10", fmt.Sprintf("more-%d", i)))
		}
		all.Wait()
		for i, body := range made {
			name := fmt.Sprintf("%d.zip", i)
			if err := os.WriteFile(filepath.Join(w.dir, name), []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
			if v, code := w.verifyPack(name); !v.Holds || code != 0 {
				t.Errorf("pack %d: exit %d, %+v", i, code, v)
			}
		}
		w.verify()
	})
}

func (w *world) tryExport(key, path string) (int, string, error) {
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.addr+path, nil)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("X-Operator-Key", key)
	answer, err := w.httpc.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close() //nolint:errcheck // it is read to its end
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

// TestADamagedLogGivesNoPack: it names the record, and writes nothing.
func TestADamagedLogGivesNoPack(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start()
		m := w.merchant()
		w.fund(m, "50000.00")
		for i := range 2 {
			w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "1000", fmt.Sprintf("R-%d", i)))
		}
		_, paid := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "1000", "R-9"))
		txn := paid.text("data", "transaction", "transaction_id")
		w.stop()
		d := unguarded(w)
		records := d.records()
		seq := int64(0)
		for i := range records {
			if records[i].Subject == txn && len(records[i].EvidenceDigests) > 0 {
				seq = records[i].Seq
				break
			}
		}
		for name, tt := range map[string]struct{ change, want string }{
			"another message": {"UPDATE evidence SET media_type = 'text/plain' WHERE partition = {p} AND seq = {n} AND n = 0", fmt.Sprintf("message 0 of record %d:%d is not the one that was recorded", d.partition, seq)},
			"a message less":  {"DELETE FROM evidence WHERE partition = {p} AND seq = {n} AND n = 0", fmt.Sprintf("record %d:%d has 1 messages and digests of 2", d.partition, seq)},
			"another amount":  {"UPDATE events SET effective_at = effective_at + 1 WHERE partition = {p} AND seq = {n}", fmt.Sprintf("record %d:%d", d.partition, seq)},
		} {
			d.restore()
			d.change(seq, tt.change)
			out, code := w.run("dispute", "pack", txn, "-o", "x.zip")
			if code != exitNo || !strings.Contains(out, tt.want) {
				t.Errorf("%s: exit %d, %s", name, code, out)
			}
			if _, err := os.Stat(filepath.Join(w.dir, "x.zip")); !os.IsNotExist(err) {
				t.Errorf("%s: a pack was written: %v", name, err)
			}
		}
	})
}

// TestAPackNotesWhatWasErased: with the merchant's keys gone the proof stands, and what it was about is noted as erased.
func TestAPackNotesWhatWasErased(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start()
		m := w.merchant()
		w.fund(m, "50000.00")
		w.keepKey("key.txt")
		_, paid := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "1000", "R-1"))
		txn := paid.text("data", "transaction", "transaction_id")
		w.stop()
		w.do("secrets", "INSERT INTO erased_keys (key_id, owner, erased_at) SELECT key_id, owner, 1 FROM data_keys WHERE kind = 'seal'", "DELETE FROM data_keys WHERE kind = 'seal'")
		files := w.packed(txn, "erased.zip", "--unmasked", "--reason", "court order", "--actor", "asha")
		wantIn(t, files, "README.txt", "3 messages were erased for ever")
		wantIn(t, files, "personal.json", `"shown": "erased"`)
		wantIn(t, files, "messages/index.json", `"shown": "erased"`, `"shown": "as_is"`) // the opening itself is sealed by a new key
		if v, _ := w.verifyPack("erased.zip"); !strings.Contains(strings.Join(v.DoesNotProve, "\n"), "3 erased messages said: the key was erased for ever") {
			t.Errorf("it does not say so: %v", v.DoesNotProve)
		}
	})
}
