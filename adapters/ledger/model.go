package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// model is the domain as the executor sees it.
type model struct{}

// States: what the executor folds records into.
type (
	walletState   struct{ wallet.Wallet }
	paymentState  struct{ wallet.Payment }
	merchantState struct{ merchant.Merchant }
	operatorState struct{ merchant.Operator }
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
	if s.Kind == "" {
		s.SealID = e.ID.String()
	}
	s.Payment.Evolve(ev, e.EffectiveAt)
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

func (model) Needs(body any, needs []executor.Need) []executor.Need {
	switch c := body.(type) {
	case wallet.Command:
		of := c.Target()
		return append(needs,
			streamNeed(wallet.Stream(of.Merchant, of.Currency)),
			executor.Need{Kind: executor.Subject, Name: of.Payment, Fresh: fresh(c)})
	case operatorCommand:
		return append(needs, streamNeed(operatorStream(c.Target().Merchant)))
	case merchantCommand:
		return append(needs, streamNeed(merchant.Stream(c.Target().Merchant)))
	}
	return needs
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

func (model) New(n executor.Need) (executor.State, error) {
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
		return &walletState{*wallet.NewWallet(id, money.Currency(currency))}, nil
	case "merchant":
		return &merchantState{}, nil
	case "operator":
		return &operatorState{}, nil
	}
	return nil, fmt.Errorf("stream %q is of no known kind", n.Name)
}

func (model) Decide(body any, states []executor.State, out []executor.Event) ([]executor.Event, error) {
	switch c := body.(type) {
	case wallet.Command:
		w, p := states[0].(*walletState), states[1].(*paymentState)
		events, err := wallet.Decide(&w.Wallet, &p.Payment, c)
		if err != nil {
			return nil, err
		}
		return walletEvents(c, events, out)
	case operatorCommand:
		o := states[0].(*operatorState)
		events, err := merchant.DecideOperator(&o.Operator, c.Command)
		if err != nil {
			return nil, err
		}
		return merchantEvents(operatorStream(c.Target().Merchant), c.at, events, out)
	case merchantCommand:
		m := states[0].(*merchantState)
		events, err := merchant.Decide(&m.Merchant, c.Command)
		if err != nil {
			return nil, err
		}
		return merchantEvents(merchant.Stream(c.Target().Merchant), c.at, events, out)
	}
	return nil, domain.Errorf(domain.Invalid, "command %T is not known", body)
}

func walletEvents(c wallet.Command, events []wallet.Event, out []executor.Event) ([]executor.Event, error) {
	for _, e := range events {
		data, err := wallet.Encode(e)
		if err != nil {
			return nil, err
		}
		of := e.Header()
		out = append(out, executor.Event{
			Stream: wallet.Stream(of.Merchant, of.Currency), Subject: of.Payment,
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

// Answers: what Submit returns of the states.
func (model) Answer(body any, states []executor.State, events []executor.Event) any {
	switch body.(type) {
	case wallet.Command:
		out := &WalletResult{Wallet: states[0].(*walletState).Wallet, Payment: states[1].(*paymentState).Payment}
		if len(events) > 0 {
			out.Events = make([]wallet.Event, len(events))
		}
		for i := range events {
			out.Events[i] = events[i].Fact.(wallet.Event)
		}
		return out
	case operatorCommand:
		o := states[0].(*operatorState).Operator
		return &o
	default:
		m := states[0].(*merchantState).Merchant
		m.Keys, m.AllowedIPs, m.Services = slices.Clone(m.Keys), slices.Clone(m.AllowedIPs), slices.Clone(m.Services)
		return &m
	}
}

func (model) Decode(r *eventstore.Record) (executor.Event, error) {
	fact, err := DecodeFact(r)
	if err != nil {
		return executor.Event{}, err
	}
	return executor.Event{
		ID: r.EventID, Stream: r.Stream, Subject: r.Subject, Type: r.Type, Schema: r.Schema,
		EffectiveAt: r.EffectiveAt, Data: r.Data, Fact: fact,
	}, nil
}

// DecodeFact reads a record's data: a wallet.Event or a merchant.Event.
func DecodeFact(r *eventstore.Record) (any, error) {
	kind, _, _ := strings.Cut(r.Type, ".")
	if kind == "merchant" || kind == "operator" {
		return merchant.Decode(r.Type, r.Schema, r.Data)
	}
	return wallet.Decode(r.Type, r.Schema, r.Data)
}
