package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// storedVersions are stores that earlier versions of the schema have made, kept for ever: each must open, verify and go on. A new
// migration of the log, of work or of secrets adds the store that the version before it leaves behind.
var storedVersions = []struct {
	file     string // testdata/stores
	merchant testMerchant
	balance  string // available
	paid     string // a partner_request_id that is taken
	payout   string // its transaction
}{
	{
		"1.tar.gz", testMerchant{ID: "mer_demo000000000000", Key: "klyro_qtDse8yyI1tK5939-GoiRbwv-RexfyQOfGFD6Dj8V2U"},
		"1920.00", "PAYOUT-2", "txn_yknwccwv1loitb0r",
	},
}

func TestStoredVersions(t *testing.T) {
	t.Parallel()
	for _, stored := range storedVersions {
		t.Run(stored.file, func(t *testing.T) {
			w := storeIn(t)
			unpack(t, filepath.Join("testdata", "stores", stored.file), w.dir)
			w.wantRefusal([]string{"verify"}, "run `ledger migrate`")
			w.ledger(nil, "migrate")
			w.verify()
			var story struct{ Events []object }
			w.ledger(&story, "replay", stored.payout, "--json")
			if len(story.Events) != 3 {
				t.Errorf("the payout's story has %d events", len(story.Events))
			}
			w.start()
			w.wantBalance(stored.merchant, stored.balance, "0.00")
			const process = "/api/v1/services/payout/process"
			if status, o := w.call(stored.merchant, http.MethodPost, process, payoutBody("123456789099", "1000", stored.paid)); status != http.StatusConflict {
				t.Errorf("a reference that was taken before the migration: %d %v", status, o)
			}
			if status, o := w.call(stored.merchant, http.MethodPost, process, payoutBody("123456789099", "1000", "NEW-1")); status != http.StatusOK {
				t.Errorf("a new payout: %d %v", status, o)
			}
			w.wantBalance(stored.merchant, "910.00", "0.00")
			w.stop()
			w.verify()
		})
	}
}

// goldenStore is what testdata/stores/write.py notes of a store that it has written.
type goldenStore struct {
	testMerchant
	Operator  string         `json:"operator_key"`
	Available string         `json:"available"`
	Locked    string         `json:"locked"`
	Taken     string         `json:"taken"`  // a partner_request_id that is taken
	Payout    string         `json:"payout"` // its transaction
	Payin     string         `json:"payin"`  // one that was paid twice
	Events    map[string]int `json:"events"` // records by type
	Heads     []goldenHead   `json:"heads"`
	App       struct {
		testApp
		Transaction string `json:"transaction"`
	} `json:"app"`
	Busy goldenBusy `json:"busy"`
}

// goldenBusy is a merchant of whom something was under way when the store was written, and keys that were claimed.
type goldenBusy struct {
	testMerchant
	Checker  string        `json:"checker_key"`
	Claims   []goldenClaim `json:"claims"`
	UnderWay goldenClaim   `json:"under_way"` // a payout that was sent to a bank which nobody reached
	Batch    string        `json:"batch"`     // waits for approval
	Dispute  string        `json:"dispute"`   // is open
}

// goldenClaim is a request under an Idempotency-Key, and the transaction that it was answered with.
type goldenClaim struct {
	Key         string `json:"key"`
	Body        string `json:"body"`
	Transaction string `json:"transaction"`
}

type goldenHead struct {
	Partition int    `json:"partition"`
	Seq       int64  `json:"seq"`
	Hash      string `json:"hash"`
}

// TestGoldenStores: a store that any version has written, with every kind of record that it could make, migrates, verifies, replays, serves
// and goes on; and not a byte of what was recorded is another one then. See testdata/stores/README.md.
func TestGoldenStores(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "stores", "*.*.tar.gz"))
	if err != nil || len(files) < 12 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			w := storeIn(t)
			unpack(t, file, w.dir)
			if strings.Contains(file, ".postgres.") {
				w.db = testpg.DSN(t)
				w.loadDump(filepath.Join(w.dir, "dump.sql"))
			}
			var g goldenStore
			raw, err := os.ReadFile(filepath.Join(w.dir, "facts.json"))
			if err == nil {
				err = json.Unmarshal(raw, &g)
			}
			if err != nil {
				t.Fatal(err)
			}
			w.ledger(nil, "migrate")
			w.verify()
			if secrets, sealed, code := w.sealedChecks(); code != 0 || sealed.Checked < 50 {
				t.Errorf("what is sealed: exit %d, %+v, %+v", code, secrets, sealed)
			}
			w.wantGolden(&g)
			w.start("--sandbox-file", filepath.Join(w.dir, "sandbox.db"))
			w.goOn(&g)
			if g.Busy.ID != "" {
				w.goOnWith(&g.Busy)
			}
			w.stop()
			w.verify()
			w.wantGolden(&g)
		})
	}
}

// loadDump executes what pg_dump has written, which is plain SQL.
func (w *world) loadDump(file string) {
	w.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	conn, err := pgx.Connect(w.t.Context(), w.db)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(w.t.Context())
	if _, err := conn.PgConn().Exec(w.t.Context(), "DROP SCHEMA IF EXISTS public; CREATE SCHEMA public; "+string(text)).ReadAll(); err != nil {
		w.t.Fatalf("%s: %v", file, err)
	}
}

