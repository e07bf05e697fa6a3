package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/khata-ledger/khata/eventstore"
)

// A build beats so often, and is given up for dead without a beat for so long.
const (
	beatEvery  = 2 * time.Second
	deadBehind = 30 * time.Second
)

// remainderBatches is how far behind what serves a build may be to switch: the rest is applied in the switch.
const remainderBatches = 2

// errBuilding: another process builds some of the same projections.
var errBuilding = errors.New("another process is building these views")

// Rebuild builds projections anew from the first record, beside what serves, checks them and switches; without names, all of
// them. progress, which may be nil, is told how many records are done, of how many. It works beside a running server.
// ErrUnknownProjection, ErrNewer.
func (v *Views) Rebuild(ctx context.Context, names []string, progress func(done, total int64)) error {
	picked, err := named(names)
	if err != nil {
		return err
	}
	if err := v.prepare(ctx); err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	if at, _ := v.standing(); at.marks == nil {
		picked = all() // nothing serves: they all start together
	}
	for {
		err := v.build(ctx, picked, false, progress)
		if !errors.Is(err, errBuilding) {
			return err
		}
		if !pause(ctx, apart(v.opts.Poll, v.info.Partitions+1)) {
			return ctx.Err()
		}
	}
}

// build is one generation being made.
type build struct {
	v          *Views
	generation int64
	targets    []target
	progress   func(done, total int64) // or nil
	completed  bool                    // what filling leaves out is there

	mu    sync.Mutex // guards what follows
	marks []mark     // by partition
	goals []int64    // positions to reach
	tally tally
}

// build makes a generation of the projections and switches to it. With needed it makes only those that are outdated still;
// errBuilding when another process makes some of them, or has made them all.
func (v *Views) build(ctx context.Context, ps []projection, needed bool, progress func(done, total int64)) (err error) {
	w, err := openWriter(ctx, v.db, v.dialect)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	b := &build{v: v, progress: progress, goals: make([]int64, v.info.Partitions), tally: newTally()}
	if err := b.begin(ctx, w, ps, needed); err != nil {
		return fmt.Errorf("begin to build: %w", err)
	}
	v.opts.Logger.Info("building views", "projections", b.names(), "generation", b.generation)
	if err := b.run(ctx, w); err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatEvery)
		defer cancel()
		return errors.Join(fmt.Errorf("build generation %d of %s: %w", b.generation, b.names(), err), b.discard(clean))
	}
	v.opts.Logger.Info("the views are built", "projections", b.names(), "generation", b.generation)
	if _, err := v.refresh(ctx); err != nil {
		return err
	}
	return v.sweep(ctx)
}

func (b *build) names() string {
	var names []string
	for _, t := range b.targets {
		names = append(names, t.name())
	}
	return strings.Join(names, " ")
}

// begin makes the generation's tables, empty. From then on a program that knows only older shapes does not use the views.
func (b *build) begin(ctx context.Context, w *writer, ps []projection, needed bool) error {
	return w.atomic(ctx, func() error {
		var err error
		if b.generation, err = w.count(ctx); err != nil {
			return err
		}
		now := time.Now()
		if _, err := w.exec(ctx, "DELETE FROM views_builds WHERE beat < $1", now.Add(-deadBehind).UnixMicro()); err != nil {
			return err
		}
		if err := b.alone(ctx, w, ps); err != nil {
			return err
		}
		if needed { // read behind the builds: one that has just ended serves by now
			at, err := readStanding(ctx, w.conn, b.v.info.Partitions)
			if err != nil {
				return err
			}
			if ps = at.outdated(); len(ps) == 0 {
				return errBuilding
			}
		}
		for _, p := range ps {
			b.targets = append(b.targets, target{p, b.generation})
			for _, s := range p.schemas() {
				if err := w.ddl(ctx, s.create(w.dialect, b.generation)); err != nil {
					return err
				}
			}
		}
		if _, err := w.exec(ctx, "INSERT INTO views_builds (generation, names, beat) VALUES ($1, $2, $3)",
			b.generation, b.names(), now.UnixMicro()); err != nil {
			return err
		}
		for p := range b.v.info.Partitions {
			genesis := eventstore.Genesis(b.v.info.LedgerID, p)
			b.marks = append(b.marks, mark{hash: genesis})
			if _, err := w.exec(ctx, "INSERT INTO views_checkpoints (lane, partition, seq, hash, epoch) VALUES ($1, $2, 0, $3, $1)",
				b.generation, p, genesis.String()); err != nil {
				return err
			}
		}
		return b.announce(ctx, w)
	})
}

