package postgres

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// decoder reads rows of selectEvents in PostgreSQL's binary format. It is written by hand, since histories of millions are folded:
// texts that neighbours share are kept once, and each record's own bytes are copied at once.
type decoder struct {
	stream, kind string // of the row before
	text         []byte // reused
}

// decode reads a row. ErrBroken when a column does not hold what an append has written.
func (d *decoder) decode(r *eventstore.Record, row [][]byte) error {
	if len(row) != 15 || len(row[0]) != 4 || len(row[1]) != 8 || len(row[2]) != 8 || len(row[3]) != 8 || len(row[4]) != 8 || len(row[5]) != 8 {
		return fmt.Errorf("%w: a row of events has other columns", eventstore.ErrBroken)
	}
	r.Partition = int(int32(binary.BigEndian.Uint32(row[0])))
	r.Seq, r.Version, r.Schema = integer(row[1]), integer(row[2]), int(integer(row[3]))
	r.EffectiveAt, r.RecordedAt = time.UnixMicro(integer(row[4])).UTC(), time.UnixMicro(integer(row[5])).UTC()
	if len(row[6]) != len(uuid.UUID{}) || len(row[7]) != len(eventstore.Hash{}) {
		return fmt.Errorf("%w: record %s: event id of %d and hash of %d bytes", eventstore.ErrBroken, r.Position(), len(row[6]), len(row[7]))
	}
	r.EventID, r.Hash = uuid.UUID(row[6]), eventstore.Hash(row[7])
	d.stream, d.kind = shared(d.stream, row[8]), shared(d.kind, row[10])
	r.Stream, r.Type = d.stream, d.kind

	subject, keys := len(row[9]), len(row[11])
	d.text = append(append(d.text[:0], row[9]...), row[11]...)
	text := string(d.text)
	r.Subject, r.Keys = text[:subject], eventstore.SplitKeys(text[subject:subject+keys])

	data, meta := len(row[13]), len(row[14])
	bytes := append(append(make([]byte, 0, data+meta), row[13]...), row[14]...)
	r.Data, r.Meta = bytes[:data:data], bytes[data:]
	var err error
	if r.EvidenceDigests, err = eventstore.SplitDigests(row[12]); err != nil {
		return fmt.Errorf("record %s: %w", r.Position(), err)
	}
	return nil
}

func integer(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }

// shared is the text of a column, which is often that of the row before.
func shared(before string, column []byte) string {
	if before == string(column) {
		return before
	}
	return string(column)
}
