package simulation

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// weather is what befalls processes, the clock and the store.
func (w *world) weather() {
	if !w.storming {
		return
	}
	if len(w.alive) == 0 {
		if w.chance(200) {
			w.begin()
		}
		return
	}
	p := w.alive[w.dice.IntN(len(w.alive))]
	for _, sleeper := range w.alive {
		if sleeper.paused && !time.Now().Before(sleeper.wake) {
			w.pause(sleeper, false)
		}
	}
	switch {
	case w.chance(w.profile.crashes):
		w.crash(p)
	case w.chance(w.profile.pauses) && !p.paused:
		p.wake = time.Now().Add(w.between(100*time.Millisecond, 20*time.Second))
		w.pause(p, true)
		w.count("processes paused")
		if len(w.alive) == 1 && w.chance(700) {
			w.begin() // somebody takes its place, and it does not know
		}
	case w.chance(w.profile.crashes) && len(w.alive) < 2:
		w.begin()
		w.count("second processes")
	case w.chance(w.profile.jumps):
		by := w.between(-2*time.Second, 2*time.Second)
		if w.chance(300) {
			by = w.between(0, 10*time.Minute)
		}
		w.skew.Add(int64(by))
		w.note("the clock jumps by %s", by)
		w.count("jumps of the clock")
	case w.views != nil && w.chance(w.profile.rebuilds):
		w.note("%s builds its views again", p.name)
		w.saw("views built again")
		p.rebuild()
		w.stand()
	case w.chance(w.profile.claims):
		if _, err := w.log.Claim(context.Background(), w.dice.IntN(w.profile.partitions)); err != nil {
			w.wrong("claiming: %v", err)
		}
		w.note("the epoch moves")
		w.count("epochs moved")
	}
	w.mu.Lock()
	var d *inDoubt
	if len(w.doubts) > 0 && w.dice.IntN(10) == 0 {
		d = &w.doubts[0]
		w.doubts = w.doubts[1:]
	}
	w.mu.Unlock()
	if d != nil {
		w.land(*d)
		w.note("a COMMIT in doubt ends")
	}
}

func (w *world) pause(p *process, paused bool) {
	w.schedule.mu.Lock()
	p.paused = paused
	w.schedule.mu.Unlock()
	w.note("%s paused: %t", p.name, paused)
}

// crash kills a process: what it has parked is done or not, and nobody hears of it.
func (w *world) crash(p *process) {
	w.schedule.mu.Lock()
	p.dead = true
	w.schedule.mu.Unlock()
	w.alive = slices.DeleteFunc(w.alive, func(other *process) bool { return other == p })
	w.note("%s is killed", p.name)
	w.count("crashes")
	p.stop()
	w.urgent()
	if len(w.alive) > 0 {
		return
	}
	var err error
	switch {
	case w.chance(100):
		w.count("the work database is lost")
		w.note("the work is lost")
		err = w.work.restore(w.old)
	case w.chance(100):
		w.note("the work is copied")
		w.old, err = w.work.image()
	case w.views != nil:
		err = w.misplaceViews()
	}
	if err != nil {
		w.wrong("the work database: %v", err)
	}
}

// trouble draws what happens to a call.
func (w *world) trouble(c *call) fault {
	f := fine
	pick := func(p int, faults ...fault) {
		if w.storming && w.chance(p) {
			f = faults[w.dice.IntN(len(faults))]
		}
	}
	expired := c.expired || c.of.dead
	switch c.kind {
	case "append":
		if pick(w.profile.appends, refused, lost, doubt); expired {
			f = []fault{refused, lost, doubt}[w.dice.IntN(3)]
		}
	case "keep":
		if pick(w.profile.appends, refused, lost, doubt, garbled); expired {
			f = []fault{refused, lost, doubt, garbled}[w.dice.IntN(4)]
		}
	case "snapshot":
		pick(w.profile.appends, refused, lost, garbled)
	case "views write", "views commit":
		if pick(w.profile.work, refused, lost); expired {
			f = []fault{refused, lost}[w.dice.IntN(2)]
		}
	case "work":
		if pick(w.profile.work, refused, lost); expired {
			f = []fault{refused, lost}[w.dice.IntN(2)]
		}
	case "send", "refund":
		if pick(w.profile.bank, refused, lost, doubt, garbled); expired {
			f = []fault{refused, lost, doubt}[w.dice.IntN(3)]
		}
	case "callback":
		if pick(w.profile.bank, refused, lost, garbled); expired {
			f = []fault{refused, lost}[w.dice.IntN(2)]
		}
	case "inquire", "inquire refund", "payments":
		pick(w.profile.bank, refused, garbled)
	case "committed", "pending":
		pick(w.profile.appends, refused)
	case "head", "read", "stream", "subjects", "lookup", "claim", "views", "views row":
		pick(w.profile.reads, refused)
	}
	if f != fine {
		why := ""
		if expired {
			why = " as its process died or its time was over"
		}
		w.count(fmt.Sprintf("%s %s%s", c.kind, f, why))
	}
	return f
}

// stallable are calls that somebody waits for a bounded time.
func stallable(kind string) bool {
	return slices.Contains([]string{"append", "send", "inquire", "payments", "refund", "inquire refund", "committed", "keep", "callback"}, kind)
}
