package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/khata-ledger/khata/eventstore/proof"
)

// verifyProof runs `ledger proof verify --json`, which needs no store.
func (w *world) verifyProof(file, keys string) (v proof.Verdict, code int) {
	w.t.Helper()
	got := execute(w.t, w.dir, nil, "proof", "verify", file, "--public-key", keys, "--json")
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil {
		w.t.Fatalf("proof verify answered %+v: %v", got, err)
	}
	return v, got.code
}

// proven runs a subcommand of `ledger proof` that has to succeed.
func (w *world) proven(args ...string) string {
	w.t.Helper()
	out, code := w.run(append([]string{"proof"}, args...)...)
	if code != 0 {
		w.t.Fatalf("ledger proof %v: exit %d: %s", args, code, out)
	}
	return out
}

func (w *world) keepKey(name string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(w.proven("key")), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// booked makes a store with a merchant that has been adjusted so many times, without a server.
func (w *world) booked(n int) (merchantID, lastTransaction string) {
	w.t.Helper()
	w.ledger(nil, "migrate")
	var m testMerchant
	w.ledger(&m, "merchant", "create", "--name", "Shop", "--service", "payin")
	return m.ID, w.adjusted(m.ID, n)
}

func (w *world) adjusted(merchantID string, n int) (lastTransaction string) {
	w.t.Helper()
	var a adjusted
	for range n {
		w.ledger(&a, "wallet", "adjust", "--merchant", merchantID, "--amount", "100.00", "--reason", "opening")
	}
	return a.Transaction
}

// TestARewrittenHistoryIsFound: somebody who holds the database and the keys alters a record, and computes all hashes behind it anew. The chain holds; the
// checkpoint that left the house before shows it.
func TestARewrittenHistoryIsFound(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		merchantID, txn := w.booked(8)
		w.keepKey("key.txt")
		w.proven("checkpoint", "-o", "exported.txt")
		w.proven("include", txn, "-o", "before.json")
		w.adjusted(merchantID, 2)
		w.proven("consistency", "exported.txt", "-o", "consistent.json")
		for _, file := range []string{"exported.txt", "before.json", "consistent.json"} {
			if v, code := w.verifyProof(file, "key.txt"); !v.Holds || code != 0 {
				t.Errorf("%s: %+v, exit %d", file, v, code)
			}
		}

		w.proven("consistency", "exported.txt", "--from-log", "-o", "fromlog.json")
		if v, code := w.verifyProof("fromlog.json", "key.txt"); !v.Holds || code != 0 {
			t.Errorf("from the log alone: %+v, exit %d", v, code)
		}

		d := unguarded(w)
		d.rewrite(4)
		verified, _ := w.verdict()
		for _, c := range verified.Checks {
			if (c.Name == "chain" || c.Name == "heads") && !c.OK {
				t.Fatalf("the rewritten chain does not hold, so this shows nothing: %+v", c)
			}
		}
		where := fmt.Sprintf("partition %d", d.partition)
		for _, args := range [][]string{
			{"consistency", "exported.txt", "-o", "forged.json"}, {"consistency", "exported.txt", "--from-log", "-o", "forged.json"}, {"checkpoint", "-o", "forged.txt"}, {"include", txn, "--checkpoint", "exported.txt", "-o", "forged.json"},
		} {
			out, code := w.run(append([]string{"proof"}, args...)...)
			want := where
			if args[0] == "include" {
				want = fmt.Sprintf("record %d:", d.partition)
			}
			if code != exitNo || !strings.Contains(out, want) {
				t.Errorf("%v of a rewritten log: exit %d, %q", args, code, out)
			}
			if _, err := os.Stat(filepath.Join(w.dir, args[len(args)-1])); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%v wrote a file: %v", args, err)
			}
		}

		// With a new key the rewritten log can be signed: but not as what follows the exported checkpoint.
		w.proven("key", "--rotate")
		w.keepKey("next.txt")
		w.proven("checkpoint", "-o", "anew.txt")
		if v, code := w.verifyProof("anew.txt", "key.txt"); v.Holds || code != exitNo {
			t.Errorf("the new key's checkpoint, by the old public key: %+v, exit %d", v, code)
		}
		if out, code := w.run("proof", "consistency", "exported.txt", "--checkpoint", "anew.txt"); code != exitNo || !strings.Contains(out, where) {
			t.Errorf("from the exported checkpoint to the new key's: exit %d, %q", code, out)
		}
		if v, code := w.verifyProof("before.json", "key.txt"); !v.Holds || code != 0 {
			t.Errorf("what was proven before stands: %+v, exit %d", v, code)
		}
	})
}

