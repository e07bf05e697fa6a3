package batches

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/work"
)

// Jobs are the jobs of batches: one for each record that may let a batch go on.
const Jobs = "batch"

// Actor is who acts for a batch once it is submitted.
const Actor = "system:batches"

// memory is the payload of a job.
type memory struct {
	batch.Of
	Failures int `json:"failures,omitempty"`
	Looks    int `json:"looks,omitempty"` // at payouts that have not ended yet
}

func (m memory) bytes() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("batches: the memory of a job cannot be encoded: " + err.Error()) // strings and numbers always can
	}
	return b
}

// Gaps between two tries, and between two looks at payouts that have not ended.
const (
	firstGap = 100 * time.Millisecond
	lastGap  = 30 * time.Second
)

func gap(n int) time.Duration { return min(firstGap<<min(n, 16), lastGap) }

// Types are the types of record that Handle is for.
func (*Service) Types() []string { return []string{"batch.submitted", "batch.items", "batch.approved"} }

// unreadable is a record that no repetition makes readable.
type unreadable struct{ error }

// Permanent says that another try is of no use.
func (unreadable) Permanent() bool { return true }

// Handle takes note of a record of the log: it puts a job for what may let its batch go on. It returns when the job is stored.
func (s *Service) Handle(ctx context.Context, r eventstore.Record) error {
	e, err := batch.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		return unreadable{fmt.Errorf("record %s: %w", r.Position(), err)}
	}
	due := s.opts.Clock()
	switch e := e.(type) {
	case *batch.Submitted:
		due = due.Add(s.opts.Abandon)
	case *batch.ItemsAdded:
		if !e.Last {
			return nil
		}
	}
	of := e.Header()
	return s.jobs.Put(ctx, work.Job{
		Kind: Jobs, Key: fmt.Sprintf("%s %s", of.Batch, r.Position()), Group: groupOf(of.Batch, e), Order: r.Seq,
		Due: due, Payload: memory{Of: of}.bytes(),
	})
}

// groupOf keeps the jobs of one batch one after the other, but for the one that waits for it to be abandoned.
func groupOf(id string, e batch.Event) string {
	if _, first := e.(*batch.Submitted); first {
		return ""
	}
	return id
}

// Recover puts a job for every batch that has not ended, in case work storage was lost.
func (s *Service) Recover(ctx context.Context) error {
	const page = 500
	after := ""
	for {
		list, err := s.views.Unfinished(ctx, after, page)
		if err != nil {
			return fmt.Errorf("listing batches that have not ended: %w", err)
		}
		for _, of := range list {
			after = of.Batch
			err := s.jobs.Put(ctx, work.Job{
				Kind: Jobs, Key: of.Batch + " recovered", Group: of.Batch, Due: s.opts.Clock(),
				Payload: memory{Of: of}.bytes(),
			})
			if err != nil {
				return err
			}
		}
		if len(list) < page {
			return nil
		}
	}
}

// Run draws batches until ctx is done; then it waits for what it began and returns nil.
func (s *Service) Run(ctx context.Context) error {
	return work.Run(ctx, s.jobs, Jobs, work.Options{Concurrency: 4, Lease: s.opts.Lease, Clock: s.opts.Clock, Log: s.opts.Log}, s.handle)
}

// handle brings a batch as far as it goes.
func (s *Service) handle(ctx context.Context, j work.Job) work.Outcome {
	var m memory
	if err := json.Unmarshal(j.Payload, &m); err != nil || m.Batch == "" {
		s.opts.Log.Error("the job of a batch is unreadable", "job", j.Key, "error", err)
		return work.Again(s.opts.Clock().Add(time.Hour), nil)
	}
	ended, err := s.advance(ctx, m)
	switch {
	case domain.CodeOf(err) == domain.NotFound:
		s.opts.Log.Error("the job of a batch that the log does not have", "batch", m.Batch, "merchant", m.Merchant)
		return work.Finish()
	case err != nil:
		wait := gap(m.Failures)
		s.opts.Log.Warn("a batch is put off", "batch", m.Batch, "merchant", m.Merchant, "failures", m.Failures, "gap", wait, "error", err)
		m.Failures++
		return work.Again(s.opts.Clock().Add(wait), m.bytes())
	case ended:
		return work.Finish()
	}
	wait := gap(m.Looks)
	m.Failures, m.Looks = 0, m.Looks+1
	return work.Again(s.opts.Clock().Add(wait), m.bytes())
}

