package gateway_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/migrations"
)

// newSimulation is a world of its own with nothing in it.
func newSimulation(t *testing.T, base *shop, seed uint64) *simulation {
	t.Helper()
	s := &simulation{
		t: t, r: rand.New(rand.NewPCG(seed, 6)), base: base, books: newAppBooks(), at: time.Unix(1_800_000_000, 0).UTC().Add(time.Duration(seed) * 24 * time.Hour),
		companies: map[string]*simCompany{}, opened: map[string]string{}, n: int(seed) * 1000, kinds: map[string]int{},
	}
	maps.Copy(s.books.merchants, base.books.merchants)
	s.companies[configA] = &simCompany{company: newCompany("fake"), sim: s}
	s.companies[configA].spec.Hearsay = true
	s.companies[configB] = &simCompany{company: newCompany("spare"), sim: s}
	s.boot()
	return s
}

// TestSimulation: whatever customers, companies, webhooks and deaths do, in whatever order, in the end each payment that a company has taken is in the books
// exactly once, each refund that it has made is too, and nothing waits.
func TestSimulation(t *testing.T) {
	t.Parallel()
	base := newShop(t, migrations.SQLite)
	first, runs := uint64(1), uint64(120)
	if s := os.Getenv("KHATA_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, runs = n, 1
	}
	if s := os.Getenv("KHATA_RUNS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		runs = n
	}
	deaths, losses, events, payments, kinds := 0, 0, 0, 0, map[string]int{}
	for seed := first; seed < first+runs; seed++ {
		s := newSimulation(t, base, seed)
		s.faults, s.kinds = true, kinds
		for range 90 {
			s.act()
		}
		s.rest()
		s.check()
		deaths, losses, events = deaths+s.deaths, losses+s.losses, events+len(s.books.records)
		for _, c := range s.companies {
			payments += len(c.pays)
		}
		if t.Failed() {
			t.Fatalf("seed %d:\n%s\n%s", seed, strings.Join(s.trace, "\n"), strings.Join(slices.Collect(func(yield func(string) bool) {
				for _, id := range s.payins {
					if !yield(id + ": " + s.books.events(id)) {
						return
					}
				}
			}), "\n"))
		}
	}
	t.Logf("%d runs, %d payments, %d deaths, %d losses of work storage, %d events: %v", runs, payments, deaths, losses, events, kinds)
}

// check holds the books against those of the companies.
func (s *simulation) check() {
	t := s.t
	booked := map[string]int{}
	paid := map[string]money.Amount{}
	ordered, noted := map[string]int{}, ""
	for _, r := range s.books.records {
		e, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			t.Fatal(err)
		}
		s.kinds[r.Type]++
		switch e := e.(type) {
		case *wallet.PayinOrdered:
			if ordered[r.Subject]++; ordered[r.Subject] > 1 {
				t.Errorf("%s has %d orders", r.Subject, ordered[r.Subject])
			}
		case *wallet.PayinNoted:
			if noted += e.Claim + " "; e.Anomaly {
				s.kinds["anomaly"]++
			}
		case *wallet.PayinSucceeded:
			booked[e.PaymentID]++
			paid[e.PaymentID] = e.Amount
		case *wallet.PayinSuspended:
			booked[e.PaymentID]++
			paid[e.PaymentID] = e.Amount
		}
	}
	receivable := map[string]money.Amount{}
	for config, c := range s.companies {
		sum := money.Zero(money.INR)
		for _, p := range c.pays {
			if p.currency != "INR" {
				if booked[p.id] > 0 {
					t.Errorf("%s is in %s, and booked", p.id, p.currency)
				}
				if p.state == "captured" && !strings.Contains(noted, p.id) {
					t.Errorf("%s is in %s, and nobody is told", p.id, p.currency)
				}
				continue
			}
			if p.state == "captured" {
				if booked[p.id] != 1 || !paid[p.id].Equal(p.amount) {
					t.Errorf("%s of %s at %s was captured, and is booked %d times, as %v", p.id, p.order, config, booked[p.id], paid[p.id])
				}
				sum = sum.Add(p.amount)
			} else if booked[p.id] > 0 {
				t.Errorf("%s is %s, and booked", p.id, p.state)
			}
			delete(booked, p.id)
			given := money.Zero(money.INR)
			for _, r := range p.refunds {
				if r.state == "done" {
					given = given.Add(r.amount)
				}
				if r.state == "done" && r.ours {
					sum = sum.Sub(r.amount)
				}
			}
			if given.Cmp(p.amount) > 0 {
				t.Errorf("%s: %s of %s was refunded", p.id, given, p.amount)
			}
		}
		receivable["gateway:"+c.spec.Name+":receivable INR"] = sum
	}
	for id, n := range booked {
		t.Errorf("%s is booked %d times, and no company has it", id, n)
	}
	balances := s.books.balances(t)
	for account, want := range receivable {
		got := money.Zero(money.INR).String()
		if b, there := balances[account]; there {
			got = b
		}
		if got != want.String() {
			t.Errorf("%s is %s, and the company owes %s", account, got, want)
		}
	}
	w := s.books.wallets[appID+"INR"]
	if w == nil {
		return
	}
	if w.Available.Sign() < 0 || !w.Locked.IsZero() {
		t.Errorf("available %s, locked %s", w.Available, w.Locked)
	}
	for _, id := range s.payins {
		p := s.payment(id)
		if p.Status == wallet.Pending {
			t.Errorf("%s is pending for ever", id)
		}
		for _, r := range p.Refunds {
			if r.Status == wallet.RefundPending {
				t.Errorf("refund %s is pending for ever", r.ID)
			}
		}
	}
	for _, kind := range []string{gateway.ExpiryJobs, gateway.EarlyJobs, gateway.LateJobs, gateway.RefundJobs("fake"), gateway.RefundJobs("spare"), gateway.RefundJobs("")} {
		if n, err := s.base.jobs.Count(t.Context(), kind); n > 0 || err != nil {
			t.Errorf("%d jobs of %s are left, %v", n, kind, err)
		}
	}
}
