package httpapi

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// Why a Gate lets nobody in.
var (
	// ErrFull means that every place is taken, and every place of those who wait.
	ErrFull = errors.New("all places are taken")
	// ErrShare means that who asks has as many places as one may have. Others still get in.
	ErrShare = errors.New("as many places are taken as one may have")
)

// Gate bounds how many requests of a class are in work at the same time: so the time that one takes is at most that number divided by
// what the server does in a second, however many come. Who does not get in is told at once, and has cost next to nothing.
//
// A place is taken when the request is there as a whole, so that slow senders have none, and given back while a request only waits for
// somebody else. A nil Gate lets everybody in.
type Gate struct {
	class  string
	bounds Bounds
	places chan struct{} // holds a token for each that is in work

	mu      sync.Mutex
	here    int            // in work or waiting
	of      map[string]int // the same, by who
	refused map[string]uint64
}

// Bounds are those of a Gate.
type Bounds struct {
	Most   int           // in work; at least 1
	Queue  int           // wait for a place; 0: nobody waits
	Within time.Duration // and for how long
	Share  int           // of one, in work and waiting; 0: half of all
}

// NewGate makes a gate for a class of requests, which is its name in metrics.
func NewGate(class string, b Bounds) *Gate {
	b.Most = max(b.Most, 1)
	if b.Share <= 0 {
		b.Share = (b.Most + b.Queue + 1) / 2
	}
	return &Gate{class: class, bounds: b, places: make(chan struct{}, b.Most), of: map[string]int{}, refused: map[string]uint64{"full": 0, "share": 0, "late": 0}}
}

// Place is what a request has in work. Its methods are for one goroutine at a time; a nil Place is one of a nil Gate.
type Place struct {
	gate *Gate
	who  string
	left bool
}

// Enter takes a place for somebody, who has a share of them; "" for a class that has none. ErrFull, ErrShare, or ctx's error.
func (g *Gate) Enter(ctx context.Context, who string) (*Place, error) {
	if g == nil {
		return nil, nil //nolint:nilnil // a nil Place is good for everything
	}
	if err := g.count(who); err != nil {
		return nil, err
	}
	select {
	case g.places <- struct{}{}:
		g.yield()
		return &Place{gate: g, who: who}, nil
	default:
	}
	late := time.NewTimer(g.bounds.Within)
	defer late.Stop()
	select {
	case g.places <- struct{}{}:
		g.yield()
		return &Place{gate: g, who: who}, nil
	case <-late.C:
		g.forget(who, "late")
		return nil, ErrFull
	case <-ctx.Done():
		g.forget(who, "")
		return nil, ctx.Err()
	}
}

// yield has a request of a class that queues, which takes long on a processor, begin behind whatever else can run: a chain of requests that wake one
// another keeps a busy processor from ever looking at the network, and probes wait for seconds. Commands wait for the disk anyway.
func (g *Gate) yield() {
	if g.bounds.Queue > 0 {
		runtime.Gosched()
	}
}

// count admits somebody to a place, or to wait for one.
func (g *Gate) count(who string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.here >= g.bounds.Most+g.bounds.Queue:
		g.refused["full"]++
		return ErrFull
	case who != "" && g.of[who] >= g.bounds.Share:
		g.refused["share"]++
		return ErrShare
	}
	g.here++
	if who != "" {
		g.of[who]++
	}
	return nil
}

// forget is the opposite of count. reason is why somebody leaves who has had no place; "" if that is nobody's refusal.
func (g *Gate) forget(who, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.here--
	if who != "" {
		if g.of[who]--; g.of[who] == 0 {
			delete(g.of, who)
		}
	}
	if reason != "" {
		g.refused[reason]++
	}
}

// Leave gives the place back. Who has left has left: a second time does nothing.
func (p *Place) Leave() {
	if p == nil || p.left {
		return
	}
	p.left = true
	<-p.gate.places
	p.gate.forget(p.who, "")
}

// Admit is Enter for a request, which is answered when it is not let in.
func (g *Gate) Admit(w http.ResponseWriter, r *http.Request, who string) (*Place, bool) {
	p, err := g.Enter(r.Context(), who)
	if err != nil {
		Refuse(w, r, err)
		return nil, false
	}
	return p, true
}

// Around has a handler serve only who is let in; each address has its share.
func (g *Gate) Around(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := g.Admit(w, r, Neighbourhood(From(r.Context()).Client))
		if !ok {
			return
		}
		defer p.Leave()
		h.ServeHTTP(w, r)
	})
}

// Refuse answers whom a gate has not let in: 429 when its share is taken, else 503, each with Retry-After. It is no line of the log: there
// would be as many as somebody likes. Metrics count it.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	From(r.Context()).Quiet = true
	if errors.Is(err, ErrShare) {
		RetryAfter(w, time.Second)
		Fail(w, http.StatusTooManyRequests, MessageRate)
		return
	}
	Unavailable(w)
}
