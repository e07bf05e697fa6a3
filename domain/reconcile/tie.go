package reconcile

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/khata-ledger/khata/domain/money"
)

// Cause says why the books and the bank have different balances.
type Cause string

// The causes of a reconciliation statement, in its order.
const (
	CauseBefore      Cause = "before"       // from before the first day of the files
	CauseBooksOpen   Cause = "not_in_bank"  // in the books, and a break: the bank has it not
	CauseBooksAway   Cause = "in_transit"   // on one side alone, and too young to be missing
	CauseLinesOpen   Cause = "not_in_books" // in the files, and a break: the books have it not
	CauseAmount      Cause = "amount"       // on both sides, with two amounts
	CausePeriod      Cause = "other_period" // matched, but the entry is of a day outside of the statement
	CauseSettled     Cause = "settled"      // a break that people have settled; its adjustment is among the settlements, too
	CauseSettlements Cause = "settlements"  // matched with settlements of the gateway, which the books of this source do not have as such
)

// Tie is a bank reconciliation statement: what the books have, what makes the difference, and what the bank has.
type Tie struct {
	From, To Day          // of the files; where some of them state their balances, from the first to the last of those
	Books    money.Amount // balance of the accounts at the end of To, by value
	Causes   []Difference
	Computed money.Amount // Books, and all causes
	Bank     money.Amount // as the file says; if Stated
	Stated   bool
	Lines    money.Amount // opening balance of the first file, and all lines of those days; if Stated
	Problems []string     // what is wrong; none: it ties
}

// Difference is what a cause adds to the books.
type Difference struct {
	Cause  Cause
	Count  int
	Amount money.Amount
}

// Ties tells whether everything adds up, as far as the files say.
func (t *Tie) Ties() bool { return len(t.Problems) == 0 }

// tying adds up.
type tying struct {
	*Source
	sums  map[Cause]*Difference
	found map[Place]*Entry
	wrong []string
}

func (t *tying) add(c Cause, a money.Amount) {
	d := t.sums[c]
	if d == nil {
		d = &Difference{Cause: c, Amount: money.Zero(t.Currency)}
		t.sums[c] = d
	}
	d.Count, d.Amount = d.Count+1, d.Amount.Add(a)
}

// mostProblems is how many are listed.
const mostProblems = 20

func (t *tying) problem(format string, args ...any) {
	if len(t.wrong) < mostProblems {
		t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
	}
}

// Tie compares the books with the bank. entries are all of the source's accounts, whenever they were booked; those of later days do not count.
func (s *Source) Tie(entries []Entry) Tie {
	first, last := s.edges()
	from, to := s.Covers()
	if first != nil { // of other days nobody says what the balance was
		from, to = first.From, last.To
	}
	out := Tie{From: from, To: to, Books: money.Zero(s.Currency), Lines: money.Zero(s.Currency)}
	t := &tying{Source: s, sums: map[Cause]*Difference{}, found: map[Place]*Entry{}}
	opening := money.Zero(s.Currency)
	for i := range entries {
		e := &entries[i]
		t.found[e.Place] = e
		if e.Date.After(to.Time) {
			continue
		}
		out.Books = out.Books.Add(e.Amount)
		if e.Date.Before(from.Time) {
			opening = opening.Add(e.Amount)
		}
	}
	if first != nil {
		t.add(CauseBefore, first.Opening.Sub(opening))
	} else {
		t.add(CauseBefore, opening.Neg())
	}
	inside := t.lines(from, to)
	t.books(entries, inside, from, to)
	out.Computed = out.Books
	for _, d := range t.sums {
		if !d.Amount.IsZero() || d.Cause != CauseBefore {
			out.Causes = append(out.Causes, *d)
		}
		out.Computed = out.Computed.Add(d.Amount)
	}
	order := []Cause{CauseBefore, CauseBooksOpen, CauseBooksAway, CauseLinesOpen, CauseAmount, CausePeriod, CauseSettled, CauseSettlements}
	slices.SortFunc(out.Causes, func(a, b Difference) int {
		return cmp.Compare(slices.Index(order, a.Cause), slices.Index(order, b.Cause))
	})
	if last != nil {
		out.Stated, out.Bank, out.Lines = true, last.Closing, first.Opening.Add(s.between(from, to))
		if !out.Lines.Equal(out.Bank) {
			t.problem("the opening balance of %s and all lines make %s, and the statement closes with %s: a file is missing, or has lines that another one has, too",
				first.Opening.Fixed(), out.Lines.Fixed(), out.Bank.Fixed())
		}
		if !out.Computed.Equal(out.Bank) {
			t.problem("the books with everything that is known to differ make %s, and the bank says %s", out.Computed.Fixed(), out.Bank.Fixed())
		}
	}
	out.Problems = t.wrong
	return out
}

