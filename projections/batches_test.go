package projections

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Terms of the batches here.
var (
	plain   = batch.Terms{Approval: batch.NoApproval}
	checked = batch.Terms{Approval: batch.ApprovalRequired}
)

// statuses are those of all items of a batch, in order, joined.
func statuses(t *testing.T, v *Views, l *bookBatch) string {
	t.Helper()
	items, err := v.BatchItems(t.Context(), l.Merchant, l.Of.Batch, BatchItemFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, i := range items {
		all = append(all, i.Status)
	}
	return strings.Join(all, " ")
}

func TestItemsOfABatchInEveryState(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 2)
		v := running(t, b.views(at.open(), at.dialect, quick))
		b.fund(anna, "410.00") // for five of them
		l := b.submit(anna, 6, "70.00", checked)
		expect := func(status batch.Status, items string) {
			t.Helper()
			row, err := v.Batch(t.Context(), anna, l.Of.Batch)
			if err != nil || row.Status != status {
				t.Fatalf("%+v, %v, want %s", row, err, status)
			}
			if got := statuses(t, v, l); got != items {
				t.Errorf("%s: items are %q, want %q", status, got, items)
			}
			b.equalBatches(v)
		}
		const waiting = "pending pending pending pending pending pending"
		expect(batch.Receiving, "")
		b.bring(l)
		expect(batch.Awaiting, waiting)
		b.now = b.now.Add(time.Minute)
		b.decide(batch.Approve{Base: b.batchBase(anna, l.Of.Batch, "key:checker")})
		expect(batch.Processing, waiting)
		b.drawPart(l, 3)
		b.end(l, 1, wallet.OutcomePaid)
		expect(batch.Processing, "success pending pending pending pending pending")
		b.draw(l)
		b.do(wallet.CancelPayout{Base: b.base(anna, l.items[1].Payment), Reason: "cancelled"})
		b.end(l, 3, wallet.OutcomePaid, wallet.OutcomeReturned)
		b.end(l, 4, wallet.OutcomeFailed)
		b.now = b.now.Add(time.Minute)
		const ended = "success failed refunded refunded pending rejected"
		expect(batch.Processing, ended)
		b.decide(batch.Complete{Base: b.batchBase(anna, l.Of.Batch, "")})
		expect(batch.Completed, ended)

		items, err := v.BatchItems(t.Context(), anna, l.Of.Batch, BatchItemFilter{Status: "rejected", After: 2})
		if err != nil || len(items) != 1 || items[0].Index != 6 || items[0].Code != string(domain.InsufficientBalance) || items[0].Reason == "" {
			t.Errorf("refused: %+v, %v", items, err)
		}
		items, err = v.BatchItems(t.Context(), anna, l.Of.Batch, BatchItemFilter{After: 0, Limit: 1})
		if err != nil || len(items) != 1 || items[0].UTR != "UTR-1" || items[0].SealID != "event of "+items[0].Payment {
			t.Errorf("the first: %+v, %v", items, err)
		}
		b.equalToFold(v)
	})
}

