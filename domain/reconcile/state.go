package reconcile

import (
	"crypto/sha256"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// Source is all that is known of a source, folded from its stream. It is as large as its lines are many.
type Source struct {
	Of
	Terms
	Version int64 // events folded

	Imports []Import // finished
	Open    *Import  // begun, and not finished
	Items   []*Item  // lines of the finished ones, in their order
	Breaks  []*Break // in the order in which they came up, ended ones too
	Run     int      // number of the last run that has recorded anything
	Last    *RunFinished

	begun   int // imports
	same    map[Identity]*Item
	at      map[LineAt]*Item
	entries map[Place]bool // that are matched
	groups  map[string]bool
	breaks  map[string]*Break
}

// NewSource is a source without history.
func NewSource() *Source {
	return &Source{
		same: map[Identity]*Item{}, at: map[LineAt]*Item{}, entries: map[Place]bool{}, groups: map[string]bool{}, breaks: map[string]*Break{},
	}
}

// Import is one file.
type Import struct {
	File
	Number int
	New    int // lines that no earlier file had
	Chunks int
	At     time.Time // of recording
	Actor  string

	items  []*Item // until it is finished
	merges []merge
}

// merge is what a later file knows of a line of an earlier one.
type merge struct {
	into  *Item
	later *Stored
}

// Item is a line of a finished import.
type Item struct {
	Stored
	At    LineAt
	Chunk string // id of the event that brought it, under which its narration is sealed
	Match *Match // nil: not matched
}

// Identity tells a line from all others of its source: its content, and how many equal ones its file has in front of it.
type Identity [16]byte

// identity is what a line is known by in another file. With a reference of the bank or the gateway, other texts may differ: formats of one statement
// have different ones. So have those of a bank's statement references of its own beside the UTR, while a gateway's id of a payment tells more than a UTR,
// which may be that of many. A settlement may become known later.
func (l *Stored) identity(of Kind) Identity {
	utr, gateway := l.UTR, l.Gateway
	if of == Bank && utr != "" {
		gateway = ""
	}
	parts := []string{l.Date.String(), l.Amount.Fixed(), utr, gateway, strconv.Itoa(l.Occurrence)}
	if utr == "" && gateway == "" {
		parts = append(parts, l.Fee.Fixed(), l.Tax.Fixed(), l.Reference, l.Tail, l.Print)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x1f")))
	return Identity(sum[:16])
}

// NeedsPrint tells whether only its narration can tell a line from others.
func (l *Line) NeedsPrint() bool { return l.UTR == "" && l.Gateway == "" && l.Narration != "" }

// Item returns a line; nil when there is none.
func (s *Source) Item(at LineAt) *Item { return s.at[at] }

// Break returns a break; nil when there is none.
func (s *Source) Break(id string) *Break { return s.breaks[id] }

// Imported finds the finished import of a file's content.
func (s *Source) Imported(sha256 string) (Import, bool) {
	for _, i := range s.Imports {
		if i.SHA256 == sha256 {
			return i, true
		}
	}
	return Import{}, false
}

// Covers is the first and the last day that the files of the source speak of; zero without any line.
func (s *Source) Covers() (from, to Day) {
	for i := range s.Imports {
		f := &s.Imports[i]
		if f.Lines == 0 {
			continue
		}
		if from.IsZero() || f.From.Before(from.Time) {
			from = f.From
		}
		if f.To.After(to.Time) {
			to = f.To
		}
	}
	return from, to
}

// Evolve brings the source behind an event: id is the event's, at when it was recorded. It cannot fail: what does not fit is for Admits to refuse.
func (s *Source) Evolve(e Event, id string, at time.Time) {
	s.Version++
	switch e := e.(type) {
	case *Opened:
		s.Of, s.Terms = e.Of, e.Terms
	case *Changed:
		s.Terms = e.Terms
		if s.Last != nil { // what was read before is of other accounts
			last := *s.Last
			last.Floor = time.Time{}
			s.Last = &last
		}
	case *Imported:
		s.begun = e.Import
		s.Open = &Import{File: e.File, Number: e.Import, At: at, Actor: e.Actor}
	case *LinesAdded:
		s.add(e, id)
	case *ImportFinished:
		s.finish(e)
	case *Matched:
		s.Run = max(s.Run, e.Run)
		s.match(e.Items)
	case *BreaksOpened:
		s.Run = max(s.Run, e.Run)
		s.open(e.Breaks, at)
	case *BreaksClosed:
		s.Run = max(s.Run, e.Run)
		for _, id := range e.Breaks {
			if b := s.breaks[id]; b != nil {
				b.Status, b.EndedAt = BreakClosed, at
			}
		}
	case *RunFinished:
		s.Run, s.Last = max(s.Run, e.Run), e
	default:
		s.evolveBreak(e, at)
	}
}

func (s *Source) evolveBreak(e Event, at time.Time) {
	b := s.breaks[e.Topic()]
	if b == nil {
		return
	}
	switch e := e.(type) {
	case *BreakAssigned:
		b.Owner = e.Owner
	case *SettlementProposed:
		b.Status, b.Proposal, b.Proposals = BreakProposed, e.Proposal, e.Number
	case *SettlementApproved:
		b.Status, b.Approver = BreakApproved, e.Actor
	case *SettlementRejected:
		b.Status = BreakOpen
	case *BreakSettled:
		b.Status, b.Positions, b.EndedAt = Settled, e.Positions, at
	}
}

func (s *Source) add(e *LinesAdded, id string) {
	if s.Open == nil || s.Open.Number != e.Import {
		return
	}
	s.Open.Chunks = e.Chunk
	for n := range e.Lines {
		l := &e.Lines[n]
		if known := s.same[l.identity(s.Kind)]; known != nil {
			s.Open.merges = append(s.Open.merges, merge{known, l})
			continue
		}
		s.Open.items = append(s.Open.items, &Item{Stored: *l, At: LineAt{e.Import, l.Number}, Chunk: id})
	}
}

func (s *Source) finish(e *ImportFinished) {
	if s.Open == nil || s.Open.Number != e.Import {
		return
	}
	done := *s.Open
	done.New, done.items, done.merges = e.New, nil, nil
	s.Imports = append(s.Imports, done)
	for _, m := range s.Open.merges {
		m.into.Settlement = m.later.Settlement
		if !m.later.Fee.IsZero() || !m.later.Tax.IsZero() { // zero is also what a file does not say
			m.into.Fee, m.into.Tax = m.later.Fee, m.later.Tax
		}
	}
	for _, i := range s.Open.items {
		s.same[i.identity(s.Kind)], s.at[i.At] = i, i
	}
	s.Items = append(s.Items, s.Open.items...)
	s.Open = nil
}

func (s *Source) match(found []Match) {
	for n := range found {
		m := &found[n]
		if i := s.at[m.Line]; i != nil {
			i.Match = m
		}
		if !m.Entry.IsZero() {
			s.entries[m.Entry] = true
		}
		if m.Group != "" {
			s.groups[m.Group] = true
		}
	}
}

// open adds breaks. One that had been closed comes up again, and keeps its owner and its former proposals.
func (s *Source) open(found []Break, at time.Time) {
	for n := range found {
		b := found[n]
		b.Life = Life{Status: BreakOpen, OpenedAt: at}
		if was := s.breaks[b.ID]; was != nil {
			b.Owner, b.Proposals = was.Owner, was.Proposals
			*was = b
			continue
		}
		s.breaks[b.ID] = &b
		s.Breaks = append(s.Breaks, &b)
	}
}

// Sum is what the lines of the source add up to, fees and taxes taken off.
func (s *Source) Sum() money.Amount {
	sum := money.Zero(s.Currency)
	for _, i := range s.Items {
		sum = sum.Add(i.Net())
	}
	return sum
}

// between is what the lines of some days add up to, fees and taxes taken off.
func (s *Source) between(from, to Day) money.Amount {
	sum := money.Zero(s.Currency)
	for _, i := range s.Items {
		if !i.Date.Before(from.Time) && !i.Date.After(to.Time) {
			sum = sum.Add(i.Net())
		}
	}
	return sum
}

// Net is what the line moves once fee and tax are taken off.
func (l *Stored) Net() money.Amount { return l.Amount.Sub(l.Fee).Sub(l.Tax) }
