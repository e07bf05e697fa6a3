package reconcile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
)

func entry(seq int64, date, amount, utr string) reconcile.Entry {
	return reconcile.Entry{
		Place: reconcile.Place{Seq: seq, Posting: 1}, Account: "gateway:sandbox:float", Date: day(date), RecordedAt: day(date).Time,
		Amount: money.MustParse(amount, money.INR), UTR: utr,
	}
}

func aLine(number int, date, amount, utr string) reconcile.Line {
	return reconcile.Line{
		Number: number, Date: day(date).Time, Amount: money.MustParse(amount, money.INR), Fee: money.Zero(money.INR), Tax: money.Zero(money.INR), UTR: utr,
	}
}

// TestWhatIsFound names, for lines and entries, everything that a run says of them.
func TestWhatIsFound(t *testing.T) {
	with := func(l reconcile.Line, change func(*reconcile.Line)) reconcile.Line {
		change(&l)
		return l
	}
	of := func(e reconcile.Entry, change func(*reconcile.Entry)) reconcile.Entry {
		change(&e)
		return e
	}
	tail := func(l *reconcile.Line) { l.Tail = "7890" }
	tailed := func(e *reconcile.Entry) { e.Tail = "7890" }
	for _, c := range []struct {
		name    string
		lines   []reconcile.Line
		entries []reconcile.Entry
		groups  []reconcile.Group
		want    string
	}{
		{"one reference", []reconcile.Line{aLine(1, "2026-03-01", "-5", "U1")}, []reconcile.Entry{entry(1, "2026-03-01", "-5", "U1")}, nil, "utr 1:1=0:1:1"},
		{
			"another amount", []reconcile.Line{aLine(1, "2026-03-01", "-5", "U1")}, []reconcile.Entry{entry(1, "2026-03-01", "-4", "U1")}, nil,
			"amount -1.00 1:1 0:1:1",
		},
		{
			"twice in the file", []reconcile.Line{aLine(1, "2026-03-01", "-5", "U1"), aLine(2, "2026-03-02", "-5", "U1")},
			[]reconcile.Entry{entry(1, "2026-03-01", "-5", "U1")}, nil, "utr 1:1=0:1:1, duplicate -5.00 1:2 -",
		},
		{
			"twice in the books", []reconcile.Line{aLine(1, "2026-03-01", "-5", "U1")},
			[]reconcile.Entry{entry(1, "2026-03-01", "-5", "U1"), entry(2, "2026-03-01", "-5", "U1")}, nil, "utr 1:1=0:1:1, duplicate 5.00 - 0:2:1",
		},
		{
			"came back", []reconcile.Line{aLine(1, "2026-03-01", "-5", "U1"), aLine(2, "2026-03-02", "5", "U1")},
			[]reconcile.Entry{entry(1, "2026-03-01", "-5", "U1")}, nil, "utr 1:1=0:1:1, status 5.00 1:2 -",
		},
		{
			"late", []reconcile.Line{aLine(1, "2026-03-05", "-5", "U1")}, []reconcile.Entry{entry(1, "2026-03-01", "-5", "U1")}, nil,
			"utr 1:1=0:1:1, late -5.00 1:1 0:1:1",
		},
		{
			"the gateway's id", []reconcile.Line{with(aLine(1, "2026-03-01", "5", ""), func(l *reconcile.Line) { l.Gateway = "pay_1" })},
			[]reconcile.Entry{of(entry(1, "2026-03-01", "5", "U1"), func(e *reconcile.Entry) { e.Gateway = "pay_1" })}, nil, "gateway 1:1=0:1:1",
		},
		{
			"ours", []reconcile.Line{with(aLine(1, "2026-03-01", "5", "N1"), func(l *reconcile.Line) { l.Reference = "txn_1" })},
			[]reconcile.Entry{of(entry(1, "2026-03-01", "5", "U1"), func(e *reconcile.Entry) { e.Transaction = "txn_1" })}, nil, "reference 1:1=0:1:1",
		},
		{
			"two merchants' orders of one name", []reconcile.Line{with(aLine(1, "2026-03-01", "5", ""), func(l *reconcile.Line) { l.Reference = "A1" })},
			[]reconcile.Entry{
				of(entry(1, "2026-03-01", "4", ""), func(e *reconcile.Entry) { e.References[0] = "A1" }),
				of(entry(2, "2026-03-01", "5", ""), func(e *reconcile.Entry) { e.References[0] = "A1" }),
			}, nil, "order 1:1=0:2:1, transit 0:1:1",
		},
		{
			"by amount, a day later", []reconcile.Line{with(aLine(1, "2026-03-02", "-5", ""), tail)},
			[]reconcile.Entry{of(entry(1, "2026-03-01", "-5", "U1"), tailed)}, nil, "amount 1:1=0:1:1",
		},
		{
			"by amount, not two days later", []reconcile.Line{with(aLine(1, "2026-03-03", "-5", ""), tail)},
			[]reconcile.Entry{of(entry(1, "2026-03-03", "-6", "U1"), tailed), of(entry(2, "2026-03-05", "-5", "U1"), tailed)}, nil,
			"missing_in_ledger -5.00 1:1 -, transit 0:1:1, transit 0:2:1",
		},
		{
			"by amount, but two fit", []reconcile.Line{with(aLine(1, "2026-03-02", "-5", ""), tail)},
			[]reconcile.Entry{of(entry(1, "2026-03-02", "-5", "U1"), tailed), of(entry(2, "2026-03-02", "-5", "U2"), tailed)}, nil,
			"missing_in_ledger -5.00 1:1 -, transit 0:1:1, transit 0:2:1",
		},
		{
			"a settlement by its id", []reconcile.Line{aLine(1, "2026-03-03", "97.64", "RZRP1")}, nil,
			[]reconcile.Group{{ID: "RZRP1", Date: day("2026-03-01"), Net: money.MustParse("97.64", money.INR)}}, "settlement 1:1=RZRP1",
		},
		{
			"a settlement of another amount", []reconcile.Line{aLine(1, "2026-03-03", "97", "RZRP1")}, nil,
			[]reconcile.Group{{ID: "RZRP1", Date: day("2026-03-01"), Net: money.MustParse("97.64", money.INR)}}, "amount -0.64 1:1 RZRP1",
		},
		{
			"a settlement by its amount", []reconcile.Line{aLine(1, "2026-03-03", "97.64", "N1")}, nil,
			[]reconcile.Group{{ID: "RZRP1", Date: day("2026-03-01"), Net: money.MustParse("97.64", money.INR)}}, "settlement 1:1=RZRP1",
		},
		{
			"a settlement that two lines may be", []reconcile.Line{aLine(1, "2026-03-01", "97.64", "N1"), aLine(2, "2026-03-03", "97.64", "N2")}, nil,
			[]reconcile.Group{{ID: "RZRP1", Date: day("2026-03-01"), Net: money.MustParse("97.64", money.INR)}},
			"missing_in_ledger 97.64 1:1 -, missing_in_ledger 97.64 1:2 -, missing_in_bank -97.64 - RZRP1",
		},
		{
			"a settlement, and before it a line of another amount that names it",
			[]reconcile.Line{aLine(1, "2026-03-01", "5", "RZRP1"), aLine(2, "2026-03-03", "97.64", "RZRP1")}, nil,
			[]reconcile.Group{{ID: "rzrp1", Date: day("2026-03-01"), Net: money.MustParse("97.64", money.INR)}},
			"settlement 1:2=rzrp1, missing_in_ledger 5.00 1:1 -",
		},
		{
			"a transfer of a settlement's amount that is another one", []reconcile.Line{aLine(1, "2026-03-03", "97.64", "SBINR52026030100000001")}, nil,
			[]reconcile.Group{{ID: "HDFCR52026030100000001", Date: day("2026-03-01"), Net: money.MustParse("97.64", money.INR)}},
			"missing_in_ledger 97.64 1:1 -",
		},
		{
			"the newest line first", []reconcile.Line{aLine(1, "2026-03-15", "-5", "U1"), aLine(2, "2026-03-01", "-5", "U1")},
			[]reconcile.Entry{entry(1, "2026-03-01", "-5", "U1"), entry(2, "2026-03-15", "-5", "U1")}, nil, "utr 1:1=0:2:1, utr 1:2=0:1:1",
		},
		{
			"the first one is missing", []reconcile.Line{aLine(1, "2026-03-15", "-5", "U1")},
			[]reconcile.Entry{entry(1, "2026-03-01", "-5", "U1"), entry(2, "2026-03-15", "-5", "U1")}, nil, "utr 1:1=0:2:1, duplicate 5.00 - 0:1:1",
		},
		{
			"two merchants' orders of one name and amount", []reconcile.Line{with(aLine(1, "2026-03-01", "5", ""), func(l *reconcile.Line) { l.Reference = "A1" })},
			[]reconcile.Entry{
				of(entry(1, "2026-03-01", "5", ""), func(e *reconcile.Entry) { e.References[0] = "A1" }),
				of(entry(2, "2026-03-01", "5", ""), func(e *reconcile.Entry) { e.References[0] = "A1" }),
			}, nil, "missing_in_ledger 5.00 1:1 -, transit 0:1:1, transit 0:2:1",
		},
		{
			"two of them, of which one is another line's",
			[]reconcile.Line{with(aLine(1, "2026-03-01", "5", ""), func(l *reconcile.Line) { l.Reference = "A1" }), with(aLine(2, "2026-03-02", "5", ""), tail)},
			[]reconcile.Entry{
				of(entry(1, "2026-03-01", "5", ""), func(e *reconcile.Entry) { e.References[0] = "A1" }),
				of(entry(2, "2026-03-01", "5", ""), func(e *reconcile.Entry) { e.References[0], e.Tail = "A1", "7890" }),
			}, nil, "order 1:1=0:1:1, amount 1:2=0:2:1",
		},
		{
			"by amount, but of another payment of the gateway", []reconcile.Line{with(aLine(1, "2026-03-01", "5", ""), func(l *reconcile.Line) { l.Tail, l.Gateway = "7890", "pay_1" })},
			[]reconcile.Entry{of(entry(1, "2026-03-01", "5", ""), func(e *reconcile.Entry) { e.Tail, e.Gateway = "7890", "pay_2" })}, nil,
			"missing_in_ledger 5.00 1:1 -, transit 0:1:1",
		},
		{
			"by amount, but of another payment of ours", []reconcile.Line{with(aLine(1, "2026-03-01", "5", ""), func(l *reconcile.Line) { l.Tail, l.Reference = "7890", "txn_1" })},
			[]reconcile.Entry{of(entry(1, "2026-03-01", "5", ""), func(e *reconcile.Entry) { e.Tail, e.Transaction = "7890", "txn_2" })}, nil,
			"missing_in_ledger 5.00 1:1 -, transit 0:1:1",
		},
		{
			"nobody knows of it", []reconcile.Line{aLine(1, "2026-03-01", "5", "U1"), aLine(2, "2026-03-06", "6", "U2")},
			[]reconcile.Entry{entry(1, "2026-02-28", "1", "U3"), entry(2, "2026-03-05", "2", "U4"), entry(3, "2026-03-06", "3", "U5")}, nil,
			"missing_in_ledger 5.00 1:1 -, missing_in_ledger 6.00 1:2 -, missing_in_bank -2.00 - 0:2:1, transit 0:3:1",
		},
		{"too young to miss", []reconcile.Line{aLine(1, "2026-03-20", "5", "U1")}, []reconcile.Entry{entry(1, "2026-03-20", "6", "U2")}, nil, "transit 1:1, transit 0:1:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, bankTerms)
			d.file(c.lines)
			a := d.source.Match(&reconcile.Question{
				Entries: c.entries, Groups: c.groups, Upto: day("2026-03-20"), Now: day("2026-03-20"), Grace: 1, Read: day("2026-03-20").Time,
			})
			if got := spoken(a); got != c.want {
				t.Errorf("found %s\n want %s", got, c.want)
			}
		})
	}
}

