package batches

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/work"
)

// Ledger is where batches and their payouts are decided. Errors are *domain.Error, *executor.DuplicateError and the executor's.
type Ledger interface {
	SubmitBatch(ctx context.Context, c batch.Command, o eventstore.Origin) (batch.Batch, error)
	Batch(ctx context.Context, of batch.Of) (batch.Batch, error)
	// Reserve carries out a command about what a wallet holds for a batch, or wallet.Look, and returns the wallet after it.
	Reserve(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Wallet, error)
	// EachChunk calls f with the chunks behind number after, whose position is from (0: not known), in order.
	EachChunk(ctx context.Context, of batch.Of, after int, from int64, f func(chunk int, at int64, items []batch.Item) error) error
	Merchant(ctx context.Context, id string) (merchant.Merchant, error)
	// Claimed returns which dedupe keys are held, and by the record at which position.
	Claimed(ctx context.Context, merchantID string, keys []string) (map[string]int64, error)
	Partition(merchantID string) int
	// Initiate makes payouts of one merchant, each by itself, under the command ids given. There is one error for each.
	Initiate(ctx context.Context, merchantID string, payouts []wallet.InitiatePayout, ids []uuid.UUID, o eventstore.Origin) []error
	Record(ctx context.Context, p eventstore.Position) (eventstore.Record, error)
}

// Vault seals personal data, and makes account numbers comparable.
type Vault interface {
	SealString(ctx context.Context, owner string, id uuid.UUID, text string) (string, error)
	Fingerprint(ctx context.Context, owner, text string) (string, error)
}

// Views tell how a batch's payouts stand.
type Views interface {
	// Open tells whether the outcome of any of a batch's items is not final. It may say so too long, and never too short; domain.NotFound is
	// an answer, too.
	Open(ctx context.Context, merchantID, id string) (bool, error)
	// Unfinished lists batches that have not ended, or for which something is held yet, behind the id after.
	Unfinished(ctx context.Context, after string, limit int) ([]Unfinished, error)
}

// Unfinished is a batch that somebody has to go on with.
type Unfinished struct {
	batch.Of
	Status batch.Status
	Terms  batch.Terms
}

// Options configure a Service. Zero values mean the defaults.
type Options struct {
	NewID   func(prefix string) string // random ids
	NewUUID func() (uuid.UUID, error)  // ids of the events that will make payouts; default uuid.NewV7
	Clock   func() time.Time           // default time.Now
	Abandon time.Duration              // a batch that is not whole after this is cancelled; default one hour
	// QueueAge is how long a batch waits for money before what is left of it is cancelled; default DefaultQueueAge.
	QueueAge time.Duration
	Lease    time.Duration // of jobs; see work.Options
	Log      *slog.Logger  // default slog.Default()
}

// DefaultQueueAge is how long a batch waits for money.
const DefaultQueueAge = 7 * 24 * time.Hour

// Service takes batches in and draws them.
type Service struct {
	ledger Ledger
	vault  Vault
	views  Views
	jobs   *work.Store
	opts   Options
}

