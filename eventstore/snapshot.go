package eventstore

import "fmt"

// MaxSnapshotBytes bounds the state in a snapshot.
const MaxSnapshotBytes = 1 << 20

// Snapshot is the state of a stream as of a position, so that a long stream need not be folded from its beginning. It can be
// made again from the log, and is believed only where it stands on it: the record at Seq has Hash, and Fold is how the reader
// folds.
type Snapshot struct {
	Partition int
	Stream    string
	Seq       int64 // of any record of the partition: what the stream has up to there is in the state
	Hash      Hash  // of that record
	Version   int64 // of the stream, as of Seq
	Fold      int   // version of the fold that made State
	State     []byte
}

// Check refuses what no stream's snapshot can be (ErrInvalid).
func (s *Snapshot) Check() error {
	switch {
	case s.Stream == "" || len(s.Stream) > MaxNameBytes || !ValidText(s.Stream):
		return fmt.Errorf("%w: a snapshot of stream %q", ErrInvalid, s.Stream)
	case s.Seq < 1 || s.Version < 1 || s.Version > s.Seq || s.Fold < 1:
		return fmt.Errorf("%w: a snapshot of stream %s at position %d, version %d, by fold %d", ErrInvalid, s.Stream, s.Seq, s.Version, s.Fold)
	case len(s.State) > MaxSnapshotBytes:
		return fmt.Errorf("%w: a snapshot of stream %s of %d bytes (at most %d)", ErrInvalid, s.Stream, len(s.State), MaxSnapshotBytes)
	}
	return nil
}
