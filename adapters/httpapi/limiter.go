package httpapi

import (
	"sync"
	"time"
)

// Window is how long a limit counts.
const Window = time.Minute

// maxWindows bounds the windows that one Limiter keeps in each of its two generations. Beyond it some window is forgotten,
// which lets its holder through a second time, rather than refusing somebody new.
const maxWindows = 100_000

// Limiter counts per name. A name's window begins with its first request and lasts a minute; in it, limit requests are let
// through, and the rest are refused until it ends. Refused requests count for nothing and move nothing. The next window
// begins with the first request behind the end: so that over a longer time a name gets limit requests a minute, and across
// the border of two windows at most twice that in one minute.
type Limiter struct {
	limit int
	most  int // windows of a generation

	mu      sync.Mutex
	turned  time.Time // when now began
	now     map[string]window
	earlier map[string]window // may still run; dropped whole when they cannot
}

type window struct {
	until time.Time
	used  int
}

// NewLimiter makes a limiter. A limit of zero or less lets everything through.
func NewLimiter(limit int) *Limiter {
	return &Limiter{limit: limit, most: maxWindows, now: map[string]window{}, earlier: map[string]window{}}
}

// Allow counts a request of name. When the window is used up it returns false, and how long it still lasts.
func (l *Limiter) Allow(name string, at time.Time) (ok bool, wait time.Duration) {
	if l.limit <= 0 {
		return true, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.find(name, at)
	if w.used >= l.limit {
		return false, w.until.Sub(at)
	}
	w.used++
	l.now[name] = w
	return true, 0
}

// find returns the running window of name, or a new one. The caller holds mu.
func (l *Limiter) find(name string, at time.Time) window {
	if passed := at.Sub(l.turned); passed >= Window || passed < 0 {
		// A window of the generation before ends at the latest now.
		l.earlier, l.now, l.turned = l.now, make(map[string]window, len(l.now)), at
	}
	w, found := l.now[name]
	if !found {
		w, found = l.earlier[name]
	}
	if found && at.Before(w.until) && w.until.Sub(at) <= Window {
		return w
	}
	if len(l.now) >= l.most {
		for other := range l.now {
			delete(l.now, other)
			break
		}
	}
	return window{until: at.Add(Window)}
}
