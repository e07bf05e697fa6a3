// Package groupcommit lets callers that write at the same time share transactions: while one transaction commits, whoever comes
// joins the next one. A lone caller is written at once; nobody waits for company.
//
//	Do -> waiting -> taken by the writer -> written -> answered
//
// # Guarantees
//
//   - Do returns nil only when the transaction that holds its item has committed.
//   - Items are written in the order in which they came, by one writer at a time.
//   - An item that cannot be written fails nobody else: when a write of many fails, each is tried by itself.
//
// # Failures
//
// A caller whose context ends gets the context's error; whether its item was written is then unknown, unless no writer had taken
// it, when it never is. The writer is a goroutine that lives only while somebody waits, and is bounded by the pool's timeout.
package groupcommit

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Pool is where items wait for the writer. It holds one item for each caller that waits in Do, and is so bounded by them. It is
// safe for concurrent use.
type Pool[T any] struct {
	write   func(ctx context.Context, items []T) error
	most    int
	timeout time.Duration

	mu      sync.Mutex
	waiting []*call[T]
	writing bool // a writer runs
}

// call is one call of Do.
type call[T any] struct {
	item T
	done chan error // of capacity one: the writer never waits for a caller
}

// New makes a pool. write writes items in one transaction, all of them or none, at most so many at once and within the timeout.
func New[T any](most int, timeout time.Duration, write func(ctx context.Context, items []T) error) *Pool[T] {
	return &Pool[T]{write: write, most: most, timeout: timeout}
}

// Do writes an item, together with those of other callers, and returns when it is committed, or why it is not: write's error,
// or ctx's.
func (p *Pool[T]) Do(ctx context.Context, item T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &call[T]{item: item, done: make(chan error, 1)}
	p.mu.Lock()
	p.waiting = append(p.waiting, c)
	if !p.writing {
		p.writing = true
		go p.run()
	}
	p.mu.Unlock()
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		p.withdraw(c)
		return ctx.Err()
	}
}

// withdraw takes a call back that no writer has taken yet.
func (p *Pool[T]) withdraw(c *call[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, c); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
}

// run writes until nobody waits.
func (p *Pool[T]) run() {
	for {
		runtime.Gosched() // who was answered may come again, and who is about to come comes along
		calls := p.take()
		if len(calls) == 0 {
			return
		}
		p.commit(calls)
	}
}

// take returns the calls to write next; none ends the writer.
func (p *Pool[T]) take() []*call[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.waiting), p.most)
	if n == 0 {
		p.writing = false
		return nil
	}
	calls := slices.Clone(p.waiting[:n])
	p.waiting = slices.Delete(p.waiting, 0, n)
	return calls
}

// commit writes calls and answers them.
func (p *Pool[T]) commit(calls []*call[T]) {
	items := make([]T, len(calls))
	for i, c := range calls {
		items[i] = c.item
	}
	err := p.bounded(items)
	for i, c := range calls {
		if err != nil && len(calls) > 1 {
			c.done <- p.bounded(items[i : i+1])
			continue
		}
		c.done <- err
	}
}

// bounded writes items under a context of the pool's own: the callers' may end one by one.
func (p *Pool[T]) bounded(items []T) error {
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	return p.write(ctx, items)
}
