package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// model is the domain as the executor sees it. What it holds is room for one decision at a time.
type model struct {
	payment wallet.Payment // that is being decided about
	encoder wallet.Encoder
	data    pieces // of events
	stream  string // of the wallet that was needed last
	of      wallet.Of
}

func newModel() *model { return &model{data: pieces{bytes: pieceBytes}} }

// States: what the executor folds records into. Payments are many, so they are kept packed.
type (
	walletState struct {
		wallet.Wallet
		stream string
	}
	paymentState  struct{ wallet.Packed }
	merchantState struct{ merchant.Merchant }
	operatorState struct{ merchant.Operator }
	batchState    struct{ batch.Batch }
	booksState    struct{ books.Books }
)

// Copy keeps a hot wallet in memory across a conflict: its stream is long.
func (s *walletState) Copy() executor.State {
	c := *s
	return &c
}

func (s *walletState) Evolve(e executor.Event) {
	if ev, ok := e.Fact.(wallet.Event); ok {
		s.Wallet.Evolve(ev)
	}
}

func (s *paymentState) Evolve(e executor.Event) {
	ev, ok := e.Fact.(wallet.Event)
	if !ok {
		return
	}
	var p wallet.Payment
	s.Unpack(&p)
	if p.Kind == "" {
		p.SealID = e.ID.String()
	}
	p.Evolve(ev, e.EffectiveAt)
	s.Packed = p.Pack()
}

func (s *merchantState) Evolve(e executor.Event) {
	if ev, ok := e.Fact.(merchant.Event); ok {
		s.Merchant.Evolve(ev)
	}
}

func (s *operatorState) Evolve(e executor.Event) {
	if ev, ok := e.Fact.(merchant.Event); ok {
		s.Operator.Evolve(ev)
	}
}

// Copy keeps a batch in memory across a conflict: its stream has all of its items.
func (s *batchState) Copy() executor.State {
	c := *s
	return &c
}

func (s *batchState) Evolve(e executor.Event) {
	if ev, ok := e.Fact.(batch.Event); ok {
		s.Batch.Evolve(ev, e.EffectiveAt)
	}
}

// merchantCommand and operatorCommand tell the two apart (both are merchant.Command), and add the time.
type (
	merchantCommand struct {
		merchant.Command
		at time.Time
	}
	operatorCommand struct {
		merchant.Command
		at time.Time
	}
)

func (m *model) Needs(body any, needs []executor.Need) []executor.Need {
	switch c := body.(type) {
	case wallet.Command:
		of := c.Target()
		switch needs = append(needs, streamNeed(m.walletStream(of))); c.(type) {
		case wallet.Look:
			return needs
		case wallet.QueueBatch, wallet.HoldBatch, wallet.ReleaseBatch: // about the batch's hold, and no payment
			return append(needs, streamNeed(batch.Stream(of.Merchant, of.Payment)))
		}
		needs = append(needs,
			executor.Need{Kind: executor.Subject, Name: of.Payment, Fresh: fresh(c)})
		if p, ok := c.(wallet.InitiatePayout); ok && p.Batch != "" {
			needs = append(needs, streamNeed(batch.Stream(p.Merchant, p.Batch)))
		}
		return needs
	case batch.Command:
		of := c.Target()
		needs = append(needs, streamNeed(batch.Stream(of.Merchant, of.Batch)))
		switch {
		case ruled(c):
			return append(needs, streamNeed(merchant.Stream(of.Merchant)))
		case forAnItem(c):
			return append(needs, streamNeed(m.walletStream(wallet.Of{Merchant: of.Merchant, Currency: of.Currency})))
		}
		return needs
	case books.Command:
		return append(needs, streamNeed(books.Stream))
	case sourceCommand:
		return append(needs, streamNeed(reconcile.Stream(c.source)))
	case operatorCommand:
		return append(needs, streamNeed(operatorStream(c.Target().Merchant)))
	case merchantCommand:
		return append(needs, streamNeed(merchant.Stream(c.Target().Merchant)))
	}
	return needs
}

// paymentOf is the payment that a wallet's command is about; nil for none.
func paymentOf(states []executor.State) *paymentState {
	if len(states) < 2 {
		return nil
	}
	p, _ := states[1].(*paymentState) //nolint:errcheck // else it is about a batch
	return p
}