// wantGolden holds the log against what was noted: the hash of a partition's last record stands for all before it.
func (w *world) wantGolden(g *goldenStore) {
	w.t.Helper()
	for _, h := range g.Heads {
		if h.Seq == 0 {
			continue
		}
		var hash []byte
		w.ask("log", fmt.Sprintf("SELECT hash FROM events WHERE partition = %d AND seq = %d", h.Partition, h.Seq), &hash)
		if got := hex.EncodeToString(hash); got != h.Hash {
			w.t.Errorf("record %d:%d has the hash %s, and had %s", h.Partition, h.Seq, got, h.Hash)
		}
	}
	for typ, n := range g.Events {
		var now int
		w.ask("log", "SELECT count(*) FROM events WHERE type = '"+typ+"'", &now)
		if now < n {
			w.t.Errorf("%d records %s, and there were %d", now, typ, n)
		}
	}
	for _, subject := range []string{g.Payout, g.Payin, g.App.Transaction, g.ID} {
		if subject == "" {
			continue
		}
		var story struct{ Events []object }
		w.ledger(&story, "replay", subject, "--json")
		if len(story.Events) < 2 {
			w.t.Errorf("the story of %s has %d events", subject, len(story.Events))
		}
	}
}

// goOn uses a store that is served: what was known is known, what was taken is taken, and new payments are made.
func (w *world) goOn(g *goldenStore) {
	w.t.Helper()
	w.wantBalance(g.testMerchant, g.Available, g.Locked)
	const process = "/api/v1/services/payout/process"
	if status, o := w.call(g.testMerchant, http.MethodPost, process, payoutBody(loadAccount, "1000", g.Taken)); status != http.StatusConflict {
		w.t.Errorf("a reference that was taken: %d %v", status, o)
	}
	status, o := w.call(g.testMerchant, http.MethodGet, "/api/v1/transactions/service/payout/"+g.Payout, "")
	if status != http.StatusOK || o.text("data", "transaction", "beneficiary_name") != "Rahul Sharma" {
		w.t.Errorf("what was sealed: %d %v", status, o)
	}
	if status, o := w.operate(g.Operator, http.MethodGet, "/ops/v1/audit/trial-balance", ""); status != http.StatusOK || o["success"] != true {
		w.t.Errorf("the trial balance: %d %v", status, o)
	}
	w.fund(g.testMerchant, "5000.00")
	if status, o := w.call(g.testMerchant, http.MethodPost, process, payoutBody(loadAccount, "1000", "NEW-1")); status != http.StatusOK {
		w.t.Errorf("a new payout: %d %v", status, o)
	}
	p := w.payin(g.testMerchant, "700", "NEW-ORDER")
	w.pay(p.text("intent_url"), "success", "")
	w.eventually(10*time.Second, "a new payin is paid", func() bool {
		return w.payinStatus(g.testMerchant, p.text("txn_ref")).text("status") == "success"
	})
	if g.App.Transaction != "" {
		if o := w.transaction(w.token(g.App.testApp), g.App.Transaction); o.text("status") != "SUCCESS" {
			w.t.Errorf("a checkout of before: %v", o)
		}
	}
}

// goOnWith goes on with what was under way, repeats what was answered, and verifies what was handed out.
func (w *world) goOnWith(b *goldenBusy) {
	w.t.Helper()
	const process = "/api/v1/services/payout/process"
	w.wantStatus(b.testMerchant, b.UnderWay.Transaction, "success")
	if utr, there := w.transfers()[b.UnderWay.Transaction]; !there || utr == "" {
		w.t.Errorf("the bank knows nothing of %s", b.UnderWay.Transaction)
	}
	for _, c := range append(b.Claims, b.UnderWay) {
		if status, o := w.call(b.testMerchant, http.MethodPost, process, c.Body, "Idempotency-Key", c.Key); o.text("data", "transaction", "transaction_id") != c.Transaction {
			w.t.Errorf("%s again: %d %v, and it was answered with %s", c.Key, status, o, c.Transaction)
		}
		other := strings.Replace(c.Body, "Rahul Sharma", "Rahul Shama", 1)
		if status, o := w.call(b.testMerchant, http.MethodPost, process, other, "Idempotency-Key", c.Key); status != http.StatusUnprocessableEntity {
			w.t.Errorf("%s for another request: %d %v", c.Key, status, o)
		}
	}
	if out, code := w.client(testMerchant{Key: b.Checker}, "batch", "approve", b.Batch); code != 0 {
		w.t.Errorf("the batch that waited: exit %d, %s", code, out)
	}
	w.eventually(30*time.Second, "the batch is paid", func() bool {
		_, o := w.call(b.testMerchant, http.MethodGet, "/api/v1/services/payout/batches/"+b.Batch, "")
		return o.text("data", "status") == "completed" || o.text("data", "batch", "status") == "completed"
	})
	w.ledger(nil, "dispute", "win", b.Dispute, "--reason", "delivered")
	for _, args := range [][]string{
		{"proof", "verify", "golden.checkpoint"}, {"proof", "verify", "txn.proof"}, {"dispute", "verify", "pack.zip"},
	} {
		if out, code := w.execute(append(args, "--public-key", "ledger.pub")...); code != 0 {
			w.t.Errorf("%q: exit %d, %s", args, code, out)
		}
	}
	if out, code := w.run("proof", "consistency", "golden.checkpoint"); code != 0 {
		w.t.Errorf("from the checkpoint of then: exit %d, %s", code, out)
	}
}

// unpack writes the files of an archive into a folder.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(files)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(header.Name)), body, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
