package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/google/uuid"
)

// Hash is a SHA-256.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads what Hash.String writes.
func ParseHash(s string) (Hash, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != sha256.Size {
		return Hash{}, fmt.Errorf("hash %q is not %d hexadecimal characters", s, 2*sha256.Size)
	}
	return Hash(b), nil
}

// Genesis is the hash that the first record of a partition stands on. It binds the ledger's id and the partition,
// so that no history can pass for another's.
func Genesis(ledger uuid.UUID, partition int) Hash {
	b := []byte("khata-ledger/genesis/1\n")
	b = append(b, ledger[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(partition))
	return sha256.Sum256(b)
}

// Digest is what a record's hash covers of a piece of evidence.
func (e *Evidence) Digest() Hash {
	b := make([]byte, 0, 16+len(e.MediaType)+len(e.Body))
	b = appendBytes(b, []byte(e.MediaType))
	b = appendBytes(b, e.Body)
	return sha256.Sum256(b)
}

// Canonical appends the bytes that the record's hash covers, behind the previous hash: every field, length-prefixed, in
// a fixed order, times as microseconds. It must never change; a new shape would be a new genesis.
func (r *Record) Canonical(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(r.Partition))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Seq))
	b = appendBytes(b, []byte(r.Stream))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Version))
	b = appendBytes(b, []byte(r.Subject))
	b = appendBytes(b, []byte(r.Type))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Schema))
	b = append(b, r.EventID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.EffectiveAt.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(r.RecordedAt.UnixMicro()))
	b = appendBytes(b, []byte(r.DedupeKey()))
	b = appendBytes(b, r.Data)
	b = appendBytes(b, r.Meta)
	b = binary.BigEndian.AppendUint64(b, uint64(len(r.EvidenceDigests)))
	for _, d := range r.EvidenceDigests {
		b = append(b, d[:]...)
	}
	return b
}

func appendBytes(b, field []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(field)))
	return append(b, field...)
}

// Next is the hash of the record, standing on prev.
func (r *Record) Next(prev Hash, scratch []byte) (Hash, []byte) {
	scratch = append(scratch[:0], prev[:]...)
	scratch = r.Canonical(scratch)
	return sha256.Sum256(scratch), scratch
}

// Chain places records behind head: it sets partition, position, evidence digests and hash of each, raises RecordedAt
// to the head's where the clock went back, and returns the head that an append of them leaves behind.
func Chain(head Head, records []Record) Head {
	var scratch []byte
	for i := range records {
		r := &records[i]
		r.Partition = head.Partition
		r.Seq = head.Seq + 1
		if r.RecordedAt.Before(head.RecordedAt) {
			r.RecordedAt = head.RecordedAt
		}
		if len(r.Evidence) > 0 {
			r.EvidenceDigests = make([]Hash, len(r.Evidence))
			for j := range r.Evidence {
				r.EvidenceDigests[j] = r.Evidence[j].Digest()
			}
		}
		r.Hash, scratch = r.Next(head.Hash, scratch)
		head.Seq, head.Hash, head.RecordedAt = r.Seq, r.Hash, r.RecordedAt
	}
	return head
}

// Follow checks that records continue the chain behind head, and returns the head behind them. The error names the first
// record that does not (ErrBroken).
func Follow(head Head, records []Record) (Head, error) {
	var scratch []byte
	for i := range records {
		r := &records[i]
		var want Hash
		want, scratch = r.Next(head.Hash, scratch)
		switch {
		case r.Partition != head.Partition || r.Seq != head.Seq+1:
			return head, fmt.Errorf("%w: record %s found where %d:%d is due", ErrBroken, r.Position(), head.Partition, head.Seq+1)
		case r.Hash != want:
			return head, fmt.Errorf("%w: record %s: its content does not give its hash", ErrBroken, r.Position())
		case r.RecordedAt.Before(head.RecordedAt):
			return head, fmt.Errorf("%w: record %s: recorded before the record in front of it", ErrBroken, r.Position())
		}
		head.Seq, head.Hash, head.RecordedAt = r.Seq, r.Hash, r.RecordedAt
	}
	return head, nil
}
