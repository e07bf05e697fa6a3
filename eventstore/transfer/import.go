package transfer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/khata-ledger/khata/eventstore"
)

// Target is a store to import into.
type Target interface {
	Info(ctx context.Context) (eventstore.Info, error)
	Head(ctx context.Context, partition int) (eventstore.Head, error)
	Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error)
	Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error
	Committed(ctx context.Context, records []eventstore.Record) (bool, error)
	Adopt(ctx context.Context, info eventstore.Info) error
}

// Errors of an import. Compare with errors.Is.
var (
	ErrDamaged     = errors.New("the export is damaged or not complete")
	ErrContradicts = errors.New("the export contradicts the store")
	ErrForeign     = errors.New("the store holds records of another ledger")
	ErrGap         = errors.New("the export begins behind the end of the store")
)

// Bounds of an import.
const (
	maxBatch      = 1000    // records of one append
	maxBatchBytes = 8 << 20 // lines of one append; one line may be longer
	// maxLine is the longest line that a record within eventstore's bounds can have: its evidence in base64, and data and meta
	// of which every byte is escaped to six.
	maxLine = eventstore.MaxEvidence*(eventstore.MaxEvidenceBytes/3*4+1<<12) + 2*6*eventstore.MaxDataBytes + 1<<16
)

// Imported is what an import did.
type Imported struct {
	Records int64             // appended
	Equal   int64             // in the store already
	Heads   []eventstore.Head // of the file, by partition
}

// Import adds what Export wrote to the store; see the package's guarantees. What it has appended stays when it fails
// later. Errors: ErrDamaged, ErrContradicts, ErrForeign, ErrGap, and the store's; eventstore.ErrConflict when
// somebody else appends at the same time.
func Import(ctx context.Context, store Target, r io.Reader, progress Progress) (Imported, error) {
	m := importer{store: store, progress: progress, lines: bufio.NewReaderSize(r, 1<<16), maxLine: maxLine, maxBatch: maxBatch}
	err := m.run(ctx)
	if err != nil {
		return m.done, fmt.Errorf("importing the log: %w", err)
	}
	return m.done, nil
}

type importer struct {
	store    Target
	progress Progress
	lines    *bufio.Reader
	maxLine  int // bytes
	maxBatch int // records
	line     int // number of the line read last, from 1

	file    header
	adopted bool
	ends    []eventstore.Head // how far the file has been followed, by partition
	heads   []eventstore.Head // of the store; behind ends, or ahead of them
	done    Imported
	read    int64 // records

	batch      []eventstore.Record // of one partition, consecutive lines
	batchLine  int                 // of the first
	batchBytes int
}

func (m *importer) run(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	for {
		l, n, err := m.next()
		if err != nil {
			return err
		}
		switch {
		case l.Header != nil:
			return m.damaged(m.line, errors.New("a second header"))
		case l.End != nil:
			if err := m.flush(ctx); err != nil {
				return err
			}
			return m.finish(ctx, l.End)
		}
		if err := m.take(ctx, l.Record, n); err != nil {
			return err
		}
	}
}

func (m *importer) damaged(line int, err error) error {
	return fmt.Errorf("%w: line %d: %w", ErrDamaged, line, err)
}

// next reads one line, and its length.
func (m *importer) next() (line, int, error) {
	m.line++
	var b []byte
	for {
		part, err := m.lines.ReadSlice('\n')
		b = append(b, part...)
		switch {
		case err == nil, errors.Is(err, io.EOF) && len(b) > 0:
			l, err := decode(b)
			if err != nil {
				return line{}, 0, m.damaged(m.line, err)
			}
			return l, len(b), nil
		case errors.Is(err, io.EOF):
			return line{}, 0, m.damaged(m.line, errors.New("the file ends here, before its last line"))
		case !errors.Is(err, bufio.ErrBufferFull):
			return line{}, 0, fmt.Errorf("line %d: %w", m.line, err)
		case len(b) > m.maxLine:
			return line{}, 0, m.damaged(m.line, fmt.Errorf("longer than %d bytes", m.maxLine))
		}
	}
}

