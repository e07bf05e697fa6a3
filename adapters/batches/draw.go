package batches

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
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
	Abandon  bool  `json:"abandon,omitempty"` // the job is to cancel the batch if it is not whole by then, and for nothing else
	Chunk    int   `json:"chunk,omitempty"`   // that was drawn last, and the position of its record
	At       int64 `json:"at,omitempty"`
	Failures int   `json:"failures,omitempty"`
	Drawn    bool  `json:"drawn,omitempty"` // all of it, and nothing is held any more
	Looks    int   `json:"looks,omitempty"` // at payouts that have not ended yet
	Waits    int   `json:"waits,omitempty"` // for the wallet
	// What a batch in the queue waits for: with all items up to index Handled payouts or refused, the money for the next one.
	Handled int           `json:"handled,omitempty"`
	Next    *money.Amount `json:"next,omitempty"`
	Since   time.Time     `json:"since,omitzero"` // when it first found no place in the queue
	Rule    int           `json:"rule,omitempty"` // the job is to reject what waits for approval under an older rule than this version, and for nothing else
}

func (m memory) bytes() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("batches: the memory of a job cannot be encoded: " + err.Error()) // strings and numbers always can
	}
	return b
}

// Gaps between two tries, between two looks at payouts that have not ended, and between two looks at a wallet that does not have enough.
const (
	firstGap  = 100 * time.Millisecond
	lastGap   = 30 * time.Second
	walletGap = 2 * time.Second
)

func gap(n int) time.Duration { return min(firstGap<<min(n, 16), lastGap) }

// Types are the types of record that Handle is for.
func (*Service) Types() []string {
	return []string{"batch.submitted", "batch.items", "batch.approved", "batch.rejected", "batch.cancelled", ruleSet}
}

// ruleSet is the type of the record that changes a merchant's approval rule.
const ruleSet = "merchant.approval_set"

// unreadable is a record that no repetition makes readable.
type unreadable struct{ error }

// Permanent says that another try is of no use.
func (unreadable) Permanent() bool { return true }

// Handle takes note of a record of the log: it puts a job for what may let its batch go on. It returns when the job is stored.
func (s *Service) Handle(ctx context.Context, r eventstore.Record) error {
	if r.Type == ruleSet {
		return s.handleRule(ctx, r)
	}
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
	_, first := e.(*batch.Submitted)
	return s.jobs.Put(ctx, job(e.Header(), r.Position().String(), r.Seq, first, due))
}

// job is a job of a batch. Those that draw it follow one another, and so do those that wait for it to be abandoned, which hold up nobody else.
func job(of batch.Of, cause string, order int64, abandon bool, due time.Time) work.Job {
	j := work.Job{Kind: Jobs, Key: of.Batch + " " + cause, Group: of.Batch, Order: order, Due: due, Payload: memory{Of: of, Abandon: abandon}.bytes()}
	if abandon {
		j.Group += " abandoned"
	}
	return j
}

// unfinishedPage is how many batches are listed at once.
const unfinishedPage = 500

