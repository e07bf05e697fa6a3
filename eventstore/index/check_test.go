package index_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/index"
)

// TestCheckFinds: every kind of damage to the runs is found.
func TestCheckFinds(t *testing.T) {
	for name, damage := range map[string]string{
		"a run is missing":        "DELETE FROM index_runs WHERE from_seq = 20",
		"the last run is missing": "DELETE FROM index_runs WHERE from_seq = (SELECT max(from_seq) FROM index_runs)",
		"the checkpoint is wrong": "UPDATE index_checkpoints SET seq = seq + 1",
		"the sum is wrong":        "UPDATE index_runs SET digest = digest + 1 WHERE from_seq = 20",
		"a page is another's":     "UPDATE index_pages SET body = (SELECT body FROM index_pages ORDER BY page DESC LIMIT 1) WHERE page = (SELECT min(page) FROM index_pages)",
		"a page is cut":           "UPDATE index_pages SET body = substr(body, 1, length(body) - 1)",
		"a run covers less":       "UPDATE index_runs SET from_seq = from_seq + 1 WHERE from_seq = 0",
	} {
		t.Run(name, func(t *testing.T) {
			p := sqlitePlace(t)
			h := history(nil).grow(p, rand.New(rand.NewPCG(7, 8)), "a", 60)
			x := p.index(20)
			if err := x.CatchUp(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if checked(t, x) != 60 {
				t.Fatal("not all was checked")
			}
			p.exec(damage)
			for _, given := range []int{0, 30, 60} {
				if _, _, err := x.Check(t.Context(), 0, h.each(given, 7)); !errors.Is(err, eventstore.ErrBroken) {
					t.Errorf("%d records given: %v", given, err)
				}
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCheckFindsForgery: somebody who may write to the database hides an entry, so that its key could be claimed again, and sees to it that checksums
// and sums hold.
func TestCheckFindsForgery(t *testing.T) {
	for name, forge := range map[string]func(p *place){
		"an entry is another of the same sum": func(p *place) {
			p.forge("(SELECT min(page) FROM index_pages)", func(body []byte) []byte { return index.ForgeEntry(body, 0, 100) })
		},
		"fences lead elsewhere": func(p *place) {
			p.forge("(SELECT run * 1048576 + pages FROM index_runs)", index.ForgeFence)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := sqlitePlace(t)
			for i := range 100 {
				var keys []string
				for j := range 10 {
					keys = append(keys, fmt.Sprint(i, " ", j))
				}
				r := record("a", int64(i)+1, "s", "p", keys...)
				p.put(&r)
			}
			x := p.index(1000)
			if err := x.CatchUp(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if p.count("SELECT pages FROM index_runs") < 2 || checked(t, x) != 100 {
				t.Fatal("not all was checked, or it is one page")
			}
			forge(p)
			if n, twice, err := x.Check(t.Context(), 0, nil); !errors.Is(err, eventstore.ErrBroken) {
				t.Errorf("%d compared, claimed twice by %v: %v", n, twice, err)
			}
		})
	}
}

// forge puts what is made of a page in its place.
func (p *place) forge(page string, make func(body []byte) []byte) {
	p.tb.Helper()
	var body []byte
	if err := p.db.QueryRowContext(p.tb.Context(), "SELECT body FROM index_pages WHERE page = "+page).Scan(&body); err != nil {
		p.tb.Fatal(err)
	}
	forged := make(body)
	if forged == nil || slices.Equal(forged, body) {
		p.tb.Fatal("nothing was forged")
	}
	p.exec("UPDATE index_pages SET body = $1 WHERE page = "+page, forged)
}

// each gives the first n records to whoever checks an index with them, so many at a time.
func (h history) each(n, page int) func(take func([]eventstore.Record)) error {
	return func(take func([]eventstore.Record)) error {
		for records := range slices.Chunk(h[:n], page) {
			take(records)
		}
		return nil
	}
}

// TestCheckWhatIsGiven: records that the caller reads are not read again, the others are; what differs from what the index was made of
// is found.
func TestCheckWhatIsGiven(t *testing.T) {
	p := sqlitePlace(t)
	h := history(nil).grow(p, rand.New(rand.NewPCG(11, 12)), "a", 70)
	x := p.index(20)
	if err := x.CatchUp(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for given := range len(h) + 1 {
		n, twice, err := x.Check(t.Context(), 0, h.each(given, 9))
		if err != nil || n != 70 || len(twice) > 0 {
			t.Fatalf("%d given: %d compared, claimed twice by %v: %v", given, n, twice, err)
		}
	}
	refused := errors.New("refused")
	if _, _, err := x.Check(t.Context(), 0, func(func([]eventstore.Record)) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("who gives the records failed: %v", err)
	}
	for name, change := range map[string]func(h history) history{
		"another subject": func(h history) history { h[33].Subject = "other"; return h },
		"another stream":  func(h history) history { h[33].Stream = "other"; return h },
		"another key":     func(h history) history { h[33].Keys = []string{"other"}; return h },
		"one is missing":  func(h history) history { return slices.Delete(h, 33, 34) },
	} {
		given := change(slices.Clone(h))
		if n, _, err := x.Check(t.Context(), 0, given.each(len(given), 9)); !errors.Is(err, eventstore.ErrBroken) || n != 20 {
			t.Errorf("%s: %d compared, %v", name, n, err)
		}
	}
	p.allowDelete()
	p.exec("DELETE FROM events WHERE seq = 12") // which is not read when it is given
	if n, _, err := x.Check(t.Context(), 0, h.each(len(h), 9)); err != nil || n != 70 {
		t.Errorf("%d compared: %v", n, err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamageHeals: an index that is damaged is made anew by who stumbles over it; in another process that has it open, too.
func TestDamageHeals(t *testing.T) {
	for name, damage := range map[string]string{
		"a page is missing":  "DELETE FROM index_pages WHERE page = (SELECT min(page) FROM index_pages)",
		"a page has changed": "UPDATE index_pages SET body = CAST('xxxx' AS BLOB) || substr(body, 5)",
		"a run is missing":   "DELETE FROM index_runs WHERE from_seq = 20",
		"all runs are":       "DELETE FROM index_runs",
	} {
		for _, reopened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, opened anew %t", name, reopened), func(t *testing.T) {
				p := sqlitePlace(t)
				random := rand.New(rand.NewPCG(9, 10))
				h := history(nil).grow(p, random, "a", 60)
				x, other := p.index(20), p.index(20)
				for _, x := range []*index.Index{x, other} {
					h.verify(t, x, random)
					if err := x.CatchUp(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
				}
				p.exec(damage)
				if reopened {
					if err := x.Close(); err != nil {
						t.Fatal(err)
					}
					x = p.index(20)
				}
				for range 3 {
					h.verify(t, x, random)
					h.verify(t, other, random)
					h = h.grow(p, random, "a", 15)
				}
				if err := x.Renew(t.Context(), 0); err != nil { // what no question has touched
					t.Fatal(err)
				}
				h.verify(t, other, random)
				// The other one may have found the change, and be making the index anew itself.
				for begun := time.Now(); checked(t, x) != int64(len(h)); time.Sleep(time.Millisecond) {
					if time.Since(begun) > time.Minute {
						t.Fatal("not all was made anew")
					}
					if err := errors.Join(other.CatchUp(t.Context(), 1), x.CatchUp(t.Context(), 1)); err != nil {
						t.Log(err)
					}
				}
				for _, x := range []*index.Index{x, other} {
					if err := x.Close(); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// TestCheckFindsKeysClaimedTwice: within a run, across runs, and not what is claimed once, or by one record twice.
func TestCheckFindsKeysClaimedTwice(t *testing.T) {
	for name, open := range places {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			for i, keys := range [][]string{{"a", "b"}, {"c", "c"}, nil, {"b"}, {"d"}, nil, nil, nil, {"a", "e"}, nil, {"b"}, nil} {
				r := record("a", int64(i)+1, "s", "p", keys...)
				p.put(&r)
			}
			x := p.index(5)
			if err := x.CatchUp(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			n, twice, err := x.Check(t.Context(), 0, nil)
			slices.Sort(twice)
			if err != nil || n != 12 || !slices.Equal(twice, []int64{4, 9, 11}) {
				t.Errorf("%d compared, claimed twice by %v: %v", n, twice, err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
