package ledger

import (
	"context"
	"fmt"

	"github.com/khata-ledger/khata/eventstore"
)

// messenger is an Auditable that reads the messages of many records at once.
type messenger interface {
	// EachEvidence calls f with the messages of the records of a partition from position from up to position to, in order, one at a
	// time: a page of records may have gigabytes of them. An error of f ends it, and is returned.
	EachEvidence(ctx context.Context, partition int, from, to int64, f func(seq int64, message eventstore.Evidence) error) error
}

// received is what has been read of a record's messages.
type received struct {
	messages int
	altered  int // one more than the number of the first that is not the recorded one; 0 for none
}

func (m *received) take(r *eventstore.Record, message *eventstore.Evidence) {
	if m.altered == 0 && m.messages < len(r.EvidenceDigests) && message.Digest() != r.EvidenceDigests[m.messages] {
		m.altered = m.messages + 1
	}
	m.messages++
}

// wrong says how the messages differ from those that the record has.
func (m *received) wrong(r *eventstore.Record) error {
	switch {
	case m.messages != len(r.EvidenceDigests):
		return fmt.Errorf("%d messages where the record has %d", m.messages, len(r.EvidenceDigests))
	case m.altered > 0:
		return fmt.Errorf("message %d is not the one that was recorded", m.altered-1)
	}
	return nil
}

// evidence compares the messages of the records that have some with their digests.
func (v *verifier) evidence(ctx context.Context, records []eventstore.Record) error {
	var with []*eventstore.Record
	for i := range records {
		if len(records[i].EvidenceDigests) > 0 {
			with = append(with, &records[i])
		}
	}
	if len(with) == 0 {
		return nil
	}
	got, err := v.receive(ctx, with)
	if err != nil {
		return err
	}
	for i, r := range with {
		v.note(checkEvidence, r.Position(), got[i].wrong(r), int64(len(r.EvidenceDigests)))
	}
	return nil
}

// receive reads the messages of records, which ascend.
func (v *verifier) receive(ctx context.Context, records []*eventstore.Record) ([]received, error) {
	got := make([]received, len(records))
	log, able := v.log.(messenger)
	if !able {
		for i, r := range records {
			messages, err := v.log.Evidence(ctx, r.Position())
			if err != nil {
				return nil, err
			}
			for j := range messages {
				got[i].take(r, &messages[j])
			}
		}
		return got, nil
	}
	next := 0
	first, last := records[0], records[len(records)-1]
	err := log.EachEvidence(ctx, first.Partition, first.Seq, last.Seq, func(seq int64, message eventstore.Evidence) error {
		for next < len(records) && records[next].Seq < seq {
			next++
		}
		if next < len(records) && records[next].Seq == seq { // else it is a stray
			got[next].take(records[next], &message)
		}
		return nil
	})
	return got, err
}
