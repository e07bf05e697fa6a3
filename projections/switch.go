package projections

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// errFar: what serves has moved on too far to take the rest in the switch.
var errFar = errors.New("the build is behind what serves")

// switchOver puts the build in the place of what serves, at the very checkpoint at which that stands.
func (b *build) switchOver(ctx context.Context, w *writer) error {
	return w.atomic(ctx, func() error {
		// A number of its own: announce has raised the epoch to that of the generation. Who has read what served since then, without the build,
		// would move the checkpoints on at that epoch, and what it does not apply would be missing for ever.
		epoch, err := w.count(ctx)
		if err != nil {
			return err
		}
		// This locks the checkpoints: until the commit nobody else moves them.
		n, err := w.exec(ctx, "UPDATE views_checkpoints SET epoch = $1 WHERE lane = 0", epoch)
		if err != nil {
			return err
		}
		if n == 0 {
			err = b.serveFirst(ctx, w, epoch)
		} else {
			err = b.remainder(ctx, w)
		}
		if err != nil {
			return err
		}
		for _, t := range b.targets {
			if _, err := w.exec(ctx, `INSERT INTO views_serving (name, generation, version, shape) VALUES ($1, $2, $3, $4)
				ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, version = excluded.version, shape = excluded.shape`,
				t.name(), t.generation, t.version(), t.shape()); err != nil {
				return err
			}
		}
		if _, err := w.exec(ctx, "DELETE FROM views_checkpoints WHERE lane = $1", b.generation); err != nil {
			return err
		}
		ours, err := w.exec(ctx, "DELETE FROM views_builds WHERE generation = $1", b.generation)
		if err == nil && ours != 1 {
			err = errFenced // it was taken for dead, or the views were reset
		}
		return err
	})
}

// serveFirst makes the build's checkpoints the ones that serve: nothing does.
func (b *build) serveFirst(ctx context.Context, w *writer, epoch int64) error {
	if len(b.targets) != len(all()) {
		return errFenced // what served when the build began has been reset since
	}
	_, err := w.exec(ctx, `INSERT INTO views_checkpoints (lane, partition, seq, hash, epoch)
		SELECT 0, partition, seq, hash, CAST($2 AS BIGINT) FROM views_checkpoints WHERE lane = $1`, b.generation, epoch)
	return err
}

// remainder applies what lies between the build and what serves.
func (b *build) remainder(ctx context.Context, w *writer) error {
	at, err := readStanding(ctx, w.conn, b.v.info.Partitions)
	if err != nil {
		return err
	}
	for p, goal := range at.marks {
		from := b.marks[p]
		if goal.seq < from.seq {
			return errFenced // another build has begun to serve since, not as far on
		}
		if goal.seq-from.seq > int64(remainderBatches*b.v.opts.Batch) {
			return errFar
		}
		l := lane{number: b.generation, epoch: b.generation, partition: p, targets: b.targets}
		for from.seq < goal.seq {
			next, err := b.v.read(ctx, p, from, int(min(int64(b.v.opts.Batch), goal.seq-from.seq)))
			if err != nil {
				return err
			}
			if len(next.facts) == 0 {
				return fmt.Errorf("record %d:%d: %w", p, goal.seq, errUnbelieved)
			}
			if err := w.apply(ctx, l, from, next); err != nil {
				return err
			}
			from = next.to
		}
		if from != goal {
			return fmt.Errorf("record %d:%d has another hash: %w", p, goal.seq, errUnbelieved)
		}
	}
	return nil
}

// lockTimeout bounds how long dropping a table may make its last readers' followers wait, on PostgreSQL.
const lockTimeout = 2 * time.Second

// sweep drops the tables of generations that neither serve nor are being built, and forgets builds whose process has died.
func (v *Views) sweep(ctx context.Context) (err error) {
	w, err := openWriter(ctx, v.db, v.dialect)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	// The tables come first: one that is there has its build or its service in the catalog, by then or later.
	tables, err := w.tables(ctx)
	if err != nil {
		return fmt.Errorf("look for old views: %w", err)
	}
	err = w.atomic(ctx, func() error {
		if _, err := w.exec(ctx, "DELETE FROM views_builds WHERE beat < $1", time.Now().Add(-deadBehind).UnixMicro()); err != nil {
			return err
		}
		_, err := w.exec(ctx, "DELETE FROM views_checkpoints WHERE lane > 0 AND lane NOT IN (SELECT generation FROM views_builds)")
		return err
	})
	if err != nil {
		return fmt.Errorf("forget dead builds: %w", err)
	}
	used, err := w.generations(ctx)
	if err != nil {
		return fmt.Errorf("look for old views: %w", err)
	}
	for _, t := range tables {
		if used[t.projection+" "+strconv.FormatInt(t.generation, 10)] || used["* "+strconv.FormatInt(t.generation, 10)] {
			continue
		}
		err := w.atomic(ctx, func() error {
			if v.dialect == Postgres {
				if err := w.ddl(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", lockTimeout.Milliseconds())); err != nil {
					return err
				}
			}
			return w.ddl(ctx, "DROP TABLE IF EXISTS "+t.table)
		})
		if err != nil { // somebody still reads it, long: the next sweep drops it
			v.opts.Logger.Warn("an old view cannot be dropped yet", "table", t.table, "error", err)
		}
	}
	return nil
}

// made is a table of some generation.
type made struct {
	table, projection string
	generation        int64
}

// tables lists the tables of projections.
func (w *writer) tables(ctx context.Context) (found []made, err error) {
	query := "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
	if w.dialect == Postgres {
		query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
	}
	rows, err := w.conn.QueryContext(ctx, query)
	if err != nil {
		return nil, explain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	of := map[string]string{}
	for _, p := range all() {
		for _, s := range p.schemas() {
			of[s.name] = p.name()
		}
	}
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return nil, err
		}
		at := strings.LastIndexByte(table, '_')
		generation, notOurs := strconv.ParseInt(table[at+1:], 10, 64)
		if at > 0 && notOurs == nil && of[table[:at]] != "" {
			found = append(found, made{table, of[table[:at]], generation})
		}
	}
	return found, rows.Err()
}

// generations are those in use: "projection generation" for what serves, "* generation" for what is being built.
func (w *writer) generations(ctx context.Context) (used map[string]bool, err error) {
	rows, err := w.conn.QueryContext(ctx, "SELECT name, generation FROM views_serving UNION ALL SELECT '*', generation FROM views_builds")
	if err != nil {
		return nil, explain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	used = map[string]bool{}
	for rows.Next() {
		var name string
		var generation int64
		if err := rows.Scan(&name, &generation); err != nil {
			return nil, err
		}
		used[name+" "+strconv.FormatInt(generation, 10)] = true
	}
	return used, rows.Err()
}
