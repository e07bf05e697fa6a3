package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/khata-ledger/khata/domain/money"
)

// ErrUnknownType is what Decode returns for a type or version of event that this program does not know: the log was written
// by a newer one. Compare with errors.Is.
var ErrUnknownType = errors.New("unknown type of event")

// Encode writes an event as it is stored: compact JSON, fields in a fixed order, amounts as decimal strings.
func Encode(e Event) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // an intent URL stays readable in SQL
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("encoding %s of %s: %w", e.Type(), e.Header().Payment, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Decode reads a stored event. It is strict: a type or version that it does not know (ErrUnknownType), a field that the
// version does not have, an amount that is absent or has more decimals than its currency are errors, since an event that
// is half understood would give a wrong balance.
func Decode(typ string, schema int, data []byte) (Event, error) {
	e := blank(typ, schema)
	if e == nil {
		return nil, fmt.Errorf("%w: %q, version %d", ErrUnknownType, typ, schema)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(e); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", typ, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("decoding %s: something stands behind the event", typ)
	}
	if err := complete(e); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", typ, err)
	}
	return e, nil
}

// complete checks what every event has, and gives its amounts their currency.
func complete(e Event) error {
	of := e.Header()
	if of.Merchant == "" || of.Payment == "" {
		return errors.New("it names no merchant or no payment")
	}
	if _, known := of.Currency.Exponent(); !known {
		return fmt.Errorf("its currency %q is not known", string(of.Currency))
	}
	for _, a := range e.amounts() {
		if *a == (money.Amount{}) {
			return fmt.Errorf("%s lacks an amount", of.Payment)
		}
		in, err := a.In(of.Currency)
		if err != nil {
			return fmt.Errorf("amount of %s: %w", of.Payment, err)
		}
		*a = in
	}
	return nil
}
