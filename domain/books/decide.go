package books

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// Bounds of the general ledger.
const (
	MaxCloses = 20_000 // that stand at the same time: half a century of days
	MaxReason = 500    // bytes
	MaxActor  = 200    // bytes
	MaxName   = 200    // bytes of an account, or of what an adjustment is about
)

// Books is the state of the general ledger, folded from its stream. The zero value has nothing closed.
type Books struct {
	Closes  Closings // that stand
	Number  int      // of the newest close, also of one that was reopened
	Changes int      // closes and reopenings so far
	Marks   []Mark   // of the newest close, also of one that was reopened
	Request *Request // to reopen the last close; nil: none
}

// Closing is a close that stands.
type Closing struct {
	Number int
	Name   string // of its period
	To     time.Time
	Marks  []Mark // of every partition, in order
}

// Request is that to reopen the last close.
type Request struct{ Reason, Actor string }

// Last is the last close that stands; false when there is none.
func (b *Books) Last() (Closing, bool) {
	if len(b.Closes) == 0 {
		return Closing{}, false
	}
	return b.Closes[len(b.Closes)-1], true
}

// Command asks for a change of the general ledger.
type Command interface {
	// Keys are the dedupe keys that it claims.
	Keys() []string
	// Effective is the value date.
	Effective() time.Time
	decide(b *Books) ([]Event, error)
}

// Close closes a period. Its trial balance was read after the books had made Changes changes: with another number it is refused as
// domain.Stale, and must be read anew.
type Close struct {
	Period
	Trial
	Changes int
	Actor   string
	At      time.Time
}

// RequestReopen asks for the last close to be undone. The same again changes nothing.
type RequestReopen struct {
	Name   string // of its period
	Reason string
	Actor  string
	At     time.Time
}

// ApproveReopen undoes the last close, which another person has asked for.
type ApproveReopen struct {
	Name  string
	Actor string
	At    time.Time
}

// Adjust moves an amount, which is positive, between two accounts that are nobody's wallet. For one subject it is done once.
type Adjust struct {
	About         string // what it settles: the id of a break. It is the subject of the record
	Debit, Credit string // accounts
	Amount        money.Amount
	Reason        string
	Maker         string
	Checker       string // another person
	At            time.Time
}

// AdjustmentKey is the dedupe key of the adjustment about a subject.
func AdjustmentKey(about string) string { return "adjustment:" + about }

// Keys are none: the state refuses a repetition.
func (Close) Keys() []string { return nil }

// Keys are none: the state refuses a repetition.
func (RequestReopen) Keys() []string { return nil }

// Keys are none: the state refuses a repetition.
func (ApproveReopen) Keys() []string { return nil }

// Keys are that of what the adjustment is about.
func (c Adjust) Keys() []string { return []string{AdjustmentKey(c.About)} }

// Effective is when it was asked for.
func (c Close) Effective() time.Time { return c.At }

// Effective is when it was asked for.
func (c RequestReopen) Effective() time.Time { return c.At }

// Effective is when it was asked for.
func (c ApproveReopen) Effective() time.Time { return c.At }

// Effective is the value date of the adjustment.
func (c Adjust) Effective() time.Time { return c.At }

// Decide says which events a command causes. It is pure. No events and no error: the command changes nothing. A refusal is a
// *domain.Error, and Details name the field.
func Decide(b *Books, c Command) ([]Event, error) {
	if b == nil {
		b = &Books{}
	}
	return c.decide(b)
}

func (c Close) decide(b *Books) ([]Event, error) {
	if err := c.Closable(b); err != nil {
		return nil, err
	}
	if c.Changes != b.Changes || goesBack(b.Marks, c.Positions) {
		return nil, domain.Errorf(domain.Stale, "the books were closed or reopened while their balances were read: try again")
	}
	if err := c.Trial.valid(); err != nil {
		return nil, err
	}
	last, _ := b.Last()
	return []Event{&Closed{Number: b.Number + 1, Period: c.Period, From: last.To, Trial: c.Trial, Actor: c.Actor}}, nil
}

