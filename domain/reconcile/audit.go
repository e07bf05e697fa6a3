package reconcile

import (
	"errors"
	"fmt"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// Audit checks that the events of a source are ones that the rules give, in an order that they give. It keeps no texts: some hundred bytes for each
// line.
type Audit struct {
	Terms       // as they are now
	begun       int
	open        int // import that is not finished; 0: none
	chunks      int
	added       map[LineAt]addedLine // of it
	lines       map[LineAt]*auditedLine
	same        map[Identity]bool // of lines
	settlements map[string]bool   // that lines are of
	entries     map[Place]bool
	groups      map[string]bool
	breaks      map[string]*Break
	declare     bool
}

// addedLine is a line of an import that is not finished.
type addedLine struct {
	auditedLine
	identity   Identity
	settlement string
}

// auditedLine is a line of a finished import.
type auditedLine struct {
	amount  money.Amount
	matched bool
}

// NewAudit is that of a source without history.
func NewAudit() *Audit {
	return &Audit{
		lines: map[LineAt]*auditedLine{}, same: map[Identity]bool{}, settlements: map[string]bool{}, entries: map[Place]bool{}, groups: map[string]bool{},
		breaks: map[string]*Break{},
	}
}

// Amount is that of a line; false when there is no such line.
func (a *Audit) Amount(at LineAt) (money.Amount, bool) {
	l := a.lines[at]
	if l == nil {
		return money.Amount{}, false
	}
	return l.amount, true
}

// Settles tells whether any line is of a settlement.
func (a *Audit) Settles(group string) bool { return a.settlements[group] }

// Follow goes on behind the next event, and says what is wrong with it.
func (a *Audit) Follow(e Event) error {
	if _, first := e.(*Opened); first == a.declare {
		return errors.New("a source is made by its first event, and by no other")
	}
	a.declare = true
	switch e := e.(type) {
	case *Opened:
		a.Terms = e.Terms
		return e.Check(e.Source)
	case *Changed:
		was := a.Terms
		a.Terms = e.Terms
		return errors.Join(e.Check(e.Source), e.Follows(&was))
	case *Imported, *LinesAdded, *ImportFinished:
		return a.imports(e)
	case *Matched:
		for i := range e.Items {
			if err := a.match(&e.Items[i]); err != nil {
				return err
			}
		}
		return nil
	case *BreaksOpened:
		for i := range e.Breaks {
			if err := a.opened(e.Source, &e.Breaks[i]); err != nil {
				return err
			}
		}
		return nil
	case *BreaksClosed:
		return a.closed(e)
	case *RunFinished:
		return nil
	}
	return a.decided(e)
}

func (a *Audit) imports(e Event) error {
	switch e := e.(type) {
	case *Imported:
		a.begun++
		a.open, a.chunks, a.added = e.Import, 0, map[LineAt]addedLine{}
		if e.Import != a.begun {
			return fmt.Errorf("import %d is begun where number %d is due", e.Import, a.begun)
		}
	case *LinesAdded:
		a.chunks++
		if e.Import != a.open || e.Chunk != a.chunks {
			return fmt.Errorf("chunk %d of import %d, where chunk %d of %d is due", e.Chunk, e.Import, a.chunks, a.open)
		}
		for i := range e.Lines {
			l := &e.Lines[i]
			at := LineAt{e.Import, l.Number}
			if _, is := a.added[at]; is {
				return fmt.Errorf("line %s stands twice", at)
			}
			a.added[at] = addedLine{auditedLine{amount: l.Amount}, l.identity(a.Kind), l.Settlement}
		}
	case *ImportFinished:
		return a.finish(e)
	}
	return nil
}

// finish makes the lines count that no earlier import has. The others say what settlement those are of.
func (a *Audit) finish(e *ImportFinished) error {
	was := len(a.lines)
	var twice error
	for at, l := range a.added {
		a.settlements[l.settlement] = true
		if a.same[l.identity] && l.settlement == "" {
			twice = fmt.Errorf("line %s is one that the source has already", at)
		}
		if !a.same[l.identity] {
			a.lines[at], a.same[l.identity] = &l.auditedLine, true
		}
	}
	open, added := a.open, len(a.lines)-was
	a.open, a.added = 0, nil
	delete(a.settlements, "")
	if e.Import != open || open == 0 || e.New != added {
		return fmt.Errorf("import %d ends with %d new lines, where import %d has %d", e.Import, e.New, open, added)
	}
	return twice
}

func (a *Audit) match(m *Match) error {
	line := a.lines[m.Line]
	switch {
	case line == nil:
		return fmt.Errorf("line %s is matched, and there is no such line", m.Line)
	case line.matched:
		return fmt.Errorf("line %s is matched twice", m.Line)
	case m.Entry.IsZero() == (m.Group == ""):
		return fmt.Errorf("line %s is matched with one thing, an entry or a settlement", m.Line)
	case a.entries[m.Entry]:
		return fmt.Errorf("entry %s is matched twice", m.Entry)
	case a.groups[m.Group]:
		return fmt.Errorf("settlement %s is matched twice", m.Group)
	}
	line.matched = true
	if m.Group != "" {
		a.groups[m.Group] = true
	} else {
		a.entries[m.Entry] = true
	}
	return nil
}

func (a *Audit) opened(source string, b *Break) error {
	again := *b
	again.identify(source)
	if again.ID != b.ID {
		return fmt.Errorf("break %s is not the one about line %s, entry %s", b.ID, b.Line, b.Entry)
	}
	if _, there := a.lines[b.Line]; !there && !b.Line.IsZero() {
		return fmt.Errorf("break %s is about line %s, which is not there", b.ID, b.Line)
	}
	if was := a.breaks[b.ID]; was != nil {
		if was.consumed() {
			return fmt.Errorf("break %s comes up again, but is %s", b.ID, was.Status)
		}
		again.Proposals = was.Proposals
	}
	again.Status, again.Detail = BreakOpen, ""
	a.breaks[b.ID] = &again
	return nil
}

func (a *Audit) closed(e *BreaksClosed) error {
	for _, id := range e.Breaks {
		b := a.breaks[id]
		if b == nil || b.Status != BreakOpen && b.Status != BreakProposed || b.Kind.lasting() {
			return fmt.Errorf("break %s is closed, and is not one that can be", id)
		}
		b.Status = BreakClosed
	}
	return nil
}

// decided is about what people decide of one break.
func (a *Audit) decided(e Event) error {
	b := a.breaks[e.Topic()]
	if b == nil {
		return fmt.Errorf("%s of break %s, which is not there", e.Type(), e.Topic())
	}
	wrong := fmt.Errorf("%s of break %s, which is %s with proposal %d", e.Type(), b.ID, b.Status, b.Proposals)
	switch e := e.(type) {
	case *BreakAssigned:
		if b.Ended() {
			return wrong
		}
	case *SettlementProposed:
		if b.Status != BreakOpen && b.Status != BreakProposed || e.Number != b.Proposals+1 || e.Posts() && !e.Amount.Equal(b.Amount) {
			return wrong
		}
		b.Status, b.Proposals, b.Proposal.Actor = BreakProposed, e.Number, e.Actor
	case *SettlementApproved:
		if b.Status != BreakProposed || e.Number != b.Proposals || domain.SamePerson(e.Actor, b.Proposal.Actor) {
			return wrong
		}
		b.Status = BreakApproved
	case *SettlementRejected:
		if b.Status != BreakProposed || e.Number != b.Proposals {
			return wrong
		}
		b.Status = BreakOpen
	case *BreakSettled:
		if b.Status != BreakApproved || e.Number != b.Proposals {
			return wrong
		}
		b.Status = Settled
	}
	return nil
}
