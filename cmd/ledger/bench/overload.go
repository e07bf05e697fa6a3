package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/khata-ledger/khata/domain/fee"
)

// How much is asked: by as many connections as one merchant may have requests in work, and by ten times as many.
const (
	saturating = 256
	times      = 10
)

// runOverload measures what is served, and how fast, when ten times as much is asked as can be in work, by clients that send again at once,
// whatever they are told. Beside it stands what the same server serves when just so much is asked; both as they come to the clients, of
// which each has a connection.
func runOverload(ctx context.Context, w *world) (lines []Line, err error) {
	if err := w.fundForHTTP(ctx); err != nil {
		return nil, err
	}
	server, err := w.Spawn(ctx, w.at, hotMerchant)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	w.tally.records.Store(server.Records)
	charge, err := fee.Default().PayoutCharge(httpAmount)
	if err != nil {
		return nil, err
	}
	gross, _ := httpAmount.Add(charge.Commission).Minor()
	var refused, recovered []sample
	ask := func(ctx context.Context, connections int) (taken, not sample, err error) {
		taken, not, err = rush(ctx, server, connections, w.opts.For)
		w.tally.records.Add(taken.count)
		w.tally.held.Add(taken.count * gross)
		return taken, not, err
	}
	once, many := fmt.Sprintf("%d connections", saturating), fmt.Sprintf("%s connections", plainInt(times*saturating))
	taken, err := w.inTurn(ctx,
		measure{once, func(ctx context.Context) (sample, error) {
			s, not, err := ask(ctx, saturating)
			if err == nil && not.count > 0 {
				err = fmt.Errorf("%d requests were refused although there was room", not.count)
			}
			return s, errors.Join(err, server.Idle(ctx))
		}},
		measure{many, func(ctx context.Context) (sample, error) {
			s, not, err := ask(ctx, times*saturating)
			if err != nil {
				return s, err
			}
			refused = append(refused, not)
			after, err := recovery(ctx, server)
			w.tally.records.Add(after.count)
			w.tally.held.Add(after.count * gross)
			recovered = append(recovered, after)
			return s, errors.Join(err, server.Idle(ctx))
		}},
	)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("taken_%d", times*saturating)
	over := line(name, "taken, "+many, "requests", taken[1]).latency(taken[1]).beside("what is taken of "+once, taken[1], rates(taken[0]))
	over.ResidentPeakMiB = round(server.Peak(), 1)
	over.Note = "the server is a process of its own, and the memory is its own; the clients are on the same processors"
	not := line(fmt.Sprintf("refused_%d", times*saturating), "refused, "+many, "requests", refused).latency(refused)
	not.Note = "a client that sends again at once is not listened to for a moment: that is in these times"
	return []Line{
		line(fmt.Sprintf("taken_%d", saturating), "taken, "+once, "requests", taken[0]).latency(taken[0]),
		over, not,
		line("after", fmt.Sprintf("behind it, %d clients until all of them are served", singles), "requests", recovered).latency(recovered),
	}, nil
}

// rush has clients ask for a while, each over a connection, and again at once when it was refused. It returns what was taken and what was refused.
func rush(ctx context.Context, server *Server, clients int, during time.Duration) (taken, refused sample, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var mu sync.Mutex
	var running sync.WaitGroup
	begun := time.Now()
	for range clients {
		running.Go(func() {
			var yes, no []time.Duration
			c := &caller{server: server}
			for first := true; ctx.Err() == nil && (first || time.Since(begun) < during); first = false {
				at := time.Now()
				ok, err := c.ask(ctx)
				switch took := time.Since(at); {
				case err != nil:
					stop(err)
				case ok:
					yes = append(yes, took)
				default:
					no = append(no, took)
				}
			}
			if err := c.hangUp(); err != nil {
				stop(err)
			}
			mu.Lock()
			defer mu.Unlock()
			taken.took, refused.took = append(taken.took, yes...), append(refused.took, no...)
		})
	}
	running.Wait()
	taken.count, refused.count = int64(len(taken.took)), int64(len(refused.took))
	taken.elapsed = time.Since(begun)
	refused.elapsed = taken.elapsed
	return taken, refused, context.Cause(ctx)
}

// recovery is how long it takes, behind a storm, until each of some clients with new connections is served once.
func recovery(ctx context.Context, server *Server) (sample, error) {
	s := sample{count: singles, took: make([]time.Duration, singles)}
	errs := make([]error, singles)
	var running sync.WaitGroup
	begun := time.Now()
	for i := range singles {
		running.Go(func() {
			c := &caller{server: server}
			served := false
			for !served && errs[i] == nil {
				served, errs[i] = c.ask(ctx)
			}
			s.took[i] = time.Since(begun)
			errs[i] = errors.Join(errs[i], c.hangUp())
		})
	}
	running.Wait()
	s.elapsed = time.Since(begun)
	return s, errors.Join(errs...)
}

// caller is a client that connects again when it has to.
type caller struct {
	server *Server
	conn   *conn // nil: it has none
}

// ask asks for a payout. It is false when that was refused for want of room.
func (c *caller) ask(ctx context.Context) (served bool, err error) {
	if c.conn == nil {
		if c.conn, err = dial(ctx, c.server.Address, c.server.Key); err != nil {
			return false, err
		}
	}
	status, last, err := c.conn.attempt()
	if err != nil {
		return false, err
	}
	if last {
		if err := c.hangUp(); err != nil {
			return false, err
		}
	}
	switch status {
	case "200":
		return true, nil
	case "429", "503":
		return false, nil
	}
	return false, fmt.Errorf("a payout was answered with %s", status)
}

func (c *caller) hangUp() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}
