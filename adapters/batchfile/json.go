package batchfile

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"

	"github.com/khata-ledger/khata/domain/money"
)

// NewJSON reads a batch from a JSON body (application/json):
//
//	{"batch_ref":"...","mode":"partial","approval":"none","on_insufficient_balance":"reject","schedule_at":"...","items":[...]}
//
// The options may stand before the items or behind them; what is wrong with them is told at the end, together.
func NewJSON(r io.Reader, o ReadOptions) *Reader {
	d := &bodyDecoder{given: map[string]bool{}}
	reader := newReader(o, d)
	d.in = &window{in: newSource(r), most: int64(reader.limits.Record)}
	d.dec = json.NewDecoder(d.in)
	d.in.used, d.in.next = d.dec.InputOffset, d.here
	return reader
}

// bodyDecoder walks through a body with the standard library's decoder, value by value, so that syntax is its affair.
type bodyDecoder struct {
	in     *window
	dec    *json.Decoder
	raw    json.RawMessage
	given  map[string]bool // names that have been met: known ones only
	faults []Problem       // of the options
	state  bodyState
}

type bodyState int

const (
	beforeBody bodyState = iota
	withinItems
	behindItems
)

func (d *bodyDecoder) amount(s string, c money.Currency) (money.Amount, string) {
	return plainAmount(s, c)
}

func (d *bodyDecoder) next(r *Reader) error {
	if d.state == beforeBody {
		if err := d.delim('{', "the body must be a JSON object"); err != nil {
			return err
		}
		if err := d.members(r); err != nil {
			return err
		}
	}
	if d.state == withinItems {
		if d.dec.More() {
			return d.item(r)
		}
		if err := d.delim(']', notJSON); err != nil {
			return err
		}
		d.state = behindItems
		if err := d.members(r); err != nil {
			return err
		}
	}
	return d.end(r)
}

// item reads one item.
func (d *bodyDecoder) item(r *Reader) error {
	if err := d.value(); err != nil {
		return inItem(err, r.item.Index)
	}
	r.item.Line = d.in.line(d.dec.InputOffset() - int64(len(d.raw)))
	r.object(string(d.raw))
	return nil
}

// members reads options up to the items, or up to the end of the body.
func (d *bodyDecoder) members(r *Reader) error {
	for d.dec.More() {
		token, err := d.dec.Token()
		if err != nil {
			return d.syntax(err)
		}
		name, ok := token.(string)
		if !ok {
			return d.syntax(errors.New("a name was expected"))
		}
		line := d.in.line(d.dec.InputOffset())
		if name == "items" {
			if d.given[name] {
				return &FileError{Problems: []Problem{{Line: line, Field: name, Message: givenTwice}}}
			}
			d.given[name] = true
			d.state = withinItems
			return d.array(line)
		}
		if err := d.value(); err != nil {
			return err
		}
		d.option(r, name, line)
	}
	if err := d.delim('}', notJSON); err != nil {
		return err
	}
	d.state = behindItems
	return nil
}

// array opens the items.
func (d *bodyDecoder) array(line int) error {
	token, err := d.dec.Token()
	if err != nil {
		return d.syntax(err)
	}
	if token != json.Delim('[') {
		return &FileError{Problems: []Problem{{Line: line, Field: "items", Message: "must be an array"}}}
	}
	return nil
}

// option takes one option, whose value is raw. As in an item, null and "" are the same as none.
func (d *bodyDecoder) option(r *Reader, name string, line int) {
	message := ""
	text, value := "", string(d.raw)
	ok := value == "null" || value[0] == '"'
	if value[0] == '"' {
		var whole bool
		if text, whole = unquote(value); !whole {
			message = halfPair
		}
	}
	var fault FieldError
	switch err := new(Options).Set(name, ""); {
	case err != nil:
		message = "is not a field of a batch"
	case d.given[name]:
		message = givenTwice
	case !ok:
		message = mustString
	case message == "" && errors.As(r.options.Set(name, text), &fault):
		message = fault.Message
	}
	if new(Options).Set(name, "") == nil {
		d.given[name] = true
	}
	if message != "" && len(d.faults) < maxUnknown {
		d.faults = append(d.faults, Problem{Line: line, Field: shown(name), Message: message})
	}
}

