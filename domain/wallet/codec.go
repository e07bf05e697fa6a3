package wallet

import (
	"errors"
	"fmt"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/stored"
)

// encodedSize is what most events take less than, in bytes.
const encodedSize = 512

// Encode writes an event as it is stored: compact JSON, fields in a fixed order, amounts as decimal strings.
func Encode(e Event) ([]byte, error) { return new(Encoder).Append(make([]byte, 0, encodedSize), e) }

// Encoder encodes many events into memory of its caller's, with none of its own for each. One goroutine at a time uses it.
type Encoder struct{ c codec }

// Append appends what Encode returns.
func (x *Encoder) Append(b []byte, e Event) ([]byte, error) {
	x.c = codec{mode: writing, out: b}
	e.fields(&x.c)
	out, err := x.c.out, x.c.err
	x.c = codec{} // it keeps nothing
	if err != nil {
		return nil, fmt.Errorf("encoding %s of %s: %w", e.Type(), e.Header().Payment, err)
	}
	return append(out, '}'), nil
}

// Decode reads a stored event. It is strict: a type or version that it does not know (stored.ErrUnknownType), a field that the
// version does not have, an amount that is absent or has more decimals than its currency are errors, since an event that
// is half understood would give a wrong balance.
//
// The texts of an event share one copy of data: who keeps one of them for long keeps all.
func Decode(typ string, schema int, data []byte) (Event, error) {
	e := blank(typ, schema)
	if e == nil {
		return nil, stored.Unknown(typ, schema)
	}
	if readOwn(e, data) {
		return e, nil
	}
	e = blank(typ, schema)
	if err := readAny(e, data); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", typ, err)
	}
	return e, nil
}

// readOwn reads what Encode has written, as good as every record. False says nothing about the data but that it is written
// in another way, and e is then half filled.
func readOwn(e Event, data []byte) bool {
	c := codec{mode: reading, in: string(data)}
	e.fields(&c)
	return c.in == "}"
}

// readAny reads an event in any form of JSON, and judges it.
func readAny(e Event, data []byte) error {
	if err := stored.Decode(data, e); err != nil {
		return err
	}
	return complete(e)
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
	for _, a := range amounts(e) {
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

// amounts lists the event's amounts.
func amounts(e Event) []*money.Amount {
	c := codec{mode: gathering}
	e.fields(&c)
	return c.amounts
}
