package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// barePostgres inserts by binary COPY: rows as the server itself sent them, in which only seq is written anew.
type barePostgres struct {
	dsn    string
	from   excerpt
	tables []bareTable
}

// bareTable are rows of a table in COPY's binary format.
type bareTable struct {
	name string
	rows []bareRow
}

// bareRow is a row, and where its seq stands in it.
type bareRow struct {
	bytes []byte
	seq   int64
	at    int
}

// Parts of COPY's binary format.
const (
	copyHeader  = "PGCOPY\n\377\r\n\000" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

func newBarePostgres(ctx context.Context, at Place, from excerpt) (p *barePostgres, err error) {
	p = &barePostgres{dsn: at.DSN, from: from}
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for _, name := range []string{"events", "evidence"} {
		t := bareTable{name: name}
		if t.rows, err = readRows(ctx, conn, name, from); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if len(t.rows) > 0 {
			p.tables = append(p.tables, t)
		}
	}
	return p, nil
}

// connect opens a connection whose commits are as durable as the log's.
func (p *barePostgres) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, p.dsn)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// readRows reads a table's rows of the excerpt.
func readRows(ctx context.Context, conn *pgx.Conn, table string, from excerpt) ([]bareRow, error) {
	described, err := conn.Prepare(ctx, "", "SELECT * FROM public."+table)
	if err != nil {
		return nil, err
	}
	column := slices.IndexFunc(described.Fields, func(f pgconn.FieldDescription) bool { return f.Name == "seq" })
	var b bytes.Buffer
	_, err = conn.PgConn().CopyTo(ctx, &b, fmt.Sprintf("COPY (SELECT * FROM public.%s WHERE partition = %d AND seq > %d AND seq <= %d ORDER BY seq) TO STDOUT BINARY",
		table, from.partition, from.after, from.upTo))
	if err != nil {
		return nil, err
	}
	if b.Len() < len(copyHeader) {
		return nil, errors.New("the server's COPY is too short")
	}
	return cutRows(b.Bytes()[len(copyHeader):], column)
}

// cutRows cuts the rows apart. Each begins with the number of its columns, each column with its length.
func cutRows(data []byte, column int) (rows []bareRow, err error) {
	errShort := errors.New("the server's COPY ends early")
	for {
		if len(data) < 2 {
			return nil, errShort
		}
		columns := int(int16(binary.BigEndian.Uint16(data)))
		if columns < 0 { // the trailer
			return rows, nil
		}
		row, end := bareRow{}, 2
		for i := range columns {
			if len(data) < end+4 {
				return nil, errShort
			}
			size := max(int(int32(binary.BigEndian.Uint32(data[end:]))), 0) // -1: null
			end += 4
			if len(data) < end+size {
				return nil, errShort
			}
			if i == column {
				if size != 8 {
					return nil, fmt.Errorf("seq of %d bytes", size)
				}
				row.seq, row.at = int64(binary.BigEndian.Uint64(data[end:])), end
			}
			end += size
		}
		row.bytes = data[:end]
		rows, data = append(rows, row), data[end:]
	}
}

// bareCopy is what one COPY sends, with the places of each seq in it.
type bareCopy struct {
	sql  string
	data []byte
	seqs []int64
	at   []int
}

// move adds shift to each seq of the excerpt.
func (c *bareCopy) move(shift int64) {
	for i, at := range c.at {
		binary.BigEndian.PutUint64(c.data[at:], uint64(c.seqs[i]+shift))
	}
}

// commits prepares the COPYs of each commit. A writer has its own, since it writes into them.
func (p *barePostgres) commits(rows int) [][]bareCopy {
	var out [][]bareCopy
	for low := p.from.after; low < p.from.upTo; low += int64(rows) {
		var commit []bareCopy
		for _, t := range p.tables {
			c := bareCopy{sql: "COPY bare." + t.name + " FROM STDIN BINARY", data: []byte(copyHeader)}
			for _, r := range t.rows {
				if r.seq > low && r.seq <= low+int64(rows) {
					c.seqs, c.at = append(c.seqs, r.seq), append(c.at, len(c.data)+r.at)
					c.data = append(c.data, r.bytes...)
				}
			}
			c.data = append(c.data, copyTrailer...)
			if len(c.seqs) > 0 {
				commit = append(commit, c)
			}
		}
		out = append(out, commit)
	}
	return out
}

