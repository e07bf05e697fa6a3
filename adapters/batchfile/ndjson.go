package batchfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/khata-ledger/khata/domain/money"
)

// NewNDJSON reads a batch from lines of JSON (application/x-ndjson): one item a line. Blank lines do not count. A line that is no JSON
// object is an item with a problem.
func NewNDJSON(r io.Reader, o ReadOptions) *Reader {
	d := &lineDecoder{line: 1}
	reader := newReader(o, d)
	d.in = bufio.NewReaderSize(newSource(r), reader.limits.Record+len("\r\n")) // a longer line does not fit it
	return reader
}

type lineDecoder struct {
	in   *bufio.Reader
	line int // of the next byte
}

func (d *lineDecoder) amount(s string, c money.Currency) (money.Amount, string) {
	return plainAmount(s, c)
}

func (d *lineDecoder) next(r *Reader) error {
	for {
		line, err := d.in.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !long && !errors.Is(err, io.EOF) {
			return inItem(err, r.item.Index)
		}
		if len(line) == 0 {
			return io.EOF
		}
		text := string(bytes.TrimSpace(line))
		for errors.Is(err, bufio.ErrBufferFull) { // over the rest of the line
			_, err = d.in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return inItem(err, r.item.Index)
		}
		r.item.Line = d.line
		d.line++
		switch {
		case long:
			r.breaks(text, "%s", tooLong(r.limits.Record))
		case text == "":
			continue
		case !json.Valid([]byte(text)):
			r.breaks(text, notJSON)
		default:
			r.object(text)
		}
		return nil
	}
}