func TestBatchesThatAreStopped(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		v := running(t, b.views(at.open(), at.dialect, Options{ReachWithin: time.Minute}))
		b.fund(anna, "100000.00")
		rejected := b.whole(anna, 2, "70.00", checked)
		b.decide(batch.Reject{Base: b.batchBase(anna, rejected.Of.Batch, "key:checker"), Reason: "wrong month"})
		if got := statuses(t, v, rejected); got != "rejected rejected" {
			t.Errorf("of a rejected batch: %s", got)
		}

		const second = 5 // items of the second chunk
		amid := b.whole(anna, batch.ChunkSize+second, "70.00", plain)
		b.draw(amid)
		b.drawPart(amid, 2)
		b.now = b.now.Add(time.Minute)
		if code := b.cancel(amid, "enough"); code != "" {
			t.Fatal(code)
		}
		counts, err := v.BatchTally(t.Context(), anna, amid.Of.Batch)
		if err != nil || counts["pending"].Count != batch.ChunkSize+2 || counts["cancelled"].Count != second-2 || !counts["cancelled"].Amount.Equal(inr("210.00")) {
			t.Errorf("cancelled while it was drawn: %+v, %v", counts, err)
		}
		b.now = b.now.Add(time.Minute)
		b.draw(amid) // what was refused is noted, also now
		items, err := v.BatchItems(t.Context(), anna, amid.Of.Batch, BatchItemFilter{After: batch.ChunkSize + 2})
		if err != nil || len(items) != second-2 || items[0].Status != "rejected" {
			t.Errorf("noted after it was cancelled: %+v, %v", items, err)
		}

		early := b.submit(anna, batch.ChunkSize+1, "70.00", plain)
		b.bring(early)
		b.cancel(early, "never mind")
		if counts, err := v.BatchTally(t.Context(), anna, early.Of.Batch); err != nil || counts["cancelled"].Count != batch.ChunkSize {
			t.Errorf("cancelled before it was whole: %+v, %v", counts, err)
		}
		if rows, err := v.BatchesUnfinished(t.Context(), "", 0); err != nil || len(rows) != 0 {
			t.Errorf("unfinished: %+v, %v", rows, err)
		}
		b.equalToFold(v)
	})
}

// A merchant sees its own batches only.
func TestBatchesOfOthers(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		v := b.views(at.open(), at.dialect, quick)
		const other = "mer_0000000000000bob"
		l := b.whole(anna, 1, "70.00", plain)
		b.whole(other, 1, "70.00", plain)
		id := l.Of.Batch
		for name, read := range map[string]func() (any, error){
			"batch": func() (any, error) { return v.Batch(t.Context(), other, id) },
			"ref":   func() (any, error) { return v.BatchByRef(t.Context(), other, l.Ref) },
			"list":  func() (any, error) { return v.Batches(t.Context(), other, id, 5) },
			"tally": func() (any, error) { return v.BatchTally(t.Context(), other, id) },
			"items": func() (any, error) { return v.BatchItems(t.Context(), other, id, BatchItemFilter{}) },
			"none":  func() (any, error) { return v.Batch(t.Context(), anna, "") },
		} {
			if found, err := read(); domain.CodeOf(err) != domain.NotFound {
				t.Errorf("%s: %+v, %v", name, found, err)
			}
		}
		if _, err := v.BatchItems(t.Context(), anna, id, BatchItemFilter{Status: "lost"}); domain.CodeOf(err) != domain.Invalid {
			t.Errorf("items that are lost: %v", err)
		}
		if rows, err := v.Batches(t.Context(), "mer_0000000000000eve", "", 5); err != nil || len(rows) != 0 {
			t.Errorf("of a merchant without batches: %+v, %v", rows, err)
		}
	})
}

// Batches are rebuilt, with the payments that they are read with and without them, while they go on.
func TestBatchesGoOnWhileTheyAreRebuilt(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 2)
		for _, m := range fewMerchants {
			b.fund(m, "50000.00")
		}
		v := running(t, b.views(at.open(), at.dialect, quick))
		mustReach(t, v)
		var rebuilds sync.WaitGroup
		defer rebuilds.Wait() // also when the test fails
		var done atomic.Bool
		rebuilds.Go(func() {
			defer done.Store(true)
			large := quick
			large.Batch = 200 // it must be faster than what is appended meanwhile
			beside := b.views(at.open(), at.dialect, large)
			for _, names := range [][]string{{"batches"}, {"payments"}, {"batches", "payments"}} {
				if err := beside.Rebuild(context.Background(), names, nil); err != nil {
					t.Errorf("rebuild: %v", err)
				}
			}
		})
		random := rand.New(rand.NewPCG(11, 11))
		for begun := false; !begun || !done.Load(); begun = true {
			for range 6 {
				b.wanderBatch(random.IntN, fewMerchants[random.IntN(len(fewMerchants))])
			}
			l := b.batches[b.lots[len(b.lots)-1]]
			mustReach(t, v)
			b.equalItems(v, l)
		}
		rebuilds.Wait()
		b.equalToFold(v)
		generations(t, v)
	})
}

