package ledger_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"
	_ "modernc.org/sqlite"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/sqlite"
)

// verify returns the checks by name.
func verify(t *testing.T, log ledger.Auditable) map[string]ledger.Check {
	t.Helper()
	checks, err := ledger.Verify(t.Context(), log, func(int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]ledger.Check{}
	for _, c := range checks {
		if c.OK != (c.Problem == "") || c.OK != (c.Position == "") {
			t.Errorf("%+v", c)
		}
		out[c.Name] = c
	}
	return out
}

// verified fails the test when the log has a fault.
func verified(t *testing.T, log ledger.Auditable) {
	t.Helper()
	for _, c := range verify(t, log) {
		if !c.OK {
			t.Errorf("%+v", c)
		}
	}
}

// altered is a log of which something is read as it was never written.
type altered struct {
	eventstore.Store
	record   func(*eventstore.Record)
	drop     func(*eventstore.Record) bool
	head     func(*eventstore.Head)
	evidence func(eventstore.Position, []eventstore.Evidence) []eventstore.Evidence
	lookup   func(map[string]int64)
}

func (a *altered) Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error) {
	records, err := a.Store.Read(ctx, partition, after, limit)
	if a.drop != nil {
		records = slices.DeleteFunc(records, func(r eventstore.Record) bool { return a.drop(&r) })
	}
	for i := range records {
		if a.record != nil {
			a.record(&records[i])
		}
	}
	return records, err
}

func (a *altered) Head(ctx context.Context, partition int) (eventstore.Head, error) {
	head, err := a.Store.Head(ctx, partition)
	if a.head != nil {
		a.head(&head)
	}
	return head, err
}

func (a *altered) Evidence(ctx context.Context, p eventstore.Position) ([]eventstore.Evidence, error) {
	messages, err := a.Store.Evidence(ctx, p)
	if a.evidence != nil {
		messages = a.evidence(p, messages)
	}
	return messages, err
}

func (a *altered) Lookup(ctx context.Context, partition int, upTo int64, keys []string) (map[string]int64, error) {
	found, err := a.Store.Lookup(ctx, partition, upTo, keys)
	if a.lookup != nil {
		a.lookup(found)
	}
	return found, err
}

func TestVerifyASoundLog(t *testing.T) {
	t.Parallel()
	log := memory.New(4)
	b := open(t, log)
	b.history(merchantA)
	b.history(merchantB)
	var done, total int64
	checks, err := ledger.Verify(t.Context(), log, func(d, n int64) { done, total = d, n })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		absent := slices.Contains([]string{"index", "snapshots", "batches", "periods", "sources", "routes"}, c.Name)
		if !c.OK || c.Checked == 0 && !absent {
			t.Errorf("%+v", c)
		}
	}
	if len(checks) != 15 || done != total || done != checks[0].Checked {
		t.Errorf("%d checks, %d of %d records", len(checks), done, total)
	}
	verified(t, memory.New(2)) // an empty log is sound
}

