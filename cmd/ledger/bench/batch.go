package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

const batchPath = "/api/v1/services/payout/batches"

// batchItems is how many payouts a batch has.
const batchItems = 10_000

// Single payouts beside a batch: so many callers, each of which pauses for so long between two.
const (
	besideCallers = 8
	besidePause   = 20 * time.Millisecond
)

// lookEvery is how often it is looked whether a batch is held.
const lookEvery = 2 * time.Millisecond

// runBatch measures batches that are submitted to the real server until all of their payouts are held, one batch after the other,
// beside bare inserts of the same payouts; and single payouts while a large batch is read and drawn.
func runBatch(ctx context.Context, w *world) (lines []Line, err error) {
	if err := w.fundForHTTP(ctx); err != nil {
		return nil, err
	}
	server, err := w.Serve(ctx, w.at, hotMerchant)
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
	b, err := w.open(ctx) // for the limit, which repeats what is in the log
	if err != nil {
		return nil, err
	}
	defer closing(b, &err)
	limit := &limit{w: w, b: b}
	defer func() { err = errors.Join(err, limit.close()) }()

	m := &batchClient{server: server, ids: newRandom(), gross: gross, tally: &w.tally}
	taken, err := w.inTurn(ctx,
		measure{"batches", func(ctx context.Context) (sample, error) {
			s, err := drive(ctx, 1, w.opts.For, func(ctx context.Context, _ int) (int64, error) {
				return batchItems, m.submit(ctx, batchItems)
			}, nil)
			if err != nil {
				return sample{}, err
			}
			return s, server.Idle(ctx)
		}},
		measure{"bare inserts", func(ctx context.Context) (sample, error) { return limit.run(ctx, 1) }},
		measure{"single payouts beside a large batch", func(ctx context.Context) (sample, error) {
			s, err := m.beside(ctx, w.opts.Large)
			if err != nil {
				return sample{}, err
			}
			return s, server.Idle(ctx)
		}},
	)
	if err != nil {
		return nil, err
	}
	l := line("batch_10000", "batches of 10,000, until all is held", "payouts", taken[0]).latency(taken[0]).beside(limit.name(), taken[0], rates(taken[1]))
	l.Note = "latencies are of a whole batch: read, checked, durable, answered, held; the limit is " + limit.name()
	singles := line(fmt.Sprintf("beside_%d", w.opts.Large), "single payouts while a batch of "+plainInt(int64(w.opts.Large))+" is read and drawn", "requests", taken[2]).latency(taken[2])
	singles.Note = fmt.Sprintf("%d callers, each of which pauses for %s between two", besideCallers, besidePause)
	return []Line{l, singles}, nil
}

// batchClient submits batches.
type batchClient struct {
	server *Server
	ids    *payer
	gross  int64 // of each payout, paisa
	tally  *tally
	held   atomic.Int64 // paisa
}

// beside submits a large batch, and measures single payouts until all of it is held.
func (c *batchClient) beside(ctx context.Context, items int) (s sample, err error) {
	conns, err := dialAll(ctx, c.server.Address, c.server.Key, besideCallers)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, closeAll(conns)) }()
	begun, held := time.Now(), make(chan error, 1)
	done, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		held <- c.submit(ctx, items)
		stop()
	}()
	took, errs := make([][]time.Duration, len(conns)), make([]error, len(conns))
	var callers sync.WaitGroup
	for n, conn := range conns {
		callers.Go(func() {
			for done.Err() == nil {
				at := time.Now()
				if _, errs[n] = conn.exchange(); errs[n] != nil {
					return
				}
				took[n] = append(took[n], time.Since(at))
				c.tally.records.Add(1)
				c.tally.held.Add(c.gross)
				c.held.Add(c.gross)
				select {
				case <-done.Done():
				case <-time.After(besidePause):
				}
			}
		})
	}
	callers.Wait()
	if err := errors.Join(append(errs, <-held)...); err != nil {
		return sample{}, err
	}
	s = sample{took: slices.Concat(took...), elapsed: time.Since(begun)}
	s.count = int64(len(s.took))
	return s, nil
}

// submit submits a batch of so many, and returns when all of its payouts are held.
func (c *batchClient) submit(ctx context.Context, items int) error {
	var body bytes.Buffer
	fmt.Fprintf(&body, `{"batch_ref":%q,"items":[`, c.ids.id("BATCH-"))
	for i := range items {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, payoutBody, c.ids.id("ITEM-"))
	}
	body.WriteString("]}")
	if _, err := c.ask(ctx, http.MethodPost, batchPath, &body, http.StatusAccepted); err != nil {
		return err
	}
	c.tally.records.Add(int64(items + 1 + 2*batch.Chunks(items)))
	c.tally.held.Add(int64(items) * c.gross)
	c.held.Add(int64(items) * c.gross)
	for {
		answer, err := c.ask(ctx, http.MethodGet, "/api/v1/wallet/balance", nil, http.StatusOK)
		if errors.Is(err, errLater) {
			continue // the views are behind; it has waited for them
		}
		if err != nil {
			return err
		}
		var balance struct {
			Data struct {
				Locked json.Number `json:"locked_balance"`
			} `json:"data"`
		}
		if err := json.Unmarshal(answer, &balance); err != nil {
			return fmt.Errorf("the balance %s: %w", answer, err)
		}
		locked, err := money.Parse(balance.Data.Locked.String(), money.INR)
		if err != nil {
			return err
		}
		if minor, _ := locked.Minor(); minor >= c.held.Load() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

// errLater is the answer of a server that cannot answer now.
var errLater = errors.New("the service is unavailable")

func (c *batchClient) ask(ctx context.Context, method, path string, body io.Reader, want int) (answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.server.Address+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Api-Key", c.server.Key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusServiceUnavailable {
		return nil, fmt.Errorf("%s %s: %w", method, path, errLater)
	}
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s %s was answered with %s: %.500s", method, path, resp.Status, answer)
	}
	return answer, nil
}
