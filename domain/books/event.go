package books

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/stored"
)

// The general ledger has one stream, of an owner of its own: what is nobody's wallet and no merchant's is decided there.
const (
	Owner  = "general"
	Stream = "books:" + Owner
)

// Event is something that happened to the general ledger.
type Event interface {
	// Type is the stored name, Schema the version of the stored shape; neither changes.
	Type() string
	Schema() int
	// Topic is the subject of its record: the period, or what an adjustment is about.
	Topic() string
	// denominate gives amounts the currency that they are stored without. An error is an amount that the currency cannot hold.
	denominate() error
}

// Mark is the newest record of a partition of the log that something counts.
type Mark struct {
	Partition int
	Seq       int64 // 0: none
}

// MarshalText writes "partition:seq", as positions are written everywhere.
func (m Mark) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

func (m Mark) String() string { return fmt.Sprintf("%d:%d", m.Partition, m.Seq) }

// UnmarshalText reads what MarshalText writes.
func (m *Mark) UnmarshalText(text []byte) error {
	partition, seq, _ := strings.Cut(string(text), ":")
	p, err := strconv.Atoi(partition)
	n, wrong := strconv.ParseInt(seq, 10, 64)
	if *m = (Mark{p, n}); err != nil || wrong != nil || p < 0 || n < 0 || m.String() != string(text) {
		return fmt.Errorf("%q is not a position", text)
	}
	return nil
}

// Total is what the accounts of a kind have, in one currency: those that stand on the debit side, and those on the credit side.
type Total struct {
	Currency money.Currency `json:"currency"`
	Kind     Kind           `json:"kind"`
	Debit    money.Amount   `json:"debit"`
	Credit   money.Amount   `json:"credit"`
}

// Trial is the trial balance that a close freezes: of all records up to some marks, those with a value date before the end of the period.
type Trial struct {
	Positions []Mark  `json:"positions"` // of every partition, in order
	Totals    []Total `json:"totals"`    // by currency, then as the chart lists the kinds
	Accounts  int     `json:"accounts"`  // that have a balance, in each partition
	Digest    string  `json:"digest"`    // SHA-256 of the canonical form, lower-case hexadecimal; see Canon
}

// Closed freezes everything with a value date before To as it was in the records up to Positions. What is recorded behind them with such a
// value date is late: it is posted at To, or behind later closes.
type Closed struct {
	Number int `json:"close"` // from 1, in the order of closing
	Period
	From time.Time `json:"from,omitzero"` // end of the close before it; zero: from the beginning
	Trial
	Actor string `json:"actor"`
}

// ReopenRequested asks for the last close to be undone.
type ReopenRequested struct {
	Number int    `json:"close"`
	Name   string `json:"period"`
	Reason string `json:"reason"`
	Actor  string `json:"actor"`
}

// Reopened undoes a close: it freezes nothing any more.
type Reopened struct {
	Number    int    `json:"close"`
	Name      string `json:"period"`
	Reason    string `json:"reason"`
	Requested string `json:"requested_by"`
	Actor     string `json:"actor"` // who approved it: another person
}

// Adjusted moves an amount between two accounts that are nobody's wallet.
type Adjusted struct {
	About    string         `json:"subject"`
	Debit    string         `json:"debit_account"`
	Credit   string         `json:"credit_account"`
	Amount   money.Amount   `json:"amount"`
	Currency money.Currency `json:"currency"`
	Reason   string         `json:"reason"`
	Maker    string         `json:"maker"`
	Checker  string         `json:"checker"` // another person
}

// Topic is the period: see Event.
func (e *Closed) Topic() string { return e.Name }

// Topic is the period: see Event.
func (e *ReopenRequested) Topic() string { return e.Name }

// Topic is the period: see Event.
func (e *Reopened) Topic() string { return e.Name }

// Topic is what the adjustment is about: see Event.
func (e *Adjusted) Topic() string { return e.About }

// Type is the stored name of the event: see Event.
func (*Closed) Type() string          { return "books.closed" }
func (*ReopenRequested) Type() string { return "books.reopen_requested" }
func (*Reopened) Type() string        { return "books.reopened" }
func (*Adjusted) Type() string        { return "books.adjusted" }

// Schema is the version of the stored shape: see Event.
func (*Closed) Schema() int          { return 1 }
func (*ReopenRequested) Schema() int { return 1 }
func (*Reopened) Schema() int        { return 1 }
func (*Adjusted) Schema() int        { return 1 }

func (*ReopenRequested) denominate() error { return nil }
func (*Reopened) denominate() error        { return nil }

func (e *Closed) denominate() (err error) {
	for i := range e.Totals {
		t := &e.Totals[i]
		if t.Debit, err = t.Debit.In(t.Currency); err != nil {
			return err
		}
		if t.Credit, err = t.Credit.In(t.Currency); err != nil {
			return err
		}
	}
	return nil
}

func (e *Adjusted) denominate() (err error) {
	e.Amount, err = e.Amount.In(e.Currency)
	return err
}

// blank returns an empty event of a stored type and version, nil when there is none such.
func blank(typ string, schema int) Event {
	if schema != 1 {
		return nil
	}
	switch typ {
	case "books.closed":
		return &Closed{}
	case "books.reopen_requested":
		return &ReopenRequested{}
	case "books.reopened":
		return &Reopened{}
	case "books.adjusted":
		return &Adjusted{}
	}
	return nil
}

// Encode writes an event as it is stored: compact JSON, fields in a fixed order.
func Encode(e Event) ([]byte, error) {
	data, err := stored.Encode(e)
	if err != nil {
		return nil, fmt.Errorf("encoding %s of %s: %w", e.Type(), e.Topic(), err)
	}
	return data, nil
}

// Decode reads a stored event. It refuses a type or version that it does not know (stored.ErrUnknownType), a field that the version
// does not have, and an event about nothing.
func Decode(typ string, schema int, data []byte) (Event, error) {
	e := blank(typ, schema)
	if e == nil {
		return nil, stored.Unknown(typ, schema)
	}
	if err := stored.Decode(data, e); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", typ, err)
	}
	if e.Topic() == "" {
		return nil, fmt.Errorf("decoding %s: it is about nothing", typ)
	}
	if err := e.denominate(); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", typ, err)
	}
	return e, nil
}

// Postings returns the balanced double entry of an event. Nil for an event that moves nothing.
func Postings(e Event) []Posting {
	a, moves := e.(*Adjusted)
	if !moves {
		return nil
	}
	zero := money.Zero(a.Currency)
	return []Posting{{Account: a.Debit, Debit: a.Amount, Credit: zero}, {Account: a.Credit, Debit: zero, Credit: a.Amount}}
}
