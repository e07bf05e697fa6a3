package editlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// state is everything that can be changed by hand, as of a position.
type state struct {
	merchants map[string]*merchant.Merchant
	operators map[string]*merchant.Operator
	wallets   map[string]*wallet.Wallet // by stream
	disputes  map[string]*wallet.Dispute
	batches   map[string]*batchState // by id, those that are not decided or completed
	books     books.Books
}

// entry folds a record, and returns its entry; nil for none. Of a silent record none is wanted.
func (s *state) entry(r *eventstore.Record, silent bool) (*Entry, error) {
	var e *Entry
	var err error
	switch kind, _, _ := strings.Cut(r.Stream, ":"); kind {
	case "merchant", "operator":
		e, err = s.master(r)
	case "wallet":
		e, err = s.wallet(r)
	case "batch":
		e, err = s.batch(r)
	case "books":
		e, err = s.booksEntry(r)
	default:
		e, err = byHand(r)
	}
	if silent {
		e = nil
	}
	return e, err
}

// said is what events by hand have in common.
type said struct {
	Actor    word `json:"actor"`
	Reason   word `json:"reason"`
	Note     word `json:"note"`
	Amount   word `json:"amount"`
	Currency word `json:"currency"`
}

// word is a text of an event; what has another shape under its name is something else, and none.
type word string

// UnmarshalJSON reads a string.
func (w *word) UnmarshalJSON(text []byte) error {
	if len(text) == 0 || text[0] != '"' {
		*w = ""
		return nil
	}
	return json.Unmarshal(text, (*string)(w))
}

// byHand is the entry of an event that names its actor; nil where none is named. Events of kinds that are not known here are told, too, if
// somebody is named.
func byHand(r *eventstore.Record) (*Entry, error) {
	if !bytes.Contains(r.Data, []byte(`"actor"`)) { // as good as all events of a busy log
		return nil, nil
	}
	var by said
	if err := json.Unmarshal(r.Data, &by); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Type, err)
	}
	if by.Actor == "" {
		return nil, nil
	}
	e, err := head(r)
	if err != nil {
		return nil, err
	}
	e.Actor, e.Reason, e.Amount, e.Currency = string(by.Actor), string(by.Reason), string(by.Amount), string(by.Currency)
	if e.Reason == "" {
		e.Reason = string(by.Note)
	}
	if e.Amount == "" {
		e.Currency = ""
	}
	return e, nil
}

// master is about a merchant or an operator: every event of theirs is an edit.
func (s *state) master(r *eventstore.Record) (*Entry, error) {
	fact, err := merchant.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		return nil, err
	}
	e, err := byHand(r)
	if err == nil && e == nil {
		e, err = head(r)
	}
	if err != nil {
		return nil, err
	}
	e.Amount, e.Currency = "", ""
	var before, after fields
	if strings.HasPrefix(r.Stream, "operator:") {
		o := at(s.operators, r.Stream)
		before = operatorFields(o)
		o.Evolve(fact)
		after = operatorFields(o)
	} else {
		m := at(s.merchants, r.Stream)
		before = merchantFields(m)
		m.Evolve(fact)
		after = merchantFields(m)
	}
	e.Changes = changes(before, after)
	if seen, is := fact.(*merchant.DataOpened); is { // it changes nothing; what was seen is told
		e.Changes = []Change{{Field: "data opened of " + seen.Transaction, Before: "sealed", After: shown(seen.Unmasked)}}
	}
	return e, nil
}

func shown(unmasked bool) string {
	if unmasked {
		return "shown as it is"
	}
	return "shown masked"
}

func at[V any](all map[string]*V, name string) *V {
	v, there := all[name]
	if !there {
		v = new(V)
		all[name] = v
	}
	return v
}

// wallet is about money. What names an actor was done by hand.
func (s *state) wallet(r *eventstore.Record) (*Entry, error) {
	fact, err := wallet.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		return nil, err
	}
	w, there := s.wallets[r.Stream]
	if !there {
		of := fact.Header()
		w = wallet.NewWallet(of.Merchant, of.Currency)
		s.wallets[r.Stream] = w
	}
	e, err := byHand(r)
	if err != nil {
		return nil, err
	}
	disputed := s.dispute(fact, r.EffectiveAt)
	if e == nil {
		w.Evolve(fact)
		return nil, nil
	}
	before := walletFields(w)
	w.Evolve(fact)
	e.Changes = slices.Concat(statusChange(fact), disputed, changes(before, walletFields(w)))
	return e, nil
}