// advance draws what is not drawn, and ends the batch when all of its payouts have ended. ended: there is nothing to do, or not
// before another record comes.
func (s *Service) advance(ctx context.Context, m memory) (ended bool, err error) {
	b, err := s.ledger.Batch(ctx, m.Of)
	if err != nil {
		return false, err
	}
	if b.Status == batch.Receiving {
		return s.abandon(ctx, &b)
	}
	if b.Status == batch.Processing && b.Drawn < b.Received {
		if b, err = s.draw(ctx, b); err != nil {
			return false, err
		}
	}
	if b.Status != batch.Processing {
		return true, nil
	}
	open, err := s.views.OpenItems(ctx, b.Merchant, b.Batch)
	if err != nil || open > 0 {
		return false, err
	}
	_, err = s.ledger.SubmitBatch(ctx, batch.Complete{Base: s.base(b.Of, Actor)}, eventstore.Origin{Actor: Actor})
	return err == nil, err
}

// abandon cancels a batch that should have become whole long ago.
func (s *Service) abandon(ctx context.Context, b *batch.Batch) (ended bool, err error) {
	if s.opts.Clock().Before(b.At.Add(s.opts.Abandon)) {
		return true, nil // there is a job for that time
	}
	_, err = s.ledger.SubmitBatch(ctx, batch.Cancel{Base: s.base(b.Of, Actor), Reason: "never received whole"}, eventstore.Origin{Actor: Actor})
	return err == nil, err
}

// errStopped ends the drawing of a batch that was cancelled meanwhile.
var errStopped = errors.New("the batch is not drawn any further")

// draw makes the payouts of the chunks that are left, one chunk after the other.
func (s *Service) draw(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	err := s.ledger.EachChunk(ctx, b.Merchant, b.Batch, b.Drawn, func(chunk int, items []batch.Item) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		refused, err := s.initiate(ctx, &b, items)
		if err != nil {
			return fmt.Errorf("chunk %d: %w", chunk, err)
		}
		note := batch.NoteDrawn{Base: s.base(b.Of, Actor), Chunk: chunk, Refused: refused}
		if b, err = s.ledger.SubmitBatch(ctx, note, eventstore.Origin{Actor: Actor}); err != nil {
			return fmt.Errorf("chunk %d: %w", chunk, err)
		}
		if b.Status != batch.Processing {
			return errStopped
		}
		return nil
	})
	if errors.Is(err, errStopped) {
		err = nil
	}
	return b, err
}

// initiate makes the payouts of a chunk. An error means that some may be made and some not, and that all can be tried again.
func (s *Service) initiate(ctx context.Context, b *batch.Batch, items []batch.Item) (refused []batch.Refusal, err error) {
	payouts, ids := make([]wallet.InitiatePayout, len(items)), make([]uuid.UUID, len(items))
	now := s.now()
	for n := range items {
		payouts[n] = items[n].Payout(b, now)
		if ids[n], err = uuid.Parse(items[n].Event); err != nil {
			return nil, fmt.Errorf("item %d: %w", items[n].Index, err)
		}
	}
	for n, err := range s.ledger.Initiate(ctx, b.Merchant, payouts, ids, eventstore.Origin{Actor: b.By}) {
		code, reason, err := s.refusal(ctx, &items[n], err)
		switch {
		case err != nil:
			return nil, fmt.Errorf("item %d: %w", items[n].Index, err)
		case code != "":
			refused = append(refused, batch.Refusal{Index: items[n].Index, Code: string(code), Reason: reason})
		}
	}
	return refused, nil
}

// refusal says why an item became no payout; no code when it did, now or before. An error decides nothing.
func (s *Service) refusal(ctx context.Context, i *batch.Item, err error) (code domain.Code, reason string, _ error) {
	if err == nil {
		return "", "", nil
	}
	var taken *executor.DuplicateError
	if errors.As(err, &taken) {
		record, err := s.ledger.Record(ctx, taken.Position)
		switch {
		case err != nil:
			return "", "", err
		case record.Subject == i.Payment: // made before the process died, or by another one
			return "", "", nil
		}
		return domain.Duplicate, "partner_request_id " + i.RequestID + " was used before", nil
	}
	var refused *domain.Error
	if errors.As(err, &refused) && refused.Code != domain.Stale { // stale: the batch has moved on, or was cancelled, meanwhile
		return refused.Code, refused.Message, nil
	}
	return "", "", err
}
