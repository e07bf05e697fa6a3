package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// Formats of the files.
const (
	FormatInclusion   = "khata-ledger/inclusion/1"
	FormatConsistency = "khata-ledger/consistency/1"
)

// inclusionFile is an inclusion proof. Hashes and digests are hexadecimal, checkpoints signed notes.
type inclusionFile struct {
	Format     string         `json:"format"`
	Checkpoint string         `json:"checkpoint"`
	Records    []includedFile `json:"records"`
}

type includedFile struct {
	Record       recordFile `json:"record"`
	PreviousHash string     `json:"previous_hash"`
	Hash         string     `json:"hash"`
	Path         []string   `json:"path"`
}

// recordFile has the fields that a record's hash covers.
type recordFile struct {
	Partition       int      `json:"partition"`
	Seq             int64    `json:"seq"`
	Stream          string   `json:"stream"`
	Version         int64    `json:"version"`
	Subject         string   `json:"subject"`
	Type            string   `json:"type"`
	Schema          int      `json:"schema"`
	EventID         string   `json:"event_id"`
	EffectiveAt     string   `json:"effective_at"` // UTC, microseconds
	RecordedAt      string   `json:"recorded_at"`
	Keys            []string `json:"keys"`
	Data            string   `json:"data"` // JSON, exactly as stored
	Meta            string   `json:"meta"`
	EvidenceDigests []string `json:"evidence_digests"`
}

type consistencyFile struct {
	Format     string     `json:"format"`
	Older      string     `json:"older"`
	Newer      string     `json:"newer"`
	Partitions [][]string `json:"partitions"` // the path of each
}

// Included is a record with its path to the root of its partition.
type Included struct {
	Record   eventstore.Record
	Previous eventstore.Hash // of the record in front of it
	Path     []eventstore.Hash
}

const microsLayout = "2006-01-02T15:04:05.000000Z"

// Inclusion is the file that proves records to be under a signed checkpoint. It verifies what it writes: an error names the first record
// that the checkpoint does not lead to.
func Inclusion(signed []byte, records []Included) ([]byte, error) {
	c, err := ReadCheckpoint(signed)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint: %w", err)
	}
	f := inclusionFile{Format: FormatInclusion, Checkpoint: string(signed), Records: []includedFile{}}
	for i := range records {
		r := &records[i]
		if !utf8.Valid(r.Record.Data) || !utf8.Valid(r.Record.Meta) {
			return nil, fmt.Errorf("record %s: its data is no text", r.Record.Position())
		}
		one := includedFile{toFile(&r.Record), r.Previous.String(), r.Record.Hash.String(), texts(r.Path)}
		if _, err := one.check(&c); err != nil {
			return nil, fmt.Errorf("record %s: %w", r.Record.Position(), err)
		}
		f.Records = append(f.Records, one)
	}
	return encode(f)
}

// Consistency is the file that proves that the newer signed checkpoint extends the older one; a path for each partition. It
// verifies what it writes: the error is a *PartitionError where a partition does not.
func Consistency(older, newer []byte, paths [][]eventstore.Hash) ([]byte, error) {
	a, err := ReadCheckpoint(older)
	if err != nil {
		return nil, fmt.Errorf("the older checkpoint: %w", err)
	}
	b, err := ReadCheckpoint(newer)
	if err != nil {
		return nil, fmt.Errorf("the newer checkpoint: %w", err)
	}
	if err := CheckExtension(&a, &b, paths); err != nil {
		return nil, err
	}
	f := consistencyFile{Format: FormatConsistency, Older: string(older), Newer: string(newer), Partitions: [][]string{}}
	for _, path := range paths {
		f.Partitions = append(f.Partitions, texts(path))
	}
	return encode(f)
}

// PartitionError is a partition that is no extension of what it was.
type PartitionError struct {
	Partition int
	Problem   string
}

func (e *PartitionError) Error() string {
	return fmt.Sprintf("partition %d: %s", e.Partition, e.Problem)
}

// CheckExtension verifies that newer extends older, by a path for each partition: a *PartitionError names the first that does not.
func CheckExtension(older, newer *Checkpoint, paths [][]eventstore.Hash) error {
	if err := newer.Extends(older); err != nil {
		return err
	}
	if len(paths) != len(newer.Trees) {
		return fmt.Errorf("%d paths for %d partitions", len(paths), len(newer.Trees))
	}
	for p := range paths {
		if err := checkPartition(p, older.Trees[p], newer.Trees[p], paths[p]); err != nil {
			return err
		}
	}
	return nil
}

func checkPartition(p int, older, newer TreeHead, path []eventstore.Hash) error {
	if newer.Size < older.Size {
		return &PartitionError{p, fmt.Sprintf("it had %d records and has %d now: records were removed", older.Size, newer.Size)}
	}
	if err := checkConsistency(older, newer, path); err != nil {
		return &PartitionError{p, fmt.Sprintf("its %d records now do not begin with the %d that were signed on: history was rewritten, or the path is wrong (%v)",
			newer.Size, older.Size, err)}
	}
	return nil
}

func toFile(r *eventstore.Record) recordFile {
	digests := []string{}
	for _, d := range r.EvidenceDigests {
		digests = append(digests, d.String())
	}
	return recordFile{
		Partition: r.Partition, Seq: r.Seq, Stream: r.Stream, Version: r.Version, Subject: r.Subject, Type: r.Type, Schema: r.Schema,
		EventID: r.EventID.String(), EffectiveAt: r.EffectiveAt.UTC().Format(microsLayout), RecordedAt: r.RecordedAt.UTC().Format(microsLayout),
		Keys: append([]string{}, r.Keys...), Data: string(r.Data), Meta: string(r.Meta), EvidenceDigests: digests,
	}
}

