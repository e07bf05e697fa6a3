package batch

import (
	"fmt"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/stored"
)

// Event is something that happened to a batch.
type Event interface {
	// Type is the stored name, Schema the version of the stored shape; neither changes.
	Type() string
	Schema() int
	// Header names the batch.
	Header() Of
	// denominate gives amounts the currency that they are stored without. An error is an amount that the currency cannot hold.
	denominate() error
}

// Submitted begins a batch.
type Submitted struct {
	Of
	Ref        string       `json:"batch_ref"`
	Digest     string       `json:"digest"`
	Terms      Terms        `json:"terms"`
	Count      int          `json:"count"`
	Amount     money.Amount `json:"amount"`
	Commission money.Amount `json:"commission"`
	Fee        fee.Rule     `json:"fee"`
	Actor      string       `json:"actor"`
	Columns    []Column     `json:"columns,omitempty"`
}

// ItemsAdded is one chunk.
type ItemsAdded struct {
	Of
	Chunk int    `json:"chunk"`
	Last  bool   `json:"last,omitempty"`
	Items []Item `json:"items"`
}

// Approved is one approval of the batch.
type Approved struct {
	Of
	Actor   string `json:"actor"`
	Missing int    `json:"missing,omitempty"` // how many more it needs
	Note    string `json:"note,omitempty"`
}

// RejectedBy refuses it.
type RejectedBy struct {
	Of
	Reason string `json:"reason"`
	Actor  string `json:"actor"`
	Item   int    `json:"item,omitempty"` // index of the one that stopped it
}

// CancelledBy stops it.
type CancelledBy struct {
	Of
	Reason string `json:"reason"`
	Actor  string `json:"actor"`
}

// Closed ends the making of a chunk's payouts. Another process may have made one that this one saw refused: Drawn says.
type Closed struct {
	Of
	Chunk   int       `json:"chunk"`
	Refused []Refusal `json:"refused"`
}

// Drawn says that a chunk's payouts are made.
type Drawn struct {
	Of
	Chunk   int       `json:"chunk"`
	Refused []Refusal `json:"refused,omitempty"`
}

// CompletedAll says that every payout has ended.
type CompletedAll struct{ Of }

// Header names the batch: see Event.
func (of Of) Header() Of { return of }

func (Of) denominate() error { return nil }

func (e *Submitted) denominate() error {
	return inCurrency(e.Currency, &e.Amount, &e.Commission)
}

func (e *ItemsAdded) denominate() error {
	for n := range e.Items {
		i := &e.Items[n]
		if err := inCurrency(e.Currency, &i.Amount, &i.Commission, &i.Tax); err != nil {
			return fmt.Errorf("item %d: %w", i.Index, err)
		}
	}
	return nil
}

func inCurrency(c money.Currency, amounts ...*money.Amount) error {
	for _, a := range amounts {
		var err error
		if *a, err = a.In(c); err != nil {
			return err
		}
	}
	return nil
}

// Type is the stored name of the event: see Event.
func (*Submitted) Type() string    { return "batch.submitted" }
func (*ItemsAdded) Type() string   { return "batch.items" }
func (*Approved) Type() string     { return "batch.approved" }
func (*RejectedBy) Type() string   { return "batch.rejected" }
func (*CancelledBy) Type() string  { return "batch.cancelled" }
func (*Closed) Type() string       { return "batch.closed" }
func (*Drawn) Type() string        { return "batch.drawn" }
func (*CompletedAll) Type() string { return "batch.completed" }

// Schema is the version of the stored shape: see Event.
func (*Submitted) Schema() int    { return 1 }
func (*ItemsAdded) Schema() int   { return 1 }
func (*Approved) Schema() int     { return 1 }
func (*RejectedBy) Schema() int   { return 1 }
func (*CancelledBy) Schema() int  { return 1 }
func (*Closed) Schema() int       { return 1 }
func (*Drawn) Schema() int        { return 1 }
func (*CompletedAll) Schema() int { return 1 }

// blank returns an empty event of a stored type and version, nil when there is none such.
func blank(typ string, schema int) Event {
	if schema != 1 {
		return nil
	}
	switch typ {
	case "batch.submitted":
		return &Submitted{}
	case "batch.items":
		return &ItemsAdded{}
	case "batch.approved":
		return &Approved{}
	case "batch.rejected":
		return &RejectedBy{}
	case "batch.cancelled":
		return &CancelledBy{}
	case "batch.closed":
		return &Closed{}
	case "batch.drawn":
		return &Drawn{}
	case "batch.completed":
		return &CompletedAll{}
	}
	return nil
}

// Encode writes an event as it is stored: compact JSON, fields in a fixed order.
func Encode(e Event) ([]byte, error) {
	data, err := stored.Encode(e)
	if err != nil {
		return nil, fmt.Errorf("encoding %s of %s: %w", e.Type(), e.Header().Batch, err)
	}
	return data, nil
}

// Decode reads a stored event. It refuses a type or version that it does not know (stored.ErrUnknownType), a field that the version
// does not have, and an event of no batch.
func Decode(typ string, schema int, data []byte) (Event, error) {
	e := blank(typ, schema)
	if e == nil {
		return nil, stored.Unknown(typ, schema)
	}
	if err := stored.Decode(data, e); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", typ, err)
	}
	if of := e.Header(); of.Merchant == "" || of.Batch == "" || of.Currency == "" {
		return nil, fmt.Errorf("decoding %s: it names no batch", typ)
	}
	if err := e.denominate(); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", typ, err)
	}
	return e, nil
}
