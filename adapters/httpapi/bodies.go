package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// smallBody is what a body may have without being counted: all bodies of payments have. The bound of connections bounds what they are together.
const smallBody = 16 << 10

// ErrBodies means that the larger bodies that are being read or worked on take all the memory that they may.
var ErrBodies = errors.New("too many large bodies at once")

// Bodies bounds the memory of request bodies larger than 16 KiB, of all requests together, and of the requests of one key or address by half of that. A
// nil Bodies bounds nothing.
type Bodies struct {
	most int64

	mu      sync.Mutex
	used    int64
	of      map[string]int64 // by who
	refused uint64
}

// NewBodies bounds them by so many bytes.
func NewBodies(most int64) *Bodies { return &Bodies{most: most, of: map[string]int64{}} }

// take counts n more bytes of who has held bytes of the same body. A body that is the only one may be more than half.
func (b *Bodies) take(who string, n, held int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.most || b.of[who] > held && b.of[who]+n > b.most/2 {
		b.refused++
		return false
	}
	b.used += n
	b.of[who] += n
	return true
}

func (b *Bodies) give(who string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.of[who] -= n; b.of[who] == 0 {
		delete(b.of, who)
	}
}

func (b *Bodies) counts() (used int64, refused uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.refused
}

// hold counts n more bytes for a request, until it is answered.
func (x *Exchange) hold(n int64) bool {
	if x.bodies == nil {
		return true
	}
	if x.held == 0 {
		x.holds = x.KeyID
	}
	if x.holds == "" {
		x.holds = Neighbourhood(x.Client)
	}
	if !x.bodies.take(x.holds, n, x.held) {
		return false
	}
	x.held += n
	return true
}

// release gives back what a request has held.
func (x *Exchange) release() {
	if x.held > 0 {
		x.bodies.give(x.holds, x.held)
		x.held = 0
	}
}

// readAll reads a body that says how long it is, or -1. It takes memory as the body arrives: who only says that much is coming gets none.
func readAll(r *http.Request, body io.Reader, limit, length int64) ([]byte, error) {
	x, end := From(r.Context()), length
	if length < 0 {
		end = limit + 1
	}
	b := make([]byte, 0, min(end, smallBody))
	for int64(len(b)) < end {
		if len(b) == cap(b) {
			next := min(2*int64(cap(b)), end)
			if !x.hold(next - int64(cap(b))) {
				return nil, ErrBodies
			}
			b = append(make([]byte, 0, next), b...)
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case errors.Is(err, io.EOF) && (length < 0 || int64(len(b)) == length):
			return b, nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("reading the body: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return nil, fmt.Errorf("reading the body: %w", err)
		}
	}
	return b, nil
}
