package eventstore

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Record is one immutable entry of the log.
type Record struct {
	Partition int
	Seq       int64 // position in the partition, from 1, gapless

	Stream  string // what changes: a wallet, a merchant; at most MaxNameBytes
	Version int64  // position in the stream, from 1, gapless
	Subject string // what the record is about: a payment, a merchant

	Type   string // stable name, such as payout.initiated
	Schema int    // version of Data's shape, from 1

	EventID     uuid.UUID
	EffectiveAt time.Time // value date: when it counts, as the bank says; UTC, microseconds
	RecordedAt  time.Time // when the ledger recorded it; never decreases within a partition; UTC, microseconds

	// Keys are the dedupe keys that the record claims, for ever: at most MaxKeys, each non-empty, without
	// line feeds (the stored column joins them with one), at most MaxKeyBytes. Partition-wide.
	Keys []string

	Data []byte // JSON, exactly as stored; never re-marshalled
	Meta []byte // JSON: the command and its origin; see Meta

	// EvidenceDigests are the digests of the raw messages that belong to the record, in order. The hash covers them,
	// so that the chain can be verified without reading the messages.
	EvidenceDigests []Hash
	// Evidence is given to Append; reads leave it nil (see Store.Evidence).
	Evidence []Evidence

	Hash Hash
}

// Evidence is a raw message kept with a record, sealed: the command's own body, a gateway's answer.
type Evidence struct {
	MediaType string
	Body      []byte
}

// Bounds of a record. Append refuses what exceeds them (ErrInvalid).
const (
	MaxNameBytes     = 200     // stream, subject, type
	MaxKeys          = 4       // dedupe keys of a record
	MaxKeyBytes      = 400     // one dedupe key
	MaxDataBytes     = 1 << 20 // data, and meta
	MaxEvidence      = 16      // messages of a record
	MaxEvidenceBytes = 4 << 20 // one message
	MaxAppend        = 50_000  // records of one append
)

// MaxPartitions bounds the partitions of a log.
const MaxPartitions = 1024

// Head is the tip of a partition.
type Head struct {
	Partition  int
	Seq        int64     // 0 in an empty partition
	Hash       Hash      // Genesis in an empty partition
	Epoch      int64     // raised by Claim
	RecordedAt time.Time // of the newest record; zero in an empty partition
}

// Info identifies a log.
type Info struct {
	LedgerID   uuid.UUID
	Partitions int
}

// Check refuses an id or a number of partitions that no ledger has (ErrInvalid).
func (i Info) Check() error {
	if i.LedgerID == uuid.Nil || i.Partitions < 1 || i.Partitions > MaxPartitions {
		return fmt.Errorf("%w: ledger %s of %d partitions (1 to %d)", ErrInvalid, i.LedgerID, i.Partitions, MaxPartitions)
	}
	return nil
}

// Position names one record: partition and sequence number, written "partition:seq".
type Position struct {
	Partition int
	Seq       int64
}

func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Partition, p.Seq) }

// ParsePosition reads what Position.String writes.
func ParsePosition(s string) (Position, error) {
	var p Position
	if n, err := fmt.Sscanf(s, "%d:%d", &p.Partition, &p.Seq); n != 2 || err != nil || p.String() != s || p.Partition < 0 || p.Seq < 0 {
		return Position{}, fmt.Errorf("position %q is not of the form partition:seq", s)
	}
	return p, nil
}

// Position returns where the record stands.
func (r *Record) Position() Position { return Position{r.Partition, r.Seq} }

// DedupeKey is the stored form of Keys: joined by line feeds, empty without keys.
func (r *Record) DedupeKey() string { return strings.Join(r.Keys, "\n") }

// SplitKeys undoes DedupeKey.
func SplitKeys(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// JoinDigests is the stored form of EvidenceDigests: one behind the other.
func (r *Record) JoinDigests() []byte {
	b := make([]byte, 0, len(r.EvidenceDigests)*len(Hash{}))
	for i := range r.EvidenceDigests {
		b = append(b, r.EvidenceDigests[i][:]...)
	}
	return b
}

// SplitDigests undoes JoinDigests. ErrBroken when b cannot be digests.
func SplitDigests(b []byte) ([]Hash, error) {
	const size = len(Hash{})
	if len(b)%size != 0 {
		return nil, fmt.Errorf("%w: evidence digests of %d bytes", ErrBroken, len(b))
	}
	var digests []Hash
	for ; len(b) > 0; b = b[size:] {
		digests = append(digests, Hash(b[:size]))
	}
	return digests, nil
}

// PartitionOf is the partition of everything that belongs to owner (a merchant id): a stable hash.
func PartitionOf(owner string, partitions int) int {
	h := fnv.New64a()
	h.Write([]byte(owner))
	return int(h.Sum64() % uint64(partitions))
}

// Check reports the first bound or rule that the record breaks, as ErrInvalid.
func (r *Record) Check() error {
	for _, f := range []struct {
		name, value string
	}{{"stream", r.Stream}, {"subject", r.Subject}, {"type", r.Type}} {
		if f.value == "" || len(f.value) > MaxNameBytes || !ValidText(f.value) {
			return fmt.Errorf("%w: %s of %d bytes (1 to %d, of UTF-8 without zero bytes)", ErrInvalid, f.name, len(f.value), MaxNameBytes)
		}
	}
	switch {
	case r.Version < 1 || r.Schema < 1:
		return fmt.Errorf("%w: version %d, schema %d", ErrInvalid, r.Version, r.Schema)
	case r.EventID == uuid.Nil:
		return fmt.Errorf("%w: no event id", ErrInvalid)
	case r.EffectiveAt.IsZero() || r.RecordedAt.IsZero():
		return fmt.Errorf("%w: no effective or recorded time", ErrInvalid)
	case len(r.Keys) > MaxKeys:
		return fmt.Errorf("%w: %d dedupe keys (at most %d)", ErrInvalid, len(r.Keys), MaxKeys)
	case len(r.Data) > MaxDataBytes || len(r.Meta) > MaxDataBytes:
		return fmt.Errorf("%w: data of %d or meta of %d bytes (at most %d)", ErrInvalid, len(r.Data), len(r.Meta), MaxDataBytes)
	case len(r.Evidence) > MaxEvidence:
		return fmt.Errorf("%w: %d pieces of evidence (at most %d)", ErrInvalid, len(r.Evidence), MaxEvidence)
	}
	for _, k := range r.Keys {
		if k == "" || len(k) > MaxKeyBytes || strings.Contains(k, "\n") || !ValidText(k) {
			return fmt.Errorf("%w: dedupe key %q", ErrInvalid, k)
		}
	}
	for _, e := range r.Evidence {
		if len(e.Body) > MaxEvidenceBytes || e.MediaType == "" || len(e.MediaType) > MaxNameBytes || !ValidText(e.MediaType) {
			return fmt.Errorf("%w: evidence %q of %d bytes", ErrInvalid, e.MediaType, len(e.Body))
		}
	}
	return nil
}

// ValidText tells whether every store can hold s as text: UTF-8 without zero bytes.
func ValidText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// Micros cuts a time to the precision of the log: UTC, microseconds.
func Micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
