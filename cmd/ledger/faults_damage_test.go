package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/postgres"
	"github.com/khata-ledger/khata/eventstore/sqlite"
)

// used makes a store that has been worked with: a payin, payouts, a restart. It returns the world without a server.
func used(t *testing.T, w *world) testMerchant {
	t.Helper()
	w.start("--gateway-wait", "5s")
	m := w.merchant()
	w.fund(m, "9000.00")
	p := w.payin(m, "1000", "ORDER-1")
	w.pay(p.text("intent_url"), "success", "")
	for i := range 3 {
		status, o := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody(loadAccount, "1000", fmt.Sprintf("P-%d", i)))
		if status != http.StatusOK || o.text("data", "transaction", "status") != "success" {
			t.Fatalf("payout %d: %d %v", i, status, o)
		}
	}
	w.eventually(10*time.Second, "the payin is paid", func() bool {
		a, _ := w.balance(m)
		return a == "6960.00" // 9000 + 990 - 3 x 1010
	})
	w.stop()
	return m
}

// damaged is a store whose log is altered behind the product's back, and restored, again and again.
type damaged struct {
	*world
	partition int   // the busiest one
	head      int64 // of it
	evidence  int64 // the first record that has some, of the partition
}

// logTables are what a log consists of.
var logTables = []string{"events", "evidence", "heads"}

