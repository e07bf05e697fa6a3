package reconcile

import (
	"fmt"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/stored"
)

// Event is something that happened to a source.
type Event interface {
	// Type is the stored name, Schema the version of the stored shape; neither changes.
	Type() string
	Schema() int
	// Header names the source.
	Header() Of
	// Topic is what the event's record is about: the register of sources, a source or a break.
	Topic() string
	// denominate gives amounts the currency that they are stored without. An error is an amount that the currency cannot hold.
	denominate() error
}

// Of names a source, and the currency of everything in it.
type Of struct {
	Source   string         `json:"source"`
	Currency money.Currency `json:"currency"`
}

// Opened makes a source.
type Opened struct {
	Of
	Terms
	Actor string `json:"actor"`
}

// Changed gives it other terms.
type Changed struct {
	Of
	Terms
	Actor string `json:"actor"`
}

// Imported begins the import of a file. One that was begun before and not finished is given up with it: nothing of that counts.
type Imported struct {
	Of
	File
	Import int    `json:"import"` // number of it, from 1
	Actor  string `json:"actor"`
}

// File is what is known of a file.
type File struct {
	SHA256   string       `json:"sha256"`
	Content  string       `json:"content,omitempty"` // digest of what was read out of it, with whatever mapping
	Format   string       `json:"format"`
	Name     string       `json:"name,omitempty"` // without its folder
	Account  string       `json:"account,omitempty"`
	Lines    int          `json:"lines"`
	From     Day          `json:"from,omitzero"` // of the earliest line
	To       Day          `json:"to,omitzero"`   // of the latest one
	Opening  money.Amount `json:"opening,omitzero"`
	Closing  money.Amount `json:"closing,omitzero"`
	Balanced bool         `json:"balanced,omitempty"` // it states its balances
}

// LinesAdded is one chunk of a file's lines: those that no earlier file had.
type LinesAdded struct {
	Of
	Import int      `json:"import"`
	Chunk  int      `json:"chunk"` // from 1
	Lines  []Stored `json:"lines"`
	Sealed string   `json:"sealed,omitempty"` // JSON array of their narrations, sealed under the event's id; "" when none has any
}

// Stored is a line as it is kept.
type Stored struct {
	Number     int          `json:"n"`
	Date       Day          `json:"date"`
	Amount     money.Amount `json:"amount"`
	Fee        money.Amount `json:"fee,omitzero"`
	Tax        money.Amount `json:"tax,omitzero"`
	UTR        string       `json:"utr,omitempty"`
	Gateway    string       `json:"gateway,omitempty"`
	Reference  string       `json:"reference,omitempty"`
	Tail       string       `json:"tail,omitempty"`
	Settlement string       `json:"settlement,omitempty"`
	Print      string       `json:"print,omitempty"`      // keyed hash of the narration, where nothing else tells the line from others
	Occurrence int          `json:"occurrence,omitempty"` // how many equal lines the file has in front of it
}

// ImportFinished makes the lines of a file count.
type ImportFinished struct {
	Of
	Import int `json:"import"`
	New    int `json:"new"` // lines that no earlier file had
}

// Matched are lines whose entries, or settlements, were found.
type Matched struct {
	Of
	Run   int     `json:"run"`
	Items []Match `json:"items"`
}

// Match is a line and what it is of: an entry of the books, or a settlement of the settlement source.
type Match struct {
	Pass  Pass   `json:"pass"`
	Line  LineAt `json:"line"`
	Entry Place  `json:"entry,omitzero"`
	Group string `json:"settlement,omitempty"`
}

// BreaksOpened are things that do not agree.
type BreaksOpened struct {
	Of
	Run    int     `json:"run"`
	Breaks []Break `json:"breaks"`
}

// BreaksClosed have been resolved by what came later.
type BreaksClosed struct {
	Of
	Run    int      `json:"run"`
	Breaks []string `json:"breaks"` // ids
}

// RunFinished ends a run.
type RunFinished struct {
	Of
	Tally
	Run   int       `json:"run"`
	Upto  Day       `json:"upto"`           // lines and entries of a later date were left alone
	Start Day       `json:"start,omitzero"` // first day that the source's files cover
	Floor time.Time `json:"floor,omitzero"` // no entry recorded before is open: the next run need not read those
	Heads []string  `json:"heads"`          // positions of the log that the entries were read up to
	Actor string    `json:"actor"`
}

// Tally counts what a run has found.
type Tally struct {
	Matched        int          `json:"matched"`
	Opened         int          `json:"opened"`
	Closed         int          `json:"closed"`
	LinesInTransit int          `json:"lines_in_transit"`
	LinesTransit   money.Amount `json:"lines_in_transit_amount"`
	BooksInTransit int          `json:"entries_in_transit"`
	BooksTransit   money.Amount `json:"entries_in_transit_amount"`
}

// BreakAssigned gives a break to somebody.
type BreakAssigned struct {
	Of
	Break string `json:"break"`
	Owner string `json:"owner"` // "": nobody any more
	Actor string `json:"actor"`
}

// SettlementProposed says how a break should be settled. A later proposal takes its place.
type SettlementProposed struct {
	Of
	Break string `json:"break"`
	Proposal
}

// Proposal is how a break should be settled. A positive amount makes the account of the books grow.
type Proposal struct {
	Number   int          `json:"number"` // of the break's, from 1
	Amount   money.Amount `json:"amount"`
	Account  string       `json:"account,omitempty"`  // of the books, that the source mirrors; "" when nothing is posted: the break is accepted as it is
	To       string       `json:"to,omitempty"`       // the other account of the posting
	Merchant string       `json:"merchant,omitempty"` // whose money it is: To is then adjustments, and the wallet is adjusted against them
	Reason   string       `json:"reason"`
	Actor    string       `json:"actor"`
}

