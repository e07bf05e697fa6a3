package pack

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Source is all that a pack is made of. Opened data is in clear: Build masks it.
type Source struct {
	Payment      string
	MerchantName string
	Masked       bool

	// Inclusion proves the records: those of the payment, the decisions about its batch, and the opening of data for this pack, in the order
	// of the log. See proof.Inclusion.
	Inclusion []byte
	Balances  []Step     // of the wallet, for each record of the payment
	Messages  []Message  // of the records, in order: of those of the payment and of the opening all
	Personal  []Personal // sealed parts of the payment's events
	Callbacks []Callback
	Answers   []Answer
}

// Balances are a wallet's figures at a moment, decimal.
type Balances struct {
	Available string `json:"balance"`
	Locked    string `json:"locked_balance"`
	Owed      string `json:"owed"`
}

// Step is what an event did to the wallet.
type Step struct {
	Position string   `json:"position"`
	Before   Balances `json:"before"`
	After    Balances `json:"after"`
}

// wallet is a wallet with these balances.
func (b Balances) wallet(merchant string, c money.Currency) (*wallet.Wallet, error) {
	w := wallet.NewWallet(merchant, c)
	var err error
	if w.Available, err = money.Parse(b.Available, c); err != nil {
		return nil, err
	}
	if w.Locked, err = money.Parse(b.Locked, c); err != nil {
		return nil, err
	}
	w.Owed, err = money.Parse(b.Owed, c)
	return w, err
}

func balancesOf(w *wallet.Wallet) Balances {
	return Balances{w.Available.Fixed(), w.Locked.Fixed(), w.Owed.Fixed()}
}

// Message is a raw message that belongs to a record.
type Message struct {
	Position  eventstore.Position
	Number    int // from 0
	MediaType string
	Sealed    []byte // as it is stored
	Opened    []byte // in clear
	Erased    bool   // its key is gone: Opened is nothing
	Key       []byte // of the record's commitment to its request: see vault.OpenCommitment; nil where it has none
}

// Personal is the sealed part of an event.
type Personal struct {
	Position eventstore.Position
	Opened   []byte // JSON in clear
	Erased   bool
}

// Callback is what was told to the merchant about an event, from the queue of deliveries. That is no part of the log.
type Callback struct {
	ID          string    `json:"id"`
	Position    string    `json:"position"` // of the event
	Event       string    `json:"event"`
	Tells       string    `json:"payment_status"`
	Status      string    `json:"status"` // pending, delivered, failed
	CreatedAt   time.Time `json:"created_at"`
	DeliveredAt time.Time `json:"delivered_at,omitzero"`
	Body        string    `json:"body"` // byte for byte
	Attempts    []Attempt `json:"attempts"`
}

// Attempt is one try of a callback.
type Attempt struct {
	Number     int       `json:"attempt"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	HTTPStatus int       `json:"http_status"` // 0: no answer
	LatencyMs  int64     `json:"latency_ms"`
	Error      string    `json:"error,omitempty"`
	Answer     string    `json:"answer,omitempty"` // its first KB
}

// Answer is what the API answered to the request that caused a record, where the request had an Idempotency-Key and the answer is still kept.
type Answer struct {
	Position   string    `json:"position"` // of the record
	Request    string    `json:"request"`  // method and path
	HTTPStatus int       `json:"http_status"`
	At         time.Time `json:"at"`
	Body       string    `json:"body"`
}

// Shown says what a pack shows of something that is sealed.
type Shown string

// What is shown.
const (
	AsIs     Shown = "as_is"
	Masked   Shown = "masked"
	Withheld Shown = "withheld" // in a masked pack: it cannot be masked
	Erased   Shown = "erased"   // its key was erased for ever
	LeftOut  Shown = "left_out" // of a batch: it concerns other payments
)

// indexed is a message in messages/index.json.
type indexed struct {
	Position  string `json:"position"`
	Number    int    `json:"number"`
	Event     string `json:"event"`
	MediaType string `json:"media_type,omitempty"`
	Digest    string `json:"digest"` // as the record has it
	Shown     Shown  `json:"shown"`
	Sealed    string `json:"sealed,omitempty"` // file with the sealed bytes
	File      string `json:"file,omitempty"`   // file with what is shown
	// Key is that of the record's commitment, hexadecimal: what is shown is the request that the record commits to.
	Key string `json:"commitment_key,omitempty"`
}

// known is the sealed part of an event in personal.json.
type known struct {
	Position string          `json:"position"`
	Event    string          `json:"event"`
	Shown    Shown           `json:"shown"`
	Data     json.RawMessage `json:"data,omitempty"`
}

// text is somebody's bytes as JSON can carry them: what is no UTF-8 is replaced.
func text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string([]rune(string(b)))
}

// NewAttempt has the answer as text.
func NewAttempt(a Attempt, answer []byte) Attempt {
	a.Answer = text(answer)
	return a
}
