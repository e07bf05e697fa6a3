package projections

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/wallet"
)

var fewMerchants = []string{"mer_0000000000000001", "mer_0000000000000002", "mer_0000000000000003"}

// Any history, read in batches of any size, gives the same views as folding it record by record.
func TestViewsEqualTheFold(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n, ".db"))
		db, err := OpenSQLite(context.Background(), path, slog.New(slog.DiscardHandler))
		if err != nil {
			r.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				r.Error(err)
			}
			if err := os.Remove(path); err != nil {
				r.Error(err)
			}
		}()
		b := newBook(r, rapid.IntRange(1, 3).Draw(r, "partitions"))
		v := b.views(db, SQLite, Options{Batch: rapid.IntRange(1, 9).Draw(r, "batch")})
		choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "choice") }
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			b.wander(choose, fewMerchants)
			if choose(10) == 0 {
				if err := v.Reach(context.Background()); err != nil {
					r.Fatal(err)
				}
			}
		}
		b.equalAnswers(v)
		b.equalLists(v, choose)
		if choose(4) == 0 {
			b.equalToFold(v)
		}
	})
}

func TestViewsEqualTheFoldOfALongHistory(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		const seed = 7
		random := rand.New(rand.NewPCG(seed, seed))
		b := newBook(t, 3)
		db := at.open()
		live := running(t, b.views(db, at.dialect, Options{Batch: 16, Poll: 10 * time.Millisecond, ReachWithin: time.Minute}))
		for i := range 1000 {
			b.wander(random.IntN, fewMerchants)
			if i%97 == 0 {
				if err := live.Reach(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		b.equalToFold(live)
		for range 3 {
			b.equalLists(live, random.IntN)
		}
		if err := b.views(at.open(), at.dialect, Options{}).Rebuild(t.Context(), nil, nil); err != nil {
			t.Fatal(err)
		}
		b.equalToFold(live)
	})
}

// filters are of every sort; limits are small, so that there are many pages.
func filters(m string) []Filter {
	return []Filter{
		{Merchant: m, Limit: 7},
		{Merchant: m, Limit: 3, Status: wallet.Success},
		{Merchant: m, Limit: 2, Status: wallet.Refunded},
		{Merchant: m, Limit: 5, From: time.Date(2026, 4, 2, 18, 30, 0, 0, time.UTC), To: time.Date(2026, 4, 5, 18, 30, 0, 0, time.UTC)},
		{Merchant: m, Limit: 5, From: time.Date(2026, 4, 2, 0, 0, 0, 0, time.UTC), Status: wallet.Pending},
		{Merchant: m, Limit: 5, To: time.Date(2026, 4, 2, 11, 0, 0, 0, time.UTC)},
		{Merchant: m, Limit: 5, From: time.Date(2026, 4, 2, 1, 0, 0, 0, time.UTC), To: time.Date(2026, 4, 2, 9, 0, 0, 0, time.UTC)},
	}
}

// equalLists compares lists, page by page by number or by cursor, with the payments of the book.
func (b *book) equalLists(v *Views, choose chooser) {
	b.tb.Helper()
	for _, m := range fewMerchants {
		for _, kind := range []wallet.Kind{wallet.KindPayin, wallet.KindPayout} {
			f := filters(m)[choose(len(filters(m)))]
			byCursor := choose(2) == 0
			want := b.picked(kind, &f)
			if got := b.walk(v, kind, f, int64(len(want)), byCursor); !slices.Equal(got, want) {
				b.tb.Fatalf("%s of %+v, by cursor %v: %v, by the fold %v", kind, f, byCursor, got, want)
			}
		}
	}
}

// picked is what a list must give: ids, newest first.
func (b *book) picked(kind wallet.Kind, f *Filter) []string {
	var ids []string
	for _, id := range b.order {
		p := b.payments[id]
		if p.Kind != kind || p.Merchant != f.Merchant || f.Status != "" && p.Status != f.Status ||
			!f.From.IsZero() && p.CreatedAt.Before(f.From) || !f.To.IsZero() && !p.CreatedAt.Before(f.To) {
			continue
		}
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y string) int {
		if c := b.payments[y].CreatedAt.Compare(b.payments[x].CreatedAt); c != 0 {
			return c
		}
		return int(b.first[y].Seq - b.first[x].Seq)
	})
	return ids
}

// walk reads a list page by page, and compares each payment with the fold.
func (b *book) walk(v *Views, kind wallet.Kind, f Filter, total int64, byCursor bool) []string {
	b.tb.Helper()
	list := v.ListPayins
	if kind == wallet.KindPayout {
		list = v.ListPayouts
	}
	var ids []string
	for f.Page = 1; ; f.Page++ {
		page, err := list(context.Background(), f)
		if err != nil {
			b.tb.Fatal(err)
		}
		if page.Total != total {
			b.tb.Fatalf("total of %+v: %d, by the fold %d", f, page.Total, total)
		}
		for _, p := range page.Items {
			ids = append(ids, p.Of.Payment)
			if got, want := shown(b.tb, p), shown(b.tb, unsent(b.payments[p.Of.Payment])); got != want {
				b.tb.Fatalf("payment is\n%s\nby the fold\n%s", got, want)
			}
		}
		if byCursor {
			if f.Cursor = page.NextCursor; f.Cursor == "" {
				return ids
			}
		} else if len(page.Items) == 0 {
			return ids
		}
	}
}
