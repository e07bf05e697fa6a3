package eventstore

import "context"

// EachPage reads records in pages from position after on, and calls f with each page, in order; the next one is read meanwhile.
// read returns up to limit records behind a position; fewer are the last ones. f says when it has enough.
func EachPage(
	ctx context.Context, after int64, limit int,
	read func(ctx context.Context, after int64, limit int) ([]Record, error),
	f func(records []Record) (enough bool, err error),
) error {
	type page struct {
		records []Record
		err     error
	}
	ctx, cancel := context.WithCancel(ctx)
	pages := make(chan page, 1)
	reading := false
	start := func(after int64) {
		reading = true
		go func() {
			records, err := read(ctx, after, limit)
			pages <- page{records, err}
		}()
	}
	defer func() {
		cancel()
		if reading {
			<-pages
		}
	}()
	for start(after); reading; {
		next := <-pages
		reading = false
		if next.err != nil {
			return next.err
		}
		if n := len(next.records); n == limit {
			start(next.records[n-1].Seq)
		}
		if len(next.records) == 0 {
			return nil
		}
		if enough, err := f(next.records); enough || err != nil {
			return err
		}
	}
	return nil
}
