package reconcile

import (
	"slices"

	"github.com/khata-ledger/khata/domain/money"
)

// Bounds of one event.
const (
	MaxMatches = 2_000 // of one record
	MaxOpened  = 500
	MaxClosed  = 5_000
)

// Payment is what the ledger says of a payment that a line names, and that it has no entry of.
type Payment struct {
	Transaction string
	Status      string
}

// Unknown are the references of lines that no entry was found for. Status says what the ledger knows of them.
func (a *Answer) Unknown(s *Source) []string {
	var refs []string
	for i := range a.Breaks {
		b := &a.Breaks[i]
		if b.Kind != MissingInLedger {
			continue
		}
		if item := s.Item(b.Line); item != nil && item.Reference != "" {
			refs = append(refs, item.Reference)
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// Status turns lines without an entry into breaks of status, where the ledger knows their payments: the bank says that the money moved, the ledger does
// not. known is by reference.
func (a *Answer) Status(s *Source, known map[string]Payment) {
	for i := range a.Breaks {
		b := &a.Breaks[i]
		if b.Kind != MissingInLedger {
			continue
		}
		item := s.Item(b.Line)
		p, is := known[item.Reference]
		if !is {
			continue
		}
		b.Kind, b.Transaction, b.Detail = StatusDiffers, p.Transaction, "the bank has moved it, the ledger says "+p.Status
		b.identify(s.Of.Source)
	}
}

// Record is what a run adds to the stream: what was matched, which breaks are new, and which are not any more. finished ends it.
func (s *Source) Record(a *Answer, finished RunFinished) (events []Event, tally Tally) {
	run := s.Run + 1
	opened, closed := s.changed(a, finished.Upto)
	for part := range slices.Chunk(opened, MaxOpened) { // first: who dies behind the matches would lose what only the pairing shows
		events = append(events, &BreaksOpened{Of: s.Of, Run: run, Breaks: part})
	}
	for part := range slices.Chunk(a.Matches, MaxMatches) {
		events = append(events, &Matched{Of: s.Of, Run: run, Items: part})
	}
	for part := range slices.Chunk(closed, MaxClosed) {
		events = append(events, &BreaksClosed{Of: s.Of, Run: run, Breaks: part})
	}
	finished.Of, finished.Run, finished.Floor = s.Of, run, a.Floor
	finished.Tally = Tally{
		Matched: len(a.Matches), Opened: len(opened), Closed: len(closed),
		LinesInTransit: len(a.Lines), BooksInTransit: len(a.Books), LinesTransit: money.Zero(s.Currency), BooksTransit: money.Zero(s.Currency),
	}
	for _, l := range a.Lines {
		finished.LinesTransit = finished.LinesTransit.Add(l.Amount)
	}
	for i := range a.Books {
		finished.BooksTransit = finished.BooksTransit.Add(a.Books[i].Amount)
	}
	if len(events) == 0 && s.Last != nil && sameRun(s.Last, &finished) {
		return nil, finished.Tally
	}
	return append(events, &finished), finished.Tally
}

// sameRun tells that a run without a finding would say nothing new: there is no record of it then.
func sameRun(last, now *RunFinished) bool {
	return last.Upto == now.Upto && last.Start == now.Start && last.LinesInTransit == now.LinesInTransit && last.BooksInTransit == now.BooksInTransit &&
		last.Floor.IsZero() == now.Floor.IsZero()
}

// changed are the breaks that are new, or have another amount or account, and the ids of those that are gone. Of what is later than upto, the run
// knows nothing.
func (s *Source) changed(a *Answer, upto Day) (opened []Break, closed []string) {
	now := map[string]bool{}
	for i := range a.Breaks {
		b := &a.Breaks[i]
		now[b.ID] = true
		was := s.breaks[b.ID]
		if was == nil || was.Ended() || !was.Amount.Equal(b.Amount) || was.Account != b.Account {
			opened = append(opened, *b)
		}
	}
	for _, b := range s.Breaks {
		if (b.Status == BreakOpen || b.Status == BreakProposed) && !now[b.ID] && !b.Kind.lasting() && !b.Date.After(upto.Time) {
			closed = append(closed, b.ID)
		}
	}
	return opened, closed
}
