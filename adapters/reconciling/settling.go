package reconciling

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Break is a break as people are shown it.
type Break struct {
	ID          string              `json:"id"`
	Source      string              `json:"source"`
	Kind        reconcile.BreakKind `json:"kind"`
	Status      reconcile.Status    `json:"status"`
	Amount      string              `json:"amount"` // what the bank has and the books have not
	Currency    money.Currency      `json:"currency"`
	Date        reconcile.Day       `json:"date"`
	Age         int                 `json:"age_days"`
	Owner       string              `json:"owner"`
	File        string              `json:"file"` // name of it, or the beginning of its SHA-256
	Line        int                 `json:"line"` // of the file; 0: none
	Import      int                 `json:"import"`
	Position    string              `json:"position"` // of the ledger's record; "": none
	Account     string              `json:"account"`  // of the books
	Transaction string              `json:"transaction_id"`
	Settlement  string              `json:"settlement_id"`
	UTR         string              `json:"utr"`
	Reference   string              `json:"reference"`
	Detail      string              `json:"detail"`
	Narration   string              `json:"narration,omitempty"` // only where it was asked for, with a reason
	OpenedAt    time.Time           `json:"opened_at"`
	EndedAt     time.Time           `json:"ended_at,omitzero"`
	Proposal    *Proposal           `json:"proposal,omitempty"`
}

// Proposal is how a break is to be settled.
type Proposal struct {
	Number    int      `json:"number"`
	Amount    string   `json:"amount"`
	Account   string   `json:"account,omitempty"`
	To        string   `json:"to,omitempty"`
	Merchant  string   `json:"merchant_id,omitempty"`
	Reason    string   `json:"reason"`
	Actor     string   `json:"actor"`
	Approver  string   `json:"approver,omitempty"`
	Positions []string `json:"positions,omitempty"`
}

// BreakFilter picks breaks. The zero value picks all that have not ended.
type BreakFilter struct {
	Source    string
	Kind      reconcile.BreakKind
	OlderThan int // days
	Owner     string
	Nobodys   bool // those without an owner
	Ended     bool // those that have ended, too
	After     string
	Limit     int // 0: all
}

