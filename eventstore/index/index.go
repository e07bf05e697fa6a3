package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// Options are the bounds of an index. Zero values take the defaults.
type Options struct {
	Records     int64 // of a table, before it is written as a run; default 65,536
	FilterBytes int64 // of all filters in memory; the largest runs do without when it is too little; default 96 MiB
}

// Bounds that nothing needs to choose.
const (
	fanout       = 8    // runs of a level that are merged into one of the next
	maxFrozen    = 8    // tables that wait to be written, before appends wait for them
	tailPage     = 5000 // records of the log read at once
	closeRecords = 2000 // a shorter tail is left to the next process: reading it is quick
	closeWithin  = 10 * time.Second
	retryPause   = time.Second
	lostAfter    = 10 * time.Minute // a run that is not finished by then has lost its writer
	attempts     = 8                // how often runs are read again because somebody changed them
)

func (o Options) withDefaults() Options {
	if o.Records <= 0 {
		o.Records = 65_536
	}
	if o.FilterBytes <= 0 {
		o.FilterBytes = 96 << 20
	}
	return o
}

// Index finds the records of a log by their names. It is safe for concurrent use.
type Index struct {
	db   DB
	opts Options

	mu         sync.Mutex // guards partitions and started
	partitions map[int]*partition
	started    bool

	ctx   context.Context // of the goroutines that write and merge
	stop  context.CancelFunc
	tasks sync.WaitGroup
	write chan struct{} // a table is full; capacity 1
	merge chan struct{} // a run was added; capacity 1
}

// New makes the index of a log. It reads nothing before the first question. Close ends it.
func New(db DB, opts Options) *Index {
	x := &Index{
		db: db, opts: opts.withDefaults(), partitions: map[int]*partition{},
		write: make(chan struct{}, 1), merge: make(chan struct{}, 1),
	}
	x.ctx, x.stop = context.WithCancel(context.Background())
	return x
}

func (x *Index) at(n int) *partition {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.partitions[n]
	if p == nil {
		p = &partition{index: x, n: n}
		x.partitions[n] = p
	}
	return p
}

func (x *Index) all() []*partition {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make([]*partition, 0, len(x.partitions))
	for _, p := range x.partitions {
		all = append(all, p)
	}
	return all
}

// Tip is how far memory reaches in a partition; the zero Tip reaches nowhere.
type Tip struct {
	Seq  int64
	Hash eventstore.Hash
}

// Tip is taken before a head is read, for Saw.
func (x *Index) Tip(partition int) Tip { return x.at(partition).tip() }

// Saw compares a head with the tip that memory had before the head was read. A log that ends earlier, or in another record, has
// gone back: then memory is dropped.
func (x *Index) Saw(before Tip, head eventstore.Head) {
	if head.Seq < before.Seq || head.Seq == before.Seq && head.Seq > 0 && head.Hash != before.Hash {
		x.at(head.Partition).drop()
	}
}

// Ready prepares for an append behind head: memory reaches up to there, and what is not written yet leaves room. ErrConflict when
// memory does not end with that head: what was looked up in it may be of another history, or too little.
func (x *Index) Ready(ctx context.Context, head eventstore.Head) error {
	p := x.at(head.Partition)
	if _, err := p.reach(ctx, head.Seq); err != nil {
		return err
	}
	if t := p.tip(); t.Seq != head.Seq || t.Seq > 0 && t.Hash != head.Hash {
		return fmt.Errorf("partition %d is known up to %d: %w", head.Partition, t.Seq, eventstore.ErrConflict)
	}
	return p.room(ctx)
}

// Added takes up records that were appended behind head. Without it they would be read from the log.
func (x *Index) Added(head eventstore.Head, records []eventstore.Record) {
	p := x.at(head.Partition)
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := p.last(); last != nil && last.to == head.Seq && (head.Seq == 0 || last.hash == head.Hash) {
		p.add(records)
		p.appended = true
	}
}

// Lookup returns, for those of the keys that a record has claimed, the position of the first such record. Every record up to
// upTo counts.
func (x *Index) Lookup(ctx context.Context, partition int, upTo int64, keys []string) (map[string]int64, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	hashes := make([]uint64, len(keys))
	for i, k := range keys {
		hashes[i] = hashOf(kindKey, k)
	}
	found, err := x.at(partition).find(ctx, upTo, hashes)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	asked := make(map[string]bool, len(keys))
	for _, k := range keys {
		asked[k] = true
	}
	taken := map[string]int64{}
	err = x.db.readKeys(ctx, partition, found, func(seq int64, claimed []string) {
		for _, k := range claimed {
			if first, there := taken[k]; asked[k] && (!there || seq < first) {
				taken[k] = seq
			}
		}
	})
	return taken, err
}

// Renew makes the index of a partition anew, from the log.
func (x *Index) Renew(ctx context.Context, n int) error {
	p := x.at(n)
	if err := p.renew(ctx, errors.New("it was asked for")); err != nil {
		return err
	}
	return x.catchUp(ctx, p)
}

// CatchUp writes and merges all that is due in the partitions from 0 up to, not including, end: then nothing trails.
func (x *Index) CatchUp(ctx context.Context, end int) error {
	for n := range end {
		if err := x.catchUp(ctx, x.at(n)); err != nil {
			return fmt.Errorf("index of partition %d: %w", n, err)
		}
	}
	return nil
}

func (x *Index) catchUp(ctx context.Context, p *partition) error {
	if _, err := p.reach(ctx, maxSeq); err != nil {
		return err
	}
	p.freeze(1)
	if err := p.writeAll(ctx); err != nil {
		return err
	}
	return p.mergeAll(ctx)
}

// Close ends the work in the background and writes a long tail, so that the next process need not read it.
func (x *Index) Close() error {
	x.mu.Lock() // wake starts nothing any more
	x.stop()
	x.mu.Unlock()
	x.tasks.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	var errs []error
	for _, p := range x.all() {
		p.mu.RLock()
		appended := p.appended
		p.mu.RUnlock()
		if appended {
			p.freeze(closeRecords)
			errs = append(errs, p.writeAll(ctx))
		}
	}
	return errors.Join(errs...)
}

// wake has full tables written, by goroutines that are started when they are needed first.
func (x *Index) wake() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.started && x.ctx.Err() == nil {
		x.started = true
		x.tasks.Go(func() { x.work(x.write, (*partition).writeAll) })
		x.tasks.Go(func() { x.work(x.merge, (*partition).mergeAll) })
	}
	signal(x.write)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// work does a task for all partitions whenever it is signalled, and again a little later when it has failed. Who needs its
// effect, and finds it missing, does it himself and gets the error.
func (x *Index) work(due chan struct{}, task func(*partition, context.Context) error) {
	for {
		select {
		case <-due:
		case <-x.ctx.Done():
			return
		}
		for _, p := range x.all() {
			if err := task(p, x.ctx); err != nil && x.ctx.Err() == nil {
				slog.Warn("the index of the log falls behind; trying again", "partition", p.n, "error", err)
				time.AfterFunc(retryPause, func() { signal(due) })
			}
		}
	}
}