func spoken(a *reconcile.Answer) string {
	var all []string
	for _, m := range a.Matches {
		if m.Group != "" {
			all = append(all, fmt.Sprintf("%s %s=%s", m.Pass, m.Line, m.Group))
		} else {
			all = append(all, fmt.Sprintf("%s %s=%s", m.Pass, m.Line, m.Entry))
		}
	}
	for _, b := range a.Breaks {
		line, other := "-", "-"
		if !b.Line.IsZero() {
			line = b.Line.String()
		}
		if !b.Entry.IsZero() {
			other = b.Entry.String()
		}
		if b.Group != "" {
			other = b.Group
		}
		all = append(all, fmt.Sprintf("%s %s %s %s", b.Kind, b.Amount.Fixed(), line, other))
	}
	for _, l := range a.Lines {
		all = append(all, "transit "+l.At.String())
	}
	for _, e := range a.Books {
		all = append(all, "transit "+e.Place.String())
	}
	return strings.Join(all, ", ")
}

// TestFees compares what a gateway charges with what it is to charge.
func TestFees(t *testing.T) {
	tariff, err := reconcile.Charge("2", "18")
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, reconcile.Terms{Kind: reconcile.Settlement, Account: "1", Books: []string{"gateway:sandbox:receivable"}, Fee: tariff})
	right, wrong := aLine(1, "2026-03-01", "1000", "U1"), aLine(2, "2026-03-01", "1000", "U2")
	right.Fee, right.Tax = money.MustParse("20", money.INR), money.MustParse("3.60", money.INR)
	wrong.Fee, wrong.Tax = money.MustParse("25", money.INR), money.MustParse("4.50", money.INR)
	d.file([]reconcile.Line{right, wrong})
	q := reconcile.Question{
		Entries: []reconcile.Entry{entry(1, "2026-03-01", "1000", "U1"), entry(2, "2026-03-01", "1000", "U2")},
		Upto:    day("2026-03-20"), Now: day("2026-03-20"), Read: day("2026-03-20").Time,
	}
	a, _ := d.run(q)
	if got := spoken(a); got != "utr 1:1=0:1:1, utr 1:2=0:2:1, fee -5.90 1:2 0:2:1" {
		t.Errorf("found %s", got)
	}
	if _, tally := d.run(q); tally.Closed != 0 { // a person settles it, no later record does
		t.Errorf("%+v", tally)
	}
	for _, wrong := range []string{"", "-1", "101", "1e9", "two", "0.00000000001"} {
		if _, err := reconcile.Charge(wrong, "18"); err == nil {
			t.Errorf("%q is taken for a percentage", wrong)
		}
	}
}

