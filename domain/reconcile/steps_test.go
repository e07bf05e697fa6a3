package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
)

// lives are the breaks of a source with what has become of them, in the order of their ids.
func lives(s *reconcile.Source) []string {
	var all []string
	for _, b := range s.Breaks {
		all = append(all, fmt.Sprintf("%s %s %s %s", b.ID, b.Kind, b.Amount.Fixed(), b.Status))
	}
	slices.Sort(all)
	return all
}

func matchesOf(s *reconcile.Source) string {
	var all []string
	for _, i := range s.Items {
		if i.Match != nil {
			all = append(all, fmt.Sprintf("%s=%s", i.At, i.Match.Entry))
		}
	}
	return strings.Join(all, " ")
}

// TestARunThatDies keeps the first events of a run alone, as a process does that dies between two appends: the next run finds the rest, and the same
// breaks are there as without that.
func TestARunThatDies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines, entries := drawn(t, "lines", 12, drawLine), drawn(t, "entries", 12, drawEntry)
		q := reconcile.Question{Entries: entries, Upto: firstDay.Plus(12), Now: firstDay.Plus(12), Grace: 1, Read: firstDay.Plus(30).Time}
		whole, dies := newDesk(t, bankTerms), newDesk(t, bankTerms)
		whole.file(lines)
		whole.run(q)

		dies.file(lines)
		events, _ := dies.source.Record(dies.source.Match(&q), reconcile.RunFinished{Upto: q.Upto, Heads: []string{}, Actor: "asha"})
		dies.take(events[:rapid.IntRange(0, len(events)).Draw(t, "appended")], nil)
		dies.run(q)
		if got, want := lives(dies.source), lives(whole.source); !slices.Equal(got, want) {
			t.Fatalf("breaks\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got, want := matchesOf(dies.source), matchesOf(whole.source); got != want {
			t.Fatalf("matched %s, and not %s", got, want)
		}
	})
}

// TestARunOfEarlierDays leaves the breaks of later days as they are, with what people have proposed.
func TestARunOfEarlierDays(t *testing.T) {
	d := newDesk(t, bankTerms)
	d.file([]reconcile.Line{aLine(1, "2026-03-01", "5", "U1"), aLine(2, "2026-04-02", "7", "U2")})
	q := reconcile.Question{Upto: day("2026-04-20"), Now: day("2026-04-20"), Read: day("2026-04-20").Time}
	d.run(q)
	for _, b := range d.source.Breaks {
		d.take(d.source.Propose(b.ID, reconcile.Way{Reason: "theirs", Actor: "asha", Accept: true}))
	}
	q.Upto = day("2026-03-31")
	if _, tally := d.run(q); tally.Opened != 0 || tally.Closed != 0 {
		t.Errorf("%+v", tally)
	}
	for _, b := range d.source.Breaks {
		if b.Status != reconcile.BreakProposed {
			t.Errorf("the break of %s is %s", b.Date, b.Status)
		}
	}
}

// TestASettlementThatGrows adds a line to a settlement that was matched with what the bank has paid.
func TestASettlementThatGrows(t *testing.T) {
	d := newDesk(t, bankTerms)
	d.file([]reconcile.Line{aLine(1, "2026-03-03", "97.64", "RZRP1")})
	net := money.MustParse("97.64", money.INR)
	q := reconcile.Question{
		Groups: []reconcile.Group{{ID: "RZRP1", Date: day("2026-03-01"), Net: net, Total: net}}, Upto: day("2026-03-20"), Now: day("2026-03-20"),
		Read: day("2026-03-20").Time,
	}
	d.run(q)
	if _, tally := d.run(q); tally.Opened != 0 {
		t.Fatalf("%+v", tally)
	}
	q.Groups[0].Total = money.MustParse("100", money.INR)
	a, _ := d.run(q)
	if got := spoken(a); got != "amount -2.36 1:1 RZRP1" {
		t.Fatalf("found %s", got)
	}
	if tie := d.source.Tie(nil); !tie.Ties() {
		t.Errorf("%v", tie.Problems)
	}
	q.Groups[0].Total = net // a refund, say
	if _, tally := d.run(q); tally.Closed != 1 {
		t.Errorf("%+v", tally)
	}
	q.Groups[0].Total = money.MustParse("100", money.INR)
	d.run(q)
	id := a.Breaks[0].ID
	d.take(d.source.Propose(id, reconcile.Way{Reason: "theirs", Actor: "asha", Accept: true}))
	d.take(d.source.Approve(id, 0, "ravi"))
	if _, tally := d.run(q); tally.Opened != 0 {
		t.Errorf("what is settled comes up again: %+v", tally)
	}
}

