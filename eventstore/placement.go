package eventstore

import "fmt"

// CheckAppend is what every store checks before it writes records behind head: each record's bounds, and that they were
// placed by Chain behind this head. ErrInvalid names the first one that is wrong. It trusts the hashes: to compute them
// again would double their cost, and verification does.
func CheckAppend(head Head, records []Record) error {
	if len(records) == 0 || len(records) > MaxAppend {
		return fmt.Errorf("%w: an append of %d records (1 to %d)", ErrInvalid, len(records), MaxAppend)
	}
	recorded := head.RecordedAt
	for i := range records {
		r := &records[i]
		if err := r.Check(); err != nil {
			return fmt.Errorf("record %d of %d (%s): %w", i+1, len(records), r.EventID, err)
		}
		switch {
		case r.Partition != head.Partition || r.Seq != head.Seq+1+int64(i):
			return fmt.Errorf("%w: record %s is not placed behind the head %d:%d", ErrInvalid, r.Position(), head.Partition, head.Seq)
		case len(r.EvidenceDigests) != len(r.Evidence) || r.Hash == Hash{}:
			return fmt.Errorf("%w: record %s is not chained", ErrInvalid, r.Position())
		case r.RecordedAt.Before(recorded):
			return fmt.Errorf("%w: record %s: recorded before the record in front of it", ErrInvalid, r.Position())
		}
		recorded = r.RecordedAt
	}
	return nil
}

// Behind is the head that an append of records, which are not empty, leaves behind.
func (h Head) Behind(records []Record) Head {
	last := &records[len(records)-1]
	h.Seq, h.Hash, h.RecordedAt = last.Seq, last.Hash, Micros(last.RecordedAt)
	return h
}

// Stands compares what the caller of Append expects with the head that is there: ErrDeposed when the partition has another
// owner, ErrConflict when records have been appended.
func (h Head) Stands(expected Head) error {
	switch {
	case h.Epoch != expected.Epoch:
		return fmt.Errorf("partition %d is at epoch %d, not %d: %w", h.Partition, h.Epoch, expected.Epoch, ErrDeposed)
	case h.Seq != expected.Seq || h.Hash != expected.Hash:
		return fmt.Errorf("partition %d is at %d, not at %d: %w", h.Partition, h.Seq, expected.Seq, ErrConflict)
	}
	return nil
}