// unguarded takes a store that nobody uses, drops the triggers that guard its log, and keeps a copy of it.
func unguarded(w *world) *damaged {
	w.t.Helper()
	d := &damaged{world: w}
	w.ask("log", "SELECT partition, seq FROM heads ORDER BY seq DESC LIMIT 1", &d.partition, &d.head)
	w.ask("log", fmt.Sprintf("SELECT min(seq) FROM evidence WHERE partition = %d AND seq > 1", d.partition), &d.evidence)
	if d.head < 8 {
		w.t.Fatalf("a log of %d records is too short for these tests", d.head)
	}
	triggers := "SELECT 'DROP TRIGGER ' || name FROM sqlite_master WHERE type = 'trigger'"
	if w.onPostgres() {
		triggers = "SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal"
	}
	db := w.sql("log")
	drops := column[string](w, db, triggers)
	db.Close()
	if len(drops) < 5 {
		w.t.Fatalf("only %v guard the log", drops)
	}
	for _, table := range logTables {
		drops = append(drops, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
	}
	w.do("log", drops...)
	return d
}

// restore undoes all damage.
func (d *damaged) restore() {
	d.world.t.Helper()
	for _, table := range logTables {
		d.do("log", "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM kept_"+table)
	}
}

// change executes a statement with {p} for the partition and {n} for seq.
func (d *damaged) change(seq int64, statements ...string) {
	d.t.Helper()
	for i, s := range statements {
		statements[i] = strings.NewReplacer("{p}", fmt.Sprint(d.partition), "{n}", fmt.Sprint(seq), "{n+1}", fmt.Sprint(seq+1)).Replace(s)
	}
	d.do("log", statements...)
}

// openLog opens the log as the product does.
func (d *damaged) openLog() eventstore.Store {
	d.t.Helper()
	var log eventstore.Store
	var err error
	if d.onPostgres() {
		log, err = postgres.Open(d.t.Context(), d.db)
	} else {
		log, err = sqlite.Open(d.t.Context(), strings.TrimPrefix(d.db, "sqlite:"))
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return log
}

// records reads the busiest partition.
func (d *damaged) records() []eventstore.Record {
	d.t.Helper()
	log := d.openLog()
	defer log.Close()
	records, err := log.Read(d.t.Context(), d.partition, 0, 1000)
	if err != nil {
		d.t.Fatal(err)
	}
	return records
}

// edit changes amounts in a record's data; with rehash the record gets the hash that its new content gives.
func (d *damaged) edit(seq int64, rehash bool) {
	d.t.Helper()
	records := d.records()
	r, prev := records[seq-1], records[seq-2].Hash
	old := r.Data
	r.Data = bytes.Replace(old, []byte(`"merchant":"mer_`), []byte(`"merchant":"mer-`), 1)
	if bytes.Equal(old, r.Data) {
		d.t.Fatalf("record %d has nothing to edit: %s", seq, old)
	}
	if rehash {
		r.Hash, _ = r.Next(prev, nil)
	}
	db := d.sql("log")
	defer db.Close()
	var data any = string(r.Data)
	if d.onPostgres() {
		data = r.Data
	}
	d.exec(db, "UPDATE events SET data = $1, hash = $2 WHERE partition = $3 AND seq = $4", data, r.Hash[:], d.partition, seq)
}

func (d *damaged) exec(db *sql.DB, query string, args ...any) {
	d.t.Helper()
	result, err := db.ExecContext(d.t.Context(), query, args...)
	if err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		d.t.Fatalf("%s: %d rows, %v", query, n, err)
	}
}

// verdict runs `ledger verify --json`.
func (w *world) verdict() (v verification, code int) {
	w.t.Helper()
	got := execute(w.t, w.dir, nil, "verify", "--json", "--db", w.db)
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil {
		w.t.Fatalf("verify answered %+v: %v", got, err)
	}
	return v, got.code
}

// TestDamagedRecord: however a record is altered behind the product's back, verify ends with 1 and names the first record that
// is wrong.
func TestDamagedRecord(t *testing.T) {
	type damage struct {
		name  string
		check string // that finds it
		do    func(d *damaged) (first int64)
	}
	sql := func(statements ...string) func(d *damaged) int64 {
		return func(d *damaged) int64 { d.change(5, slices.Clone(statements)...); return 5 }
	}
	damages := []damage{
		{"data edited", "chain", func(d *damaged) int64 { d.edit(5, false); return 5 }},
		{"data edited, hash made to fit", "chain", func(d *damaged) int64 { d.edit(5, true); return 6 }},
		{"the last one edited, hash made to fit", "heads", func(d *damaged) int64 { d.edit(d.head, true); return d.head }},
		{"hash altered", "chain", func(d *damaged) int64 {
			d.change(5, "UPDATE events SET hash = (SELECT hash FROM events WHERE partition = {p} AND seq = {n+1}) WHERE partition = {p} AND seq = {n}")
			return 5
		}},
		{"type altered", "chain", sql("UPDATE events SET type = type || '2' WHERE partition = {p} AND seq = {n}")},
		{"time altered", "chain", sql("UPDATE events SET effective_at = effective_at + 1 WHERE partition = {p} AND seq = {n}")},
		{"stream altered", "chain", sql("UPDATE events SET stream = stream || 'X' WHERE partition = {p} AND seq = {n}")},
		{"deleted", "chain", sql("DELETE FROM events WHERE partition = {p} AND seq = {n}")},
		{"swapped with the next", "chain", sql("UPDATE events SET seq = 1000000 WHERE partition = {p} AND seq = {n}",
			"UPDATE events SET seq = {n} WHERE partition = {p} AND seq = {n+1}", "UPDATE events SET seq = {n+1} WHERE partition = {p} AND seq = 1000000")},
		{"the end cut off", "heads", func(d *damaged) int64 {
			d.change(d.head-2, "DELETE FROM events WHERE partition = {p} AND seq >= {n}")
			return d.head - 2
		}},
		{"everything cut off", "heads", func(d *damaged) int64 {
			d.change(1, "DELETE FROM events WHERE partition = {p} AND seq >= {n}")
			return 1
		}},
		{"one added behind the head", "heads", func(d *damaged) int64 {
			d.change(d.head, "UPDATE heads SET seq = {n} - 1, hash = (SELECT hash FROM events WHERE partition = {p} AND seq = {n} - 1) WHERE partition = {p}")
			return d.head
		}},
		{"head altered", "heads", func(d *damaged) int64 {
			d.change(d.head, "UPDATE heads SET hash = (SELECT hash FROM events WHERE partition = {p} AND seq = 1) WHERE partition = {p}")
			return d.head
		}},
		{"evidence altered", "evidence", func(d *damaged) int64 {
			d.change(d.evidence, "UPDATE evidence SET media_type = media_type || 'x' WHERE partition = {p} AND seq = {n}")
			return d.evidence
		}},
		{"evidence deleted", "evidence", func(d *damaged) int64 {
			d.change(d.evidence, "DELETE FROM evidence WHERE partition = {p} AND seq = {n}")
			return d.evidence
		}},
		{"evidence added", "evidence", func(d *damaged) int64 {
			d.change(d.evidence, "INSERT INTO evidence (partition, seq, n, media_type, body) SELECT partition, seq, 9, media_type, body FROM evidence WHERE partition = {p} AND seq = {n} AND n = 0")
			return d.evidence
		}},
		{"evidence added where there was none", "evidence", func(d *damaged) int64 {
			d.change(d.head+1, "INSERT INTO evidence (partition, seq, n, media_type, body) SELECT partition, {n}, n, media_type, body FROM evidence WHERE partition = {p} AND n = 0 LIMIT 1")
			return d.head + 1
		}},
	}
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		used(t, w)
		d := unguarded(w)
		for _, damage := range damages {
			first := fmt.Sprintf("%d:%d", d.partition, damage.do(d))
			v, code := d.verdict()
			if code != exitNo || v.OK {
				t.Errorf("%s: exit %d, %+v", damage.name, code, v)
			}
			for _, c := range v.Checks {
				if c.Name == damage.check && (c.OK || c.Position != first || c.Problem == "") {
					t.Errorf("%s: want %s wrong at %s: %+v", damage.name, c.Name, first, c)
				}
			}
			d.restore()
		}
		w.verify()

		d.change(5, "UPDATE events SET data = 'x' WHERE partition = {p} AND seq = {n}")
		got := execute(t, d.dir, nil, "verify", "--db", d.db)
		if first := fmt.Sprintf("%d:5", d.partition); got.code != exitNo || !strings.Contains(got.stdout, "WRONG") || !strings.Contains(got.stdout, first) {
			t.Errorf("a table without record %s: %+v", first, got)
		}
		d.change(6, "UPDATE events SET hash = substr(hash, 1, 5) WHERE partition = {p} AND seq = {n}")
		got = execute(t, d.dir, nil, "verify", "--json", "--db", d.db)
		if first := fmt.Sprintf("%d:6", d.partition); got.code != exitNo || !strings.Contains(got.stdout+got.stderr, first) {
			t.Errorf("want exit 1 and record %s named, which cannot be read: %+v", first, got)
		}
		d.restore()
		w.start(w.flags...)
		w.verify()
	})
}