func TestCheckFindsATamperedBatch(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		b.fund(anna, "100.00")
		l := b.whole(anna, 3, "70.00", plain) // the balance covers one
		b.draw(l)
		db := at.open()
		v := b.views(db, at.dialect, quick)
		mustReach(t, v)
		for _, c := range []struct {
			table  *schema
			change string
			names  string
		}{
			{&itemTable.schema, "UPDATE %s SET amount = 7100 WHERE item = 2", "item=2: amount is 7100, by the log it is 7000"},
			{&itemTable.schema, "UPDATE %s SET payment = 'txn_x' WHERE item = 3", `item=3: payment is "txn_x"`},
			{&refusalTable.schema, "DELETE FROM %s WHERE item = 2", "item=2 is missing"},
			{&batchTable.schema, "UPDATE %s SET status = 'completed'", l.Of.Batch},
		} {
			now, _ := v.standing()
			change := fmt.Sprintf(c.change, c.table.in(now.tables["batches"].generation))
			if _, err := db.Exec(change); err != nil {
				t.Fatal(err)
			}
			findings, err := v.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range findings {
				if f.Fault != (f.View == "batches") || f.Fault && !strings.Contains(f.Message, c.names) {
					t.Errorf("after %s: %+v", change, f)
				}
			}
			if err := v.Rebuild(t.Context(), []string{"batches"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		b.equalToFold(v)
	})
}

// A build that lacks an item, a refusal or a paisa of them does not take the place of what serves.
func TestABuildOfBatchesIsCheckedBeforeItServes(t *testing.T) {
	b := newBook(t, 1)
	b.fund(anna, "100.00")
	b.draw(b.whole(anna, 3, "70.00", plain))
	at := sqlitePlace(t)
	db := at.open()
	v := b.views(db, at.dialect, quick)
	mustReach(t, v)
	before, _ := v.standing()
	for _, spoil := range []string{
		"DELETE FROM batches_%d", "DELETE FROM batch_items_%d WHERE item = 3", "UPDATE batch_items_%d SET amount = amount + 1 WHERE item = 3",
		"DELETE FROM batch_refusals_%d WHERE item = 2",
	} {
		err := v.Rebuild(t.Context(), []string{"batches"}, func(done, total int64) {
			if done == total {
				if _, err := db.Exec(fmt.Sprintf(spoil, building(t, db))); err != nil {
					t.Error(err)
				}
			}
		})
		if err == nil || !strings.Contains(err.Error(), "the new batches are wrong") {
			t.Errorf("after %s: %v", spoil, err)
		}
	}
	after, err := v.refresh(t.Context())
	if err != nil || !after.equal(&before) {
		t.Errorf("%+v, %v", after, err)
	}
	b.equalToFold(v)
}

// What batches cost must not grow with the payments there are: all is found by keys, whatever the tables' sizes are.
func TestBatchesUseIndexes(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		b.fund(anna, "100000.00")
		l := b.whole(anna, batch.ChunkSize, "70.00", plain)
		b.draw(l)
		v := b.views(at.open(), at.dialect, quick)
		mustReach(t, v)
		err := v.joined(t.Context(), func(q querier, sources string) error {
			for text, args := range map[string][]any{
				"SELECT " + itemColumns + " " + sources + " AND i.item > $8 ORDER BY i.item LIMIT 10":                   {0, 2, anna, "pending", 0, "", 0, 5},
				"SELECT i.item " + sources + " AND " + itemStatus + " IN ('pending', 'queued') ORDER BY i.item LIMIT 1": {0, 2, anna, "pending", 0},
				"SELECT " + itemStatus + ", count(*) " + sources + " GROUP BY 1":                                        {0, 2, anna, "pending", 0},
			} {
				plan, err := planOf(t.Context(), q, at.dialect, text, args...)
				if err != nil {
					return err
				}
				wants := []string{"batch_items_1_key", "batch_refusals_1_key", "payments_1_pkey"}
				if at.dialect == SQLite {
					wants = []string{
						"SEARCH i USING INDEX batch_items_1_key (partition=? AND batch=?", "INDEX batch_refusals_1_key (partition=? AND batch=? AND item=?)",
						"SEARCH p USING INDEX sqlite_autoindex_payments_1_1 (id=? AND merchant=?)",
					}
				}
				for _, want := range wants {
					if !strings.Contains(plan, want) {
						t.Errorf("%s\nis done by\n%s\nwithout %s", text, plan, want)
					}
				}
				if strings.Contains(plan, "SCAN ") || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Join Filter") || strings.Contains(text, "LIMIT") && strings.Contains(plan, "Sort") {
					t.Errorf("%s\nreads more than it needs:\n%s", text, plan)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// sized is a log whose records have so many bytes each.
type sized struct {
	Log
	records int64
	bytes   int
	asked   []int
}

func (s *sized) Read(_ context.Context, _ int, after int64, limit int) ([]eventstore.Record, error) {
	s.asked = append(s.asked, limit)
	var records []eventstore.Record
	for seq := after + 1; seq <= min(s.records, after+int64(limit)); seq++ {
		records = append(records, eventstore.Record{Seq: seq, Data: make([]byte, s.bytes)})
	}
	return records, nil
}

// However many items of batches lie behind each other in the log, few are in memory at once; small records are read by the thousand.
func TestStretchesAreBounded(t *testing.T) {
	for _, c := range []struct {
		log         sized
		after       int64
		limit, want int
		asked       []int
	}{
		{sized{records: 5000, bytes: 160 << 10}, 100, 8000, 64, []int{64}},
		{sized{records: 5000, bytes: 100 << 10}, 100, 8000, 64 + 128, []int{64, 128}},
		{sized{records: 5000, bytes: 700}, 100, 2000, 2000, []int{64, 128, 256, 512, 512, 512, 16}},
		{sized{records: 5000, bytes: 700}, 4700, 2000, 300, []int{64, 128, 256}},
		{sized{records: 5000, bytes: 700}, 4950, 9, 9, []int{9}},
		{sized{records: 5000, bytes: 700}, 5000, 9, 0, []int{9}},
	} {
		v := &Views{log: &c.log}
		records, err := v.records(t.Context(), 0, c.after, c.limit)
		if err != nil || len(records) != c.want || !slices.Equal(c.log.asked, c.asked) {
			t.Errorf("up to %d of %d records of %d bytes: %d by reading %v, want %d by %v: %v",
				c.limit, c.log.records-c.after, c.log.bytes, len(records), c.log.asked, c.want, c.asked, err)
		}
		for i, r := range records {
			if r.Seq != c.after+int64(i)+1 {
				t.Fatalf("record %d follows %d others", r.Seq, i)
			}
		}
	}
}

// planOf is how a database answers a query, line by line.
func planOf(ctx context.Context, q querier, dialect Dialect, text string, args ...any) (string, error) {
	explained := "EXPLAIN "
	if dialect == SQLite {
		explained = "EXPLAIN QUERY PLAN "
	}
	rows, err := q.QueryContext(ctx, explained+text, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	names, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var lines []string
	for rows.Next() {
		fields := make([]any, len(names))
		var line string
		for i := range fields {
			fields[i] = new(any)
		}
		fields[len(fields)-1] = &line // the last one is the text
		if err := rows.Scan(fields...); err != nil {
			return "", err
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), rows.Err()
}

// The random walk comes by every state of a batch and of an item: else it would prove nothing about them.
func TestTheWalkComesByEveryState(t *testing.T) {
	b := newBook(t, 3)
	random := rand.New(rand.NewPCG(7, 7)) // as in TestViewsEqualTheFoldOfALongHistory
	items, lots := map[string]bool{}, map[batch.Status]bool{}
	for range 1000 {
		b.wander(random.IntN, fewMerchants)
		for _, id := range b.lots[max(0, len(b.lots)-4):] {
			lots[b.batches[id].Status] = true
		}
	}
	for _, id := range b.lots {
		for n := range b.batches[id].items {
			items[b.line(b.batches[id], n).Status] = true
		}
	}
	if len(items) != len(itemStatuses()) || len(lots) != 6 {
		t.Errorf("only %v and %v", items, lots)
	}
}