// rewrite alters a record and everything that stands on it, so that the chain holds.
func (d *damaged) rewrite(seq int64) {
	d.t.Helper()
	records := d.records()
	db := d.sql("log")
	defer db.Close()
	for i := seq - 1; i < int64(len(records)); i++ {
		r := &records[i]
		if i == seq-1 {
			old := r.Data
			if r.Data = bytes.Replace(old, []byte(`"100.00"`), []byte(`"900.00"`), 1); bytes.Equal(old, r.Data) {
				d.t.Fatalf("record %d has nothing to edit: %s", seq, old)
			}
		}
		r.Hash, _ = r.Next(records[i-1].Hash, nil)
		var data any = string(r.Data)
		if d.onPostgres() {
			data = r.Data
		}
		d.exec(db, "UPDATE events SET data = $1, hash = $2 WHERE partition = $3 AND seq = $4", data, r.Hash[:], r.Partition, r.Seq)
	}
	d.exec(db, "UPDATE heads SET hash = $1 WHERE partition = $2", records[len(records)-1].Hash[:], d.partition)
}

// TestARestoredLogIsNotSigned: a log that ends before the last signed checkpoint is not signed, and the refusal says so.
func TestARestoredLogIsNotSigned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	merchantID, _ := w.booked(3)
	w.ledger(nil, "log", "export", "-o", "copy.ndjson")
	w.adjusted(merchantID, 2)
	w.proven("checkpoint", "-o", "signed.txt")
	for _, name := range []string{"ledger.db", "ledger.db-wal", "ledger.db-shm"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	w.ledger(nil, "log", "import", "copy.ndjson")
	out, code := w.run("proof", "checkpoint")
	if code != exitNo || !strings.Contains(out, "partition 0: it had 7 records and has 5 now: records were removed") {
		t.Errorf("exit %d, %q", code, out)
	}
}

func TestServerPublishesCheckpoints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	file := filepath.Join(dir, "checkpoints.txt")
	w.start("--checkpoint-every", "1s", "--checkpoint-to", file)
	published := func() int {
		b, err := os.ReadFile(file)
		if err != nil {
			return 0
		}
		return bytes.Count(b, []byte("\n\n"))
	}
	w.eventually(20*time.Second, "there is a checkpoint", func() bool { return published() >= 1 })
	w.merchant()
	n := published()
	w.eventually(20*time.Second, "there are more", func() bool { return published() >= n+2 })
	w.stop()
	w.keepKey("key.txt")
	if v, code := w.verifyProof(file, "key.txt"); !v.Holds || code != 0 || len(v.Proves) < 4 {
		t.Errorf("%+v, exit %d", v, code)
	}
	w.proven("consistency", file, "-o", "consistent.json")
	if v, code := w.verifyProof("consistent.json", "key.txt"); !v.Holds || code != 0 {
		t.Errorf("%+v, exit %d", v, code)
	}
}

// TestPublisherOutlastsAnOutage: what cannot be delivered is tried again, less and less often, and in the next interval the newest takes its place.
func TestPublisherOutlastsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var log bytes.Buffer
		made, tries := 0, 0
		var delivered []string
		p := publisher{
			make: func(context.Context) ([]byte, error) {
				made++
				if made == 1 {
					return nil, errors.New("the store is away")
				}
				return fmt.Appendf(nil, "checkpoint %d", made), nil
			},
			deliver: func(_ context.Context, signed []byte) error {
				if tries++; time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) < 150*time.Minute {
					return errors.New("the outlet is away")
				}
				delivered = append(delivered, string(signed))
				return nil
			},
			every: time.Hour, to: "there", logger: slog.New(slog.NewTextHandler(&log, nil)),
		}
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(5*time.Hour - time.Minute)
		synctest.Wait()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if fmt.Sprint(delivered) != "[checkpoint 4 checkpoint 5 checkpoint 6]" {
			t.Errorf("delivered %q", delivered)
		}
		if tries < 20 || tries > 60 {
			t.Errorf("%d attempts", tries)
		}
		if !strings.Contains(log.String(), "the store is away") || !strings.Contains(log.String(), "the outlet is away") {
			t.Errorf("the log says %s", log.String())
		}
	})
}

