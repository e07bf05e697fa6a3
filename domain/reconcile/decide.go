package reconcile

import (
	"fmt"
	"slices"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
)

// Declare makes a source, or gives it other terms; no event where it has them already.
func (s *Source) Declare(name string, c money.Currency, t Terms, actor string) ([]Event, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if _, known := c.Exponent(); !known {
		return nil, domain.InvalidField("currency", "is not known")
	}
	if err := t.Check(name); err != nil {
		return nil, err
	}
	of := Of{Source: name, Currency: c}
	switch {
	case s.Version == 0:
		return []Event{&Opened{Of: of, Terms: t, Actor: actor}}, nil
	case s.Currency != c:
		return nil, domain.InvalidField("currency", fmt.Sprintf("the source is in %s, which does not change", s.Currency))
	case s.Terms.equal(&t):
		return nil, nil
	}
	if err := t.Follows(&s.Terms); err != nil {
		return nil, err
	}
	return []Event{&Changed{Of: of, Terms: t, Actor: actor}}, nil
}

// Begin begins the import of a file that has none of its lines in the log yet, or goes on with one that was begun and not finished: then there is no event.
// domain.Invalid for a file of another account or currency.
func (s *Source) Begin(f File, c money.Currency, actor string) ([]Event, error) {
	switch {
	case s.Version == 0:
		return nil, domain.Errorf(domain.NotFound, "there is no such source")
	case f.Account != "" && !sameAccount(f.Account, s.Account):
		return nil, domain.InvalidField("account", fmt.Sprintf("the file is of account %s, source %s is of %s", f.Account, s.Of.Source, s.Account))
	case c != s.Currency:
		return nil, domain.InvalidField("currency", fmt.Sprintf("the file is in %s, source %s in %s", c, s.Of.Source, s.Currency))
	case f.Lines > MaxLines:
		return nil, domain.InvalidField("file", fmt.Sprintf("has %d lines, the most is %d", f.Lines, MaxLines))
	case s.Open != nil && s.Open.Same(&f):
		return nil, nil
	}
	return []Event{&Imported{Of: s.Of, File: f, Import: s.begun + 1, Actor: actor}}, nil
}

// Same tells whether an import is of a file and of what was read out of it: another mapping reads other lines.
func (f *File) Same(o *File) bool { return f.SHA256 == o.SHA256 && f.Content == o.Content }

// sameAccount compares account numbers as formats write them: with a bank's code in front, with blanks or without.
func sameAccount(a, b string) bool { return plain(a) == plain(b) }

func plain(s string) string {
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z':
			out = append(out, c-'a'+'A')
		case c != ' ' && c != '-':
			out = append(out, c)
		}
	}
	return string(out)
}

// Fresh are the lines of a file that the source does not have, or of which it does not know the settlement yet, as they are to be kept; new is how many
// of them it does not have. prints are the keyed hashes of the narrations, by place in lines; "" where none is needed.
func (s *Source) Fresh(lines []Line, prints []string) (fresh []Stored, places []int, added int) {
	times := map[Identity]int{}
	for n := range lines {
		l := &lines[n]
		kept := Stored{
			Number: l.Number, Date: Day{l.Date}, Amount: l.Amount, Fee: l.Fee, Tax: l.Tax, UTR: l.UTR, Gateway: l.Gateway, Reference: l.Reference,
			Tail: l.Tail, Settlement: l.Settlement, Print: prints[n],
		}
		first := kept.identity(s.Kind)
		kept.Occurrence = times[first]
		times[first]++
		known := s.same[kept.identity(s.Kind)]
		switch {
		case known == nil:
			added++
		case l.Settlement == "" || known.Settlement != "":
			continue
		}
		fresh, places = append(fresh, kept), append(places, n)
	}
	return fresh, places, added
}

// find returns a break that a person is to decide about.
func (s *Source) find(id string) (*Break, error) {
	b := s.breaks[id]
	if b == nil {
		return nil, domain.Errorf(domain.NotFound, "there is no break %s", id)
	}
	return b, nil
}

// Assign gives a break to somebody, or to nobody.
func (s *Source) Assign(id, owner, actor string) ([]Event, error) {
	b, err := s.find(id)
	switch {
	case err != nil:
		return nil, err
	case b.Ended():
		return nil, domain.Errorf(domain.Stale, "break %s is %s", id, b.Status)
	case len(owner) > MaxActor:
		return nil, domain.InvalidField("owner", fmt.Sprintf("must not be longer than %d bytes", MaxActor))
	case b.Owner == owner:
		return nil, nil
	}
	return []Event{&BreakAssigned{Of: s.Of, Break: id, Owner: owner, Actor: actor}}, nil
}

// Way is how somebody wants a break settled.
type Way struct {
	To       string // account of the books against which the difference is posted; "": adjustments
	Merchant string // whose money it is; then To must be empty
	Accept   bool   // nothing is posted: it stays as it is
	Reason   string
	Actor    string
}

// Propose says how a break should be settled. It takes the place of an earlier proposal; the same again, of the same person, changes nothing.
func (s *Source) Propose(id string, w Way) ([]Event, error) {
	b, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if b.Status != BreakOpen && b.Status != BreakProposed {
		return nil, domain.Errorf(domain.Stale, "break %s is %s", id, b.Status)
	}
	p := Proposal{Number: b.Proposals + 1, Amount: b.Amount, Reason: w.Reason, Actor: w.Actor}
	if err := s.way(b, &w, &p); err != nil {
		return nil, err
	}
	if b.Status == BreakProposed {
		same := b.Proposal
		same.Number = p.Number
		if same == p {
			return nil, nil
		}
	}
	return []Event{&SettlementProposed{Of: s.Of, Break: id, Proposal: p}}, nil
}

