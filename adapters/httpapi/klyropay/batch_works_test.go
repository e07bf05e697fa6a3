package klyropay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// batchWorks takes batches in memory, and shows them. It decides with the domain about batches and pays nothing: tests say what
// becomes of items.
type batchWorks struct {
	books   *books
	mu      sync.Mutex
	batches []*heldBatch // oldest first
	origins []eventstore.Origin
	looks   int                        // at a single batch
	look    func(n int, of *heldBatch) // called at each, under the lock
	enters  chan struct{}              // told of every Submit, if there is one
	block   chan struct{}              // Submit waits for it, if there is one

	asked     int                                                                   // how often Stopper was
	stop      func(m merchant.Merchant, items []klyropay.BatchPayout) (int, string) // what Stopper says; nil: nothing stops anything
	meanwhile func()                                                                // called by Stopper before that, if there is one
	atOnce    func(*batch.Batch)                                                    // called with a batch that is submitted, if there is one

	submitFault, viewFault, itemsFault error
	itemsBehind                        int // itemsFault is for items behind this index
}

type heldBatch struct {
	state   batch.Batch
	request klyropay.BatchSubmission
	items   []projections.BatchItem
	paid    []klyropay.BatchPayout
}

func newBatchWorks(b *books) *batchWorks { return &batchWorks{books: b} }

