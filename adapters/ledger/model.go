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
		// A command that claims a key may be submitted again: the key refuses it. Without one, only the log can tell whether
		// its payment is there already.
		of, fresh := c.Target(), c.Creates() && len(c.Keys()) > 0
		return append(needs,
			streamNeed(wallet.Stream(of.Merchant, of.Currency)),
			executor.Need{Kind: executor.Subject, Name: of.Payment, Fresh: fresh})
	case operatorCommand:
		return append(needs, streamNeed(operatorStream(c.Target().Merchant)))
	case merchantCommand:
		return append(needs, streamNeed(merchant.Stream(c.Target().Merchant)))
	}
	return needs
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

func (model) Decide(body any, states []executor.State) ([]executor.Event, error) {
	switch c := body.(type) {
	case wallet.Command:
		w, p := states[0].(*walletState), states[1].(*paymentState)
		events, err := wallet.Decide(&w.Wallet, &p.Payment, c)
		if err != nil {
			return nil, err
		}
		return walletEvents(c, events)
	case operatorCommand:
		o := states[0].(*operatorState)
		events, err := merchant.DecideOperator(&o.Operator, c.Command)
		if err != nil {
			return nil, err
		}
		return merchantEvents(operatorStream(c.Target().Merchant), c.at, events)
	case merchantCommand:
		m := states[0].(*merchantState)
		events, err := merchant.Decide(&m.Merchant, c.Command)
		if err != nil {
			return nil, err
		}
		return merchantEvents(merchant.Stream(c.Target().Merchant), c.at, events)
	}
	return nil, domain.Errorf(domain.Invalid, "command %T is not known", body)
}

func walletEvents(c wallet.Command, events []wallet.Event) ([]executor.Event, error) {
	out := make([]executor.Event, len(events))
	for i, e := range events {
		data, err := wallet.Encode(e)
		if err != nil {
			return nil, err
		}
		of := e.Header()
		out[i] = executor.Event{
			Stream: wallet.Stream(of.Merchant, of.Currency), Subject: of.Payment,
			Type: e.Type(), Schema: e.Schema(), EffectiveAt: c.Effective(), Data: data, Fact: e,
		}
	}
	return out, nil
}

func merchantEvents(stream string, at time.Time, events []merchant.Event) ([]executor.Event, error) {
	out := make([]executor.Event, len(events))
	for i, e := range events {
		data, err := merchant.Encode(e)
		if err != nil {
			return nil, err
		}
		out[i] = executor.Event{
			Stream: stream, Subject: e.Subject(),
			Type: e.Type(), Schema: e.Schema(), EffectiveAt: at, Data: data, Fact: e,
		}
	}
	return out, nil
}

// Answers: what Submit returns of the states.
func (model) Answer(body any, states []executor.State, events []executor.Event) any {
	switch body.(type) {
	case wallet.Command:
		out := &WalletResult{Wallet: states[0].(*walletState).Wallet, Payment: states[1].(*paymentState).Payment}
		for _, e := range events {
			out.Events = append(out.Events, e.Fact.(wallet.Event))
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
