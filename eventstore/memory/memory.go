// Package memory is a log that lives as long as its process: for tests and for simulation. It keeps every promise of the
// contract but durability.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// Store is a log in memory. It is safe for concurrent use; a second handle on it is the same pointer.
type Store struct {
	mu         sync.RWMutex // guards everything below
	id         uuid.UUID
	partitions []*partition
}

// partition is one sequence of records; records[i] has position i+1. Indexes hold positions, ascending.
type partition struct {
	head     eventstore.Head
	records  []eventstore.Record
	streams  map[string][]int64
	subjects map[string][]int64
	keys     map[string]int64
	evidence map[int64][]eventstore.Evidence

	snapshots map[string]eventstore.Snapshot // by stream
}

var _ eventstore.Store = (*Store)(nil)

// New makes an empty log of so many partitions, with a random id.
func New(partitions int) *Store {
	s := &Store{}
	s.reset(eventstore.Info{LedgerID: uuid.New(), Partitions: partitions})
	return s
}

func (s *Store) reset(info eventstore.Info) {
	s.id = info.LedgerID
	s.partitions = make([]*partition, info.Partitions)
	for i := range s.partitions {
		s.partitions[i] = &partition{
			head:     eventstore.Head{Partition: i, Hash: eventstore.Genesis(info.LedgerID, i)},
			streams:  map[string][]int64{},
			subjects: map[string][]int64{},
			keys:     map[string]int64{},
			evidence: map[int64][]eventstore.Evidence{},

			snapshots: map[string]eventstore.Snapshot{},
		}
	}
}

// at returns a partition; the caller holds mu.
func (s *Store) at(ctx context.Context, n int) (*partition, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if n < 0 || n >= len(s.partitions) {
		return nil, fmt.Errorf("partition %d of %d: %w", n, len(s.partitions), eventstore.ErrPartition)
	}
	return s.partitions[n], nil
}

// Info returns the ledger's id and its number of partitions.
func (s *Store) Info(context.Context) (eventstore.Info, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return eventstore.Info{LedgerID: s.id, Partitions: len(s.partitions)}, nil
}

// Head returns the tip of a partition.
func (s *Store) Head(ctx context.Context, n int) (eventstore.Head, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.at(ctx, n)
	if err != nil {
		return eventstore.Head{}, err
	}
	return p.head, nil
}

// Append writes records behind head. See eventstore.Store; it never returns ErrUnknown.
func (s *Store) Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error {
	if err := eventstore.CheckAppend(head, records); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.at(ctx, head.Partition)
	if err != nil {
		return err
	}
	if err := p.head.Stands(head); err != nil {
		return err
	}
	for i := range records {
		p.add(&records[i])
	}
	p.head = p.head.Behind(records)
	return nil
}

func (p *partition) add(given *eventstore.Record) {
	r := clone(given)
	r.EffectiveAt, r.RecordedAt = eventstore.Micros(r.EffectiveAt), eventstore.Micros(r.RecordedAt)
	p.records = append(p.records, r)
	p.streams[r.Stream] = append(p.streams[r.Stream], r.Seq)
	p.subjects[r.Subject] = append(p.subjects[r.Subject], r.Seq)
	for _, k := range r.Keys {
		if _, taken := p.keys[k]; !taken {
			p.keys[k] = r.Seq
		}
	}
	if len(given.Evidence) > 0 {
		p.evidence[r.Seq] = cloneEvidence(given.Evidence)
	}
}

