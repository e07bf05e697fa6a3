package postgres

import (
	"encoding/binary"
	"io"

	"github.com/khata-ledger/khata/eventstore"
)

// The tables of an append, with their columns in the order of the encoders.
const (
	eventColumns = "events (partition, seq, version, schema, effective_at, recorded_at, event_id, hash, stream, subject, type, " +
		"dedupe_key, evidence_digests, data, meta)"
	evidenceColumns = "evidence (partition, seq, n, media_type, body)"
)

// wire writes messages of PostgreSQL's protocol. It is written by hand: a general encoder costs more than the rows themselves.
type wire struct {
	to      io.Writer
	buffer  []byte
	message int   // where the open message begins
	err     error // of a write; nothing is written behind it
}

// wireBytes is about how much is written at once.
const wireBytes = 64 << 10

// begin opens a message of a kind. Its length is set by end.
func (w *wire) begin(kind byte) {
	w.message = len(w.buffer)
	w.buffer = append(w.buffer, kind, 0, 0, 0, 0)
}

func (w *wire) end() {
	binary.BigEndian.PutUint32(w.buffer[w.message+1:], uint32(len(w.buffer)-w.message-1))
}

func (w *wire) flush() {
	if w.err == nil {
		_, w.err = w.to.Write(w.buffer)
	}
	w.buffer = w.buffer[:0]
}

func (w *wire) query(text string) {
	w.begin('Q')
	w.buffer = append(append(w.buffer, text...), 0)
	w.end()
}

// copyHeader opens a binary COPY: signature, flags, length of extensions.
const copyHeader = "PGCOPY\n\377\r\n\000" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// copy sends what encode makes of records as rows of a binary COPY. They are encoded while they are sent, so that only a few of
// them are held twice.
func (w *wire) copy(records []eventstore.Record, encode func(b []byte, r *eventstore.Record) []byte) {
	w.begin('d')
	w.buffer = append(w.buffer, copyHeader...)
	for i := range records {
		if len(w.buffer) >= wireBytes {
			w.end()
			w.flush()
			w.begin('d')
		}
		w.buffer = encode(w.buffer, &records[i])
	}
	w.buffer = append(w.buffer, 0xff, 0xff) // end of data
	w.end()
	w.begin('c')
	w.end()
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
