package gateway

import (
	"errors"
	"sync"
	"time"
)

// HealthPolicy says when a gateway configuration is passed over. Zero values mean the defaults.
type HealthPolicy struct {
	Failures   int           // in a row that open a pause; default 3
	Declines   int           // of one kind in a row, of as many payins, that count as a failure each; default 5
	FirstPause time.Duration // default 30 s; each further one is twice as long
	MaxPause   time.Duration // default 10 min
}

func (p HealthPolicy) withDefaults() HealthPolicy {
	if p.Failures <= 0 {
		p.Failures = 3
	}
	if p.Declines <= 0 {
		p.Declines = 5
	}
	if p.FirstPause <= 0 {
		p.FirstPause = 30 * time.Second
	}
	if p.MaxPause <= 0 {
		p.MaxPause = 10 * time.Minute
	}
	p.MaxPause = max(p.MaxPause, p.FirstPause)
	return p
}

// maxHealth bounds the gateway configurations whose health is remembered.
const maxHealth = 10_000

// tryFor is how long a try at the end of a pause keeps others from trying too, should nobody hear of it again.
const tryFor = time.Minute

// health remembers which gateway configurations keep failing to make orders. It is each process's own, and only ever changes which of several
// gateways goes first; what it said is in the record of the decision.
//
// What counts:
//
//	unknown (timeout, 5xx, garbage)   a failure
//	ErrCredentials                    a failure: it concerns every payin
//	Declined                          none: nobody but the company knows whether the fault is this payin's or the account's. It shows that the
//	                                  company answers. Only when it declines payin after payin with one code, and takes none in between, each of
//	                                  those behind Declines counts as a failure: data of one payin cannot be wrong in all of them.
//	an order                          all is forgotten
//
// Failures in a row open a pause. Once it is over, one payin tries; only what that meets ends the pause, or makes the next one twice as long.
// Meanwhile payins go through it only when nothing else is left, and what those meet makes the pause no longer.
type health struct {
	policy HealthPolicy
	clock  func() time.Time

	mu      sync.Mutex
	configs *recent[ailing]
}

// ailing is what is remembered of one configuration.
type ailing struct {
	failures int       // in a row
	declines int       // in a row, with one code
	code     string    // of those
	pause    int       // pauses in a row
	until    time.Time // end of the pause; zero: there is none
	trying   time.Time // until when somebody tries, behind the end of a pause; zero: nobody
}

func newHealth(p HealthPolicy, clock func() time.Time) *health {
	return &health{policy: p, clock: clock, configs: newRecent[ailing](maxHealth)}
}

// look is one payin's look at the health of its candidates. Where a pause is over it takes the try; give it back with done.
type look struct {
	h     *health
	taken []string
}

func (h *health) look() *look { return &look{h: h} }

// failing reports whether a configuration is to be passed over.
func (l *look) failing(config string) bool {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	a, known := l.h.configs.get(config)
	now := l.h.clock()
	switch {
	case !known || a.until.IsZero():
		return false
	case now.Before(a.until) || now.Before(a.trying):
		return true
	}
	a.trying = now.Add(tryFor)
	l.h.configs.put(config, a)
	l.taken = append(l.taken, config)
	return false
}

// done gives the tries back that were taken, but for that of the chosen configuration.
func (l *look) done(chosen string) {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	for _, config := range l.taken {
		if a, known := l.h.configs.get(config); known && config != chosen {
			a.trying = time.Time{}
			l.h.configs.put(config, a)
		}
	}
	l.taken = nil
}

// report takes note of what came of asking for an order; nil is an order. It reports whether that has opened a pause.
func (h *health) report(config string, err error) (paused bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.clock()
	h.configs.update(config, func(a ailing, _ bool) (ailing, bool) {
		if err == nil {
			return a, false
		}
		var declined *Declined
		fails := true
		if errors.As(err, &declined) {
			if a.code != declined.Code {
				a.code, a.declines = declined.Code, 0
			}
			a.declines++
			fails = a.declines > h.policy.Declines
		}
		if !fails { // the company answers
			a.failures, a.pause, a.until, a.trying = 0, 0, time.Time{}, time.Time{}
			return a, true
		}
		a.failures++
		if now.Before(a.until) || a.failures < h.policy.Failures {
			return a, true
		}
		a.until, a.trying = now.Add(doubled(h.policy.FirstPause, a.pause, h.policy.MaxPause)), time.Time{}
		a.pause++
		paused = true
		return a, true
	})
	return paused
}