// Committed tells whether the records are in the log. In memory, no outcome is ever in doubt.
func (s *Store) Committed(ctx context.Context, records []eventstore.Record) (bool, error) {
	if len(records) == 0 {
		return false, fmt.Errorf("%w: no records to look for", eventstore.ErrInvalid)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.at(ctx, records[0].Partition)
	if err != nil {
		return false, err
	}
	for i := range records {
		seq := records[i].Seq
		if seq < 1 || seq > p.head.Seq || p.records[seq-1].EventID != records[i].EventID {
			return false, nil
		}
	}
	return true, nil
}

// Claim raises the partition's epoch.
func (s *Store) Claim(ctx context.Context, n int) (eventstore.Head, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.at(ctx, n)
	if err != nil {
		return eventstore.Head{}, err
	}
	p.head.Epoch++
	return p.head, nil
}

// Read returns up to limit records behind position after.
func (s *Store) Read(ctx context.Context, n int, after int64, limit int) ([]eventstore.Record, error) {
	if err := eventstore.CheckPage(after, limit); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.at(ctx, n)
	if err != nil {
		return nil, err
	}
	var found []eventstore.Record
	for seq := after + 1; seq <= p.head.Seq && len(found) < limit; seq++ {
		found = append(found, clone(&p.records[seq-1]))
	}
	return found, nil
}

// ReadStream returns up to limit records of a stream behind position after.
func (s *Store) ReadStream(ctx context.Context, n int, stream string, after int64, limit int) ([]eventstore.Record, error) {
	if err := eventstore.CheckPage(after, limit); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.at(ctx, n)
	if err != nil {
		return nil, err
	}
	seqs := p.streams[stream]
	from, _ := slices.BinarySearch(seqs, after+1)
	seqs = seqs[from:]
	return p.pick(seqs[:min(limit, len(seqs))]), nil
}

// ReadSubjects returns the records of the subjects, in order of position.
func (s *Store) ReadSubjects(ctx context.Context, n int, subjects []string) ([]eventstore.Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.at(ctx, n)
	if err != nil {
		return nil, err
	}
	var seqs []int64
	for _, subject := range slices.Compact(slices.Sorted(slices.Values(subjects))) {
		seqs = append(seqs, p.subjects[subject]...)
	}
	slices.SortFunc(seqs, cmp.Compare[int64])
	return p.pick(seqs), nil
}

func (p *partition) pick(seqs []int64) []eventstore.Record {
	var found []eventstore.Record
	for _, seq := range seqs {
		found = append(found, clone(&p.records[seq-1]))
	}
	return found
}

// Lookup returns the positions of the records that hold the keys.
func (s *Store) Lookup(ctx context.Context, n int, _ int64, keys []string) (map[string]int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.at(ctx, n)
	if err != nil {
		return nil, err
	}
	taken := map[string]int64{}
	for _, k := range keys {
		if seq, ok := p.keys[k]; ok {
			taken[k] = seq
		}
	}
	return taken, nil
}

// Hashes returns the hashes of up to limit records behind position after, in order.
func (s *Store) Hashes(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Hash, error) {
	records, err := s.Read(ctx, partition, after, limit)
	var hashes []eventstore.Hash
	for i := range records {
		hashes = append(hashes, records[i].Hash)
	}
	return hashes, err
}

// Snapshot returns the newest snapshot of a stream.
func (s *Store) Snapshot(ctx context.Context, n int, stream string) (eventstore.Snapshot, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.at(ctx, n)
	if err != nil {
		return eventstore.Snapshot{}, false, err
	}
	kept, there := p.snapshots[stream]
	kept.State = bytes.Clone(kept.State)
	return kept, there, nil
}

// KeepSnapshot keeps a snapshot in place of the stream's former one.
func (s *Store) KeepSnapshot(ctx context.Context, kept eventstore.Snapshot) error {
	if err := kept.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.at(ctx, kept.Partition)
	if err != nil {
		return err
	}
	kept.State = bytes.Clone(kept.State)
	p.snapshots[kept.Stream] = kept
	return nil
}

// Evidence returns the raw messages of one record.
func (s *Store) Evidence(ctx context.Context, at eventstore.Position) ([]eventstore.Evidence, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.at(ctx, at.Partition)
	if err != nil {
		return nil, err
	}
	if at.Seq < 1 || at.Seq > p.head.Seq {
		return nil, fmt.Errorf("record %s: %w", at, eventstore.ErrNotFound)
	}
	return cloneEvidence(p.evidence[at.Seq]), nil
}

// Adopt takes another ledger's id and number of partitions while the store is empty.
func (s *Store) Adopt(_ context.Context, info eventstore.Info) error {
	if err := info.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partitions {
		if p.head.Seq > 0 {
			return fmt.Errorf("partition %d has %d records: %w", p.head.Partition, p.head.Seq, eventstore.ErrNotEmpty)
		}
	}
	epochs := map[int]int64{}
	for i, p := range s.partitions {
		epochs[i] = p.head.Epoch
	}
	s.reset(info)
	for i, p := range s.partitions {
		p.head.Epoch = epochs[i]
	}
	return nil
}

// Close does nothing: the records live as long as the store is reachable.
func (s *Store) Close() error { return nil }

// clone makes a copy that shares nothing with r, as reads return it: without evidence.
func clone(r *eventstore.Record) eventstore.Record {
	c := *r
	c.Keys = slices.Clone(r.Keys)
	c.Data = bytes.Clone(r.Data)
	c.Meta = bytes.Clone(r.Meta)
	c.EvidenceDigests = slices.Clone(r.EvidenceDigests)
	c.Evidence = nil
	return c
}

func cloneEvidence(messages []eventstore.Evidence) []eventstore.Evidence {
	c := slices.Clone(messages)
	for i := range c {
		c[i].Body = bytes.Clone(c[i].Body)
	}
	return c
}
