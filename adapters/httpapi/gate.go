package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
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
// somebody else. Who has half of the places, and waits for more, keeps nobody behind him waiting. A nil Gate lets everybody in.
type Gate struct {
	class  string
	bounds Bounds
	each   int // in work, of one

	mu      sync.Mutex
	here    int // in work or waiting
	working int
	queue   []*waiter       // in the order in which they came
	of      map[string]part // by who
	refused map[string]uint64
}

// part is what one has of a Gate.
type part struct {
	here    int // in work or waiting
	working int
}

// waiter waits for a place.
type waiter struct {
	who string
	in  chan struct{} // closed when it has one
}

// Bounds are those of a Gate.
type Bounds struct {
	Most   int           // in work; at least 1. Where there is a queue, one has half of them at most
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
	each := b.Share
	if b.Queue > 0 {
		each = min(each, (b.Most+1)/2)
	}
	return &Gate{class: class, bounds: b, each: each, of: map[string]part{}, refused: map[string]uint64{"full": 0, "share": 0, "late": 0}}
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
	place := &Place{gate: g, who: who}
	waiting, err := g.ask(who)
	if err != nil {
		return nil, err
	}
	if waiting == nil {
		g.yield()
		return place, nil
	}
	late := time.NewTimer(g.bounds.Within)
	defer late.Stop()
	reason := ""
	select {
	case <-waiting.in:
		g.yield()
		return place, nil
	case <-late.C:
		reason, err = "late", ErrFull
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !g.forget(waiting, reason) { // it has got a place meanwhile
		place.Leave()
	}
	return nil, err
}

// yield has a request of a class that queues, which takes long on a processor, begin behind whatever else can run: a chain of requests that wake one
// another keeps a busy processor from ever looking at the network, and probes wait for seconds. Commands wait for the disk anyway.
func (g *Gate) yield() {
	if g.bounds.Queue > 0 {
		runtime.Gosched()
	}
}

// ask gives somebody a place, or has him wait for one.
func (g *Gate) ask(who string) (*waiter, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.here >= g.bounds.Most+g.bounds.Queue:
		g.refused["full"]++
		return nil, ErrFull
	case who != "" && g.of[who].here >= g.bounds.Share:
		g.refused["share"]++
		return nil, ErrShare
	}
	if g.room(who) { // nobody who waits could take it: he would have it already
		g.add(who, 1, 1)
		return nil, nil //nolint:nilnil // who has a place does not wait
	}
	g.add(who, 1, 0)
	w := &waiter{who: who, in: make(chan struct{})}
	g.queue = append(g.queue, w)
	return w, nil
}

// room reports whether there is a place for somebody.
func (g *Gate) room(who string) bool {
	return g.working < g.bounds.Most && (who == "" || g.of[who].working < g.each)
}

// add counts somebody who has come or gone.
func (g *Gate) add(who string, here, working int) {
	g.here, g.working = g.here+here, g.working+working
	if who == "" {
		return
	}
	switch p := (part{g.of[who].here + here, g.of[who].working + working}); p.here {
	case 0:
		delete(g.of, who)
	default:
		g.of[who] = p
	}
}

// forget has somebody wait no more, who is refused for that reason, "" if it is nobody's refusal. It is false when he does not wait: he has a place.
func (g *Gate) forget(w *waiter, reason string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if reason != "" {
		g.refused[reason]++
	}
	i := slices.Index(g.queue, w)
	if i < 0 {
		return false
	}
	g.queue = slices.Delete(g.queue, i, i+1)
	g.add(w.who, -1, 0)
	return true
}

// Leave gives the place back. Who has left has left: a second time does nothing.
func (p *Place) Leave() {
	if p == nil || p.left {
		return
	}
	p.left = true
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.add(p.who, -1, -1)
	next := slices.IndexFunc(g.queue, func(w *waiter) bool { return g.room(w.who) })
	if next < 0 {
		return
	}
	w := g.queue[next]
	g.queue = slices.Delete(g.queue, next, next+1)
	g.add(w.who, 0, 1)
	close(w.in)
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

// Around has a handler serve only who is let in; each address has its share. Its requests have at most 64 KiB, and its answers fit into memory.
func (g *Gate) Around(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Arrive(r)
		p, ok := g.Admit(w, r, Neighbourhood(From(r.Context()).Client))
		if !ok {
			return
		}
		p.Answer(w, func(w http.ResponseWriter) { h.ServeHTTP(w, r) })
	})
}

// arriveBytes is how much of a body Arrive waits for.
const arriveBytes = 64<<10 + 1 // one more than may be, so that it is seen to be more

// Arrive waits until a request is there, up to 64 KiB of its body, so that who sends slowly takes no place. What is wrong with the body is said
// when it is read.
func Arrive(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	b, _ := io.ReadAll(io.LimitReader(r.Body, arriveBytes)) //nolint:errcheck // the body says it again
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(b), r.Body), r.Body}
}

// Answer gives the place back when the answer is complete, and sends it then: who does not read it keeps nobody out. The answer is kept in memory.
func (p *Place) Answer(w http.ResponseWriter, serve func(http.ResponseWriter)) {
	defer p.Leave() // when it panics
	a := &answer{ResponseWriter: w}
	serve(a)
	p.Leave()
	a.send()
}

// answer keeps what is written. What else a writer can do, it cannot.
type answer struct {
	http.ResponseWriter
	status int
	body   []byte
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 { // 1xx are no answers yet
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, b...)
	return len(b), nil
}

func (a *answer) send() {
	if a.status != 0 {
		a.ResponseWriter.WriteHeader(a.status)
	}
	if len(a.body) > 0 {
		_, _ = a.ResponseWriter.Write(a.body) //nolint:errcheck // nobody is there
	}
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
