package projections

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
)

// A walk by cursor sees each payment that was there when it began once, in order, whatever is added meanwhile.
func TestCursorIsStableUnderInserts(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		v := b.views(at.open(), at.dialect, quick)
		for range 23 {
			b.payin(anna, "1000.00")
			b.now = b.now.Add(time.Second)
		}
		want := b.picked(wallet.KindPayin, &Filter{Merchant: anna})
		var got []string
		f := Filter{Merchant: anna, Page: 1, Limit: 5}
		for {
			page, err := v.ListPayins(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page.Items {
				got = append(got, p.Of.Payment)
			}
			if f.Cursor = page.NextCursor; f.Cursor == "" {
				break
			}
			b.payin(anna, "500.00")
			b.now = b.now.Add(time.Second)
		}
		if !slices.Equal(got, want) {
			t.Errorf("walked %v\nwant %v", got, want)
		}
	})
}

// Pages far down are found by the counts of days; they are the same as counted from the top.
func TestPagesFarDown(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		v := b.views(at.open(), at.dialect, Options{})
		for i := range 1300 {
			id := b.payin(anna, "1000.00")
			if i%3 == 0 {
				b.pay(id, "1000.00")
			}
			b.now = b.now.Add(41 * time.Minute)
		}
		for _, f := range []Filter{
			{Merchant: anna},
			{Merchant: anna, Status: wallet.Pending},
			{Merchant: anna, To: b.now.Add(-50 * time.Hour)},
			{Merchant: anna, From: b.now.Add(-700 * time.Hour), To: b.now.Add(-3 * time.Minute)},
		} {
			want := b.picked(wallet.KindPayin, &f)
			f.Limit = 15
			for f.Page = 33; f.Page < 90; f.Page += 4 {
				page, err := v.ListPayins(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				from := min((f.Page-1)*f.Limit, len(want))
				var got []string
				for _, p := range page.Items {
					got = append(got, p.Of.Payment)
				}
				if !slices.Equal(got, want[from:min(from+f.Limit, len(want))]) || page.Total != int64(len(want)) {
					t.Fatalf("page %d of %+v is %v, want %v", f.Page, f, got, want[from:])
				}
			}
		}
	})
}

func TestListRefusesWhatCannotBe(t *testing.T) {
	b := newBook(t, 1)
	at := sqlitePlace(t)
	v := b.views(at.open(), at.dialect, quick)
	for _, f := range []Filter{
		{Merchant: anna, Page: 0, Limit: 5},
		{Merchant: anna, Page: -3, Limit: 5},
		{Merchant: anna, Page: 1, Limit: MaxLimit + 1},
		{Merchant: anna, Page: 1, Limit: -1},
		{Merchant: anna, Limit: 5, Cursor: "!"},
		{Merchant: anna, Limit: 5, Cursor: "MS4"},
		{Merchant: anna, Limit: 5, Cursor: "MS4yIA"},
	} {
		if _, err := v.ListPayins(t.Context(), f); domain.CodeOf(err) != domain.Invalid {
			t.Errorf("%+v: %v", f, err)
		}
	}
	page, err := v.ListPayouts(t.Context(), Filter{Merchant: anna, Page: math.MaxInt, Limit: 100})
	if err != nil || len(page.Items) != 0 || page.Total != 0 {
		t.Errorf("a page past the end: %+v, %v", page, err)
	}
}

