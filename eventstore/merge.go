package eventstore

import (
	"context"
	"fmt"
	"iter"
)

// mergePage is how many records all partitions together read at once, at most; what they take is bounded by EachPage, too.
const mergePage = 5000

// leastPage is how many records one partition reads at once, however many partitions there are.
const leastPage = 64

// Heads returns the heads of all partitions: what a reader of the whole log goes up to, however much is appended meanwhile.
func Heads(ctx context.Context, log interface {
	Info(ctx context.Context) (Info, error)
	Head(ctx context.Context, partition int) (Head, error)
}) ([]Head, error) {
	info, err := log.Info(ctx)
	if err != nil {
		return nil, err
	}
	heads := make([]Head, info.Partitions)
	for p := range heads {
		if heads[p], err = log.Head(ctx, p); err != nil {
			return nil, err
		}
	}
	return heads, nil
}

// Merge calls f with every record of the partitions, up to their heads, in one order: by time of recording, then by partition and
// position. Within a partition that is the order of the log. ErrBroken when a partition ends before its head.
func Merge(
	ctx context.Context, heads []Head,
	read func(ctx context.Context, partition int, after int64, limit int) ([]Record, error),
	f func(*Record) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	most := max(mergePage/max(len(heads), 1), leastPage)
	var front []*source
	for _, h := range heads {
		if h.Seq == 0 {
			continue
		}
		s := &source{head: h}
		var stop func()
		s.pull, stop = iter.Pull2(s.pages(ctx, most, read))
		defer stop()
		if err := s.next(); err != nil {
			return err
		}
		front = append(front, s)
	}
	for len(front) > 0 {
		first := 0
		for i, s := range front {
			if s.record().RecordedAt.Before(front[first].record().RecordedAt) {
				first = i
			}
		}
		s := front[first]
		if err := f(s.record()); err != nil {
			return err
		}
		if s.record().Seq >= s.head.Seq {
			front = append(front[:first], front[first+1:]...)
			continue
		}
		if err := s.next(); err != nil {
			return err
		}
	}
	return nil
}

// source is a partition that is being merged.
type source struct {
	head Head
	pull func() ([]Record, error, bool)
	page []Record
	at   int
}

func (s *source) record() *Record { return &s.page[s.at] }

// next goes to the next record, which is there: the head is not reached.
func (s *source) next() error {
	if s.at++; s.at < len(s.page) {
		return nil
	}
	page, err, more := s.pull()
	if err != nil {
		return fmt.Errorf("reading partition %d: %w", s.head.Partition, err)
	}
	if !more || len(page) == 0 {
		return fmt.Errorf("%w: partition %d ends before its head, which is at %d", ErrBroken, s.head.Partition, s.head.Seq)
	}
	s.page, s.at = page, 0
	return nil
}

// pages reads a partition page by page.
func (s *source) pages(
	ctx context.Context, most int, read func(ctx context.Context, partition int, after int64, limit int) ([]Record, error),
) iter.Seq2[[]Record, error] {
	return func(yield func([]Record, error) bool) {
		err := EachPage(ctx, 0, most,
			func(ctx context.Context, after int64, limit int) ([]Record, error) {
				return read(ctx, s.head.Partition, after, limit)
			},
			func(records []Record) (bool, error) { return !yield(records, nil), nil })
		if err != nil {
			yield(nil, err)
		}
	}
}