// way fills in what is posted. A break of a pair that is matched moves nothing, unless somebody says where to.
func (s *Source) way(b *Break, w *Way, p *Proposal) error {
	switch {
	case w.Reason == "" || len(w.Reason) > MaxReason:
		return domain.InvalidField("reason", fmt.Sprintf("must be 1 to %d bytes", MaxReason))
	case w.Actor == "" || len(w.Actor) > MaxActor:
		return domain.InvalidField("actor", fmt.Sprintf("must be 1 to %d bytes", MaxActor))
	case w.Accept && (w.To != "" || w.Merchant != ""), w.To != "" && w.Merchant != "":
		return domain.InvalidField("to", "an account, a merchant or nothing at all: one of them")
	}
	if w.Accept || b.Kind == Late || b.Kind == FeeDiffers && w.To == "" && w.Merchant == "" || b.Amount.IsZero() {
		if w.To != "" || w.Merchant != "" {
			return domain.InvalidField("to", "nothing is to be posted for a break of kind "+string(b.Kind))
		}
		p.Amount = money.Zero(s.Currency)
		return nil
	}
	if b.Account == "" {
		return domain.InvalidField("accept", fmt.Sprintf("source %s mirrors no account of the books that could be adjusted: the break can be accepted as it is", s.Of.Source))
	}
	p.Account, p.To, p.Merchant = b.Account, w.To, w.Merchant
	if p.To == "" {
		p.To = books.AccountAdjustments
	}
	to, known := books.ParseAccount(p.To)
	if !known || p.To == p.Account {
		return domain.InvalidField("to", p.To+" is no account that this can be posted to")
	}
	if slices.Contains(s.Books, p.To) {
		return domain.InvalidField("to", fmt.Sprintf("%s is an account that source %s mirrors, too: the bank would not have moved between them", p.To, s.Of.Source))
	}
	if to.Kind.Wallets() {
		return domain.InvalidField("to", "is a merchant's: name the merchant instead, so that its wallet follows")
	}
	return nil
}

// Approve allows what was proposed: the proposal of that number, or with 0 the last one, whichever that is. It takes another person than the one who
// proposed it: domain.Forbidden. What is approved already needs nothing more.
func (s *Source) Approve(id string, number int, actor string) ([]Event, error) {
	b, err := s.find(id)
	switch {
	case err != nil:
		return nil, err
	case b.consumed():
		return nil, nil
	case b.Status != BreakProposed:
		return nil, domain.Errorf(domain.Stale, "break %s is %s: nothing is proposed", id, b.Status)
	case number != 0 && number != b.Proposals:
		return nil, domain.Errorf(domain.Stale, "proposal %d of break %s is not the last one: that is number %d, of %s", number, id, b.Proposals, b.Proposal.Actor)
	case actor == "" || len(actor) > MaxActor:
		return nil, domain.InvalidField("actor", fmt.Sprintf("must be 1 to %d bytes", MaxActor))
	case domain.SamePerson(b.Proposal.Actor, actor):
		return nil, domain.Errorf(domain.Forbidden, "%s has proposed it: a second person must approve", actor)
	}
	return []Event{&SettlementApproved{Of: s.Of, Break: id, Number: b.Proposals, Actor: actor}}, nil
}

// OpenNarration notes that somebody reads the narration of a break's line. domain.NotFound when it has none.
func (s *Source) OpenNarration(id, reason, actor string) ([]Event, error) {
	b, err := s.find(id)
	switch {
	case err != nil:
		return nil, err
	case reason == "" || len(reason) > MaxReason:
		return nil, domain.InvalidField("reason", fmt.Sprintf("must be 1 to %d bytes", MaxReason))
	case actor == "" || len(actor) > MaxActor:
		return nil, domain.InvalidField("actor", fmt.Sprintf("must be 1 to %d bytes", MaxActor))
	case s.Item(b.Line) == nil:
		return nil, domain.Errorf(domain.NotFound, "break %s is of no line of a file", id)
	}
	return []Event{&NarrationOpened{Of: s.Of, Break: id, Reason: reason, Actor: actor}}, nil
}

// Reject refuses what was proposed; the break is open again.
func (s *Source) Reject(id, reason, actor string) ([]Event, error) {
	b, err := s.find(id)
	switch {
	case err != nil:
		return nil, err
	case b.Status != BreakProposed:
		return nil, domain.Errorf(domain.Stale, "break %s is %s: nothing is proposed", id, b.Status)
	case reason == "" || len(reason) > MaxReason:
		return nil, domain.InvalidField("reason", fmt.Sprintf("must be 1 to %d bytes", MaxReason))
	}
	return []Event{&SettlementRejected{Of: s.Of, Break: id, Number: b.Proposals, Reason: reason, Actor: actor}}, nil
}

// Done says that an approved settlement is posted.
func (s *Source) Done(id string, positions []string) ([]Event, error) {
	b, err := s.find(id)
	if err != nil || b.Status != BreakApproved {
		return nil, err
	}
	return []Event{&BreakSettled{Of: s.Of, Break: id, Number: b.Proposals, Positions: positions}}, nil
}

// Due are the breaks whose settlement is approved and not posted yet.
func (s *Source) Due() []*Break {
	var due []*Break
	for _, b := range s.Breaks {
		if b.Status == BreakApproved {
			due = append(due, b)
		}
	}
	return due
}
