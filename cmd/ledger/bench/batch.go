package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

const batchPath = "/api/v1/services/payout/batches"

// batchItems is how many payouts a batch has.
const batchItems = 10_000

// lookEvery is how often it is looked whether a batch is held.
const lookEvery = 2 * time.Millisecond

// runBatch measures batches that are submitted to the real server until all of their payouts are held, one batch after the other,
// beside bare inserts of the same payouts.
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

	m := &batchClient{server: server, ids: newRandom(), gross: gross}
	taken, err := w.inTurn(ctx,
		measure{"batches", func(ctx context.Context) (sample, error) {
			s, err := drive(ctx, 1, w.opts.For, func(ctx context.Context, _ int) (int64, error) {
				n, err := m.submit(ctx)
				w.tally.records.Add(n + int64(1+2*batch.Chunks(int(n))))
				w.tally.held.Add(n * gross)
				return n, err
			}, nil)
			if err != nil {
				return sample{}, err
			}
			return s, server.Idle(ctx)
		}},
		measure{"bare inserts", func(ctx context.Context) (sample, error) { return limit.run(ctx, 1) }},
	)
	if err != nil {
		return nil, err
	}
	l := line("batch_10000", "batches of 10,000, until all is held", "payouts", taken[0]).latency(taken[0]).beside(limit.name(), taken[0], rates(taken[1]))
	l.Note = "latencies are of a whole batch: read, checked, durable, answered, held; the limit is " + limit.name()
	return []Line{l}, nil
}

// batchClient submits batches.
type batchClient struct {
	server *Server
	ids    *payer
	gross  int64 // of each payout, paisa
	held   int64 // by the batches before, paisa
}

// submit submits a batch, and returns when all of its payouts are held.
func (c *batchClient) submit(ctx context.Context) (int64, error) {
	var body bytes.Buffer
	fmt.Fprintf(&body, `{"batch_ref":%q,"items":[`, c.ids.id("BATCH-"))
	for i := range batchItems {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, payoutBody, c.ids.id("ITEM-"))
	}
	body.WriteString("]}")
	if _, err := c.ask(ctx, http.MethodPost, batchPath, &body, http.StatusAccepted); err != nil {
		return 0, err
	}
	c.held += batchItems * c.gross
	for {
		answer, err := c.ask(ctx, http.MethodGet, "/api/v1/wallet/balance", nil, http.StatusOK)
		if err != nil {
			return 0, err
		}
		var balance struct {
			Data struct {
				Locked json.Number `json:"locked_balance"`
			} `json:"data"`
		}
		if err := json.Unmarshal(answer, &balance); err != nil {
			return 0, fmt.Errorf("the balance %s: %w", answer, err)
		}
		locked, err := money.Parse(balance.Data.Locked.String(), money.INR)
		if err != nil {
			return 0, err
		}
		if minor, _ := locked.Minor(); minor >= c.held {
			return batchItems, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

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
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s %s was answered with %s: %.500s", method, path, resp.Status, answer)
	}
	return answer, nil
}