// begin reads the header and compares it with the store.
func (m *importer) begin(ctx context.Context) error {
	l, _, err := m.next()
	if err != nil {
		return err
	}
	if l.Header == nil {
		return m.damaged(m.line, errors.New("an export begins with its header"))
	}
	m.file = *l.Header
	if err := m.checkHeader(); err != nil {
		return m.damaged(m.line, err)
	}
	info, err := m.store.Info(ctx)
	if err != nil {
		return err
	}
	m.adopted = info == eventstore.Info{LedgerID: m.file.Ledger, Partitions: m.file.Partitions}
	if m.adopted {
		return m.readHeads(ctx)
	}
	for p := range info.Partitions {
		head, err := m.store.Head(ctx, p)
		if err != nil {
			return err
		}
		if head.Seq > 0 {
			return fmt.Errorf("%w: the store is ledger %s, the export is of ledger %s", ErrForeign, info.LedgerID, m.file.Ledger)
		}
	}
	for _, t := range m.ends {
		if t.Seq > 0 {
			return fmt.Errorf("%w: it begins behind record %d:%d, and the store is empty", ErrGap, t.Partition, t.Seq)
		}
	}
	return nil
}

func (m *importer) checkHeader() error {
	h := &m.file
	if h.Format != Format {
		return fmt.Errorf("format %q, this version reads %q", h.Format, Format)
	}
	info := eventstore.Info{LedgerID: h.Ledger, Partitions: h.Partitions}
	if err := info.Check(); err != nil {
		return err
	}
	if len(h.After) != h.Partitions || h.Records < 0 {
		return fmt.Errorf("%d partitions, of which %d are begun, and %d records", h.Partitions, len(h.After), h.Records)
	}
	for p := range h.After {
		head, err := h.After[p].head(p)
		if err != nil {
			return err
		}
		if head.Seq == 0 && head.Hash != eventstore.Genesis(h.Ledger, p) {
			return fmt.Errorf("partition %d does not begin with the ledger's genesis", p)
		}
		m.ends = append(m.ends, head)
	}
	return nil
}

// readHeads reads the store's heads, and checks that the file connects to what the store has.
func (m *importer) readHeads(ctx context.Context) error {
	for p := range m.file.Partitions {
		head, err := m.store.Head(ctx, p)
		if err != nil {
			return err
		}
		m.heads = append(m.heads, head)
		at := m.ends[p]
		if at.Seq > head.Seq {
			return fmt.Errorf("%w: it begins behind record %d:%d, the newest of the store is %d:%d", ErrGap, p, at.Seq, p, head.Seq)
		}
		if at.Seq == 0 {
			continue
		}
		records, err := m.store.Read(ctx, p, at.Seq-1, 1)
		if err != nil {
			return err
		}
		if len(records) != 1 || records[0].Hash != at.Hash {
			return fmt.Errorf("%w: record %d:%d, which it stands on, is another one there", ErrContradicts, p, at.Seq)
		}
	}
	return nil
}

// take adds a record to the batch.
func (m *importer) take(ctx context.Context, l *recordLine, bytes int) error {
	r, err := l.record()
	if err != nil {
		return m.damaged(m.line, err)
	}
	if r.Partition >= m.file.Partitions {
		return m.damaged(m.line, fmt.Errorf("record %s of a ledger of %d partitions", r.Position(), m.file.Partitions))
	}
	full := len(m.batch) >= m.maxBatch || m.batchBytes+bytes > maxBatchBytes
	if len(m.batch) > 0 && (full || m.batch[0].Partition != r.Partition) {
		if err := m.flush(ctx); err != nil {
			return err
		}
	}
	if len(m.batch) == 0 {
		m.batchLine = m.line
	}
	m.batch = append(m.batch, r)
	m.batchBytes += bytes
	return nil
}