// New makes a service. Run draws.
func New(l Ledger, v Vault, views Views, jobs *work.Store, opts Options) *Service {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.NewUUID == nil {
		opts.NewUUID = uuid.NewV7
	}
	if opts.Abandon <= 0 {
		opts.Abandon = time.Hour
	}
	if opts.QueueAge <= 0 {
		opts.QueueAge = DefaultQueueAge
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	return &Service{ledger: l, vault: v, views: views, jobs: jobs, opts: opts}
}

// Request is a batch that a merchant submits. Its items have been validated.
type Request struct {
	Merchant   merchant.Merchant
	Ref        string
	Digest     string      // keyed, of content and terms: a repeat of Ref must have the same
	Plain      string      // the same without a key: what batches have that are older than keyed digests
	Terms      batch.Terms // at least; the approval rule may ask for more checkers
	Count      int
	Amount     money.Amount // of all items
	Commission money.Amount
	Columns    []batch.Column    // of the file that it came in, if it did
	Origin     eventstore.Origin // of every event; Actor is who submits
}

// Item is one payout of a batch.
type Item struct {
	RequestID    string
	Amount       money.Amount
	IFSC         string
	BankName     string
	TransferType string
	To           wallet.Beneficiary
}

// Submit takes a batch in: it returns when all of its items are in the log. repeated: the merchant has submitted the same before.
// Errors: domain.Duplicate when the ref is another batch's; those of the ledger, the vault and items. After an error the same
// request can be submitted again, and goes on where it was.
func (s *Service) Submit(ctx context.Context, r Request, items iter.Seq2[Item, error]) (b batch.Batch, repeated bool, err error) {
	b, repeated, err = s.announce(ctx, &r)
	if err != nil || b.Status != batch.Receiving {
		return b, repeated, err
	}
	base := s.base(b.Of, r.Origin.Actor)
	chunk, n := make([]batch.Item, 0, batch.ChunkSize), 0
	for item, err := range items {
		if err != nil {
			return b, repeated, err
		}
		if n++; n > r.Count {
			return b, repeated, fmt.Errorf("batch %s: more than %d items", b.Batch, r.Count)
		}
		if n <= b.Received*batch.ChunkSize {
			continue // there already
		}
		made, err := s.item(ctx, &r, n, &item)
		if err != nil {
			return b, repeated, fmt.Errorf("item %d: %w", n, err)
		}
		if chunk = append(chunk, made); len(chunk) < batch.ChunkSize && n < r.Count {
			continue
		}
		if b, err = s.ledger.SubmitBatch(ctx, batch.AddItems{Base: base, Chunk: batch.Chunks(n), Items: chunk}, follow(r.Origin)); err != nil {
			return b, repeated, err
		}
		chunk = make([]batch.Item, 0, batch.ChunkSize) // the executor's event has the other one
	}
	if n != r.Count {
		return b, repeated, fmt.Errorf("batch %s: %d items, not %d", b.Batch, n, r.Count)
	}
	s.begin(ctx, &b, repeated)
	return b, repeated, nil
}

// triesToBegin is how often begin tries.
const triesToBegin = 3

// begin does what it can for a batch before it is answered that it may be paid: an atomic one is held for, so that the answer says whether it
// could be; one for the queue has its place, so that the queue is in the order of the answers. What goes wrong is put right by the batch's
// job. Whoever submits a batch has found the references of its items free a moment ago, but not those of one that was begun before, has a
// time, was approved, or may wait for money.
func (s *Service) begin(ctx context.Context, b *batch.Batch, begun bool) {
	if !b.Terms.Holds() || b.Pays(b.Merchant, s.now()) != nil {
		return
	}
	h := hand{s, b, &memory{}}
	checked := !begun && b.Terms.ScheduleAt.IsZero() && b.Terms.Shortage != batch.QueueShort
	var err error
	for range triesToBegin {
		if b.Terms.Mode == batch.Atomic {
			err = h.holdAll(ctx, checked)
		} else {
			_, err = h.join(ctx)
		}
		if err == nil {
			return
		}
	}
	if !errors.Is(err, errWaits) {
		s.opts.Log.Warn("nothing is held for a batch yet", "batch", b.Batch, "merchant", b.Merchant, "error", err)
	}
}

// follow is the origin of an event that follows another one of the same request: its command is another.
func follow(o eventstore.Origin) eventstore.Origin {
	o.Command, o.IdempotencyKey, o.Evidence = uuid.Nil, "", nil
	return o
}

func (s *Service) now() time.Time { return eventstore.Micros(s.opts.Clock()) }

func (s *Service) base(of batch.Of, actor string) batch.Base {
	return batch.Base{Of: of, At: s.now(), Actor: actor}
}

// triesUnderRule is how often a batch is submitted again whose merchant's approval rule changes meanwhile.
const triesUnderRule = 5

// under adds to what a batch asks for what the approval rule asks for.
func under(t batch.Terms, rule merchant.ApprovalRule, total money.Amount) batch.Terms {
	t.Rule = rule.Version
	if t.Checkers = max(t.Checkers, rule.Checkers(total)); t.Checkers > 0 {
		t.Approval = batch.ApprovalRequired
	}
	return t
}

// announce submits the batch, or finds the one that has its ref.
func (s *Service) announce(ctx context.Context, r *Request) (b batch.Batch, repeated bool, err error) {
	of := batch.Of{Merchant: r.Merchant.ID, Currency: r.Merchant.Plan.Currency, Batch: s.opts.NewID("bat_")}
	for range triesUnderRule {
		var now merchant.Merchant // whoever asks may know the rule of a second ago
		if now, err = s.ledger.Merchant(ctx, r.Merchant.ID); err != nil {
			return batch.Batch{}, false, err
		}
		b, err = s.ledger.SubmitBatch(ctx, batch.Submit{
			Base: s.base(of, r.Origin.Actor), Ref: r.Ref, Digest: r.Digest, Terms: under(r.Terms, now.Approval, r.Amount.Add(r.Commission)), Count: r.Count,
			Amount: r.Amount, Commission: r.Commission, Fee: rule(r.Merchant.Plan), Columns: r.Columns,
		}, r.Origin)
		if domain.CodeOf(err) != domain.Stale { // stale: it was changed at this very moment
			break
		}
	}
	var taken *executor.DuplicateError
	if !errors.As(err, &taken) {
		return b, false, err
	}
	record, err := s.ledger.Record(ctx, taken.Position)
	if err != nil {
		return batch.Batch{}, false, err
	}
	e, err := batch.Decode(record.Type, record.Schema, record.Data)
	if err != nil {
		return batch.Batch{}, false, fmt.Errorf("record %s: %w", taken.Position, err)
	}
	first, ok := e.(*batch.Submitted)
	if !ok || first.Merchant != r.Merchant.ID || first.Ref != r.Ref || first.Digest != r.Digest && (r.Plain == "" || first.Digest != r.Plain) {
		return batch.Batch{}, false, domain.Errorf(domain.Duplicate, "batch_ref %s was used for another batch", r.Ref)
	}
	if b, err = s.ledger.Batch(ctx, first.Of); err != nil {
		return batch.Batch{}, true, err
	}
	if b.Status == batch.Receiving && (b.Fee != rule(r.Merchant.Plan) || !b.Commission.Equal(r.Commission)) {
		return batch.Batch{}, true, domain.Errorf(domain.Stale, "batch_ref %s was begun under another fee plan and never became whole: use another one", r.Ref)
	}
	return b, true, nil
}

func rule(p fee.Plan) fee.Rule { return fee.Rule{Plan: p.ID, Version: p.Version} }

// item prices and seals an item, under the id of the event that will make its payout.
func (s *Service) item(ctx context.Context, r *Request, index int, i *Item) (batch.Item, error) {
	charge, err := r.Merchant.Plan.PayoutCharge(i.Amount)
	if err != nil {
		return batch.Item{}, err
	}
	id, err := s.opts.NewUUID()
	if err != nil {
		return batch.Item{}, fmt.Errorf("making a command id: %w", err)
	}
	text, err := json.Marshal(i.To)
	if err != nil {
		return batch.Item{}, fmt.Errorf("encoding personal data: %w", err)
	}
	sealed, err := s.vault.SealString(ctx, r.Merchant.ID, id, string(text))
	if err != nil {
		return batch.Item{}, err
	}
	fingerprint, err := s.vault.Fingerprint(ctx, r.Merchant.ID, i.To.AccountNo)
	if err != nil {
		return batch.Item{}, err
	}
	account := i.To.AccountNo
	return batch.Item{
		Index: index, Payment: s.opts.NewID("txn_"), Event: id.String(), RequestID: i.RequestID,
		Amount: i.Amount, Commission: charge.Commission, Tax: charge.Tax, IFSC: i.IFSC, BankName: i.BankName,
		AccountLast4: account[max(0, len(account)-4):], AccountFingerprint: fingerprint, TransferType: i.TransferType, Sealed: sealed,
	}, nil
}

// Cancel stops a batch: what is not drawn yet never will be. domain.NotFound, or domain.Stale when nothing is left to stop.
func (s *Service) Cancel(ctx context.Context, of batch.Of, reason string, o eventstore.Origin) (batch.Batch, error) {
	b, err := s.ledger.SubmitBatch(ctx, batch.Cancel{Base: s.base(of, o.Actor), Reason: reason}, o)
	if err != nil {
		return b, err
	}
	if err := (hand{s, &b, &memory{}}).release(ctx); err != nil { // its job does it then
		s.opts.Log.Warn("what is held for a cancelled batch is not released yet", "batch", b.Batch, "merchant", b.Merchant, "error", err)
	}
	return b, nil
}
