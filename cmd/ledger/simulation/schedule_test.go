package simulation

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// fault is what happens to a call that is let go on.
type fault string

// The faults. Which of them a call can meet depends on its kind.
const (
	fine    fault = ""
	refused fault = "refused" // nothing is done, the caller gets an error
	lost    fault = "lost"    // it is done, the caller gets an error
	doubt   fault = "doubt"   // the caller gets an error, and it may be done later
	garbled fault = "garbled" // it is done, the caller gets nonsense
)

// errCut is what a caller gets whose call was refused, or whose answer was lost.
var errCut = errors.New("simulated: the connection was cut")

// errDead is what the goroutines of a killed process get from everything outside of it.
var errDead = errors.New("simulated: the process is dead")

// verdict is how a parked call goes on.
type verdict struct {
	fault   fault
	expired bool // its context has ended
	dead    bool // the process was killed at this very moment: fault tells whether it was done, nobody learns of it
	draw    uint64
}

// err is the error of a call that has failed.
func (v verdict) err(ctx context.Context) error {
	switch {
	case v.dead:
		return errDead
	case v.expired:
		return fmt.Errorf("%w: %w", errCut, context.Cause(ctx))
	}
	return errCut
}

// done tells whether the effect of the call happens now.
func (v verdict) done() bool { return v.fault == fine || v.fault == lost || v.fault == garbled }

// answered tells whether the caller learns the truth.
func (v verdict) answered() bool { return v.fault == fine && !v.dead && !v.expired }

// id is an id drawn for the call.
func (v verdict) id(prefix string) string { return fmt.Sprintf("%s%016x", prefix, v.draw) }

func (v verdict) uuid() uuid.UUID {
	return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "command %x", v.draw))
}

// call is something that is parked.
type call struct {
	of      *process // nil: of the world
	kind    string
	key     string
	prompt  bool
	at      int64 // the step at which it was parked
	grant   chan verdict
	expired bool
	stalled bool        // it is not let go on before its context ends
	blocked func() bool // nil, or tells whether it must wait for something; called under mu
}

// schedule parks calls and lets them go on, one at a time.
type schedule struct {
	mu      sync.Mutex
	parked  []*call
	arrived chan struct{}

	// Owned by the world's goroutine.
	dice   *rand.Rand
	step   int64
	trace  hash.Hash
	lines  []string // of the trace, when they are wanted
	listed bool
	begun  time.Time
}

// park waits until the call is let go on. A prompt call goes before everything else.
func (s *schedule) park(ctx context.Context, of *process, kind, detail string, prompt bool) verdict {
	return s.parkUntil(ctx, of, kind, detail, prompt, nil)
}

// parkUntil is like park, and the call is not let go on while it is blocked, but when its time is over.
func (s *schedule) parkUntil(ctx context.Context, of *process, kind, detail string, prompt bool, blocked func() bool) verdict {
	c := &call{of: of, kind: kind, prompt: prompt, grant: make(chan verdict, 1), blocked: blocked}
	s.mu.Lock()
	if of.dead {
		s.mu.Unlock()
		return verdict{fault: refused, dead: true}
	}
	c.key, c.at = of.name+" "+kind+" "+detail, s.step
	s.parked = append(s.parked, c)
	s.mu.Unlock()
	s.signal()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		c.expired = true
		s.mu.Unlock()
		s.signal()
	})
	defer stop()
	return <-c.grant
}

func (s *schedule) signal() {
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// stand waits until nothing moves.
func (s *schedule) stand() { synctest.Wait() }

// waiting are the parked calls that can go on, in the order of their names: those that go first, or, when there are none, the others. Those
// whose time is over are behind the prompt ones: they end what the goroutine of a prompt one may wait for, when a pause has held up both.
func (s *schedule) waiting() (calls []*call, prompt bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first, over, others []*call
	for _, c := range s.parked {
		switch {
		case c.of.paused && !c.of.dead:
		case c.prompt && !c.of.dead:
			first = append(first, c)
		case c.expired || c.of.dead:
			over = append(over, c)
		case !c.stalled && (c.blocked == nil || !c.blocked()):
			others = append(others, c)
		}
	}
	calls, prompt = first, true
	if len(calls) == 0 {
		calls = over
	}
	if len(calls) == 0 {
		calls, prompt = others, false
	}
	slices.SortFunc(calls, func(a, b *call) int { return cmp.Or(strings.Compare(a.key, b.key), cmp.Compare(a.at, b.at)) })
	return calls, prompt
}

// release lets a call go on, and waits until all stand again.
func (s *schedule) release(c *call, f fault) {
	s.mu.Lock()
	s.parked = slices.DeleteFunc(s.parked, func(other *call) bool { return other == c })
	v := verdict{fault: f, expired: c.expired, dead: c.of.dead, draw: s.dice.Uint64()}
	s.mu.Unlock()
	s.note("%s %s %t %t", c.key, f, v.expired, v.dead)
	c.grant <- v
	s.stand()
}

// note adds a line to the trace: the history as the dice made it.
func (s *schedule) note(format string, args ...any) {
	s.mu.Lock()
	s.step++
	s.mu.Unlock()
	line := fmt.Sprintf("%d %s ", s.step, time.Since(s.begun)) + fmt.Sprintf(format, args...) + "\n"
	s.trace.Write([]byte(line))
	if s.listed {
		s.lines = append(s.lines, line)
	}
}

func (s *schedule) sum() string { return hex.EncodeToString(s.trace.Sum(nil)[:16]) }

// pass lets time pass until something is parked, at most so long.
func (s *schedule) pass(most time.Duration) {
	select {
	case <-s.arrived:
	default:
	}
	s.note("time passes")
	select {
	case <-s.arrived:
	case <-time.After(most):
	}
	s.stand()
}

// chance is true with the probability of p in a thousand.
func (s *schedule) chance(p int) bool { return s.dice.IntN(1000) < p }

// between is a duration from the range.
func (s *schedule) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.dice.Int64N(int64(most-least)+1))
}