// edges are the first and the last statement that states its balances, by days; nil without any. Of several that begin or end with one day, as those of
// parts of a day do, those are meant that the lines between lead to, in whatever order they came.
func (s *Source) edges() (first, last *Import) {
	var firsts, lasts []*Import
	for i := range s.Imports {
		f := &s.Imports[i]
		if !f.Balanced || f.Lines == 0 {
			continue
		}
		if len(firsts) > 0 && f.From.Before(firsts[0].From.Time) {
			firsts = nil
		}
		if len(firsts) == 0 || f.From == firsts[0].From {
			firsts = append(firsts, f)
		}
		if len(lasts) > 0 && f.To.After(lasts[0].To.Time) {
			lasts = nil
		}
		if len(lasts) == 0 || f.To == lasts[0].To {
			lasts = append(lasts, f)
		}
	}
	if len(firsts) == 0 {
		return nil, nil
	}
	sum := s.between(firsts[0].From, lasts[0].To)
	for _, f := range firsts {
		closing := f.Opening.Add(sum)
		if n := slices.IndexFunc(lasts, func(l *Import) bool { return l.Closing.Equal(closing) }); n >= 0 {
			return f, lasts[n]
		}
	}
	return firsts[0], lasts[len(lasts)-1]
}

// lines adds what the files have beside the books, and returns the entries that are matched with lines.
func (t *tying) lines(from, to Day) map[Place]bool {
	inside := map[Place]bool{}
	byLine := map[LineAt]*Break{}
	for _, b := range t.Breaks {
		if !b.Line.IsZero() && b.Status != BreakClosed && !b.Kind.lasting() {
			byLine[b.Line] = b
		}
	}
	for _, i := range t.Items {
		b := byLine[i.At]
		switch {
		case i.Date.Before(from.Time) || i.Date.After(to.Time):
			t.outside(i, from, to, inside)
		case i.Match != nil && i.Match.Group != "":
			t.add(CauseSettlements, i.Amount)
		case i.Match != nil:
			t.matched(i, from, to, inside)
		case b == nil:
			t.add(CauseBooksAway, i.Amount)
		case b.consumed():
			t.add(CauseSettled, i.Amount)
		case b.Kind == AmountDiffers && !b.Entry.IsZero():
			inside[b.Entry] = true
			if e := t.found[b.Entry]; e != nil && !e.Date.Before(from.Time) && !e.Date.After(to.Time) {
				t.add(CauseAmount, i.Amount.Sub(e.Amount))
			} else {
				t.add(CausePeriod, i.Amount)
			}
		default:
			t.add(CauseLinesOpen, i.Amount)
		}
	}
	return inside
}

// outside is about a line of a day that is not tied: the bank has then not moved what an entry of those days is matched with.
func (t *tying) outside(i *Item, from, to Day, inside map[Place]bool) {
	if i.Match == nil || i.Match.Group != "" {
		return
	}
	e := t.holds(i, inside)
	if e != nil && !e.Date.Before(from.Time) && !e.Date.After(to.Time) {
		t.add(CausePeriod, e.Amount.Neg())
	}
	inside[i.Match.Entry] = true
}

// holds checks a match against the books as they are, and returns its entry; nil when there is none.
func (t *tying) holds(i *Item, inside map[Place]bool) *Entry {
	e := t.found[i.Match.Entry]
	switch {
	case e == nil:
		t.problem("line %s is matched with entry %s, which is on no account that source %s mirrors", i.At, i.Match.Entry, t.Of.Source)
	case !e.Amount.Equal(i.Amount):
		t.problem("line %s of %s is matched with entry %s of %s", i.At, i.Amount.Fixed(), i.Match.Entry, e.Amount.Fixed())
	case inside[e.Place]:
		t.problem("entry %s is matched twice", e.Place)
	}
	return e
}

// matched is about a line that is matched with an entry.
func (t *tying) matched(i *Item, from, to Day, inside map[Place]bool) {
	e := t.holds(i, inside)
	if e == nil || e.Date.Before(from.Time) || e.Date.After(to.Time) {
		t.add(CausePeriod, i.Amount)
	}
	inside[i.Match.Entry] = true
}

// books adds what the books have beside the files.
func (t *tying) books(entries []Entry, inside map[Place]bool, from, to Day) {
	byEntry := map[Place]*Break{}
	for _, b := range t.Breaks {
		if !b.Entry.IsZero() && b.Status != BreakClosed && !b.Kind.lasting() {
			byEntry[b.Entry] = b
		}
	}
	for n := range entries {
		e := &entries[n]
		if inside[e.Place] || e.Date.Before(from.Time) || e.Date.After(to.Time) {
			continue
		}
		b, about := byEntry[e.Place], t.breaks[e.Transaction]
		switch {
		case about != nil && about.consumed(), b != nil && b.consumed():
			t.add(CauseSettled, e.Amount.Neg())
		case b == nil:
			t.add(CauseBooksAway, e.Amount.Neg())
		default:
			t.add(CauseBooksOpen, e.Amount.Neg())
		}
	}
}