// allowed asks the batch, where a wallet's command is about one.
func allowed(c wallet.Command, states []executor.State) error {
	switch c := c.(type) {
	case wallet.InitiatePayout:
		if c.Batch != "" {
			return states[2].(*batchState).Draws(c.Merchant, c.Index, c.At)
		}
	case wallet.QueueBatch:
		return states[1].(*batchState).Pays(c.Merchant, c.At)
	case wallet.HoldBatch:
		return states[1].(*batchState).Pays(c.Merchant, c.At)
	case wallet.ReleaseBatch:
		if c.Done {
			return states[1].(*batchState).Spent(c.Merchant)
		}
	}
	return nil
}

// ruled tells a command about a batch on which the merchant's approval rule has a say.
func ruled(c batch.Command) bool {
	switch c.(type) {
	case batch.Submit, batch.AddItems, batch.Approve:
		return true
	}
	return false
}

// forAnItem tells the rejection of an atomic batch that cannot be held: it asks the wallet.
func forAnItem(c batch.Command) bool {
	r, rejects := c.(batch.Reject)
	return rejects && r.Item > 0
}

// asOfNow puts a command about a batch under the approval rule as it is now; a batch that was submitted under another one is domain.Stale.
// So is one that cannot be held, when it is held meanwhile.
func asOfNow(c batch.Command, states []executor.State) (batch.Command, error) {
	switch {
	case forAnItem(c):
		return c, c.(batch.Reject).Unheld(&states[1].(*walletState).Wallet)
	case !ruled(c):
		return c, nil
	}
	rule := states[1].(*merchantState).Approval.Version
	switch c := c.(type) {
	case batch.Submit:
		if c.Terms.Rule != rule && states[0].(*batchState).Status == "" {
			return nil, domain.Errorf(domain.Stale, "the approval rule was changed while the batch was being submitted: submit it again")
		}
	case batch.AddItems:
		return c, c.UnderRule(&states[0].(*batchState).Batch, rule)
	case batch.Approve:
		c.Rule = rule
		return c, nil
	}
	return c, nil
}

// walletStream names a wallet's stream. Neighbours are often of one wallet.
func (m *model) walletStream(of wallet.Of) string {
	of.Payment = ""
	if of != m.of {
		m.of, m.stream = of, wallet.Stream(of.Merchant, of.Currency)
	}
	return m.stream
}

// fresh tells that the command makes its payment and claims a key of its own: submitted again, it is refused by the key. Of
// those that claim none (adjustments, holds), only the log can tell whether their payment is there already.
func fresh(c wallet.Command) bool {
	switch c.(type) {
	case wallet.CreatePayin, wallet.InitiatePayout:
		return true
	}
	return false
}

func streamNeed(stream string) executor.Need {
	return executor.Need{Kind: executor.Stream, Name: stream}
}

func operatorStream(id string) string { return "operator:" + id }

func (*model) New(n executor.Need) (executor.State, error) {
	if n.Kind == executor.Subject {
		return &paymentState{}, nil
	}
	kind, rest, _ := strings.Cut(n.Name, ":")
	switch kind {
	case "wallet":
		id, currency, ok := strings.Cut(rest, ":")
		if !ok {
			return nil, fmt.Errorf("stream %q names no currency", n.Name)
		}
		return &walletState{*wallet.NewWallet(id, money.Currency(currency)), n.Name}, nil
	case "merchant":
		return &merchantState{}, nil
	case "operator":
		return &operatorState{}, nil
	case "batch":
		return &batchState{}, nil
	case "books":
		return &booksState{}, nil
	case "source":
		return &sourceState{}, nil
	}
	return nil, fmt.Errorf("stream %q is of no known kind", n.Name)
}

func (m *model) Decide(body any, states []executor.State, out []executor.Event) ([]executor.Event, error) {
	switch c := body.(type) {
	case wallet.Command:
		w := states[0].(*walletState)
		if err := allowed(c, states); err != nil {
			return nil, err
		}
		m.payment = wallet.Payment{}
		if p := paymentOf(states); p != nil {
			p.Unpack(&m.payment)
		}
		events, err := wallet.Decide(&w.Wallet, &m.payment, c)
		if err != nil {
			return nil, err
		}
		return m.walletEvents(w.stream, c, events, out)
	case batch.Command:
		c, err := asOfNow(c, states)
		if err != nil {
			return nil, err
		}
		events, err := batch.Decide(&states[0].(*batchState).Batch, c)
		if err != nil {
			return nil, err
		}
		return batchEvents(c, events, out)
	case books.Command:
		return booksEvents(&states[0].(*booksState).Books, c, out)
	case sourceCommand:
		return sourceEvents(states[0].(*sourceState), c, out)
	case operatorCommand:
		o := states[0].(*operatorState)
		events, err := merchant.DecideOperator(&o.Operator, c.Command)
		if err != nil {
			return nil, err
		}
		return merchantEvents(operatorStream(c.Target().Merchant), c.at, events, out)
	case merchantCommand:
		of := states[0].(*merchantState)
		events, err := merchant.Decide(&of.Merchant, c.Command)
		if err != nil {
			return nil, err
		}
		return merchantEvents(merchant.Stream(c.Target().Merchant), c.at, events, out)
	}
	return nil, domain.Errorf(domain.Invalid, "command %T is not known", body)
}