// TestSettledLater imports a report again when the gateway has settled what was on hold: the line is there once, and of the settlement.
func TestSettledLater(t *testing.T) {
	d := newDesk(t, reconcile.Terms{Kind: reconcile.Settlement, Account: "1", Books: []string{"gateway:sandbox:receivable"}})
	l := aLine(1, "2026-03-01", "100", "U1")
	d.file([]reconcile.Line{l})
	if groups := d.source.Groups(day("2026-03-20")); len(groups) != 0 {
		t.Fatalf("settled by %v", groups)
	}
	l.Settlement, l.Fee = "RZRP1", money.MustParse("2", money.INR)
	if added := d.file([]reconcile.Line{l}); added != 0 || len(d.source.Items) != 1 {
		t.Fatalf("%d lines are new, and there are %d", added, len(d.source.Items))
	}
	if groups := d.source.Groups(day("2026-03-20")); len(groups) != 1 || groups[0].ID != "RZRP1" || groups[0].Lines != 1 || groups[0].Net.Fixed() != "98.00" {
		t.Fatalf("settled by %v", groups)
	}
	if groups := d.source.Groups(day("2026-02-20")); len(groups) != 0 {
		t.Fatalf("settled by %v before it came", groups)
	}
}

// TestStatus names payments that the ledger knows otherwise.
func TestStatus(t *testing.T) {
	d := newDesk(t, bankTerms)
	l := aLine(1, "2026-03-01", "-5", "U1")
	l.Reference = "txn_1"
	d.file([]reconcile.Line{l, aLine(2, "2026-03-01", "7", "U2")})
	a := d.source.Match(&reconcile.Question{Upto: day("2026-03-20"), Now: day("2026-03-20"), Read: day("2026-03-20").Time})
	if refs := a.Unknown(d.source); len(refs) != 1 || refs[0] != "txn_1" {
		t.Fatalf("asks for %v", refs)
	}
	a.Status(d.source, map[string]reconcile.Payment{"txn_1": {Transaction: "txn_1", Status: "refunded"}})
	if got := spoken(a); got != "status -5.00 1:1 -, missing_in_ledger 7.00 1:2 -" || !strings.HasSuffix(a.Breaks[0].Detail, "the ledger says refunded") {
		t.Errorf("found %s: %s", got, a.Breaks[0].Detail)
	}
}