// TestWhatIsApproved approves the proposal that was seen, by another person.
func TestWhatIsApproved(t *testing.T) {
	d := newDesk(t, bankTerms)
	d.file([]reconcile.Line{aLine(1, "2026-03-01", "5", "U1")})
	d.run(reconcile.Question{Upto: day("2026-03-20"), Now: day("2026-03-20"), Read: day("2026-03-20").Time})
	id := d.source.Breaks[0].ID
	d.take(d.source.Propose(id, reconcile.Way{Reason: "theirs", Actor: "Asha Rao", Accept: true}))
	d.take(d.source.Propose(id, reconcile.Way{Reason: "theirs", Actor: "Asha Rao", Merchant: "mer_1"}))
	for _, c := range []struct {
		number int
		actor  string
		code   domain.Code
	}{{1, "ravi", domain.Stale}, {3, "ravi", domain.Stale}, {2, " asha  RAO ", domain.Forbidden}, {0, "asha\trao", domain.Forbidden}} {
		if _, err := d.source.Approve(id, c.number, c.actor); domain.CodeOf(err) != c.code {
			t.Errorf("proposal %d by %q: %v", c.number, c.actor, err)
		}
	}
	d.take(d.source.Approve(id, 2, "ravi"))
	if b := d.source.Break(id); b.Status != reconcile.BreakApproved || b.Proposal.Merchant != "mer_1" {
		t.Errorf("%+v", b)
	}
}

// TestBetweenTwoAccountsOfOneSource refuses to settle a difference with the bank by moving money between accounts that the bank keeps as one.
func TestBetweenTwoAccountsOfOneSource(t *testing.T) {
	terms := bankTerms
	terms.Books = []string{"gateway:sandbox:float", "gateway:sandbox:receivable"}
	d := newDesk(t, terms)
	d.file([]reconcile.Line{aLine(1, "2026-03-01", "5", "U1")})
	d.run(reconcile.Question{Upto: day("2026-03-20"), Now: day("2026-03-20"), Read: day("2026-03-20").Time})
	_, err := d.source.Propose(d.source.Breaks[0].ID, reconcile.Way{Reason: "x", Actor: "asha", To: "gateway:sandbox:receivable"})
	if domain.CodeOf(err) != domain.Invalid {
		t.Errorf("%v", err)
	}
}

// TestAnotherMapping imports a file again whose import was broken off, read in another way: nothing of the first reading counts.
func TestAnotherMapping(t *testing.T) {
	d := newDesk(t, bankTerms)
	file := reconcile.File{SHA256: "ab", Content: "debits are credits", Lines: 1}
	d.take(d.source.Begin(file, money.INR, "asha"))
	if events, err := d.source.Begin(file, money.INR, "asha"); err != nil || len(events) != 0 {
		t.Errorf("the same again: %v, %v", events, err)
	}
	d.take([]reconcile.Event{&reconcile.LinesAdded{Of: d.source.Of, Import: 1, Chunk: 1, Lines: []reconcile.Stored{{
		Number: 1, Date: firstDay, Amount: rupees(-5), Fee: rupees(0), Tax: rupees(0),
	}}}}, nil)
	file.Content = "debits are debits"
	d.take(d.source.Begin(file, money.INR, "asha"))
	if d.source.Open.Number != 2 || d.source.Open.Chunks != 0 {
		t.Errorf("%+v", d.source.Open)
	}
}