func TestPostingACheckpoint(t *testing.T) {
	t.Parallel()
	var got []byte
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/taken":
			var err error
			if got, err = io.ReadAll(r.Body); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusCreated)
		case "/elsewhere":
			http.Redirect(w, r, "/taken", http.StatusTemporaryRedirect)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for path, want := range map[string]string{"/taken": "", "/elsewhere": "307", "/away": "503"} {
		deliver, _ := (&publishFlags{CheckpointTo: server.URL + path}).outlet(client)
		got = nil
		err := deliver(t.Context(), []byte("signed\n"))
		if want == "" && (err != nil || string(got) != "signed\n") {
			t.Errorf("%s took %q, %v", path, got, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || got != nil) {
			t.Errorf("%s: %v", path, err)
		}
	}
	server.Close()
	deliver, name := (&publishFlags{CheckpointTo: strings.Replace(server.URL, "https://", "https://user:hidden@", 1)}).outlet(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}})
	if err := deliver(t.Context(), []byte("signed\n")); err == nil || strings.Contains(err.Error()+name, "hidden") {
		t.Errorf("%s is not there: %v", name, err)
	}
}

func TestAppendingCheckpoints(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "checkpoints.txt")
	for _, tt := range []struct{ torn, signed, want string }{
		{"", "one\n", "one\n"},
		{"", "two\n", "one\ntwo\n"},
		{"thr", "four\n", "one\ntwo\nthr\nfour\n"},
	} {
		if tt.torn != "" {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append(b, tt.torn...), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := appendCheckpoint(path, []byte(tt.signed)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != tt.want {
			t.Errorf("%q, %v, want %q", got, err, tt.want)
		}
	}
	if err := appendCheckpoint(filepath.Join(path, "below"), []byte("x\n")); err == nil {
		t.Error("a file below a file was written")
	}
}

func TestProofUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	merchantID, txn := w.booked(2)
	w.keepKey("key.txt")
	w.proven("checkpoint", "-o", "signed.txt")
	w.adjusted(merchantID, 1)
	if err := os.WriteFile(filepath.Join(dir, "torn.txt"), []byte("khata-ledger/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"include", "txn_none"}, exitNo, "nothing in the log is about txn_none"},
		{[]string{"include", "0:99"}, exitNo, "record 0:99: no such record"},
		{[]string{"include", "7:1"}, exitNo, "record 7:1:"},
		{[]string{"include", "0:5", "--checkpoint", "signed.txt"}, exitNo, "record 0:5 is behind the checkpoint"},
		{[]string{"include", txn, "--checkpoint", "signed.txt"}, 0, proof.FormatInclusion},
		{[]string{"include", merchantID}, 0, `"type": "merchant.created"`},
		{[]string{"include", "wallet:" + merchantID + ":INR"}, 0, `"seq": 4`},
		{[]string{"consistency", "torn.txt"}, exitNo, "torn.txt: line 1"},
		{[]string{"consistency", "none.txt"}, exitNo, "no such file"},
	} {
		if out, code := w.run(append([]string{"proof"}, tt.args...)...); code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%v: exit %d, %q", tt.args, code, out)
		}
	}
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"proof", "verify", "signed.txt"}, exitUsage},
		{[]string{"proof", "verify", "signed.txt", "--public-key", "none.txt"}, exitUsage},
		{[]string{"proof", "verify", "signed.txt", "--public-key", "signed.txt"}, exitUsage},
		{[]string{"proof", "verify", "none.txt", "--public-key", "key.txt"}, exitNo},
		{[]string{"proof", "verify", "key.txt", "--public-key", "key.txt"}, exitNo},
		{[]string{"serve", "--checkpoint-to", "http://example.com/x"}, exitUsage},
		{[]string{"serve", "--checkpoint-every", "0s"}, exitUsage},
	} {
		if out, code := w.execute(tt.args...); code != tt.code {
			t.Errorf("%v: exit %d, %q", tt.args, code, out)
		}
	}
}
