package projections

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/stdlib"
)

// copyIn sends rows in PostgreSQL's binary COPY format, in the open transaction.
func (t *table[R]) copyIn(ctx context.Context, w *writer, generation int64, rows []R) error {
	text := fmt.Sprintf("COPY %s (%s) FROM STDIN BINARY", t.in(generation), t.list())
	return w.conn.Raw(func(driver any) error {
		conn := driver.(*stdlib.Conn).Conn().PgConn()
		_, err := conn.CopyFrom(ctx, &copyReader[R]{table: t, rows: rows}, text)
		return err
	})
}

// The frame of a binary COPY: signature, flags, length of extensions; and what follows the last row.
const (
	copyHeader  = "PGCOPY\n\377\r\n\000" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// copyAhead is how much is encoded at once.
const copyAhead = 32 << 10

// copyReader encodes rows while they are read.
type copyReader[R any] struct {
	table  *table[R]
	rows   []R // not encoded yet
	state  copyState
	buffer []byte // encoded, reused
	unread []byte // rest of buffer
}

// copyState is what a copyReader encodes next.
type copyState int

const (
	header copyState = iota
	body
	done
)

// Read fills p as far as it can, since every Read becomes one message.
func (c *copyReader[R]) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(c.unread) == 0 && !c.fill() {
			return n, io.EOF
		}
		m := copy(p[n:], c.unread)
		c.unread = c.unread[m:]
		n += m
	}
	return n, nil
}

// fill encodes what comes next; false at the end.
func (c *copyReader[R]) fill() bool {
	c.buffer = c.buffer[:0]
	switch c.state {
	case header:
		c.buffer = append(c.buffer, copyHeader...)
		c.state = body
	case body:
		for len(c.rows) > 0 && len(c.buffer) < copyAhead {
			c.buffer = c.table.encode(c.buffer, &c.rows[0])
			c.rows = c.rows[1:]
		}
		if len(c.rows) == 0 {
			c.buffer = append(c.buffer, copyTrailer...)
			c.state = done
		}
	case done:
		return false
	}
	c.unread = c.buffer
	return true
}

// encode appends a row: the number of its columns, and each with its length before it.
func (t *table[R]) encode(b []byte, row *R) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.columns)))
	for _, c := range t.columns {
		switch value := c.at(row).(type) {
		case *int64:
			b = binary.BigEndian.AppendUint32(b, 8)
			b = binary.BigEndian.AppendUint64(b, uint64(*value))
		case *string:
			s := storable(*value)
			b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
			b = append(b, s...)
		}
	}
	return b
}