// Recover puts a job for every batch that has not ended, in case work storage was lost: behind those that are there.
func (s *Service) Recover(ctx context.Context) error {
	after := ""
	for {
		list, err := s.views.Unfinished(ctx, after, unfinishedPage)
		if err != nil {
			return fmt.Errorf("listing batches that have not ended: %w", err)
		}
		var again []work.Job // of a page, put together: one commit does for all of them
		for _, u := range list {
			after = u.Batch
			due := s.opts.Clock()
			switch {
			case u.Status == batch.Awaiting: // nothing is to be done, unless the rule has changed meanwhile
				m, err := s.ledger.Merchant(ctx, u.Merchant)
				if err != nil {
					return err
				}
				if m.Approval.Version == u.Terms.Rule {
					continue
				}
			case u.Status == batch.Processing && u.Terms.ScheduleAt.After(due):
				due = u.Terms.ScheduleAt
			}
			again = append(again, job(u.Of, "recovered", math.MaxInt64, u.Status == batch.Receiving, due))
		}
		if err := s.jobs.PutAll(ctx, again); err != nil {
			return err
		}
		if len(list) < unfinishedPage {
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
	if err := json.Unmarshal(j.Payload, &m); err != nil || m.Merchant == "" {
		s.opts.Log.Error("the job of a batch is unreadable", "job", j.Key, "error", err)
		return work.Again(s.opts.Clock().Add(time.Hour), nil)
	}
	advance := s.advance
	if m.Rule > 0 {
		advance = s.rejectAwaiting
	}
	then, err := advance(ctx, &m)
	if err == nil {
		m.Failures = 0
		return then
	}
	wait := gap(m.Failures)
	s.opts.Log.Warn("a batch is put off", "batch", m.Batch, "merchant", m.Merchant, "failures", m.Failures, "gap", wait, "error", err)
	m.Failures++
	return work.Again(s.opts.Clock().Add(wait), m.bytes())
}

// chunksAtOnce is how many chunks are drawn before other batches have their turn.
const chunksAtOnce = 8

// pausedFor is how long a batch waits whose merchant may not pay now.
const pausedFor = 30 * time.Second

// advance draws what is not drawn, and ends the batch when all of its payouts have ended.
func (s *Service) advance(ctx context.Context, m *memory) (work.Outcome, error) {
	if m.Drawn {
		return s.end(ctx, m)
	}
	b, err := s.ledger.Batch(ctx, m.Of)
	switch {
	case domain.CodeOf(err) == domain.NotFound:
		s.opts.Log.Error("the job of a batch that the log does not have", "batch", m.Batch, "merchant", m.Merchant)
		return work.Finish(), nil
	case err != nil:
		return work.Outcome{}, err
	case b.Status == batch.Receiving:
		return s.abandon(ctx, &b)
	case m.Abandon:
		return work.Finish(), nil
	case b.Status == batch.Awaiting:
		return work.Finish(), s.rejectOutdated(ctx, &b)
	case b.Status == batch.Processing && s.opts.Clock().Before(b.Terms.ScheduleAt):
		return work.Again(b.Terms.ScheduleAt, m.bytes()), nil
	case b.Status == batch.Processing && !b.AllDrawn():
		if then, goesOn, err := s.pay(ctx, &b, m); err != nil || goesOn {
			return then, err
		}
	}
	if err := (hand{s, &b, m}).release(ctx); err != nil || b.Final() {
		return work.Finish(), err
	}
	m.Drawn = true
	return s.end(ctx, m)
}

// end completes a batch that is drawn when all of its payouts have ended. Until then it asks the views alone: a batch that memory has dropped is
// folded with all of its items, while others wait.
func (s *Service) end(ctx context.Context, m *memory) (work.Outcome, error) {
	open, err := s.views.Open(ctx, m.Merchant, m.Batch)
	if domain.CodeOf(err) == domain.NotFound { // the views have not come to it
		open, err = true, nil
	}
	if err != nil {
		return work.Outcome{}, err
	}
	if open {
		wait := gap(m.Looks)
		m.Looks++
		return work.Again(s.opts.Clock().Add(wait), m.bytes()), nil
	}
	_, err = s.ledger.SubmitBatch(ctx, batch.Complete{Base: s.base(m.Of, Actor)}, eventstore.Origin{Actor: Actor})
	return work.Finish(), err
}

// pay draws some of what is not drawn. goesOn: there is more to draw, and then says when.
func (s *Service) pay(ctx context.Context, b *batch.Batch, m *memory) (then work.Outcome, goesOn bool, err error) {
	h := hand{s, b, m}
	wait, waits, err := h.waits(ctx)
	if err != nil || b.Final() {
		return then, false, err
	}
	if waits {
		return work.Again(s.opts.Clock().Add(wait), m.bytes()), true, nil
	}
	paused, err := s.paused(ctx, b)
	if err != nil {
		return then, false, err
	}
	if paused {
		return work.Again(s.opts.Clock().Add(pausedFor), m.bytes()), true, nil
	}
	drawn := b.Drawn
	err = s.draw(ctx, b, m)
	if b.Drawn > drawn {
		m.Waits = 0
	}
	if errors.Is(err, errWaits) { // its next look tells for what, and for how long
		return work.Again(s.opts.Clock().Add(firstGap), m.bytes()), true, nil
	}
	if err != nil || b.Status != batch.Processing || b.AllDrawn() {
		return then, false, err
	}
	return work.Again(s.opts.Clock(), m.bytes()), true, nil
}

// paused tells whether the merchant may make no payouts now. What is not drawn waits until it may again, or is cancelled.
func (s *Service) paused(ctx context.Context, b *batch.Batch) (bool, error) {
	m, err := s.ledger.Merchant(ctx, b.Merchant)
	if err != nil {
		return false, err
	}
	if !m.Suspended && m.HasService(merchant.Payout) {
		return false, nil
	}
	s.opts.Log.Warn("a batch waits: its merchant may make no payouts", "batch", b.Batch, "merchant", b.Merchant, "suspended", m.Suspended)
	return true, nil
}

// abandon cancels a batch that should have become whole long ago.
func (s *Service) abandon(ctx context.Context, b *batch.Batch) (work.Outcome, error) {
	if due := b.At.Add(s.opts.Abandon); s.opts.Clock().Before(due) {
		return work.Again(due, nil), nil
	}
	_, err := s.ledger.SubmitBatch(ctx, batch.Cancel{Base: s.base(b.Of, Actor), Reason: "never received whole"}, eventstore.Origin{Actor: Actor})
	return work.Finish(), err
}

// errStopped ends the drawing of a batch: it was cancelled meanwhile, or others have their turn.
var errStopped = errors.New("the batch is not drawn any further now")

// draw makes the payouts of some chunks, one chunk after the other.
func (s *Service) draw(ctx context.Context, b *batch.Batch, m *memory) error {
	if b.Terms.Mode == batch.Atomic {
		if err := (hand{s, b, m}).holdAll(ctx, false); err != nil || b.Status != batch.Processing {
			return err
		}
	}
	from := int64(0)
	if m.Chunk == b.Drawn {
		from = m.At
	}
	last := b.Drawn + chunksAtOnce
	err := s.ledger.EachChunk(ctx, b.Of, b.Drawn, from, func(chunk int, at int64, items []batch.Item) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		drawn, err := s.drawChunk(ctx, *b, m, chunk, items)
		if err != nil {
			return fmt.Errorf("chunk %d: %w", chunk, err)
		}
		if *b = drawn; b.Drawn == chunk {
			m.Chunk, m.At = chunk, at
		}
		if b.Status != batch.Processing || b.Drawn != chunk || chunk == last {
			return errStopped
		}
		return nil
	})
	if errors.Is(err, errStopped) {
		err = nil
	}
	return err
}

// drawChunk makes the payouts of a chunk and notes them. Where one was refused, the chunk is closed first: from then on no process can
// make any of its payouts, so that what is noted as refused stays so.
func (s *Service) drawChunk(ctx context.Context, b batch.Batch, m *memory, chunk int, items []batch.Item) (batch.Batch, error) {
	base, from := s.base(b.Of, Actor), eventstore.Origin{Actor: Actor}
	if b.Closing == nil {
		initiate := s.initiate
		if b.Terms.Holds() {
			initiate = func(ctx context.Context, b *batch.Batch, items []batch.Item) ([]batch.Refusal, error) {
				return hand{s, b, m}.drawHeld(ctx, items)
			}
		}
		refused, err := initiate(ctx, &b, items)
		if err != nil {
			return b, err
		}
		if len(refused) == 0 {
			return s.ledger.SubmitBatch(ctx, batch.NoteDrawn{Base: base, Chunk: chunk}, from)
		}
		if b, err = s.ledger.SubmitBatch(ctx, batch.Close{Base: base, Chunk: chunk, Refused: refused}, from); err != nil || b.Drawn >= chunk {
			return b, err
		}
	}
	refused, err := s.unmade(ctx, &b, items)
	if err != nil {
		return b, err
	}
	return s.ledger.SubmitBatch(ctx, batch.NoteDrawn{Base: base, Chunk: chunk, Refused: refused}, from)
}

// unmade returns those of the refused items of a closed chunk that are no payouts: another process may have made one that this one, or
// the one that died, saw refused.
func (s *Service) unmade(ctx context.Context, b *batch.Batch, items []batch.Item) (refused []batch.Refusal, err error) {
	byIndex, keys := map[int]*batch.Item{}, make([]string, 0, len(b.Closing))
	for n := range items {
		byIndex[items[n].Index] = &items[n]
	}
	for _, r := range b.Closing {
		keys = append(keys, wallet.PayoutKey(b.Merchant, byIndex[r.Index].RequestID))
	}
	claimed, err := s.ledger.Claimed(ctx, b.Merchant, keys)
	if err != nil {
		return nil, err
	}
	for n, r := range b.Closing {
		if seq, taken := claimed[keys[n]]; taken {
			record, err := s.ledger.Record(ctx, eventstore.Position{Partition: s.ledger.Partition(b.Merchant), Seq: seq})
			if err != nil {
				return nil, err
			}
			if record.Subject == byIndex[r.Index].Payment {
				continue
			}
		}
		refused = append(refused, r)
	}
	return refused, nil
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
