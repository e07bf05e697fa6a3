// Package editlog tells who changed what, when, from where and why: of merchants and operators, of wallets by hand, of what waits for a
// decision of a person. It is read from the log alone, where every such change is an event or did not happen: there is nothing to switch on or
// off, and a change without its entry cannot be.
//
// Before and after of a change are those of the state that the events are folded into. Keys are shown by their ids: neither they nor what they are
// found by are in an entry. What is sealed stays sealed. The address that a request came from is personal data and in the sealed
// evidence of the record, whose digests the entry has.
//
// Memory holds a page of each partition, every merchant, operator, wallet and dispute as of a position, and the batches that are not decided; however
// long the log.
package editlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Log is what the edit log is read from.
type Log interface {
	Info(ctx context.Context) (eventstore.Info, error)
	Head(ctx context.Context, partition int) (eventstore.Head, error)
	Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error)
}

// Options say which entries are asked for. The zero value asks for all.
type Options struct {
	From, Until time.Time // recorded at From or later, and before Until; zero: no such end
	Merchant    string    // whose; empty: all, and operators
	Progress    func(done, total int64)
}

// Entry is one thing that somebody did.
type Entry struct {
	Position    string    `json:"position"`
	RecordedAt  time.Time `json:"recorded_at"`
	EffectiveAt time.Time `json:"effective_at"`
	Event       string    `json:"event"`
	Subject     string    `json:"subject"`
	Merchant    string    `json:"merchant_id,omitempty"`
	Actor       string    `json:"actor"`                // who decided, both people where it takes two
	Origin      string    `json:"origin"`               // who sent the command: key:..., operator:..., cli:..., system:...
	Source      string    `json:"source"`               // api, command_line or system, as the origin tells
	Request     string    `json:"request_id,omitempty"` // as in the server's logs
	Reason      string    `json:"reason,omitempty"`
	Amount      string    `json:"amount,omitempty"`
	Currency    string    `json:"currency,omitempty"`
	Changes     []Change  `json:"changes"`
	Evidence    []string  `json:"evidence,omitempty"` // digests of the sealed messages: the request, its address, proofs
	EventID     string    `json:"event_id"`
	Hash        string    `json:"hash"`
}

// Change is a field that is not what it was.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// errEnough ends reading.
var errEnough = errors.New("enough")

// Read calls each with every entry, by time of recording, and returns the heads that the log had. The log may grow meanwhile.
func Read(ctx context.Context, log Log, o Options, each func(*Entry) error) ([]eventstore.Head, error) {
	heads, err := eventstore.Heads(ctx, log)
	if err != nil {
		return nil, err
	}
	var done, total int64
	for _, h := range heads {
		total += h.Seq
	}
	s := state{
		merchants: map[string]*merchant.Merchant{}, operators: map[string]*merchant.Operator{}, wallets: map[string]*wallet.Wallet{},
		disputes: map[string]*wallet.Dispute{}, batches: map[string]*batchState{},
	}
	err = eventstore.Merge(ctx, heads, log.Read, func(r *eventstore.Record) error {
		if done++; o.Progress != nil {
			o.Progress(done, total)
		}
		if !o.Until.IsZero() && !r.RecordedAt.Before(o.Until) {
			return errEnough // what comes is of this time or later
		}
		if o.Merchant != "" && owner(r.Stream) != o.Merchant {
			return nil
		}
		e, err := s.entry(r, r.RecordedAt.Before(o.From))
		if err == nil && e != nil {
			err = each(e)
		}
		if err != nil {
			return fmt.Errorf("record %s: %w", r.Position(), err)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return heads, nil
}

// owner is the merchant, or operator, whose stream it is.
func owner(stream string) string {
	_, rest, _ := strings.Cut(stream, ":")
	id, _, _ := strings.Cut(rest, ":")
	return id
}

// head is an entry of a record, without what its event says.
func head(r *eventstore.Record) (*Entry, error) {
	meta, err := eventstore.ParseMeta(r.Meta)
	if err != nil {
		return nil, err
	}
	e := &Entry{
		Position: r.Position().String(), RecordedAt: r.RecordedAt.UTC(), EffectiveAt: r.EffectiveAt.UTC(), Event: r.Type, Subject: r.Subject,
		Actor: meta.Actor, Origin: meta.Actor, Source: source(meta), Request: meta.Request, EventID: r.EventID.String(), Hash: r.Hash.String(),
		Changes: []Change{},
	}
	switch kind, _, _ := strings.Cut(r.Stream, ":"); kind {
	case "merchant", "wallet", "batch": // what others are about is no merchant's
		e.Merchant = owner(r.Stream)
	}
	for _, d := range r.EvidenceDigests {
		e.Evidence = append(e.Evidence, d.String())
	}
	return e, nil
}

// source says from where a command came: a request has an id, and what no person asked for names its part of the system.
func source(m eventstore.Meta) string {
	switch {
	case strings.HasPrefix(m.Actor, "system:"):
		return "system"
	case m.Request != "":
		return "api"
	}
	return "command_line"
}
