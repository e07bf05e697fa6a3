package batches

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
)

// Approve allows a batch, together with as many others as its terms ask for; o.Actor is who approves. A second approval of the same actor changes nothing. domain.NotFound; domain.Forbidden to who submitted the
// batch; domain.Stale when it waits for no approval, or was submitted under another rule.
func (s *Service) Approve(ctx context.Context, of batch.Of, note string, o eventstore.Origin) (batch.Batch, error) {
	b, err := s.ledger.SubmitBatch(ctx, batch.Approve{Base: s.base(of, o.Actor), Note: note}, o)
	if err == nil {
		s.begin(ctx, &b, true)
	}
	return b, err
}

// Reject refuses a batch that waits for approval. domain.NotFound, domain.Stale, domain.Invalid without a reason, and domain.Forbidden to who
// submitted the batch.
func (s *Service) Reject(ctx context.Context, of batch.Of, reason string, o eventstore.Origin) (batch.Batch, error) {
	return s.ledger.SubmitBatch(ctx, batch.Reject{Base: s.base(of, o.Actor), Reason: reason}, o)
}

// handleRule puts a job that rejects what waits for approval under an older rule.
func (s *Service) handleRule(ctx context.Context, r eventstore.Record) error {
	e, err := merchant.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		return unreadable{fmt.Errorf("record %s: %w", r.Position(), err)}
	}
	set, ok := e.(*merchant.ApprovalSet)
	if !ok {
		return unreadable{fmt.Errorf("record %s is a %T", r.Position(), e)}
	}
	m := memory{Of: batch.Of{Merchant: set.Merchant}, Rule: set.Rule.Version}
	return s.jobs.Put(ctx, work.Job{
		Kind: Jobs, Key: set.Merchant + " rule " + strconv.Itoa(set.Rule.Version), Order: r.Seq, Due: s.opts.Clock(), Payload: m.bytes(),
	})
}

// rejectAwaiting rejects what waits for approval under another rule than the merchant's. A batch that was not whole yet when the rule was
// set is rejected when it is: see advance.
func (s *Service) rejectAwaiting(ctx context.Context, m *memory) (work.Outcome, error) {
	after, failed := "", []error(nil)
	for {
		list, err := s.views.Unfinished(ctx, after, unfinishedPage)
		if err != nil {
			return work.Outcome{}, fmt.Errorf("listing batches that have not ended: %w", err)
		}
		for _, u := range list {
			if after = u.Batch; u.Merchant != m.Merchant || u.Status != batch.Awaiting {
				continue
			}
			b, err := s.ledger.Batch(ctx, u.Of)
			if err == nil {
				err = s.rejectOutdated(ctx, &b)
			}
			if err != nil { // the others do not wait for it
				failed = append(failed, fmt.Errorf("batch %s: %w", u.Batch, err))
			}
		}
		if len(list) < unfinishedPage {
			return work.Finish(), errors.Join(failed...)
		}
	}
}

// rejectOutdated rejects a batch that waits for approval under another rule than the merchant's.
func (s *Service) rejectOutdated(ctx context.Context, b *batch.Batch) error {
	if b.Status != batch.Awaiting {
		return nil
	}
	m, err := s.ledger.Merchant(ctx, b.Merchant)
	if err != nil || m.Approval.Version == b.Terms.Rule {
		return err
	}
	_, err = s.ledger.SubmitBatch(ctx, batch.Reject{Base: s.base(b.Of, Actor), Reason: reasonRule}, eventstore.Origin{Actor: Actor})
	if domain.CodeOf(err) == domain.Stale { // decided meanwhile
		return nil
	}
	return err
}
