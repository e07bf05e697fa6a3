package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/khata-ledger/khata/eventstore"
)

// copyRecords sends the records in PostgreSQL's binary COPY format. It is written by hand: a general encoder costs more than
// the rows themselves.
func copyRecords(ctx context.Context, conn *pgconn.PgConn, records []eventstore.Record) error {
	messages := 0
	for i := range records {
		messages += len(records[i].Evidence)
	}
	for _, table := range []struct {
		name, columns string
		rows          int
		encode        func(b []byte, r *eventstore.Record) []byte
	}{
		{"events", "partition, seq, version, schema, effective_at, recorded_at, event_id, hash, stream, subject, type, " +
			"dedupe_key, evidence_digests, data, meta", len(records), encodeEvent},
		{"evidence", "partition, seq, n, media_type, body", messages, encodeEvidence},
	} {
		if table.rows == 0 {
			continue
		}
		tag, err := conn.CopyFrom(ctx, &copyReader{records: records, encode: table.encode},
			"COPY "+table.name+" ("+table.columns+") FROM STDIN BINARY")
		if err != nil {
			return fmt.Errorf("write %s: %w", table.name, err)
		}
		if tag.RowsAffected() != int64(table.rows) {
			return fmt.Errorf("write %s: %d of %d rows arrived", table.name, tag.RowsAffected(), table.rows)
		}
	}
	return nil
}

// copyHeader opens a binary COPY: signature, flags, length of extensions.
const copyHeader = "PGCOPY\n\377\r\n\000" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// copyReader encodes records while they are read, so that only a record at a time is held twice.
type copyReader struct {
	records []eventstore.Record
	encode  func(b []byte, r *eventstore.Record) []byte
	next    int // record; -1 behind the end
	started bool
	buffer  []byte // encoded, reused
	unread  []byte // rest of buffer
}

// Read fills p as far as it can, since every Read becomes one message.
func (c *copyReader) Read(p []byte) (int, error) {
	n := 0
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
func (c *copyReader) fill() bool {
	c.buffer = c.buffer[:0]
	switch {
	case !c.started:
		c.started = true
		c.buffer = append(c.buffer, copyHeader...)
	case c.next < 0:
		return false
	}
	for c.next < len(c.records) && len(c.buffer) < 32<<10 {
		c.buffer = c.encode(c.buffer, &c.records[c.next])
		c.next++
	}
	if c.next == len(c.records) {
		c.next = -1
		c.buffer = append(c.buffer, 0xff, 0xff) // end of data
	}
	c.unread = c.buffer
	return true
}

func encodeEvent(b []byte, r *eventstore.Record) []byte {
	b = columns(b, 15)
	b = int32Field(b, r.Partition)
	b = int64Field(b, r.Seq)
	b = int64Field(b, r.Version)
	b = int64Field(b, int64(r.Schema))
	b = int64Field(b, r.EffectiveAt.UnixMicro())
	b = int64Field(b, r.RecordedAt.UnixMicro())
	b = field(b, r.EventID[:])
	b = field(b, r.Hash[:])
	b = field(b, r.Stream)
	b = field(b, r.Subject)
	b = field(b, r.Type)
	b = field(b, r.DedupeKey())
	b = length(b, len(r.EvidenceDigests)*len(eventstore.Hash{}))
	for i := range r.EvidenceDigests {
		b = append(b, r.EvidenceDigests[i][:]...)
	}
	b = field(b, r.Data)
	return field(b, r.Meta)
}

func encodeEvidence(b []byte, r *eventstore.Record) []byte {
	for n := range r.Evidence {
		b = columns(b, 5)
		b = int32Field(b, r.Partition)
		b = int64Field(b, r.Seq)
		b = int32Field(b, n)
		b = field(b, r.Evidence[n].MediaType)
		b = field(b, r.Evidence[n].Body)
	}
	return b
}

func columns(b []byte, n uint16) []byte { return binary.BigEndian.AppendUint16(b, n) }

func length(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }

func field[T string | []byte](b []byte, value T) []byte {
	return append(length(b, len(value)), value...)
}

func int64Field(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(length(b, 8), uint64(v))
}

func int32Field(b []byte, v int) []byte {
	return binary.BigEndian.AppendUint32(length(b, 4), uint32(v))
}
