package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
)

// include proves the records of a subject or position, under a signed checkpoint; nil for the last one signed, or a new one.
func (p *prover) include(ctx context.Context, subject string, signed []byte) ([]byte, error) {
	records, err := p.records(ctx, subject)
	if err != nil {
		return nil, err
	}
	if signed == nil {
		if signed, err = p.covering(ctx, records); err != nil {
			return nil, err
		}
	}
	c, err := p.read(signed)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint: %w", err)
	}
	if err := p.reach(ctx); err != nil {
		return nil, err
	}
	return p.included(ctx, signed, &c, records)
}

// included makes the proof. All records are of one partition.
func (p *prover) included(ctx context.Context, signed []byte, c *proof.Checkpoint, records []eventstore.Record) ([]byte, error) {
	if err := p.covered(ctx, c); err != nil {
		return nil, err
	}
	partition := records[0].Partition
	tree, err := p.tree(partition, c.Trees[partition].Size)
	if err != nil {
		return nil, err
	}
	proven := make([]proof.Included, len(records))
	for i := range records {
		r := &records[i]
		if r.Seq > c.Trees[partition].Size {
			return nil, &domain.Error{
				Code:    domain.Invalid,
				Message: fmt.Sprintf("record %s is behind the checkpoint, which has %d records of its partition", r.Position(), c.Trees[partition].Size),
				Details: map[string]string{"checkpoint": fmt.Sprintf("has %d records of the partition, and record %s is behind it", c.Trees[partition].Size, r.Position())},
			}
		}
		proven[i].Record = *r
		if proven[i].Previous, err = p.previous(ctx, r.Position()); err != nil {
			return nil, err
		}
		if proven[i].Path, err = tree.Inclusion(ctx, r.Seq); err != nil {
			return nil, fmt.Errorf("the path of record %s: %w", r.Position(), err)
		}
	}
	made, err := proof.Inclusion(signed, proven)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotIncluded, err)
	}
	return made, nil
}

// errNotIncluded is a finding: a record is not what was signed.
var errNotIncluded = errors.New("the log does not lead to the checkpoint")

// previous is the hash that a record stands on.
func (p *prover) previous(ctx context.Context, at eventstore.Position) (eventstore.Hash, error) {
	if at.Seq == 1 {
		return eventstore.Genesis(p.stores.info.LedgerID, at.Partition), nil
	}
	records, err := p.stores.log.Read(ctx, at.Partition, at.Seq-2, 1)
	if err != nil {
		return eventstore.Hash{}, err
	}
	if len(records) == 0 {
		return eventstore.Hash{}, fmt.Errorf("the record in front of %s: %w", at, eventstore.ErrNotFound)
	}
	return records[0].Hash, nil
}

// covering is the last signed checkpoint if it covers the records, else a new one.
func (p *prover) covering(ctx context.Context, records []eventstore.Record) ([]byte, error) {
	key, err := p.key(ctx)
	if err != nil {
		return nil, err
	}
	signed, last, err := p.last(ctx, key)
	if err != nil {
		return nil, err
	}
	newest := records[len(records)-1]
	if last != nil && last.Trees[newest.Partition].Size >= newest.Seq {
		return signed, nil
	}
	return p.checkpoint(ctx)
}

// records are those at a position, or of a subject or stream, in order: never none.
func (p *prover) records(ctx context.Context, subject string) ([]eventstore.Record, error) {
	if at, err := eventstore.ParsePosition(subject); err == nil {
		return p.at(ctx, at)
	}
	stream := subject
	switch {
	case strings.HasPrefix(subject, "mer_"):
		stream = "merchant:" + subject
	case strings.HasPrefix(subject, "opr_"):
		stream = "operator:" + subject
	}
	for n := range p.stores.info.Partitions {
		records, err := p.stream(ctx, n, stream)
		if err == nil && len(records) == 0 {
			records, err = p.stores.log.ReadSubjects(ctx, n, []string{subject})
		}
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", subject, err)
		}
		if len(records) > 0 {
			return records, bounded(subject, records)
		}
	}
	return nil, domain.Errorf(domain.NotFound, "nothing in the log is about %s", subject)
}

func (p *prover) at(ctx context.Context, at eventstore.Position) ([]eventstore.Record, error) {
	if at.Seq < 1 {
		return nil, fmt.Errorf("record %s: %w", at, eventstore.ErrNotFound)
	}
	records, err := p.stores.log.Read(ctx, at.Partition, at.Seq-1, 1)
	if err == nil && len(records) == 0 {
		err = eventstore.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", at, err)
	}
	return records, nil
}

// stream reads a whole stream, as far as a proof can hold it.
func (p *prover) stream(ctx context.Context, partition int, stream string) (all []eventstore.Record, err error) {
	err = eventstore.EachPage(ctx, 0, maxProven+1, func(ctx context.Context, after int64, limit int) ([]eventstore.Record, error) {
		return p.stores.log.ReadStream(ctx, partition, stream, after, limit)
	}, func(records []eventstore.Record) (bool, error) {
		all = append(all, records...)
		return false, bounded(stream, all)
	})
	return all, err
}

// bounded refuses what is too much for one proof.
func bounded(subject string, records []eventstore.Record) error {
	size := 0
	for i := range records {
		size += len(records[i].Data) + len(records[i].Meta)
	}
	if len(records) > maxProven || size > maxProvenBytes {
		problem := fmt.Sprintf("has more than %d records or %d MiB: prove its payments, or single positions", maxProven, maxProvenBytes>>20)
		return &domain.Error{Code: domain.Invalid, Message: subject + " " + problem, Details: map[string]string{"subject": problem}}
	}
	return nil
}