// TestVerifyFindsAlterations: one alteration each, the check that finds it, and the record that it names.
func TestVerifyFindsAlterations(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	open(t, log).history(merchantA)
	head, err := log.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	at := func(seq int64, change func(*eventstore.Record)) func(*eventstore.Record) {
		return func(r *eventstore.Record) {
			if r.Seq == seq {
				change(r)
			}
		}
	}
	for name, c := range map[string]struct {
		altered
		check string
		seq   int64
	}{
		"data":              {altered{record: at(5, func(r *eventstore.Record) { r.Data = bytes.Replace(r.Data, []byte("999"), []byte("899"), 1) })}, "chain", 5},
		"type":              {altered{record: at(5, func(r *eventstore.Record) { r.Type += "2" })}, "events", 5},
		"actor":             {altered{record: at(5, func(r *eventstore.Record) { r.Meta = []byte("{}") })}, "chain", 5},
		"hash":              {altered{record: at(5, func(r *eventstore.Record) { r.Hash[0]++ })}, "chain", 5},
		"digest":            {altered{record: at(5, func(r *eventstore.Record) { r.EvidenceDigests[0][0]++ })}, "evidence", 5},
		"version":           {altered{record: at(5, func(r *eventstore.Record) { r.Version++ })}, "streams", 5},
		"subject":           {altered{record: at(5, func(r *eventstore.Record) { r.Subject = "txn_other" })}, "events", 5},
		"stream":            {altered{record: at(5, func(r *eventstore.Record) { r.Stream = wallet.Stream(merchantB, "INR") })}, "events", 5},
		"missing":           {altered{drop: func(r *eventstore.Record) bool { return r.Seq == 5 }}, "chain", 5},
		"end missing":       {altered{drop: func(r *eventstore.Record) bool { return r.Seq > 7 }}, "heads", 8},
		"all missing":       {altered{drop: func(*eventstore.Record) bool { return true }}, "heads", 1},
		"head's hash":       {altered{head: func(h *eventstore.Head) { h.Hash[0]++ }}, "heads", head.Seq},
		"head's time":       {altered{head: func(h *eventstore.Head) { h.RecordedAt = h.RecordedAt.AddDate(1, 0, 0) }}, "heads", head.Seq},
		"head moved back":   {altered{head: func(h *eventstore.Head) { h.Seq = 7 }}, "heads", 7},
		"evidence missing":  {altered{evidence: func(p eventstore.Position, m []eventstore.Evidence) []eventstore.Evidence { return nil }}, "evidence", 3},
		"evidence too much": {altered{evidence: func(p eventstore.Position, m []eventstore.Evidence) []eventstore.Evidence { return append(m, m...) }}, "evidence", 3},
		"evidence altered": {altered{evidence: func(p eventstore.Position, m []eventstore.Evidence) []eventstore.Evidence {
			if p.Seq == 6 {
				m[0].Body[0]++
			}
			return m
		}}, "evidence", 6},
		"key missing": {altered{lookup: func(m map[string]int64) { delete(m, wallet.PayoutKey(merchantA, "P-1")) }}, "keys", 0},
		"key moved":   {altered{lookup: func(m map[string]int64) { m[wallet.PayinKey(merchantA, "O-1")]++ }}, "keys", 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.altered.Store = log
			got := verify(t, &c.altered)[c.check]
			if c.seq == 0 {
				records, err := log.ReadSubjects(t.Context(), 0, []string{"txn_out1aaaa"})
				if err != nil {
					t.Fatal(err)
				}
				c.seq = records[0].Seq
			}
			if got.OK || got.Position != fmt.Sprintf("0:%d", c.seq) {
				t.Errorf("%+v, want it at 0:%d", got, c.seq)
			}
		})
	}
}

// forged is a log whose every hash fits, and whose books do not: what a fault of this program, or somebody with every
// right and patience, could leave behind.
type forged struct {
	t       *testing.T
	log     *memory.Store
	version map[string]int64
}

func (f *forged) append(stream, subject string, event wallet.Event, keys ...string) {
	f.t.Helper()
	data, err := wallet.Encode(event)
	if err != nil {
		f.t.Fatal(err)
	}
	head, err := f.log.Head(f.t.Context(), 0)
	if err != nil {
		f.t.Fatal(err)
	}
	f.version[stream]++
	records := []eventstore.Record{{
		Stream: stream, Version: f.version[stream], Subject: subject, Type: event.Type(), Schema: event.Schema(), EventID: uuid.New(),
		EffectiveAt: made, RecordedAt: made, Data: data, Meta: eventstore.Meta{Actor: "forger"}.Bytes(), Keys: keys,
	}}
	eventstore.Chain(head, records)
	if err := f.log.Append(f.t.Context(), head, records); err != nil {
		f.t.Fatal(err)
	}
}