func (p *barePostgres) insert(ctx context.Context, during time.Duration, writers, rows int) (s sample, err error) {
	conns := make([]*pgx.Conn, writers)
	prepared := make([][][]bareCopy, writers)
	for i := range conns {
		if conns[i], err = p.connect(ctx); err != nil {
			return sample{}, err
		}
		defer func() { err = errors.Join(err, conns[i].Close(context.WithoutCancel(ctx))) }()
		prepared[i] = p.commits(rows)
	}
	if err := p.makeTables(ctx, conns[0]); err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, p.dropTables(context.WithoutCancel(ctx), conns[0])) }()
	var laps, records atomic.Int64 // over the excerpt
	var running sync.WaitGroup
	failed := make([]error, writers)
	begun := time.Now()
	for i, conn := range conns {
		running.Go(func() {
			for time.Since(begun) < during && failed[i] == nil && ctx.Err() == nil {
				shift := laps.Add(1) * (p.from.upTo - p.from.after)
				for _, commit := range prepared[i] {
					if time.Since(begun) >= during {
						break
					}
					if failed[i] = write(ctx, conn.PgConn(), commit, shift); failed[i] != nil {
						break
					}
					records.Add(int64(len(commit[0].seqs)))
				}
			}
		})
	}
	running.Wait()
	return sample{count: records.Load(), elapsed: time.Since(begun)}, errors.Join(append(failed, ctx.Err())...)
}

// write makes one commit.
func write(ctx context.Context, conn *pgconn.PgConn, commit []bareCopy, shift int64) error {
	if len(commit) == 1 { // a statement by itself is a transaction
		commit[0].move(shift)
		_, err := conn.CopyFrom(ctx, bytes.NewReader(commit[0].data), commit[0].sql)
		return err
	}
	if _, err := conn.Exec(ctx, "BEGIN").ReadAll(); err != nil {
		return err
	}
	for i := range commit {
		commit[i].move(shift)
		if _, err := conn.CopyFrom(ctx, bytes.NewReader(commit[i].data), commit[i].sql); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, "COMMIT").ReadAll()
	return err
}

func (p *barePostgres) makeTables(ctx context.Context, conn *pgx.Conn) error {
	if err := p.dropTables(ctx, conn); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, `CREATE SCHEMA bare;
		CREATE TABLE bare.events (LIKE public.events INCLUDING STORAGE INCLUDING COMPRESSION, PRIMARY KEY (partition, seq));
		CREATE TABLE bare.evidence (LIKE public.evidence INCLUDING STORAGE INCLUDING COMPRESSION, PRIMARY KEY (partition, seq, n))`,
		pgx.QueryExecModeSimpleProtocol)
	return err
}

func (p *barePostgres) dropTables(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "DROP SCHEMA IF EXISTS bare CASCADE")
	return err
}

// batch asks by which transactions the excerpt was written.
func (p *barePostgres) batch(ctx context.Context) (rows int, err error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	var records, commits int
	err = conn.QueryRow(ctx, "SELECT count(*), count(DISTINCT xmin::text) FROM public.events WHERE partition = $1 AND seq > $2 AND seq <= $3",
		p.from.partition, p.from.after, p.from.upTo).Scan(&records, &commits)
	if err != nil || commits == 0 {
		return 0, err
	}
	return records / commits, nil
}

func (p *barePostgres) close() error { return nil }

// readPostgres reads all records of the log in order, as the server sends them, and returns how many there are.
func readPostgres(ctx context.Context, at Place) (n int64, err error) {
	conn, err := pgx.Connect(ctx, at.DSN)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	rows, err := conn.Query(ctx, "SELECT * FROM public.events ORDER BY partition, seq")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var bytes int
	for rows.Next() {
		for _, value := range rows.RawValues() {
			bytes += len(value)
		}
		n++
	}
	return n, rows.Err()
}