// statement imports lines with balances.
func (d *desk) statement(opening, closing string, lines ...reconcile.Line) {
	d.file(lines)
	last := &d.source.Imports[len(d.source.Imports)-1]
	last.Balanced, last.Opening, last.Closing = true, money.MustParse(opening, money.INR), money.MustParse(closing, money.INR)
}

// TestWhichBalances ties over the days whose balances somebody states, in whatever order the parts of a day came.
func TestWhichBalances(t *testing.T) {
	morning, evening := aLine(1, "2026-03-01", "5", "U1"), aLine(1, "2026-03-01", "7", "U2")
	later := aLine(1, "2026-03-09", "11", "U3")
	for name, files := range map[string]func(*desk){
		"in order":  func(d *desk) { d.statement("100", "105", morning); d.statement("105", "112", evening) },
		"backwards": func(d *desk) { d.statement("105", "112", evening); d.statement("100", "105", morning) },
		"and a later file without balances": func(d *desk) {
			d.file([]reconcile.Line{later})
			d.statement("105", "112", evening)
			d.statement("100", "105", morning)
		},
	} {
		d := newDesk(t, bankTerms)
		files(d)
		entries := []reconcile.Entry{entry(1, "2026-03-01", "11", "U3"), entry(2, "2026-03-01", "5", "U1")}
		d.run(reconcile.Question{Entries: entries, Upto: day("2026-03-20"), Now: day("2026-03-20"), Read: day("2026-03-20").Time})
		if tie := d.source.Tie(entries); !tie.Ties() || tie.Bank.Fixed() != "112.00" || tie.To != day("2026-03-01") {
			t.Errorf("%s: %+v", name, tie)
		}
	}
	d := newDesk(t, bankTerms)
	d.statement("100", "105", morning)
	d.statement("106", "113", evening)
	if tie := d.source.Tie(nil); tie.Ties() {
		t.Errorf("a rupee is missing: %+v", tie)
	}
}

// TestALineTwice appends a line once more that an earlier import has.
func TestALineTwice(t *testing.T) {
	d := newDesk(t, bankTerms)
	d.file([]reconcile.Line{aLine(1, "2026-03-01", "5", "U1")})
	again := reconcile.Stored{Number: 1, Date: day("2026-03-01"), Amount: rupees(5), Fee: rupees(0), Tax: rupees(0), UTR: "U1"}
	for n, e := range []reconcile.Event{
		&reconcile.Imported{Of: d.source.Of, Import: 2},
		&reconcile.LinesAdded{Of: d.source.Of, Import: 2, Chunk: 1, Lines: []reconcile.Stored{again}},
		&reconcile.ImportFinished{Of: d.source.Of, Import: 2, New: 1},
	} {
		if err := d.audit.Follow(e); (err != nil) != (n == 2) {
			t.Errorf("%s: %v", e.Type(), err)
		}
	}
}

// TestTheSameStatementInAnotherFormat has other references of the bank beside the UTR; of a gateway's report, they are payments.
func TestTheSameStatementInAnotherFormat(t *testing.T) {
	l := aLine(1, "2026-03-01", "5", "U1")
	l.Narration, l.Tail = "NEFT", "7890"
	other := aLine(1, "2026-03-01", "5", "U1")
	other.Gateway = "S12345"
	d := newDesk(t, bankTerms)
	if added := d.file([]reconcile.Line{l}) + d.file([]reconcile.Line{other}); added != 1 {
		t.Errorf("a bank: %d lines", added)
	}
	l.Gateway = "pay_1"
	g := newDesk(t, reconcile.Terms{Kind: reconcile.Settlement, Account: "1", Books: []string{"gateway:sandbox:receivable"}})
	if added := g.file([]reconcile.Line{l}) + g.file([]reconcile.Line{other}); added != 2 {
		t.Errorf("a gateway: %d lines", added)
	}
}