// eventBytes is what most events take less than.
const eventBytes = 1 << 10

// walletEvents are events of the wallet that was decided upon, and of no other.
func (m *model) walletEvents(stream string, c wallet.Command, events []wallet.Event, out []executor.Event) ([]executor.Event, error) {
	for _, e := range events {
		data, err := m.encoder.Append(m.data.room(eventBytes), e)
		if err != nil {
			return nil, err
		}
		out = append(out, executor.Event{
			Stream: stream, Subject: e.Header().Payment,
			Type: e.Type(), Schema: e.Schema(), EffectiveAt: c.Effective(), Data: m.data.keep(data), Fact: e,
		})
	}
	return out, nil
}

func batchEvents(c batch.Command, events []batch.Event, out []executor.Event) ([]executor.Event, error) {
	of := c.Target()
	for _, e := range events {
		data, err := batch.Encode(e)
		if err != nil {
			return nil, err
		}
		out = append(out, executor.Event{
			Stream: batch.Stream(of.Merchant, of.Batch), Subject: of.Batch,
			Type: e.Type(), Schema: e.Schema(), EffectiveAt: c.Effective(), Data: data, Fact: e,
		})
	}
	return out, nil
}

func merchantEvents(stream string, at time.Time, events []merchant.Event, out []executor.Event) ([]executor.Event, error) {
	for _, e := range events {
		data, err := merchant.Encode(e)
		if err != nil {
			return nil, err
		}
		out = append(out, executor.Event{
			Stream: stream, Subject: e.Subject(),
			Type: e.Type(), Schema: e.Schema(), EffectiveAt: at, Data: data, Fact: e,
		})
	}
	return out, nil
}

// answer is what Submit returns of the states of a wallet command.
type answer struct {
	wallet  wallet.Wallet
	payment wallet.Packed
}

// Answers: what Submit returns of the states.
func (*model) Answer(body any, states []executor.State, _ []executor.Event) any {
	switch body.(type) {
	case wallet.Command:
		after := &answer{wallet: states[0].(*walletState).Wallet}
		if p := paymentOf(states); p != nil {
			after.payment = p.Packed
		}
		return after
	case batch.Command:
		b := states[0].(*batchState).Batch
		return &b
	case books.Command:
		b := states[0].(*booksState).Clone()
		return &b
	case sourceCommand:
		return nil
	case operatorCommand:
		o := states[0].(*operatorState).Operator
		return &o
	default:
		m := states[0].(*merchantState).Merchant
		m.Keys, m.AllowedIPs, m.Services = slices.Clone(m.Keys), slices.Clone(m.AllowedIPs), slices.Clone(m.Services)
		return &m
	}
}

func (*model) Decode(r *eventstore.Record) (executor.Event, error) {
	if strings.HasPrefix(r.Stream, "source:") { // its events are counted; to read them all takes long
		return executor.Event{ID: r.EventID, Stream: r.Stream, Subject: r.Subject, Type: r.Type, Schema: r.Schema, EffectiveAt: r.EffectiveAt, Data: r.Data}, nil
	}
	return decode(r)
}

func decode(r *eventstore.Record) (executor.Event, error) {
	fact, err := DecodeFact(r)
	if err != nil {
		return executor.Event{}, err
	}
	return executor.Event{
		ID: r.EventID, Stream: r.Stream, Subject: r.Subject, Type: r.Type, Schema: r.Schema,
		EffectiveAt: r.EffectiveAt, Data: r.Data, Fact: fact,
	}, nil
}

// DecodeFact reads a record's data: a wallet.Event, a merchant.Event, a batch.Event, a books.Event or a reconcile.Event.
func DecodeFact(r *eventstore.Record) (any, error) {
	return event.Decode(r.Stream, r.Type, r.Schema, r.Data)
}