// A merchant sees its own payments only.
func TestPaymentsOfOthers(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		v := b.views(at.open(), at.dialect, quick)
		b.fund(anna, "5000.00")
		in, out := b.payments[b.payin(anna, "1000.00")], b.payments[b.payout(anna, "1000.00")]
		const other = "mer_0000000000000bob"
		for name, read := range map[string]func() (wallet.Payment, error){
			"payin":    func() (wallet.Payment, error) { return v.Payin(t.Context(), other, in.TxnRef) },
			"order":    func() (wallet.Payment, error) { return v.PayinByOrder(t.Context(), other, in.OrderID) },
			"payout":   func() (wallet.Payment, error) { return v.Payout(t.Context(), other, out.Of.Payment) },
			"request":  func() (wallet.Payment, error) { return v.PayoutByRequest(t.Context(), other, out.RequestID) },
			"a payin":  func() (wallet.Payment, error) { return v.Payout(t.Context(), anna, in.Of.Payment) },
			"none":     func() (wallet.Payment, error) { return v.Payin(t.Context(), anna, "") },
			"no order": func() (wallet.Payment, error) { return v.PayinByOrder(t.Context(), anna, "") },
		} {
			if p, err := read(); domain.CodeOf(err) != domain.NotFound {
				t.Errorf("%s: %+v, %v", name, p, err)
			}
		}
		s, err := v.Subject(t.Context(), in.TxnRef)
		if err != nil || s.ID != in.Of.Payment || s.Merchant != anna {
			t.Errorf("subject by txn_ref: %+v, %v", s, err)
		}
		if s, err := v.Subject(t.Context(), ""); domain.CodeOf(err) != domain.NotFound {
			t.Errorf("subject without a name: %+v, %v", s, err)
		}
		if balance, err := v.Balance(t.Context(), other, "INR"); err != nil || balance.Available.Fixed() != "0.00" || balance.Position.Seq != 0 {
			t.Errorf("a wallet without history: %+v, %v", balance, err)
		}
	})
}

func TestDayOf(t *testing.T) {
	for us, want := range map[int64]int64{0: 0, dayMicros - 1: 0, dayMicros: 1, -1: -1, -dayMicros: -1, -dayMicros - 1: -2} {
		if got := dayOf(us); got != want {
			t.Errorf("dayOf(%d) = %d, want %d", us, got, want)
		}
	}
}

// What a list costs must not grow with the payments of others, or of other days: SQLite finds it by an index.
func TestListsUseIndexes(t *testing.T) {
	b := newBook(t, 1)
	b.fund(anna, "1.00")
	at := sqlitePlace(t)
	v := b.views(at.open(), at.dialect, quick)
	mustReach(t, v)
	now, _ := v.standing()
	generation, _ := now.usable(payments{})
	all := Filter{Merchant: anna, Limit: 5, To: b.now}
	some := Filter{Merchant: anna, Limit: 5, Status: wallet.Failed}
	behind := func(w *where) { w.and("(created_at, seq) < (%s, %s)", int64(5), int64(5)) }
	anyPage, anyArgs := all.page(wallet.KindPayin, all.span(), 0, func(*where) {})
	somePage, someArgs := some.page(wallet.KindPayin, some.span(), 0, behind)
	const byKey = "payments_1 USING INDEX sqlite_autoindex_payments_1_1 (id=? AND merchant=?)"
	for _, c := range []struct {
		clause string
		args   []any
		want   []string
	}{
		{byPending, []any{"payin", "", 5}, []string{byKey, "payment_status_1 USING COVERING INDEX payment_status_1_pending (kind=? AND id>?)"}},
		{anyPage, anyArgs, []string{byKey, "payment_status_1 USING PRIMARY KEY (merchant=? AND kind=? AND status=? AND created_at<?)"}},
		{somePage, someArgs, []string{byKey, "payment_status_1 USING PRIMARY KEY (merchant=? AND kind=? AND status=? AND (created_at,seq)<(?,?))"}},
		{byReference + " LIMIT 1", []any{"a", "b", "c"}, []string{"payments_1 USING INDEX payments_1_reference (merchant=? AND kind=? AND reference=?)"}},
		{"WHERE txn_ref = $1 AND txn_ref <> '' LIMIT 1", []any{"a"}, []string{"payments_1 USING INDEX payments_1_txn_ref (txn_ref=?)"}},
	} {
		plan := v.plan(t, fmt.Sprintf("SELECT * FROM %s %s", paymentTable.in(generation), of(c.clause, generation)), c.args...)
		for _, want := range c.want {
			if !strings.Contains(plan, want) {
				t.Errorf("%s\nis done by\n%s\nwithout %s", c.clause, plan, want)
			}
		}
		if strings.Contains(plan, "SCAN payment") {
			t.Errorf("%s\nreads a whole table:\n%s", c.clause, plan)
		}
	}
}

// plan is how SQLite answers a query, line by line.
func (v *Views) plan(t *testing.T, query string, args ...any) string {
	t.Helper()
	rows, err := v.db.Query("EXPLAIN QUERY PLAN "+query, args...) //nolint:sqlclosecheck // closing does
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, rows)
	var lines []string
	for rows.Next() {
		var id, parent, unused int
		var line string
		if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