// TestVerifyFindsWrongBooks: the chain holds, and the books are wrong.
func TestVerifyFindsWrongBooks(t *testing.T) {
	t.Parallel()
	stream := wallet.Stream(merchantA, "INR")
	of := func(payment string) wallet.Of {
		return wallet.Of{Merchant: merchantA, Currency: "INR", Payment: payment}
	}
	priced := wallet.Priced{Amount: inr("100"), Commission: inr("1"), Tax: inr("0")}
	adjusted := &wallet.WalletAdjusted{Of: of("txn_1"), Amount: inr("1000"), Reason: "r", Actor: "a"}
	held := &wallet.WalletHeld{Of: of("txn_2"), Amount: inr("101"), Reason: "r", Actor: "a"}
	initiated := &wallet.PayoutInitiated{Of: of("txn_3"), Priced: priced}
	refunded := &wallet.PayoutRefunded{Of: of("txn_3"), Priced: priced, Gateway: "sandbox", Reason: "other"}
	suspended := &wallet.PayinSuspended{Of: of("txn_4"), Suspense: "sus_1", Amount: inr("100"), Asked: inr("90"), Gateway: "sandbox", PaymentID: "pay_1"}
	credited := &wallet.SuspenseCredited{Of: of("txn_4"), Priced: priced, Suspense: "sus_1", Reason: "r", Actor: "a"}
	for name, c := range map[string]struct {
		check  string
		events []wallet.Event // the last one is wrong
		under  string         // what the last one stands under; "" for what it is about
		stream string
	}{
		"more than there is":      {"balances", []wallet.Event{&wallet.PayoutInitiated{Of: of("txn_1"), Priced: priced}}, "", stream},
		"a hold given back twice": {"postings", []wallet.Event{adjusted, held, initiated, refunded, refunded}, "", stream},
		"suspense given twice":    {"postings", []wallet.Event{suspended, credited, credited}, "", stream},
		"under another payment":   {"events", []wallet.Event{adjusted, held}, "txn_9", stream},
		"in another's wallet":     {"events", []wallet.Event{adjusted}, "", wallet.Stream(merchantB, "INR")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &forged{t, memory.New(1), map[string]int64{}}
			for i, e := range c.events {
				subject := e.Header().Payment
				if i == len(c.events)-1 && c.under != "" {
					subject = c.under
				}
				f.append(c.stream, subject, e)
			}
			got := verify(t, f.log)
			if want := fmt.Sprintf("0:%d", len(c.events)); got[c.check].Position != want || !got["chain"].OK {
				t.Errorf("%+v, want %s wrong at %s", got, c.check, want)
			}
		})
	}
}

// A merchant's records in another partition than its own are never looked for there.
func TestVerifyFindsAWrongPartition(t *testing.T) {
	t.Parallel()
	log := memory.New(2)
	f := &forged{t, log, map[string]int64{}}
	for _, id := range []string{merchantA, merchantB, "mer_c", "mer_d"} {
		if eventstore.PartitionOf(id, 2) == 0 {
			continue
		}
		f.append(wallet.Stream(id, "INR"), "txn_1", &wallet.WalletAdjusted{
			Of: wallet.Of{Merchant: id, Currency: "INR", Payment: "txn_1"}, Amount: inr("1"), Reason: "r", Actor: "a",
		})
		if c := verify(t, log)["streams"]; c.Position != "0:1" {
			t.Errorf("%+v", c)
		}
		return
	}
	t.Fatal("all of them belong to partition 0")
}