// Posts tells whether anything is posted at all.
func (p *Proposal) Posts() bool { return p.Account != "" }

// SettlementApproved allows the posting of a proposal. From here on it is posted, whatever happens.
type SettlementApproved struct {
	Of
	Break  string `json:"break"`
	Number int    `json:"number"`
	Actor  string `json:"actor"`
}

// SettlementRejected refuses it.
type SettlementRejected struct {
	Of
	Break  string `json:"break"`
	Number int    `json:"number"`
	Reason string `json:"reason"`
	Actor  string `json:"actor"`
}

// BreakSettled says that everything is posted.
type BreakSettled struct {
	Of
	Break     string   `json:"break"`
	Number    int      `json:"number"`
	Positions []string `json:"positions,omitempty"` // of the records that it was posted with
}

// NarrationOpened says that the sealed narration of a break's line was opened for somebody. It changes nothing.
type NarrationOpened struct {
	Of
	Break  string `json:"break"`
	Reason string `json:"reason"`
	Actor  string `json:"actor"`
}

// Header names the source: see Event.
func (of Of) Header() Of { return of }

// Topic is the source, unless an event says otherwise: see Event.
func (of Of) Topic() string { return "source-" + of.Source }

// Topic is the register of sources: see Event.
func (*Opened) Topic() string { return Register }

// Topic is the register of sources: see Event.
func (*Changed) Topic() string { return Register }

// Topic is the break: see Event.
func (e *BreakAssigned) Topic() string { return e.Break }

// Topic is the break: see Event.
func (e *SettlementProposed) Topic() string { return e.Break }

// Topic is the break: see Event.
func (e *SettlementApproved) Topic() string { return e.Break }

// Topic is the break: see Event.
func (e *SettlementRejected) Topic() string { return e.Break }

// Topic is the break: see Event.
func (e *BreakSettled) Topic() string { return e.Break }

// Topic is the break: see Event.
func (e *NarrationOpened) Topic() string { return e.Break }

func (Of) denominate() error { return nil }

func (e *Imported) denominate() error { return inCurrency(e.Currency, &e.Opening, &e.Closing) }

func (e *LinesAdded) denominate() error {
	for n := range e.Lines {
		l := &e.Lines[n]
		if err := inCurrency(e.Currency, &l.Amount, &l.Fee, &l.Tax); err != nil {
			return fmt.Errorf("line %d: %w", l.Number, err)
		}
	}
	return nil
}

func (e *BreaksOpened) denominate() error {
	for n := range e.Breaks {
		if err := inCurrency(e.Currency, &e.Breaks[n].Amount); err != nil {
			return fmt.Errorf("break %s: %w", e.Breaks[n].ID, err)
		}
	}
	return nil
}

func (e *RunFinished) denominate() error {
	return inCurrency(e.Currency, &e.LinesTransit, &e.BooksTransit)
}

func (e *SettlementProposed) denominate() error { return inCurrency(e.Currency, &e.Amount) }

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
func (*Opened) Type() string             { return "source.opened" }
func (*Changed) Type() string            { return "source.changed" }
func (*Imported) Type() string           { return "source.imported" }
func (*LinesAdded) Type() string         { return "source.lines" }
func (*ImportFinished) Type() string     { return "source.import_finished" }
func (*Matched) Type() string            { return "source.matched" }
func (*BreaksOpened) Type() string       { return "source.breaks_opened" }
func (*BreaksClosed) Type() string       { return "source.breaks_closed" }
func (*RunFinished) Type() string        { return "source.run_finished" }
func (*BreakAssigned) Type() string      { return "source.break_assigned" }
func (*SettlementProposed) Type() string { return "source.settlement_proposed" }
func (*SettlementApproved) Type() string { return "source.settlement_approved" }
func (*SettlementRejected) Type() string { return "source.settlement_rejected" }
func (*BreakSettled) Type() string       { return "source.break_settled" }
func (*NarrationOpened) Type() string    { return "source.narration_opened" }

// Schema is the version of the stored shape: see Event.
func (Of) Schema() int { return 1 }

// blank returns an empty event of a stored type and version, nil when there is none such.
func blank(typ string, schema int) Event {
	if schema != 1 {
		return nil
	}
	for _, e := range []Event{
		&Opened{}, &Changed{}, &Imported{}, &LinesAdded{}, &ImportFinished{}, &Matched{}, &BreaksOpened{}, &BreaksClosed{}, &RunFinished{},
		&BreakAssigned{}, &SettlementProposed{}, &SettlementApproved{}, &SettlementRejected{}, &BreakSettled{},
		&NarrationOpened{},
	} {
		if e.Type() == typ {
			return e
		}
	}
	return nil
}

// Encode writes an event as it is stored: compact JSON, fields in a fixed order.
func Encode(e Event) ([]byte, error) {
	data, err := stored.Encode(e)
	if err != nil {
		return nil, fmt.Errorf("encoding %s of %s: %w", e.Type(), e.Header().Source, err)
	}
	return data, nil
}

// Decode reads a stored event. It refuses a type or version that it does not know (stored.ErrUnknownType), a field that the version does not have,
// and an event of no source.
func Decode(typ string, schema int, data []byte) (Event, error) {
	e := blank(typ, schema)
	if e == nil {
		return nil, stored.Unknown(typ, schema)
	}
	if err := stored.Decode(data, e); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", typ, err)
	}
	if of := e.Header(); of.Source == "" || of.Currency == "" {
		return nil, fmt.Errorf("decoding %s: it names no source", typ)
	}
	if err := e.denominate(); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", typ, err)
	}
	return e, nil
}