// TestDamagedView: verify names the view and the row, rebuild heals it; views that are gone are built at the next start.
func TestDamagedView(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		m := used(t, w)
		db := w.sql("views")
		serving := func(name string) string {
			for _, table := range column[string](w, db, "SELECT name || '_' || generation FROM views_serving WHERE name = $1", name) {
				return table
			}
			t.Fatalf("nothing serves %s", name)
			return ""
		}
		for _, tt := range []struct{ view, change, says string }{
			{"balances", "UPDATE %s SET available = available + 100 WHERE merchant = '" + m.ID + "'", m.ID},
			{"payments", "DELETE FROM %s WHERE merchant = '" + m.ID + "' AND kind = 'payin'", "is missing"},
			{"merchants", "UPDATE %s SET id = id || 'x'", "mer_"},
		} {
			w.do("views", fmt.Sprintf(tt.change, serving(tt.view)))
			v, code := w.verdict()
			if code != exitNo || v.OK {
				t.Errorf("%s altered: exit %d, %+v", tt.view, code, v)
			}
			for _, c := range v.Checks {
				if right := c.Name != "view "+tt.view; c.OK != right || !right && !strings.Contains(c.Problem, tt.says) {
					t.Errorf("%s altered: %+v", tt.view, c)
				}
			}
			w.ledger(nil, "rebuild", tt.view)
			w.verify()
		}
		db.Close()
		w.start(w.flags...)
		w.wantBalance(m, "6960.00", "0.00")
		w.stop()

		w.dropViews()
		w.verify() // what is absent is no fault
		w.start(w.flags...)
		w.wantBalance(m, "6960.00", "0.00")
		if _, o := w.call(m, http.MethodGet, "/api/v1/transactions/service/payout?status=success", ""); o.text("data", "total") != "3" {
			t.Errorf("payouts after the views were lost: %v", o)
		}
		w.verify()
	})
}

// dropViews deletes the database of the views.
func (w *world) dropViews() {
	w.t.Helper()
	if w.onPostgres() {
		w.do("log", "DROP SCHEMA views CASCADE")
		return
	}
	files, err := filepath.Glob(filepath.Join(w.dir, "ledger-views.db*"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("no views: %v", err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			w.t.Fatal(err)
		}
	}
}