// record is the record, as far as its fields can be read.
func (f *recordFile) record() (eventstore.Record, error) {
	r := eventstore.Record{
		Partition: f.Partition, Seq: f.Seq, Stream: f.Stream, Version: f.Version, Subject: f.Subject, Type: f.Type, Schema: f.Schema,
		Keys: f.Keys, Data: []byte(f.Data), Meta: []byte(f.Meta),
	}
	var err error
	if r.EventID, err = uuid.Parse(f.EventID); err != nil || r.EventID.String() != f.EventID {
		return r, fmt.Errorf("event_id %.60q is no UUID", f.EventID)
	}
	if r.EffectiveAt, err = time.Parse(microsLayout, f.EffectiveAt); err != nil {
		return r, fmt.Errorf("effective_at %.60q is no time of UTC with microseconds", f.EffectiveAt)
	}
	if r.RecordedAt, err = time.Parse(microsLayout, f.RecordedAt); err != nil {
		return r, fmt.Errorf("recorded_at %.60q is no time of UTC with microseconds", f.RecordedAt)
	}
	if r.EvidenceDigests, err = hashes(f.EvidenceDigests); err != nil {
		return r, fmt.Errorf("evidence_digests: %w", err)
	}
	return r, r.Check()
}

// check verifies a record of a proof under a checkpoint.
func (f *includedFile) check(c *Checkpoint) (eventstore.Record, error) {
	r, err := f.Record.record()
	if err != nil {
		return r, err
	}
	if r.Partition < 0 || r.Partition >= len(c.Trees) {
		return r, fmt.Errorf("the checkpoint has no partition %d", r.Partition)
	}
	tree := c.Trees[r.Partition]
	if r.Seq < 1 || r.Seq > tree.Size {
		return r, fmt.Errorf("the checkpoint covers %d records of its partition", tree.Size)
	}
	previous, err := parseHash(f.PreviousHash)
	if err != nil {
		return r, fmt.Errorf("previous_hash: %w", err)
	}
	if r.Seq == 1 && previous != eventstore.Genesis(c.Ledger, r.Partition) {
		return r, errors.New("previous_hash is not what the first record of this ledger's partition stands on")
	}
	r.Hash, _ = r.Next(previous, nil)
	if r.Hash.String() != f.Hash {
		return r, fmt.Errorf("its content gives the hash %s, not %.80s", r.Hash, f.Hash)
	}
	path, err := hashes(f.Path)
	if err != nil {
		return r, fmt.Errorf("path: %w", err)
	}
	if err := checkInclusion(tree, r.Seq, r.Hash, path); err != nil {
		return r, fmt.Errorf("its path does not lead to the root of the checkpoint: %w", err)
	}
	return r, nil
}

func texts(path []eventstore.Hash) []string {
	out := make([]string, len(path))
	for i := range path {
		out[i] = path[i].String()
	}
	return out
}

func hashes(texts []string) ([]eventstore.Hash, error) {
	var out []eventstore.Hash
	for i, s := range texts {
		h, err := parseHash(s)
		if err != nil {
			return nil, fmt.Errorf("number %d: %w", i+1, err)
		}
		out = append(out, h)
	}
	return out, nil
}

// parseHash reads a hash in small letters, as it is written.
func parseHash(s string) (eventstore.Hash, error) {
	h, err := eventstore.ParseHash(s)
	if err == nil && h.String() != s {
		err = fmt.Errorf("hash %q is not in small letters", s)
	}
	return h, err
}

// encode is the one way to write a file.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("writing a proof: %w", err)
	}
	return b.Bytes(), nil
}

// decode reads what encode wrote, byte for byte. A LineError says where it is something else.
func decode(file []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(file))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return lineErrorf(lineAt(file, len(file)), "the file ends here, in the middle of the proof")
	case errors.As(err, &syntax):
		return lineErrorf(lineAt(file, int(syntax.Offset)-1), "%v", err)
	case errors.As(err, &kind):
		return lineErrorf(lineAt(file, int(kind.Offset)-1), "%v", err)
	case err != nil:
		_, field, _ := strings.Cut(err.Error(), "unknown field ")
		return lineErrorf(lineAt(file, max(bytes.Index(file, []byte(field)), 0)), "%v", err)
	}
	same, err := encode(into)
	if err != nil {
		return err
	}
	if !bytes.Equal(same, file) {
		n := 0
		for n < len(same) && n < len(file) && same[n] == file[n] {
			n++
		}
		return lineErrorf(lineAt(file, n), "the file is not as the ledger writes it from here on")
	}
	return nil
}

// lineAt is the line of a byte, from 1. The end of the file belongs to its last line.
func lineAt(file []byte, offset int) int {
	offset = max(min(offset, len(file)-1), 0)
	return bytes.Count(file[:offset], []byte("\n")) + 1
}

// short is an error of the library on one line, without the roots as lists of numbers.
func short(err error) error {
	s, _, cut := strings.Cut(err.Error(), ":")
	if cut && strings.HasPrefix(s, "calculated root") {
		return errors.New("it leads to another root")
	}
	return err
}
