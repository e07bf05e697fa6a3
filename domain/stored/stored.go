// Package stored is the form in which events that are plain JSON are kept: compact, fields in a fixed order, and read strictly, since
// an event that is half understood would give a wrong balance. A wallet's events have a codec of their own (domain/wallet), which reads and
// writes the same form faster.
package stored

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrUnknownType is what reading gives for a type or version of event that this program does not know: the log was written by a newer
// one. Compare with errors.Is.
var ErrUnknownType = errors.New("unknown type of event")

// Unknown is the error of a type and version: it is ErrUnknownType, and names both.
func Unknown(typ string, schema int) error {
	return fmt.Errorf("%w: %q, version %d", ErrUnknownType, typ, schema)
}

// Encode writes an event as it is stored.
func Encode(e any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a callback URL stays readable in SQL
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Decode reads a stored event into an empty one. A field that the event does not have is an error, and so is whatever stands behind it.
func Decode(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind the event")
	}
	return nil
}
