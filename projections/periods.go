package projections

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/eventstore"
)

// periods holds the closes of the general ledger, who asked to reopen them, and which are reopened. Its rows are inserted, never changed.
//
// Which records are late follows from them and the journal when it is asked for: a close is of one partition, and what it makes late is in all.
type periods struct{}

func (periods) name() string   { return "periods" }
func (periods) version() int64 { return 2 }
func (periods) shape() int64   { return 2 }
func (periods) schemas() []*schema {
	return []*schema{&closeTable.schema, &requestTable.schema, &reopenTable.schema}
}

// closeRow is a close.
type closeRow struct {
	number                     int64
	name, zone                 string // of the period
	from, to                   int64
	partition, seq, recordedAt int64  // of the record
	marks                      string // JSON: ["0:12","1:7"]
	accounts                   int64
	totals                     string // JSON, as in the event
	digest                     string
	actor                      string
}

var closeTable = newTable(schema{name: "period_closes", key: 1}, []column[closeRow]{
	{"number", func(r *closeRow) any { return &r.number }},
	{"period", func(r *closeRow) any { return &r.name }},
	{"zone", func(r *closeRow) any { return &r.zone }},
	{"from_at", func(r *closeRow) any { return &r.from }},
	{"to_at", func(r *closeRow) any { return &r.to }},
	{"partition", func(r *closeRow) any { return &r.partition }},
	{"seq", func(r *closeRow) any { return &r.seq }},
	{"recorded_at", func(r *closeRow) any { return &r.recordedAt }},
	{"marks", func(r *closeRow) any { return &r.marks }},
	{"accounts", func(r *closeRow) any { return &r.accounts }},
	{"totals", func(r *closeRow) any { return &r.totals }},
	{"digest", func(r *closeRow) any { return &r.digest }},
	{"actor", func(r *closeRow) any { return &r.actor }},
})

// requestRow asks for a close to be reopened. A close may have several: what is asked for is dropped by the next close, and may be asked for
// again when that one has been reopened.
type requestRow struct {
	number, seq, recordedAt int64
	reason, actor           string
}

var requestTable = newTable(schema{name: "period_requests", key: 2}, []column[requestRow]{
	{"number", func(r *requestRow) any { return &r.number }},
	{"seq", func(r *requestRow) any { return &r.seq }},
	{"recorded_at", func(r *requestRow) any { return &r.recordedAt }},
	{"reason", func(r *requestRow) any { return &r.reason }},
	{"actor", func(r *requestRow) any { return &r.actor }},
})

// reopenRow reopens a close.
type reopenRow struct {
	number, seq, recordedAt int64
	actor                   string
}

var reopenTable = newTable(schema{name: "period_reopenings", key: 1}, []column[reopenRow]{
	{"number", func(r *reopenRow) any { return &r.number }},
	{"seq", func(r *reopenRow) any { return &r.seq }},
	{"recorded_at", func(r *reopenRow) any { return &r.recordedAt }},
	{"actor", func(r *reopenRow) any { return &r.actor }},
})

func (periods) apply(ctx context.Context, w *writer, _ *cache, generation int64, facts []fact) error {
	var closes []closeRow
	var requests []requestRow
	var reopenings []reopenRow
	for i := range facts {
		r := facts[i].record
		switch e := facts[i].books.(type) {
		case *books.Closed:
			row, err := newClose(&facts[i], e)
			if err != nil {
				return err
			}
			closes = append(closes, row)
		case *books.ReopenRequested:
			requests = append(requests, requestRow{int64(e.Number), r.Seq, micros(r.RecordedAt), e.Reason, e.Actor})
		case *books.Reopened:
			reopenings = append(reopenings, reopenRow{int64(e.Number), r.Seq, micros(r.RecordedAt), e.Actor})
		}
	}
	if err := closeTable.insert(ctx, w, generation, closes); err != nil {
		return err
	}
	if err := requestTable.insert(ctx, w, generation, requests); err != nil {
		return err
	}
	return reopenTable.insert(ctx, w, generation, reopenings)
}

func newClose(f *fact, e *books.Closed) (closeRow, error) {
	r := f.record
	marks, err := json.Marshal(e.Positions)
	if err != nil {
		return closeRow{}, fmt.Errorf("record %s: %w", r.Position(), err)
	}
	totals, err := json.Marshal(e.Totals)
	if err != nil {
		return closeRow{}, fmt.Errorf("record %s: %w", r.Position(), err)
	}
	return closeRow{
		number: int64(e.Number), name: e.Name, zone: e.Zone, from: micros(e.From), to: micros(e.To), partition: int64(r.Partition), seq: r.Seq,
		recordedAt: micros(r.RecordedAt), marks: string(marks), accounts: int64(e.Accounts), totals: string(totals), digest: e.Digest, actor: e.Actor,
	}, nil
}

// closing is the close as the domain has it.
func (r *closeRow) closing() (books.Closing, error) {
	c := books.Closing{Number: int(r.number), Name: r.name, To: instant(r.to)}
	if err := json.Unmarshal([]byte(r.marks), &c.Marks); err != nil {
		return c, fmt.Errorf("read close %d: %w", r.number, err)
	}
	return c, nil
}

// standingCloses reads the closes that end at a moment or behind it, and stood when the books' partition was at seq and by what was recorded
// until then, in their order; up to the first one that ends at until or behind it. Those before are of no consequence for what is between.
func (v *Views) standingCloses(ctx context.Context, q querier, generation int64, from, until, seq, knownAt int64) (found books.Closings, err error) {
	rows, err := q.QueryContext(ctx, standingText(generation), from, seq, knownAt)
	if err != nil {
		return nil, explain(err)
	}
	all, err := closeTable.collect(rows)
	if err != nil {
		return nil, err
	}
	for i := range all {
		c, err := all[i].closing()
		if err != nil {
			return nil, err
		}
		if len(c.Marks) != v.info.Partitions {
			return nil, fmt.Errorf("close %d has %d positions, and the log %d partitions", c.Number, len(c.Marks), v.info.Partitions)
		}
		if found = append(found, c); all[i].to >= until {
			break
		}
	}
	return found, nil
}

func standingText(generation int64) string {
	return fmt.Sprintf(`SELECT %s FROM %s AS c WHERE c.to_at >= $1 AND c.seq <= $2 AND c.recorded_at <= $3
		AND NOT EXISTS (SELECT 1 FROM %s AS r WHERE r.number = c.number AND r.seq <= $2 AND r.recorded_at <= $3) ORDER BY c.to_at`,
		closeTable.list(), closeTable.in(generation), reopenTable.in(generation))
}

// booksPartition is where the general ledger's records are.
func (v *Views) booksPartition() int { return eventstore.PartitionOf(books.Owner, v.info.Partitions) }