// Closable refuses what can be refused without the trial balance, which takes long to read.
func (c Close) Closable(b *Books) error {
	if err := text("actor", c.Actor, MaxActor); err != nil {
		return err
	}
	last, closed := b.Last()
	switch {
	case c.Name == "" || c.To.IsZero():
		return domain.InvalidField("period", "is missing")
	case c.To.After(c.At):
		return domain.InvalidField("period", fmt.Sprintf("%s has not ended yet: it ends at %s", c.Name, instant(c.To)))
	case closed && last.Name == c.Name && last.To.Equal(c.To):
		return domain.Errorf(domain.Stale, "%s is closed already", c.Name)
	case closed && !c.To.After(last.To):
		return domain.Errorf(domain.Stale, "%s ends at %s, and the books are closed up to %s, the end of %s", c.Name, instant(c.To), instant(last.To), last.Name)
	case b.stands(c.Name): // nobody could tell the two apart by their name
		return domain.Errorf(domain.Stale, "%s is closed already, in another time zone than %s", c.Name, c.Zone)
	case len(b.Closes) >= MaxCloses:
		return domain.Errorf(domain.Stale, "%d closes stand, which is the most", MaxCloses)
	}
	return nil
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// goesBack tells marks that do not stand at or behind earlier ones in each partition.
func goesBack(before, marks []Mark) bool {
	if before != nil && len(before) != len(marks) {
		return true
	}
	for p := range before {
		if marks[p].Seq < before[p].Seq {
			return true
		}
	}
	return false
}

// valid refuses what is no trial balance, and one that does not balance.
func (t *Trial) valid() error {
	if len(t.Positions) == 0 {
		return domain.InvalidField("positions", "are missing")
	}
	for p, m := range t.Positions {
		if m.Partition != p || m.Seq < 0 {
			return domain.InvalidField("positions", "must be one of each partition, in order")
		}
	}
	if len(t.Digest) != 64 || strings.Trim(t.Digest, "0123456789abcdef") != "" {
		return domain.InvalidField("digest", "must be a SHA-256 in lower-case hexadecimal")
	}
	excess := map[money.Currency]money.Amount{}
	for _, total := range t.Totals {
		if total.Kind.Type() == "" {
			return domain.InvalidField("totals", fmt.Sprintf("%q is not in the chart of accounts", total.Kind))
		}
		sum, there := excess[total.Currency]
		if !there {
			sum = money.Zero(total.Currency)
		}
		excess[total.Currency] = sum.Add(total.Debit).Sub(total.Credit)
	}
	for _, sum := range excess {
		if !sum.IsZero() {
			return domain.Errorf(domain.Stale, "the books do not balance, so they cannot be closed: debits less credits are %s", sum)
		}
	}
	return nil
}

// stands tells whether a close of the period stands.
func (b *Books) stands(name string) bool {
	return slices.ContainsFunc(b.Closes, func(c Closing) bool { return c.Name == name })
}

// isLast refuses a period that is not the last one closed: what is behind it stands on it.
func (b *Books) isLast(name string) error {
	last, closed := b.Last()
	switch {
	case closed && last.Name == name:
		return nil
	case b.stands(name):
		return domain.Errorf(domain.Stale, "only the last close can be reopened, and that is %s", last.Name)
	}
	return domain.Errorf(domain.NotFound, "%s is not closed", name)
}

func (c RequestReopen) decide(b *Books) ([]Event, error) {
	if err := text("actor", c.Actor, MaxActor); err != nil {
		return nil, err
	}
	if err := text("reason", c.Reason, MaxReason); err != nil {
		return nil, err
	}
	if err := b.isLast(c.Name); err != nil {
		return nil, err
	}
	if r := b.Request; r != nil {
		if *r == (Request{c.Reason, c.Actor}) {
			return nil, nil
		}
		return nil, domain.Errorf(domain.Stale, "%s has asked for %s to be reopened already, and it waits for another person: %s", r.Actor, c.Name, r.Reason)
	}
	return []Event{&ReopenRequested{Number: b.Closes[len(b.Closes)-1].Number, Name: c.Name, Reason: c.Reason, Actor: c.Actor}}, nil
}

func (c ApproveReopen) decide(b *Books) ([]Event, error) {
	if err := text("actor", c.Actor, MaxActor); err != nil {
		return nil, err
	}
	if err := b.isLast(c.Name); err != nil {
		return nil, err
	}
	r := b.Request
	if r == nil {
		return nil, domain.Errorf(domain.Stale, "nobody has asked for %s to be reopened", c.Name)
	}
	if err := c.Another(r.Actor); err != nil {
		return nil, err
	}
	return []Event{&Reopened{
		Number: b.Closes[len(b.Closes)-1].Number, Name: c.Name, Reason: r.Reason, Requested: r.Actor, Actor: c.Actor,
	}}, nil
}

// Another refuses an approval by the person who has asked.
func (c ApproveReopen) Another(asked string) error {
	if domain.SamePerson(asked, c.Actor) {
		return domain.Errorf(domain.Forbidden, "%s has asked for it: another person must approve", asked)
	}
	return nil
}

func (c Adjust) decide(*Books) ([]Event, error) {
	for _, t := range []struct {
		field, value string
		limit        int
	}{
		{"subject", c.About, MaxName}, {"debit_account", c.Debit, MaxName}, {"credit_account", c.Credit, MaxName},
		{"reason", c.Reason, MaxReason}, {"maker", c.Maker, MaxActor}, {"checker", c.Checker, MaxActor},
	} {
		if err := text(t.field, t.value, t.limit); err != nil {
			return nil, err
		}
	}
	for _, a := range []struct{ field, name string }{{"debit_account", c.Debit}, {"credit_account", c.Credit}} {
		account, known := ParseAccount(a.name)
		switch {
		case !known:
			return nil, domain.InvalidField(a.field, fmt.Sprintf("%q is not in the chart of accounts", a.name))
		case account.Kind.Wallets():
			return nil, domain.InvalidField(a.field, fmt.Sprintf("%s is a merchant's: only its wallet moves it", a.name))
		}
	}
	_, known := c.Amount.Currency().Exponent()
	kind, _, _ := strings.Cut(c.About, "_")
	switch {
	case slices.Contains([]string{"txn", "bat", "sus", "dsp", "rfd"}, kind): // a line of it would be told as one of theirs
		return nil, domain.InvalidField("subject", "must not be a payment, a batch, a suspense entry, a dispute or a refund: they have events of their own")
	case c.Debit == c.Credit:
		return nil, domain.InvalidField("credit_account", "must be another account than debit_account")
	case !known:
		return nil, domain.InvalidField("currency", fmt.Sprintf("%q is not known", c.Amount.Currency()))
	case c.Amount.Sign() <= 0:
		return nil, domain.InvalidField("amount", "must be more than zero")
	case domain.SamePerson(c.Maker, c.Checker):
		return nil, domain.Errorf(domain.Forbidden, "%s has proposed it: another person must approve", c.Maker)
	}
	if _, fits := c.Amount.Minor(); !fits {
		return nil, domain.InvalidField("amount", "is too large")
	}
	return []Event{&Adjusted{
		About: c.About, Debit: c.Debit, Credit: c.Credit, Amount: c.Amount, Currency: c.Amount.Currency(), Reason: c.Reason, Maker: c.Maker, Checker: c.Checker,
	}}, nil
}

// text allows one line of text.
func text(field, s string, limit int) error {
	switch {
	case strings.TrimSpace(s) == "":
		return domain.InvalidField(field, "must not be blank")
	case len(s) > limit:
		return domain.InvalidField(field, fmt.Sprintf("must not be longer than %d bytes", limit))
	case strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s):
		return domain.InvalidField(field, "must be one line of text")
	}
	return nil
}

// Clone shares nothing with b that Evolve changes.
func (b *Books) Clone() Books {
	c := *b
	c.Closes = slices.Clone(b.Closes)
	return c
}

// Evolve brings the general ledger behind an event. It cannot fail.
func (b *Books) Evolve(e Event) {
	switch e := e.(type) {
	case *Closed:
		b.Closes = append(b.Closes, Closing{e.Number, e.Name, e.To, e.Positions})
		b.Number, b.Marks, b.Request = e.Number, e.Positions, nil
		b.Changes++
	case *ReopenRequested:
		b.Request = &Request{e.Reason, e.Actor}
	case *Reopened:
		b.Closes = slices.DeleteFunc(b.Closes, func(c Closing) bool { return c.Number == e.Number })
		b.Request = nil
		b.Changes++
	}
}