func (s *batchWorks) Submit(ctx context.Context, r klyropay.BatchSubmission, items iter.Seq2[klyropay.BatchPayout, error]) (batch.Batch, bool, error) {
	if s.block != nil {
		select {
		case s.enters <- struct{}{}:
		default:
		}
		<-s.block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.submitFault != nil {
		return batch.Batch{}, false, s.submitFault
	}
	if i := slices.IndexFunc(s.batches, func(h *heldBatch) bool { return h.state.Merchant == r.Merchant.ID && h.state.Ref == r.Ref }); i >= 0 {
		if !slices.Contains([]string{r.Digest, r.Plain}, s.batches[i].state.Digest) {
			return batch.Batch{}, false, domain.Errorf(domain.Duplicate, "taken")
		}
		return s.batches[i].state, true, nil
	}
	h := &heldBatch{request: r, state: batch.Batch{
		Of:  batch.Of{Merchant: r.Merchant.ID, Currency: r.Merchant.Plan.Currency, Batch: fmt.Sprintf("bat_%016d", len(s.batches)+1)},
		Ref: r.Ref, Digest: r.Digest, Terms: r.Terms, Status: batch.Processing, Count: r.Count, Amount: r.Amount, Commission: r.Commission, By: r.Origin.Actor, At: day,
	}}
	if h.state.Missing() > 0 {
		h.state.Status = batch.Awaiting
	}
	for p, err := range items {
		if err != nil {
			return batch.Batch{}, false, err
		}
		if err := h.add(ctx, s.books, r, p); err != nil {
			return batch.Batch{}, false, err
		}
	}
	if len(h.items) != r.Count {
		return batch.Batch{}, false, fmt.Errorf("%d items, not %d", len(h.items), r.Count)
	}
	if s.atOnce != nil {
		s.atOnce(&h.state)
	}
	s.claim(h)
	s.batches = append(s.batches, h)
	s.origins = append(s.origins, r.Origin)
	return h.state, false, nil
}

func (h *heldBatch) add(ctx context.Context, b *books, r klyropay.BatchSubmission, p klyropay.BatchPayout) error {
	text, err := json.Marshal(p.To)
	if err != nil {
		return err
	}
	id := uuid.New()
	sealed, err := b.SealString(ctx, r.Merchant.ID, id, string(text))
	if err != nil {
		return err
	}
	charge, err := r.Merchant.Plan.PayoutCharge(p.Amount)
	if err != nil {
		return err
	}
	h.paid = append(h.paid, p)
	h.items = append(h.items, projections.BatchItem{
		Index: len(h.items) + 1, Payment: fmt.Sprintf("txn_%016d", len(h.items)+1), RequestID: p.RequestID, Amount: p.Amount, Commission: charge.Commission,
		IFSC: p.IFSC, BankName: p.BankName, AccountLast4: p.To.AccountNo[len(p.To.AccountNo)-4:], TransferType: p.TransferType,
		Sealed: sealed, SealID: id.String(), Status: "pending", UpdatedAt: day,
	})
	return nil
}

// claim notes the batch's Idempotency-Key where the API looks for it.
func (s *batchWorks) claim(h *heldBatch) {
	b, o := s.books, h.request.Origin
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records = append(b.records, eventstore.Record{
		Seq: int64(len(b.records) + 1), Subject: h.state.Batch,
		Meta: eventstore.Meta{Command: o.Command.String(), Actor: o.Actor, Request: o.Request, BodyHash: b.commit(o)}.Bytes(),
	})
	if o.IdempotencyKey != "" {
		b.keys[o.IdempotencyKey] = eventstore.Position{Seq: int64(len(b.records))}
	}
}

func (s *batchWorks) Cancel(_ context.Context, of batch.Of, reason string, o eventstore.Origin) (batch.Batch, error) {
	return s.decide(of, batch.Cancel{Base: batch.Base{Of: of, At: day, Actor: o.Actor}, Reason: reason}, o)
}

func (s *batchWorks) Approve(_ context.Context, of batch.Of, note string, o eventstore.Origin) (batch.Batch, error) {
	return s.decide(of, batch.Approve{Base: batch.Base{Of: of, At: day, Actor: o.Actor}, Rule: s.books.ruleVersion(of.Merchant), Note: note}, o)
}

func (s *batchWorks) Reject(_ context.Context, of batch.Of, reason string, o eventstore.Origin) (batch.Batch, error) {
	return s.decide(of, batch.Reject{Base: batch.Base{Of: of, At: day, Actor: o.Actor}, Reason: reason}, o)
}

// decide decides a command about a batch with the domain. What a cancelled or rejected batch has not paid is cancelled, or rejected.
func (s *batchWorks) decide(of batch.Of, c batch.Command, o eventstore.Origin) (batch.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.submitFault != nil {
		return batch.Batch{}, s.submitFault
	}
	h, err := s.held(of.Merchant, of.Batch)
	if err != nil {
		return batch.Batch{}, err
	}
	events, err := batch.Decide(&h.state, c)
	if err != nil {
		return batch.Batch{}, err
	}
	for _, e := range events {
		h.state.Evolve(e, day)
		for i := range h.items {
			if h.state.Final() && h.items[i].Status == "pending" {
				h.items[i].Status, h.items[i].Reason = string(h.state.Status), h.state.Reason
			}
		}
	}
	s.origins = append(s.origins, o)
	return h.state, nil
}

func (s *batchWorks) Stopper(_ context.Context, m merchant.Merchant, items iter.Seq2[klyropay.BatchPayout, error]) (int, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.submitFault != nil {
		return 0, "", s.submitFault
	}
	var all []klyropay.BatchPayout
	for p, err := range items {
		if err != nil {
			return 0, "", err
		}
		all = append(all, p)
	}
	if s.stop == nil {
		return 0, "", nil
	}
	if s.meanwhile != nil {
		s.meanwhile()
	}
	index, reason := s.stop(m, all)
	return index, reason, nil
}

// stopAt stops every batch at an item.
func stopAt(index int, reason string) func(merchant.Merchant, []klyropay.BatchPayout) (int, string) {
	return func(merchant.Merchant, []klyropay.BatchPayout) (int, string) { return index, reason }
}

func (s *batchWorks) held(merchantID, id string) (*heldBatch, error) {
	for _, h := range s.batches {
		if h.state.Merchant == merchantID && h.state.Batch == id {
			return h, nil
		}
	}
	return nil, domain.Errorf(domain.NotFound, "there is no batch %s", id)
}

func (h *heldBatch) row() projections.BatchRow {
	b := &h.state
	return projections.BatchRow{
		ID: b.Batch, Ref: b.Ref, Merchant: b.Merchant, Currency: b.Currency, Digest: b.Digest, Status: b.Status, Count: b.Count, Amount: b.Amount,
		Commission: b.Commission, By: b.By, Decided: b.Decided, Reason: b.Reason, CreatedAt: b.At, UpdatedAt: b.At,
		Terms: b.Terms, Approvals: b.Approvals, Stopper: b.Stopper, Columns: h.request.Columns,
	}
}

func (s *batchWorks) Batch(_ context.Context, merchantID, id string) (projections.BatchRow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.viewFault != nil {
		return projections.BatchRow{}, s.viewFault
	}
	h, err := s.held(merchantID, id)
	if err != nil {
		return projections.BatchRow{}, err
	}
	if s.looks++; s.look != nil {
		s.look(s.looks, h)
	}
	return h.row(), nil
}

func (s *batchWorks) BatchByRef(_ context.Context, merchantID, ref string) (projections.BatchRow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.viewFault != nil {
		return projections.BatchRow{}, s.viewFault
	}
	for _, h := range s.batches {
		if h.state.Merchant == merchantID && h.state.Ref == ref {
			return h.row(), nil
		}
	}
	return projections.BatchRow{}, domain.Errorf(domain.NotFound, "there is no batch %s", ref)
}

func (s *batchWorks) Batches(_ context.Context, merchantID, before string, limit int) ([]projections.BatchRow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.viewFault != nil {
		return nil, s.viewFault
	}
	if before != "" {
		if _, err := s.held(merchantID, before); err != nil {
			return nil, err
		}
	}
	var rows []projections.BatchRow
	for _, h := range slices.Backward(s.batches) {
		if h.state.Merchant == merchantID && (before == "" || h.state.Batch < before) && len(rows) < limit {
			rows = append(rows, h.row())
		}
	}
	return rows, nil
}

func (s *batchWorks) BatchTally(_ context.Context, merchantID, id string) (projections.BatchTally, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.viewFault != nil {
		return nil, s.viewFault
	}
	h, err := s.held(merchantID, id)
	if err != nil {
		return nil, err
	}
	tally := projections.BatchTally{}
	for _, i := range h.items {
		t := tally[i.Status]
		if t.Count++; t.Count == 1 {
			t.Amount = money.Zero(h.state.Currency)
		}
		t.Amount = t.Amount.Add(i.Amount)
		tally[i.Status] = t
	}
	return tally, nil
}

func (s *batchWorks) BatchItems(_ context.Context, merchantID, id string, f projections.BatchItemFilter) ([]projections.BatchItem, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Limit < 1 || f.Limit > klyropay.MaxBatchItems {
		return nil, fmt.Errorf("a limit of %d", f.Limit)
	}
	if s.viewFault != nil {
		return nil, s.viewFault
	}
	if s.itemsFault != nil && f.After >= s.itemsBehind {
		return nil, s.itemsFault
	}
	h, err := s.held(merchantID, id)
	if err != nil {
		return nil, err
	}
	var items []projections.BatchItem
	for _, i := range h.items[min(f.After, len(h.items)):] {
		if (f.Status == "" || i.Status == f.Status) && len(items) < f.Limit {
			items = append(items, i)
		}
	}
	return items, nil
}

// end says what has become of an item.
func (s *batchWorks) end(h *heldBatch, index int, status, utr, reason string) {
	i := &h.items[index-1]
	i.Status, i.UTR, i.Reason = status, utr, reason
	i.Drawn = status != "rejected" && status != "cancelled" && status != "queued"
}