// TestFilesOfOthers refuses files that are not of the source's account, and terms that make no sense.
func TestFilesOfOthers(t *testing.T) {
	d := newDesk(t, bankTerms)
	for _, c := range []struct {
		account  string
		currency money.Currency
		field    string
	}{{"2", money.INR, "account"}, {"1", "USD", "currency"}} {
		_, err := d.source.Begin(reconcile.File{SHA256: "x", Account: c.account}, c.currency, "asha")
		if domain.CodeOf(err) != domain.Invalid || !strings.HasPrefix(err.Error(), c.field) {
			t.Errorf("%s in %s: %v", c.account, c.currency, err)
		}
	}
	for name, change := range map[string]func(*reconcile.Terms){
		"kind": func(t *reconcile.Terms) { t.Kind = "x" }, "account": func(t *reconcile.Terms) { t.Account = "" },
		"books": func(t *reconcile.Terms) { t.Books = []string{"merchant:m:available"} }, "books: gateway:sandbox:float is named twice": func(t *reconcile.Terms) {
			t.Books = []string{"gateway:sandbox:float", "gateway:sandbox:float"}
		},
		"against": func(t *reconcile.Terms) { t.Against = "bank" }, "late": func(t *reconcile.Terms) { t.Late = -1 },
	} {
		terms := bankTerms
		change(&terms)
		_, err := reconcile.NewSource().Declare("bank", money.INR, terms, "asha")
		if domain.CodeOf(err) != domain.Invalid || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := bankTerms
	other.Account = "2"
	if _, err := d.source.Declare("bank", money.INR, other, "asha"); domain.CodeOf(err) != domain.Invalid {
		t.Errorf("another account: %v", err)
	}
}

// TestAuditFindsForgeries appends events that the rules do not give.
func TestAuditFindsForgeries(t *testing.T) {
	d := newDesk(t, bankTerms)
	d.file([]reconcile.Line{aLine(1, "2026-03-01", "-5", "U1"), aLine(2, "2026-03-01", "7", "U2")})
	a, _ := d.run(reconcile.Question{
		Entries: []reconcile.Entry{entry(1, "2026-03-01", "-5", "U1")}, Upto: day("2026-03-20"), Now: day("2026-03-20"), Read: day("2026-03-20").Time,
	})
	of, id := d.source.Of, d.source.Breaks[0].ID
	d.take(d.source.Propose(id, reconcile.Way{Reason: "x", Actor: "asha"}))
	forged := a.Breaks[0]
	forged.Line = reconcile.LineAt{Import: 1, Number: 1}
	other := bankTerms
	other.Account = "2"
	for what, e := range map[string]reconcile.Event{
		"made again":            &reconcile.Opened{Of: of, Terms: bankTerms},
		"an import is left out": &reconcile.Imported{Of: of, Import: 3},
		"lines of no import":    &reconcile.LinesAdded{Of: of, Import: 1, Chunk: 2},
		"matched twice":         &reconcile.Matched{Of: of, Items: a.Matches},
		"no such line":          &reconcile.Matched{Of: of, Items: []reconcile.Match{{Line: reconcile.LineAt{Import: 1, Number: 9}, Entry: reconcile.Place{Seq: 5, Posting: 1}}}},
		"an entry twice": &reconcile.Matched{Of: of, Items: []reconcile.Match{
			{Line: reconcile.LineAt{Import: 1, Number: 2}, Entry: reconcile.Place{Seq: 1, Posting: 1}},
		}},
		"a break of another line": &reconcile.BreaksOpened{Of: of, Breaks: []reconcile.Break{forged}},
		"an unknown break":        &reconcile.BreaksClosed{Of: of, Breaks: []string{"brk_x"}},
		"by its maker":            &reconcile.SettlementApproved{Of: of, Break: id, Number: 1, Actor: " ASHA"},
		"an older proposal":       &reconcile.SettlementApproved{Of: of, Break: id, Number: 0, Actor: "ravi"},
		"not approved":            &reconcile.BreakSettled{Of: of, Break: id, Number: 1},
		"of another account":      &reconcile.Changed{Of: of, Terms: other},
		"more than it is": &reconcile.SettlementProposed{Of: of, Break: id, Proposal: reconcile.Proposal{
			Number: 2, Amount: money.MustParse("700", money.INR), Account: "gateway:sandbox:float", Actor: "asha",
		}},
	} {
		if err := d.audit.Follow(e); err == nil {
			t.Errorf("%s: the audit takes it", what)
		}
	}
}

// TestStoredEvents holds every event against the bytes that are stored for ever.
func TestStoredEvents(t *testing.T) {
	d := newDesk(t, bankTerms)
	of, at := d.source.Of, time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	tariff, err := reconcile.Charge("2", "18")
	if err != nil {
		t.Fatal(err)
	}
	terms := reconcile.Terms{Kind: reconcile.Settlement, Account: "RZP", Books: []string{"gateway:sandbox:receivable"}, Fee: tariff, Late: 3}
	amount := money.MustParse("-5.00", money.INR)
	line, place := reconcile.LineAt{Import: 1, Number: 4}, reconcile.Place{Partition: 2, Seq: 77, Posting: 2}
	for _, e := range []reconcile.Event{
		&reconcile.Opened{Of: of, Terms: terms, Actor: "asha"},
		&reconcile.Changed{Of: of, Terms: bankTerms, Actor: "asha"},
		&reconcile.Imported{Of: of, Import: 1, Actor: "asha", File: reconcile.File{
			SHA256: "ab", Format: "csv", Name: "march.csv", Account: "1", Lines: 2, From: day("2026-03-01"), To: day("2026-03-31"), Opening: amount.Neg(),
			Closing: amount, Balanced: true,
		}},
		&reconcile.LinesAdded{Of: of, Import: 1, Chunk: 1, Sealed: "c2VhbGVk", Lines: []reconcile.Stored{{
			Number: 4, Date: day("2026-03-01"), Amount: amount, Fee: amount.Neg(), Tax: amount.Neg(), UTR: "U1", Gateway: "pay_1", Reference: "txn_1", Tail: "7890",
			Settlement: "S1", Print: "ff", Occurrence: 1,
		}, {Number: 5, Date: day("2026-03-02"), Amount: amount}}},
		&reconcile.ImportFinished{Of: of, Import: 1, New: 2},
		&reconcile.Matched{Of: of, Run: 1, Items: []reconcile.Match{{Pass: reconcile.PassUTR, Line: line, Entry: place}, {Pass: reconcile.PassSettlement, Line: line, Group: "S1"}}},
		&reconcile.BreaksOpened{Of: of, Run: 1, Breaks: []reconcile.Break{{
			ID: "brk_1", Kind: reconcile.Duplicate, Amount: amount, Date: day("2026-03-01"), Line: line, Same: line, Entry: place, Group: "S1",
			Account: "gateway:sandbox:float", Transaction: "txn_1", Detail: "utr of line 1:4",
		}}},
		&reconcile.BreaksClosed{Of: of, Run: 1, Breaks: []string{"brk_1"}},
		&reconcile.RunFinished{Of: of, Run: 1, Upto: day("2026-03-31"), Start: day("2026-03-01"), Floor: at, Heads: []string{"0:9"}, Actor: "asha", Tally: reconcile.Tally{
			Matched: 1, Opened: 2, Closed: 3, LinesInTransit: 4, LinesTransit: amount, BooksInTransit: 5, BooksTransit: amount,
		}},
		&reconcile.BreakAssigned{Of: of, Break: "brk_1", Owner: "meera", Actor: "asha"},
		&reconcile.SettlementProposed{Of: of, Break: "brk_1", Proposal: reconcile.Proposal{
			Number: 1, Amount: amount, Account: "gateway:sandbox:float", To: "adjustments", Merchant: "mer_1", Reason: "theirs", Actor: "asha",
		}},
		&reconcile.SettlementApproved{Of: of, Break: "brk_1", Number: 1, Actor: "ravi"},
		&reconcile.SettlementRejected{Of: of, Break: "brk_1", Number: 1, Reason: "no", Actor: "ravi"},
		&reconcile.BreakSettled{Of: of, Break: "brk_1", Number: 1, Positions: []string{"0:7"}},
		&reconcile.NarrationOpened{Of: of, Break: "brk_1", Reason: "who is it", Actor: "asha"},
	} {
		data, err := reconcile.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "events", fmt.Sprintf("%s.v%d.json", e.Type(), e.Schema()))
		want, err := os.ReadFile(file)
		if os.IsNotExist(err) && os.Getenv("WRITE_GOLDEN") != "" {
			want, err = data, os.WriteFile(file, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if string(data) != strings.TrimSpace(string(want)) {
			t.Errorf("%s is written as\n%s\nand stored as\n%s", e.Type(), data, want)
		}
		back, err := reconcile.Decode(e.Type(), e.Schema(), want)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := reconcile.Encode(back); err != nil || string(again) != string(data) {
			t.Errorf("%s is read as %s, %v", e.Type(), again, err)
		}
	}
	for _, bad := range []string{`{}`, `{"source":"a","currency":"INR","x":1}`, `{"source":"a","currency":"INR"} {}`, `nothing`} {
		if _, err := reconcile.Decode("source.import_finished", 1, []byte(bad)); err == nil {
			t.Errorf("%s is taken for an event", bad)
		}
	}
	if _, err := reconcile.Decode("source.opened", 2, []byte(`{}`)); err == nil {
		t.Error("a version that is not known is read")
	}
}
