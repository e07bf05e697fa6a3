package pack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// part says why a record is in a pack.
type part string

const (
	ofPayment part = "payment"
	ofBatch   part = "batch"   // a decision about the batch that the payment came from
	ofOpening part = "opening" // sealed data was opened for this pack
)

// entry is a record, understood.
type entry struct {
	record eventstore.Record
	meta   eventstore.Meta
	part   part
	fact   wallet.Event // of the payment
}

// story is what the records of a pack tell. It is made of them alone.
type story struct {
	payment wallet.Payment
	entries []entry
	opening *merchant.DataOpened
	batch   string // id; "" for none
}

// tell understands the records of a pack. The error says which record is not one of it.
func tell(payment string, records []eventstore.Record) (*story, error) {
	s := &story{}
	for i := range records {
		e := entry{record: records[i]}
		r := &e.record
		meta, err := eventstore.ParseMeta(r.Meta)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", r.Position(), err)
		}
		e.meta = meta
		if i > 0 && (r.Partition != records[i-1].Partition || r.Seq <= records[i-1].Seq) {
			return nil, fmt.Errorf("record %s is out of order", r.Position())
		}
		switch kind, _, _ := strings.Cut(r.Stream, ":"); kind {
		case "wallet":
			e.part = ofPayment
			err = s.take(&e, payment)
		case "batch":
			e.part = ofBatch
			_, err = batch.Decode(r.Type, r.Schema, r.Data)
		case "merchant":
			e.part = ofOpening
			err = s.open(r, payment)
		default:
			err = fmt.Errorf("the stream %s has nothing to do with a payment", printable(r.Stream))
		}
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", r.Position(), err)
		}
		s.entries = append(s.entries, e)
	}
	return s, s.whole(payment)
}

// take folds a record of the payment.
func (s *story) take(e *entry, payment string) error {
	fact, err := wallet.Decode(e.record.Type, e.record.Schema, e.record.Data)
	if err != nil {
		return err
	}
	of := fact.Header()
	switch {
	case e.record.Subject != payment || of.Payment != payment:
		return fmt.Errorf("it is about %s", printable(e.record.Subject))
	case s.payment.Kind != "" && (of.Merchant != s.payment.Merchant || of.Currency != s.payment.Currency),
		e.record.Stream != wallet.Stream(of.Merchant, of.Currency):
		return errors.New("it is of another wallet than the payment")
	}
	e.fact = fact
	s.payment.Evolve(fact, e.record.EffectiveAt)
	s.batch = s.payment.Batch
	return nil
}

func (s *story) open(r *eventstore.Record, payment string) error {
	fact, err := merchant.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		return err
	}
	opened, is := fact.(*merchant.DataOpened)
	if !is || opened.Transaction != payment || s.opening != nil {
		return errors.New("it is not the opening of this payment's data for this pack")
	}
	s.opening = opened
	return nil
}

// whole checks that the records make up a pack.
func (s *story) whole(payment string) error {
	switch {
	case s.payment.Kind != wallet.KindPayin && s.payment.Kind != wallet.KindPayout:
		return fmt.Errorf("%s is no payin and no payout", payment)
	case s.opening == nil:
		return errors.New("there is no record of the opening of data for this pack")
	case s.opening.Merchant != s.payment.Merchant:
		return errors.New("the opening of data is of another merchant")
	}
	for i := range s.entries {
		e := &s.entries[i]
		if e.part == ofBatch && (s.batch == "" || e.record.Stream != batch.Stream(s.payment.Merchant, s.batch)) {
			return fmt.Errorf("record %s is of a batch that the payment is not from", e.record.Position())
		}
	}
	return nil
}

// line is an event in timeline.json.
type line struct {
	Position    string          `json:"position"`
	Part        part            `json:"part"`
	Event       string          `json:"event"`
	RecordedAt  string          `json:"recorded_at"`
	EffectiveAt string          `json:"effective_at"`
	Actor       string          `json:"actor"`
	Request     string          `json:"request_id,omitempty"`
	EventID     string          `json:"event_id"`
	Hash        string          `json:"hash"`
	Messages    []string        `json:"messages,omitempty"` // digests
	Before      *Balances       `json:"before,omitempty"`
	After       *Balances       `json:"after,omitempty"`
	Says        string          `json:"says"` // the data in a line
	Data        json.RawMessage `json:"data"` // without what is sealed
}

const microsLayout = "2006-01-02T15:04:05.000000Z"

// lines are the timeline.
func (s *story) lines(steps []Step) ([]line, error) {
	moved := map[string]*Step{}
	for i := range steps {
		moved[steps[i].Position] = &steps[i]
	}
	all := make([]line, len(s.entries))
	for i := range s.entries {
		e := &s.entries[i]
		r := &e.record
		data, says, err := plain(r.Data)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", r.Position(), err)
		}
		l := line{
			Position: r.Position().String(), Part: e.part, Event: r.Type, RecordedAt: r.RecordedAt.UTC().Format(microsLayout),
			EffectiveAt: r.EffectiveAt.UTC().Format(microsLayout), Actor: e.meta.Actor, Request: e.meta.Request, EventID: r.EventID.String(), Hash: r.Hash.String(),
			Says: says, Data: data,
		}
		for _, d := range r.EvidenceDigests {
			l.Messages = append(l.Messages, d.String())
		}
		if step := moved[l.Position]; step != nil {
			l.Before, l.After = &step.Before, &step.After
		}
		all[i] = l
	}
	return all, nil
}

// sealedFields are those of an event that are not for reading.
func sealedField(name string) bool { return name == "sealed" || name == "account_fp" }

// silent are fields that a line need not say: they are the same in all, or for programs.
func silent(name string) bool {
	switch name {
	case "merchant", "currency", "payment", "fee", "intent_url", "txn_ref", "transaction", "purpose", "terms", "columns", "digest", "expires_at":
		return true
	}
	return false
}

// plain is an event's data without what is sealed, and what it says in a line.
func plain(data []byte) (clean json.RawMessage, says string, err error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, "", errors.New("its data is no JSON object")
	}
	var parts []string
	clean = append(clean, '{')
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, "", err
		}
		name := t.(string) //nolint:errcheck // a member's name is a string
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, "", err
		}
		if sealedField(name) {
			continue
		}
		if len(clean) > 1 {
			clean = append(clean, ',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, "", err
		}
		clean = append(append(append(clean, quoted...), ':'), value...)
		if said := scalar(value); said != "" && !silent(name) {
			parts = append(parts, strings.ReplaceAll(name, "_", " ")+" "+said)
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, "", err
	}
	return append(clean, '}'), strings.Join(parts, ", "), nil
}

// scalar is a value on a line; "" for one that says nothing or is no scalar.
func scalar(value json.RawMessage) string {
	var s string
	switch {
	case len(value) == 0 || value[0] == '{' || value[0] == '[':
		return ""
	case value[0] == '"':
		if err := json.Unmarshal(value, &s); err != nil {
			return ""
		}
	default:
		s = string(value)
	}
	if s == "false" || s == "null" {
		return ""
	}
	return oneLine(s)
}

// oneLine has no control characters.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