// flush checks the batch as a whole, then writes what the store lacks of it.
func (m *importer) flush(ctx context.Context) error {
	if len(m.batch) == 0 {
		return nil
	}
	p := m.batch[0].Partition
	end, err := eventstore.Follow(m.ends[p], m.batch)
	if err != nil {
		return m.damaged(m.batchLine+int(end.Seq-m.ends[p].Seq), err)
	}
	if err := m.adopt(ctx); err != nil {
		return err
	}
	fresh, err := m.compare(ctx, p)
	if err != nil {
		return err
	}
	if len(fresh) > 0 {
		if err := m.write(ctx, p, fresh); err != nil {
			return err
		}
	}
	m.ends[p] = end
	m.done.Equal += int64(len(m.batch) - len(fresh))
	m.done.Records += int64(len(fresh))
	m.read += int64(len(m.batch))
	m.progress.tell(m.read, m.file.Records)
	clear(m.batch) // so that nothing holds on to large evidence
	m.batch, m.batchBytes = m.batch[:0], 0
	return nil
}

// adopt makes an empty store a copy of the file's ledger, once something of the file has proved right.
func (m *importer) adopt(ctx context.Context) error {
	if m.adopted {
		return nil
	}
	err := m.store.Adopt(ctx, eventstore.Info{LedgerID: m.file.Ledger, Partitions: m.file.Partitions})
	if err != nil {
		return err
	}
	m.adopted = true
	return m.readHeads(ctx)
}

// compare checks those records of the batch that the store has already, and returns the others.
func (m *importer) compare(ctx context.Context, p int) ([]eventstore.Record, error) {
	rest := m.batch
	for len(rest) > 0 && rest[0].Seq <= m.heads[p].Seq {
		n := min(int64(len(rest)), page, m.heads[p].Seq-rest[0].Seq+1)
		there, err := m.store.Read(ctx, p, rest[0].Seq-1, int(n))
		if err != nil {
			return nil, err
		}
		if int64(len(there)) != n {
			return nil, fmt.Errorf("%w: record %s is missing from the store", eventstore.ErrBroken, rest[len(there)].Position())
		}
		for i := range there {
			if there[i].Seq != rest[i].Seq || there[i].Hash != rest[i].Hash {
				return nil, fmt.Errorf("%w: record %s (line %d) is another one there", ErrContradicts, rest[i].Position(), m.lineOf(&rest[i]))
			}
		}
		rest = rest[n:]
	}
	return rest, nil
}

func (m *importer) lineOf(r *eventstore.Record) int { return m.batchLine + int(r.Seq-m.batch[0].Seq) }

// write appends records, which stand on the store's head.
func (m *importer) write(ctx context.Context, p int, records []eventstore.Record) error {
	err := m.store.Append(ctx, m.heads[p], records)
	if errors.Is(err, eventstore.ErrUnknown) {
		var there bool
		if there, err = m.store.Committed(ctx, records); err == nil && !there {
			err = m.store.Append(ctx, m.heads[p], records)
		}
	}
	if err != nil {
		return fmt.Errorf("appending records %s to %s (line %d): %w",
			records[0].Position(), records[len(records)-1].Position(), m.lineOf(&records[0]), err)
	}
	m.heads[p] = m.heads[p].Behind(records)
	return nil
}

// finish compares the last line with what was read.
func (m *importer) finish(ctx context.Context, e *end) error {
	if e.Records != m.read || e.Records != m.file.Records || len(e.Heads) != len(m.ends) {
		return m.damaged(m.line, fmt.Errorf("it counts %d records in %d partitions; %d records came", e.Records, len(e.Heads), m.read))
	}
	for p, at := range m.ends {
		if e.Heads[p] != tipOf(at) {
			return m.damaged(m.line, fmt.Errorf("partition %d should end with record %d:%d, and ended with %d:%d", p, p, e.Heads[p].Seq, p, at.Seq))
		}
	}
	switch _, err := m.lines.Peek(1); {
	case err == nil:
		return m.damaged(m.line+1, errors.New("something follows the last line"))
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("line %d: %w", m.line+1, err)
	}
	m.done.Heads = m.ends
	return m.adopt(ctx)
}