// end is the end of the body: nothing may follow.
func (d *bodyDecoder) end(r *Reader) error {
	if _, err := d.dec.Token(); !errors.Is(err, io.EOF) {
		return d.syntax(cmp.Or(err, errors.New("there is data behind the body")))
	}
	if !d.given["items"] {
		d.faults = append(d.faults, Problem{Field: "items", Message: "is required"})
	}
	if len(d.faults) > 0 {
		if r.report.Items == 0 && d.given["items"] {
			d.faults = append(d.faults, Problem{Message: noItem})
		}
		return &FileError{Problems: d.faults}
	}
	return io.EOF
}

// delim reads a brace or bracket.
func (d *bodyDecoder) delim(want json.Delim, otherwise string) error {
	token, err := d.dec.Token()
	if err != nil {
		return d.syntax(err)
	}
	if token != want {
		return fileError(d.in.line(d.dec.InputOffset()), 0, "%s", otherwise)
	}
	return nil
}

// value reads any value as it stands there.
func (d *bodyDecoder) value() error {
	if err := d.dec.Decode(&d.raw); err != nil {
		return d.syntax(err)
	}
	if len(d.raw) > int(d.in.most) {
		return d.in.overflow(d.dec.InputOffset() - int64(len(d.raw)))
	}
	return nil
}

// syntax is what the decoder met: the file's own errors as they are, and what is wrong with the JSON by its line.
func (d *bodyDecoder) syntax(err error) error {
	var fault *FileError
	switch {
	case errors.As(err, &fault):
		return fault
	case d.in.failed != nil:
		return d.in.failed
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fileError(d.in.line(d.in.read), 0, notWhole)
	}
	return fileError(d.in.line(d.here()), 0, "%s: %v", notJSON, err)
}

// here is where the decoder stands: at the next value.
func (d *bodyDecoder) here() int64 {
	at := d.dec.InputOffset()
	rest := bufio.NewReader(d.dec.Buffered())
	for {
		b, err := rest.ReadByte()
		if err != nil || !bytes.ContainsRune([]byte(" \t\r\n,:"), rune(b)) {
			return at
		}
		at++
	}
}

// window is what the decoder reads from. It bounds how far the decoder reads ahead, which is how large a value can be, and knows the lines of
// what has been read ahead.
type window struct {
	in     io.Reader
	most   int64
	used   func() int64 // how much the decoder has consumed
	next   func() int64 // where the value begins that it reads now
	read   int64
	breaks []int64 // offsets of the line feeds ahead
	passed int     // line feeds before those
	failed error   // what the reader returned, but for its end
}

func (w *window) Read(p []byte) (int, error) {
	if w.read-w.used() > w.most {
		return 0, w.overflow(w.next())
	}
	w.line(w.used())
	n, err := w.in.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			w.breaks = append(w.breaks, w.read+int64(i))
		}
	}
	w.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		w.failed = err
	}
	return n, err
}

// line is the line of an offset, from 1. Offsets are asked for in ascending order, but for those between the last one and what is used.
func (w *window) line(offset int64) int {
	n := 0
	for n < len(w.breaks) && w.breaks[n] < offset {
		n++
	}
	line := w.passed + n + 1
	done := 0
	for done < n && w.breaks[done] < w.used() {
		done++
	}
	w.passed += done
	w.breaks = append(w.breaks[:0], w.breaks[done:]...)
	return line
}

// overflow is a value at an offset that is too long.
func (w *window) overflow(offset int64) error {
	return fileError(w.line(offset), 0, "a JSON value here is longer than %d bytes", w.most)
}