// alone refuses to build what another process is building.
func (b *build) alone(ctx context.Context, w *writer, ps []projection) (err error) {
	rows, err := w.conn.QueryContext(ctx, "SELECT names FROM views_builds")
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var names string
		if err := rows.Scan(&names); err != nil {
			return err
		}
		for _, name := range strings.Fields(names) {
			for _, p := range ps {
				if p.name() == name {
					return errBuilding
				}
			}
		}
	}
	return rows.Err()
}

// announce takes projections of another shape from service, so that no older program goes on writing or reading them.
func (b *build) announce(ctx context.Context, w *writer) error {
	var changed int64
	for _, t := range b.targets {
		n, err := w.exec(ctx, `INSERT INTO views_serving (name, generation, version, shape) VALUES ($1, 0, $2, $3)
			ON CONFLICT (name) DO UPDATE SET generation = 0, version = excluded.version, shape = excluded.shape
			WHERE views_serving.shape <> excluded.shape`, t.name(), t.version(), t.shape())
		if err != nil {
			return err
		}
		changed += n
	}
	if changed == 0 {
		return nil
	}
	_, err := w.exec(ctx, "UPDATE views_checkpoints SET epoch = $1 WHERE lane = 0", b.generation)
	return err
}

// worthAnalyzing is how many records a log must have for the statistics of its views to say what they will be like.
const worthAnalyzing = 10_000

// run fills, checks and switches.
func (b *build) run(ctx context.Context, w *writer) error {
	beating, stop := context.WithCancel(ctx)
	var beats sync.WaitGroup
	beats.Go(func() { b.beat(beating) })
	defer func() { stop(); beats.Wait() }()
	if err := b.fill(ctx); err != nil {
		return err
	}
	if err := b.complete(ctx, w); err != nil {
		return err
	}
	if err := b.index(ctx); err != nil {
		return err
	}
	if err := b.fill(ctx); err != nil { // so that what is checked is not far behind
		return err
	}
	if err := b.check(ctx); err != nil {
		return err
	}
	for {
		if err := b.fill(ctx); err != nil {
			return err
		}
		if err := b.switchOver(ctx, w); !errors.Is(err, errFar) {
			return err
		}
	}
}

// index makes the indexes of the tables, on PostgreSQL of two projections at a time.
func (b *build) index(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(1)
	if b.v.dialect == Postgres {
		group.SetLimit(2)
	}
	for _, t := range b.targets {
		group.Go(func() error { return b.indexOne(ctx, t) })
	}
	return group.Wait()
}

func (b *build) indexOne(ctx context.Context, t target) (err error) {
	w, err := openWriter(ctx, b.v.db, b.v.dialect)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for _, s := range t.schemas() {
		if err := w.ddl(ctx, s.createIndexes(b.generation)...); err != nil {
			return err
		}
		// PostgreSQL's own statistics come a minute later: queries would be planned without until then. Of a small table, none are
		// better: plans that are right for a few rows would be kept while they become many.
		if w.dialect == Postgres && b.records() >= worthAnalyzing {
			if err := w.ddl(ctx, "ANALYZE "+s.in(b.generation)); err != nil {
				return err
			}
		}
	}
	return nil
}

// complete makes up what filling has left out.
func (b *build) complete(ctx context.Context, w *writer) error {
	for _, t := range b.targets {
		p, incomplete := t.projection.(completed)
		if !incomplete {
			continue
		}
		if err := w.atomic(ctx, func() error { return p.complete(ctx, w, b.generation) }); err != nil {
			return fmt.Errorf("complete %s: %w", t.name(), err)
		}
	}
	b.completed = true
	return nil
}

// beat shows that this process builds.
func (b *build) beat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			_, err := b.v.db.ExecContext(ctx, "UPDATE views_builds SET beat = $1 WHERE generation = $2", now.UnixMicro(), b.generation)
			if err != nil && ctx.Err() == nil { // a beat that is missing speaks for itself; the work says what is wrong
				b.v.opts.Logger.Debug("a build cannot show that it lives", "generation", b.generation, "error", err)
			}
		}
	}
}

// discard gives the build up; sweep drops its tables.
func (b *build) discard(ctx context.Context) error {
	for _, text := range []string{"DELETE FROM views_builds WHERE generation = $1", "DELETE FROM views_checkpoints WHERE lane = $1"} {
		if _, err := b.v.db.ExecContext(ctx, text, b.generation); err != nil {
			return fmt.Errorf("give up generation %d: %w", b.generation, explain(err))
		}
	}
	return b.v.sweep(ctx)
}