// TestVerifyBatches: a batch is in its merchant's partition, whatever its id is, and its records are about it.
func TestVerifyBatches(t *testing.T) {
	t.Parallel()
	event := &batch.Submitted{
		Of: batch.Of{Merchant: merchantA, Currency: "INR", Batch: "bat_1"}, Ref: "R", Digest: "d", Terms: batch.Terms{Approval: batch.NoApproval},
		Count: 1, Amount: inr("1"), Commission: inr("0"),
	}
	data, err := batch.Encode(event)
	if err != nil {
		t.Fatal(err)
	}
	home := eventstore.PartitionOf(merchantA, 3)
	for name, c := range map[string]struct {
		partition       int
		stream, subject string
		check           string // that finds it wrong; "" for none
	}{
		"sound":               {home, "batch:" + merchantA + ":bat_1", "bat_1", ""},
		"another's partition": {(home + 1) % 3, "batch:" + merchantA + ":bat_1", "bat_1", "streams"},
		"another batch":       {home, "batch:" + merchantA + ":bat_2", "bat_2", "events"},
		"another subject":     {home, "batch:" + merchantA + ":bat_1", "bat_2", "events"},
	} {
		log := memory.New(3)
		head, err := log.Head(t.Context(), c.partition)
		if err != nil {
			t.Fatal(err)
		}
		records := []eventstore.Record{{
			Stream: c.stream, Version: 1, Subject: c.subject, Type: event.Type(), Schema: event.Schema(), EventID: uuid.New(),
			EffectiveAt: made, RecordedAt: made, Data: data, Meta: eventstore.Meta{Actor: "forger"}.Bytes(),
		}}
		eventstore.Chain(head, records)
		if err := log.Append(t.Context(), head, records); err != nil {
			t.Fatal(err)
		}
		for _, got := range verify(t, log) {
			if got.OK == (got.Name == c.check) {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
}

// TestVerifyFindsStrays: rows that no record accounts for, in a store that can hold them.
func TestVerifyFindsStrays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	if err := sqlite.Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	log, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	open(t, log).history(merchantA)
	verified(t, log)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, trigger := range []string{"evidence_insert", "evidence_delete"} {
		exec("DROP TRIGGER " + trigger)
	}
	for name, c := range map[string]struct {
		check, insert, undo, position string
		arg                           string
	}{
		"a message too many":            {"evidence", "INSERT INTO evidence VALUES (0, 3, 1, $1, x'00')", "DELETE FROM evidence WHERE media_type = $1", "0:3", "text/x"},
		"a message where there is none": {"evidence", "INSERT INTO evidence VALUES (0, 1, 0, $1, x'00')", "DELETE FROM evidence WHERE media_type = $1", "0:1", "text/x"},
		"a message of no record":        {"evidence", "INSERT INTO evidence VALUES (0, 1000, 0, $1, x'00')", "DELETE FROM evidence WHERE media_type = $1", "0:1000", "text/x"},
	} {
		exec(c.insert, c.arg)
		for _, got := range verify(t, log) {
			if got.Name == c.check && got.Position != c.position || got.OK == (got.Name == c.check) {
				t.Errorf("%s: %+v", name, got)
			}
		}
		exec(c.undo, c.arg)
	}
	verified(t, log)
	for name, damage := range map[string]string{
		"an entry lost":     "UPDATE index_pages SET body = substr(body, 1, length(body) - 1) WHERE page = (SELECT run << 20 FROM index_runs)", // its first; pages that a lost index has left are nobody's
		"the index too far": "UPDATE index_checkpoints SET seq = seq + 1",
		"the index lost":    "DELETE FROM index_runs",
	} {
		if err := log.CatchUp(t.Context()); err != nil { // memory alone held what is new
			t.Fatal(err)
		}
		exec(damage)
		for _, got := range verify(t, log) {
			if got.OK == (got.Name == "index") {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if err := log.RenewIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		verified(t, log)
	}
}

// TestVerifySnapshots: a kept state that is not what the records give would be decided upon. One that nobody believes is no fault.
func TestVerifySnapshots(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	b := open(t, log)
	b.history(merchantA)
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	stream := wallet.Stream(merchantA, money.INR)
	records, err := log.ReadStream(t.Context(), 0, stream, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	w := wallet.NewWallet(merchantA, money.INR)
	for i := range records[:len(records)-1] {
		fact, err := ledger.DecodeFact(&records[i])
		if err != nil {
			t.Fatal(err)
		}
		w.Evolve(fact.(wallet.Event))
	}
	at := records[len(records)-2]
	state, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sound := eventstore.Snapshot{Stream: stream, Seq: at.Seq, Hash: at.Hash, Version: at.Version, Fold: wallet.FoldVersion, State: state}
	for name, c := range map[string]struct {
		spoil func(*eventstore.Snapshot)
		ok    bool
	}{
		"sound": {func(*eventstore.Snapshot) {}, true},
		"another balance": {func(s *eventstore.Snapshot) {
			s.State = bytes.Replace(s.State, []byte(w.Available.Fixed()), []byte("1.00"), 1)
		}, false},
		"another version": {func(s *eventstore.Snapshot) { s.Version-- }, false},
		"another fold":    {func(s *eventstore.Snapshot) { s.Fold++; s.State = []byte("{}") }, true},
		"another history": {func(s *eventstore.Snapshot) { s.Hash[0]++; s.State = []byte("{}") }, true},
	} {
		spoilt := sound
		c.spoil(&spoilt)
		if err := log.KeepSnapshot(t.Context(), spoilt); err != nil {
			t.Fatal(err)
		}
		for _, got := range verify(t, log) {
			if got.OK != (c.ok || got.Name != "snapshots") {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
}