// List returns breaks, by source, then the oldest first.
func (s *Service) List(ctx context.Context, f BreakFilter) ([]Break, error) {
	names, err := s.names(ctx, f.Source)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	out := []Break{}
	for _, name := range names {
		err := s.on(ctx, name, func(src *reconcile.Source) error {
			from := len(out)
			for _, b := range src.Breaks {
				if s.picks(&f, b) {
					out = append(out, s.show(src, b))
				}
			}
			slices.SortFunc(out[from:], inList)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if f.After != "" {
		if out, err = s.behind(ctx, out, f.After); err != nil {
			return nil, err
		}
	}
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[:f.Limit]
	}
	return out, nil
}

// inList is the order of the list.
func inList(a, b Break) int {
	return cmp.Or(cmp.Compare(a.Source, b.Source), a.Date.Compare(b.Date.Time), cmp.Compare(a.ID, b.ID))
}

// behind is what comes behind a break, which need not be on the list any more: it may have ended since it was shown.
func (s *Service) behind(ctx context.Context, list []Break, id string) ([]Break, error) {
	last, err := s.Break(ctx, id)
	if domain.CodeOf(err) == domain.NotFound {
		return nil, domain.InvalidField("after", "is no break")
	}
	if err != nil {
		return nil, err
	}
	at, there := slices.BinarySearchFunc(list, last, inList)
	if there {
		at++
	}
	return list[at:], nil
}

func (s *Service) picks(f *BreakFilter, b *reconcile.Break) bool {
	return (f.Ended || !b.Ended()) && (f.Kind == "" || b.Kind == f.Kind) && (f.Owner == "" || b.Owner == f.Owner) && (!f.Nobodys || b.Owner == "") &&
		s.today().Since(b.Date) >= f.OlderThan
}

func (s *Service) show(src *reconcile.Source, b *reconcile.Break) Break {
	out := Break{
		ID: b.ID, Source: src.Of.Source, Kind: b.Kind, Status: b.Status, Amount: b.Amount.Fixed(), Currency: src.Currency, Date: b.Date,
		Age: max(s.today().Since(b.Date), 0), Owner: b.Owner, Line: b.Line.Number, Import: b.Line.Import, Position: b.Entry.Position(),
		Account: b.Account, Transaction: b.Transaction, Settlement: b.Group, Detail: b.Detail, OpenedAt: b.OpenedAt, EndedAt: b.EndedAt,
	}
	if l := src.Item(b.Line); l != nil {
		out.UTR, out.Reference = l.UTR, l.Reference
	}
	for i := range src.Imports {
		if f := &src.Imports[i]; f.Number == b.Line.Import {
			out.File = cmp.Or(f.Name, f.SHA256[:min(12, len(f.SHA256))])
		}
	}
	if b.Proposals > 0 && b.Proposal.Number > 0 {
		p := &b.Proposal
		out.Proposal = &Proposal{
			Number: p.Number, Amount: p.Amount.Fixed(), Account: p.Account, To: p.To, Merchant: p.Merchant, Reason: p.Reason, Actor: p.Actor,
			Approver: b.Approver, Positions: b.Positions,
		}
	}
	return out
}

// find returns the source of a break.
func (s *Service) find(ctx context.Context, id string) (string, error) {
	names, err := s.log.Sources(ctx)
	if err != nil {
		return "", err
	}
	found := ""
	for _, name := range names {
		err := s.on(ctx, name, func(src *reconcile.Source) error {
			if src.Break(id) != nil {
				found = name
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	if found == "" {
		return "", domain.Errorf(domain.NotFound, "there is no break %s", id)
	}
	return found, nil
}

// change decides about a break, and returns it as it is then.
func (s *Service) change(ctx context.Context, id string, o eventstore.Origin, f func(*reconcile.Source) ([]reconcile.Event, error)) (string, Break, error) {
	name, err := s.find(ctx, id)
	if err != nil {
		return "", Break{}, err
	}
	if f != nil {
		if _, err := s.decide(ctx, name, o, f); err != nil {
			return name, Break{}, err
		}
	}
	var out Break
	err = s.on(ctx, name, func(src *reconcile.Source) error {
		out = s.show(src, src.Break(id))
		return nil
	})
	return name, out, err
}

// Break returns a break. domain.NotFound.
func (s *Service) Break(ctx context.Context, id string) (Break, error) {
	_, b, err := s.change(ctx, id, eventstore.Origin{}, nil)
	return b, err
}

// Narration opens the narration of a break's line, which is sealed since it may name people. That it was opened, for whom and why, is in the log before it is.
func (s *Service) Narration(ctx context.Context, id, reason string, o eventstore.Origin) (Break, error) {
	name, b, err := s.change(ctx, id, o, func(src *reconcile.Source) ([]reconcile.Event, error) { return src.OpenNarration(id, reason, o.Actor) })
	if err != nil {
		return Break{}, err
	}
	var chunk string
	if err := s.on(ctx, name, func(src *reconcile.Source) error {
		chunk = src.Item(reconcile.LineAt{Import: b.Import, Number: b.Line}).Chunk
		return nil
	}); err != nil {
		return Break{}, err
	}
	err = s.log.EachOfSource(ctx, name, 0, func(r *eventstore.Record, e reconcile.Event) error {
		added, is := e.(*reconcile.LinesAdded)
		if !is || r.EventID.String() != chunk || added.Sealed == "" {
			return nil
		}
		plain, err := s.vault.UnsealString(ctx, r.EventID, added.Sealed)
		if err != nil {
			return fmt.Errorf("the narrations of record %s: %w", r.Position(), err)
		}
		var texts []string
		if err := json.Unmarshal([]byte(plain), &texts); err != nil {
			return fmt.Errorf("the narrations of record %s: %w", r.Position(), err)
		}
		n := slices.IndexFunc(added.Lines, func(l reconcile.Stored) bool { return l.Number == b.Line })
		if n >= 0 && n < len(texts) {
			b.Narration = texts[n]
		}
		return nil
	})
	return b, err
}

// Assign gives a break to somebody; to nobody with "".
func (s *Service) Assign(ctx context.Context, id, owner string, o eventstore.Origin) (Break, error) {
	_, b, err := s.change(ctx, id, o, func(src *reconcile.Source) ([]reconcile.Event, error) { return src.Assign(id, owner, o.Actor) })
	return b, err
}

// Propose says how a break should be settled. Nothing is posted yet.
func (s *Service) Propose(ctx context.Context, id string, w reconcile.Way, o eventstore.Origin) (Break, error) {
	if w.Merchant != "" {
		if err := s.post.KnowMerchant(ctx, w.Merchant); err != nil {
			return Break{}, err
		}
	}
	w.Actor = o.Actor
	_, b, err := s.change(ctx, id, o, func(src *reconcile.Source) ([]reconcile.Event, error) { return src.Propose(id, w) })
	return b, err
}

// Reject refuses what was proposed.
func (s *Service) Reject(ctx context.Context, id, reason string, o eventstore.Origin) (Break, error) {
	_, b, err := s.change(ctx, id, o, func(src *reconcile.Source) ([]reconcile.Event, error) { return src.Reject(id, reason, o.Actor) })
	return b, err
}

// Approve allows what another person has proposed, and posts it: once, however often it is asked for. number is of the proposal that is meant; 0: the
// last one.
func (s *Service) Approve(ctx context.Context, id string, number int, o eventstore.Origin) (Break, error) {
	name, _, err := s.change(ctx, id, o, func(src *reconcile.Source) ([]reconcile.Event, error) { return src.Approve(id, number, o.Actor) })
	if err != nil {
		return Break{}, err
	}
	if err := s.settle(ctx, name, id, o); err != nil {
		return Break{}, err
	}
	return s.Break(ctx, id)
}

// postDue posts what was approved and not posted: a process died in between, or a wallet did not have the money. What cannot be posted is told, and waits.
func (s *Service) postDue(ctx context.Context, name string, o eventstore.Origin) (settled int, problems []string, err error) {
	var due []string
	err = s.on(ctx, name, func(src *reconcile.Source) error {
		for _, b := range src.Due() {
			due = append(due, b.ID)
		}
		return nil
	})
	problems = []string{}
	for _, id := range due {
		switch err := s.settle(ctx, name, id, o); {
		case domain.CodeOf(err) != "":
			problems = append(problems, fmt.Sprintf("%s: %v", id, err))
		case err != nil:
			return settled, problems, err
		default:
			settled++
		}
	}
	return settled, problems, err
}

// settle posts an approved settlement. Each posting has an id that follows from the break's, so that it is there once; when all are, the break is settled.
func (s *Service) settle(ctx context.Context, name, id string, o eventstore.Origin) error {
	var b reconcile.Break
	var c money.Currency
	err := s.on(ctx, name, func(src *reconcile.Source) error {
		b, c = *src.Break(id), src.Currency
		return nil
	})
	if err != nil || b.Status != reconcile.BreakApproved {
		return err
	}
	var positions []string
	p := b.Proposal
	o = eventstore.Origin{Actor: o.Actor, Request: o.Request}
	if p.Merchant != "" { // first, since a wallet may refuse
		at, err := s.post.AdjustWallet(ctx, wallet.AdjustWallet{
			Base:   wallet.Base{Of: wallet.Of{Merchant: p.Merchant, Currency: c, Payment: PaymentID(id)}, At: eventstore.Micros(s.clock())},
			Amount: p.Amount, Reason: p.Reason, Actor: p.Actor + " + " + b.Approver,
		}, o)
		if err != nil {
			return waits(err, "break %s is approved and waits: adjusting the wallet of %s", id, p.Merchant)
		}
		positions = append(positions, at.String())
	}
	if p.Posts() {
		debit, credit := p.Account, p.To
		if p.Amount.Sign() < 0 {
			debit, credit = credit, debit
		}
		amount := p.Amount
		if amount.Sign() < 0 {
			amount = amount.Neg()
		}
		at, err := s.post.AdjustBooks(ctx, books.Adjust{
			About: id, Debit: debit, Credit: credit, Amount: amount, Reason: p.Reason, Maker: p.Actor, Checker: b.Approver, At: eventstore.Micros(s.clock()),
		}, o)
		if err != nil {
			return waits(err, "break %s is approved and waits: posting %s", id, amount)
		}
		positions = append(positions, at.String())
	}
	_, err = s.decide(ctx, name, o, func(src *reconcile.Source) ([]reconcile.Event, error) { return src.Done(id, positions) })
	return err
}

// waits says that a settlement could not be posted yet. A refusal is domain.Stale: the break is not what it was, and its approval stands.
func waits(err error, format string, args ...any) error {
	if domain.CodeOf(err) == "" {
		return fmt.Errorf(format+": %w", append(args, err)...)
	}
	return domain.Errorf(domain.Stale, format+": %v", append(args, err)...)
}

// PaymentID is that of the wallet's adjustment for a break.
func PaymentID(breakID string) string {
	sum := sha256.Sum256([]byte("settlement of " + breakID))
	return "txn_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}