// dispute folds an event of a dispute, and returns what it changes of it.
func (s *state) dispute(e wallet.Event, at time.Time) []Change {
	id := wallet.DisputeOf(e)
	if id == "" {
		return nil
	}
	d, there := s.disputes[id]
	if !there {
		d = new(wallet.Dispute)
		s.disputes[id] = d
	}
	before := disputeFields(d)
	d.Evolve(e, at)
	return changes(before, disputeFields(d))
}

// statusChange is what a decision by hand makes of what it is about. The decider allows it from one status only.
func statusChange(e wallet.Event) []Change {
	status := func(name string, before, after wallet.Status) []Change {
		return []Change{{name, string(before), string(after)}}
	}
	switch e := e.(type) {
	case *wallet.PayoutSucceeded:
		return status("status", wallet.Pending, wallet.Success)
	case *wallet.PayoutRefunded:
		return status("status", wallet.Pending, wallet.Refunded)
	case *wallet.PayoutReturned:
		return status("status", wallet.Success, wallet.Refunded)
	case *wallet.PayoutPaidAfterRefund:
		return status("status", wallet.Refunded, wallet.Success)
	case *wallet.WalletHeld:
		return status("status", "", wallet.Pending)
	case *wallet.WalletReleased:
		return status("status", wallet.Pending, wallet.Released)
	case *wallet.SuspenseCredited:
		return status("suspense "+e.Suspense, "open", "credited")
	case *wallet.SuspenseRefunded:
		return status("suspense "+e.Suspense, "open", "refunded")
	case *wallet.RefundInitiated:
		return status("refund "+e.Refund, "", wallet.Status(wallet.RefundPending))
	case *wallet.RefundSucceeded:
		return status("refund "+e.Refund, wallet.Status(wallet.RefundPending), wallet.Status(wallet.RefundDone))
	case *wallet.RefundFailed:
		return status("refund "+e.Refund, wallet.Status(wallet.RefundPending), wallet.Status(wallet.RefundIsFailed))
	case *wallet.RefundPaidAfterFailure:
		return status("refund "+e.Refund, wallet.Status(wallet.RefundIsFailed), wallet.Status(wallet.RefundDone))
	}
	return nil
}

// batchState is what decisions about a batch change.
type batchState struct {
	count   int // items
	chunks  int // received
	missing int // approvals
}

func (b *batchState) fields() fields {
	status := batch.Processing
	switch {
	case b.chunks < batch.Chunks(b.count):
		status = batch.Receiving
	case b.missing > 0:
		status = batch.Awaiting
	}
	return fields{{"status", string(status)}, {"approvals_missing", strconv.Itoa(b.missing)}}
}

// batch is about a payout batch: approvals, rejections and cancellations are edits. Its items, which are much, are not decoded.
func (s *state) batch(r *eventstore.Record) (*Entry, error) {
	if r.Type == (*batch.ItemsAdded).Type(nil) {
		if b := s.batches[r.Subject]; b != nil {
			b.chunks++
		}
		return nil, nil
	}
	fact, err := batch.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		return nil, err
	}
	b := at(s.batches, r.Subject)
	before := b.fields()
	after := func() fields { return b.fields() }
	switch f := fact.(type) {
	case *batch.Submitted:
		begun := batch.Batch{Terms: f.Terms}
		*b = batchState{count: f.Count, missing: begun.Missing()}
		return nil, nil
	case *batch.Approved:
		b.missing = f.Missing
	case *batch.RejectedBy:
		delete(s.batches, r.Subject)
		after = func() fields { return before.with("status", string(batch.Rejected)) }
	case *batch.CancelledBy:
		delete(s.batches, r.Subject)
		after = func() fields { return before.with("status", string(batch.Cancelled)) }
	case *batch.CompletedAll:
		delete(s.batches, r.Subject)
		return nil, nil
	default:
		return nil, nil
	}
	e, err := byHand(r)
	if err == nil && e != nil {
		e.Changes = changes(before, after())
	}
	return e, err
}
