package eventstore

import "context"

// Bounds of a page: a record may have a MiB.
const (
	firstPage = 64      // records, while nothing is known of their size
	pageBytes = 4 << 20 // that a page aims at
	pageGrows = 8       // times, at most, from one page to the next
)

// NextPage is how many records to read after a page that was asked for with limit: as many as make some MiB if they go on like that,
// and most at most. Without a page before, it is a small number.
func NextPage(page []Record, limit, most int) int {
	if len(page) == 0 {
		return min(firstPage, most)
	}
	size := 0
	for i := range page {
		size += len(page[i].Data) + len(page[i].Meta) + 256 // the rest of it
	}
	return min(max(pageBytes*len(page)/size, 1), pageGrows*limit, most)
}

// EachPage reads records in pages from position after on, and calls f with each page, in order; the next one is read meanwhile.
// A page has most records at most, and fewer where they are large. read returns up to limit records behind a position; fewer are
// the last ones. f says when it has enough.
func EachPage(
	ctx context.Context, after int64, most int,
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
	limit := NextPage(nil, 0, most)
	start := func(after int64) {
		reading = true
		limit := limit
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
			limit = NextPage(next.records, limit, most)
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
