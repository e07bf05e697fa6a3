package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/khata-ledger/khata/eventstore"
)

// errUnbelieved: the log does not have the record that a checkpoint names.
var errUnbelieved = errors.New("the log does not have the record that the views stand on")

// standing returns how the views are, as this process knows, and a channel that is closed when it knows more.
func (v *Views) standing() (standing, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now, v.change
}

// awaited tells whether a read waits for the views, and returns a channel that is closed when that may have changed.
func (v *Views) awaited() (bool, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.waiting > 0, v.change
}

// wait counts a read that waits for the views, until it calls done. The first one wakes those who gather records.
func (v *Views) wait() (done func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.waiting++
	if v.waiting == 1 {
		v.set(v.now)
	}
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.waiting--
	}
}

// refresh reads how the views are, for what other processes have done to them. One reading follows the other, so that what this
// process knows never goes back to an earlier one: a read that Reach let pass must not find the generation from before a
// switch. It does go back with a database that has lost its newest commits.
func (v *Views) refresh(ctx context.Context) (standing, error) {
	select {
	case v.reading <- struct{}{}:
		defer func() { <-v.reading }()
	case <-ctx.Done():
		return standing{}, ctx.Err()
	}
	known, _ := v.standing()
	read, err := readStanding(ctx, v.db, v.info.Partitions)
	if err != nil {
		return standing{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	lost := read.behind(&known) // what was known before the reading began
	if lost {
		v.opts.Logger.Warn("the views have gone back; the rest is read from the log again", "at", read.seqs(), "from", known.seqs())
	}
	overtaken := read.behind(&v.now) // by this process, while it was reading
	if (lost || !overtaken) && !v.now.equal(&read) {
		v.set(read)
	}
	return v.now, nil
}

// moved notes that this process has moved a checkpoint.
func (v *Views) moved(epoch int64, partition int, to mark) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.now.epoch == epoch && partition < len(v.now.marks) && v.now.marks[partition].seq < to.seq {
		v.set(v.now.with(partition, to))
	}
}

// set replaces the standing and wakes who waits for it. The caller holds mu.
func (v *Views) set(s standing) {
	v.now = s
	close(v.change)
	v.change = make(chan struct{})
}

// believe checks that the log has the record of each checkpoint, with its hash: errUnbelieved.
func (v *Views) believe(ctx context.Context, at *standing) error {
	for p, m := range at.marks {
		found := eventstore.Genesis(v.info.LedgerID, p)
		if m.seq > 0 {
			records, err := v.log.Read(ctx, p, m.seq-1, 1)
			if err != nil {
				return fmt.Errorf("read record %d:%d: %w", p, m.seq, err)
			}
			if len(records) == 0 {
				return fmt.Errorf("record %d:%d is not there: %w", p, m.seq, errUnbelieved)
			}
			found = records[0].Hash
		}
		if found != m.hash {
			return fmt.Errorf("record %d:%d has another hash: %w", p, m.seq, errUnbelieved)
		}
	}
	return nil
}

// prepare makes the catalog and takes from service what cannot be believed, or is of a shape that this program does not know.
func (v *Views) prepare(ctx context.Context) (err error) {
	w, err := openWriter(ctx, v.db, v.dialect)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := v.makeCatalog(ctx, w); err != nil {
		return fmt.Errorf("make the catalog of the views: %w", err)
	}
	at, err := v.refresh(ctx)
	if err != nil {
		return err
	}
	if err := at.newer(); err != nil {
		return err
	}
	err = v.believe(ctx, &at)
	if !errors.Is(err, errUnbelieved) {
		return err
	}
	v.opts.Logger.Warn("the views do not belong to the log and are built again", "error", err)
	if err := v.reset(ctx, w, at.epoch); err != nil {
		return fmt.Errorf("reset the views: %w", err)
	}
	_, err = v.refresh(ctx)
	return err
}

// reset takes everything from service that stands at an epoch, and all builds. Their tables are dropped later.
func (v *Views) reset(ctx context.Context, w *writer, epoch int64) error {
	return w.atomic(ctx, func() error {
		n, err := w.exec(ctx, "DELETE FROM views_checkpoints WHERE lane = 0 AND epoch = $1", epoch)
		if err != nil || n == 0 {
			return err // another process has done it
		}
		if _, err := w.exec(ctx, "UPDATE views_serving SET generation = 0"); err != nil {
			return err
		}
		if _, err := w.exec(ctx, "DELETE FROM views_checkpoints"); err != nil {
			return err
		}
		_, err = w.exec(ctx, "DELETE FROM views_builds")
		return err
	})
}
