package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/tail"
)

// Sealer seals evidence under the data key of its owner, commits to the digest of a request, and prints digests of messages; see
// eventstore/vault.
type Sealer interface {
	Seal(ctx context.Context, owner string, id uuid.UUID, plaintext []byte) ([]byte, error)
	Commit(ctx context.Context, owner string, id uuid.UUID, text string) (string, error)
	Fingerprint(ctx context.Context, owner, text string) (string, error)
}

// Log is the store, as executors and readers need it.
type Log interface {
	Info(ctx context.Context) (eventstore.Info, error)
	executor.Log
}

// Options configure a Ledger.
type Options struct {
	Queue         int // see executor.Options, also for the next two
	BatchMax      int
	SnapshotEvery int64
	Clock         func() time.Time
	Logger        *slog.Logger
}

// Ledger is the way in: commands are submitted to it, and the present state of payments is read from it.
type Ledger struct {
	log        Log
	sealer     Sealer
	tail       *tail.Tail
	watches    *watches
	clock      func() time.Time
	batchMax   int
	partitions []*executor.Executor
}

// Open starts an executor for each partition. Close stops them. The tail is told of each commit.
func Open(ctx context.Context, log Log, sealer Sealer, t *tail.Tail, opts Options) (*Ledger, error) {
	info, err := log.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	l := &Ledger{log: log, sealer: sealer, tail: t, clock: opts.Clock, batchMax: opts.batchMax(), watches: newWatches()}
	for p := range info.Partitions {
		l.partitions = append(l.partitions, executor.New(log, newModel(), p, executor.Options{
			Queue: opts.Queue, BatchMax: l.batchMax, SnapshotEvery: opts.SnapshotEvery, Clock: opts.Clock, OnCommit: l.committed, Logger: opts.Logger,
		}))
	}
	return l, nil
}

// Close refuses new commands and finishes the queued ones.
func (l *Ledger) Close(ctx context.Context) error {
	var errs []error
	for _, x := range l.partitions { // each, also when one does not end in time
		errs = append(errs, x.Close(ctx))
	}
	return errors.Join(errs...)
}

// Queued is the number of commands waiting in a partition.
func (l *Ledger) Queued(partition int) int { return l.partitions[partition].Queued() }

// Partition is where a merchant's records are.
func (l *Ledger) Partition(merchantID string) int {
	return eventstore.PartitionOf(merchantID, len(l.partitions))
}

// WalletResult is what became of a wallet command.
type WalletResult struct {
	Payment     wallet.Payment // after the command
	Wallet      wallet.Wallet
	First, Last eventstore.Position // of the events; zero when the command changed nothing
}

// Submit carries out a command on a wallet. Errors: *domain.Error, *executor.DuplicateError and the executor's errors.
func (l *Ledger) Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (WalletResult, error) {
	res, err := l.submit(ctx, c.Target().Merchant, c, c.Keys(), o)
	if err != nil {
		return WalletResult{}, err
	}
	out := outcome(&res)
	return WalletResult{Payment: out.Payment(), Wallet: out.Wallet(), First: out.First, Last: out.Last}, nil
}

// SubmitMerchant carries out a command on a merchant, and returns the merchant after it.
func (l *Ledger) SubmitMerchant(ctx context.Context, c merchant.Command, o eventstore.Origin) (merchant.Merchant, error) {
	res, err := l.submit(ctx, c.Target().Merchant, merchantCommand{c, l.clock()}, nil, o)
	if err != nil {
		return merchant.Merchant{}, err
	}
	return *res.Answer.(*merchant.Merchant), nil
}

// SubmitOperator carries out a command on an operator, and returns the operator after it.
func (l *Ledger) SubmitOperator(ctx context.Context, c merchant.Command, o eventstore.Origin) (merchant.Operator, error) {
	res, err := l.submit(ctx, c.Target().Merchant, operatorCommand{c, l.clock()}, nil, o)
	if err != nil {
		return merchant.Operator{}, err
	}
	return *res.Answer.(*merchant.Operator), nil
}

func (l *Ledger) submit(ctx context.Context, owner string, body any, keys []string, o eventstore.Origin) (executor.Result, error) {
	c, err := l.command(ctx, owner, body, keys, o, &pieces{})
	if err != nil {
		return executor.Result{}, err
	}
	return l.partitions[l.Partition(owner)].Submit(ctx, c)
}

// metaBytes is what most records' meta takes less than.
const metaBytes = 256

// command seals the evidence, commits to the request, and joins the keys.
func (l *Ledger) command(ctx context.Context, owner string, body any, keys []string, o eventstore.Origin, metas *pieces) (executor.Command, error) {
	id := o.Command
	if id == uuid.Nil {
		var err error
		if id, err = uuid.NewV7(); err != nil {
			return executor.Command{}, fmt.Errorf("making a command id: %w", err)
		}
	}
	meta := eventstore.Meta{Command: id.String(), Actor: o.Actor, Request: o.Request}
	if o.BodyHash != "" {
		var err error
		if meta.BodyHash, err = l.sealer.Commit(ctx, owner, id, o.BodyHash); err != nil {
			return executor.Command{}, fmt.Errorf("%w: committing to the request: %w", executor.ErrStore, err)
		}
	}
	keys, err := l.printed(ctx, owner, keys)
	if err != nil {
		return executor.Command{}, fmt.Errorf("%w: the key of a message: %w", executor.ErrStore, err)
	}
	c := executor.Command{ID: id, Keys: keys, Body: body, Meta: metas.keep(meta.AppendTo(metas.room(metaBytes)))}
	if o.IdempotencyKey != "" {
		c.Keys = append([]string{o.IdempotencyKey}, keys...)
	}
	for _, e := range o.Evidence {
		sealed, err := l.sealer.Seal(ctx, owner, id, e.Body)
		if err != nil {
			return executor.Command{}, fmt.Errorf("%w: sealing evidence: %w", executor.ErrStore, err)
		}
		c.Evidence = append(c.Evidence, eventstore.Evidence{MediaType: e.MediaType, Body: sealed})
	}
	return c, nil
}

// printed gives keys that have the digest of a gateway's message its fingerprint in the digest's place: who has the log and all of a message
// but a telephone number must not be able to try numbers out. Records that are older have the digest; the same message once more is then
// one that repeats what is known, and changes nothing either.
func (l *Ledger) printed(ctx context.Context, owner string, keys []string) ([]string, error) {
	var out []string
	for i, k := range keys {
		if !strings.HasPrefix(k, wallet.MessagePrefix) {
			continue
		}
		end := strings.LastIndexByte(k, ':')
		mark, err := l.sealer.Fingerprint(ctx, owner, k)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = slices.Clone(keys)
		}
		out[i] = k[:end+1] + mark
	}
	if out == nil {
		return keys, nil
	}
	return out, nil
}

// Payment is a payment as it is now, folded from the log. domain.NotFound when the merchant has none of that id; executor.ErrStore when the log cannot be
// read for now.
func (l *Ledger) Payment(ctx context.Context, merchantID, id string) (wallet.Payment, error) {
	records, err := l.log.ReadSubjects(ctx, l.Partition(merchantID), []string{id})
	if err != nil {
		return wallet.Payment{}, fmt.Errorf("reading payment %s: %w", id, away(err))
	}
	s := &paymentState{}
	for i := range records {
		if err := evolve(s, &records[i]); err != nil {
			return wallet.Payment{}, err
		}
	}
	var p wallet.Payment
	if s.Unpack(&p); p.Kind == "" || p.Merchant != merchantID {
		return wallet.Payment{}, domain.Errorf(domain.NotFound, "there is no transaction %s", id)
	}
	return p, nil
}

// Merchant is a merchant as it is now, folded from the log. domain.NotFound when there is none.
func (l *Ledger) Merchant(ctx context.Context, id string) (merchant.Merchant, error) {
	s := &merchantState{}
	if err := l.foldStream(ctx, id, merchant.Stream(id), s); err != nil {
		return merchant.Merchant{}, err
	}
	if s.ID == "" {
		return merchant.Merchant{}, domain.Errorf(domain.NotFound, "there is no merchant %s", id)
	}
	return s.Merchant, nil
}

// Wallet is a wallet as it is now, folded from its whole stream: for the command line and checks, not for requests.
func (l *Ledger) Wallet(ctx context.Context, merchantID string, c money.Currency) (wallet.Wallet, error) {
	s := &walletState{Wallet: *wallet.NewWallet(merchantID, c), stream: wallet.Stream(merchantID, c)}
	if err := l.foldStream(ctx, merchantID, s.stream, s); err != nil {
		return wallet.Wallet{}, err
	}
	return s.Wallet, nil
}

func (l *Ledger) foldStream(ctx context.Context, owner, stream string, s executor.State) error {
	return l.eachOf(ctx, l.Partition(owner), stream, func(r *eventstore.Record) (bool, error) {
		return false, evolve(s, r)
	})
}

// evolve brings a state behind a record.
func evolve(s executor.State, r *eventstore.Record) error {
	ev, err := decode(r)
	if err != nil {
		return fmt.Errorf("record %s: %w", r.Position(), err)
	}
	s.Evolve(ev)
	return nil
}

// Record is the record at a position: what a duplicate stands on.
func (l *Ledger) Record(ctx context.Context, p eventstore.Position) (eventstore.Record, error) {
	records, err := l.log.Read(ctx, p.Partition, p.Seq-1, 1)
	if err != nil {
		return eventstore.Record{}, fmt.Errorf("reading record %s: %w", p, away(err))
	}
	if len(records) == 0 || records[0].Seq != p.Seq {
		return eventstore.Record{}, fmt.Errorf("record %s: %w", p, eventstore.ErrNotFound)
	}
	return records[0], nil
}

// Lookup returns the position of the record that holds a dedupe key in the merchant's partition; false when it is free.
func (l *Ledger) Lookup(ctx context.Context, merchantID, key string) (eventstore.Position, bool, error) {
	p := l.Partition(merchantID)
	head, err := l.log.Head(ctx, p)
	if err != nil {
		return eventstore.Position{}, false, fmt.Errorf("looking up a dedupe key: %w", away(err))
	}
	found, err := l.log.Lookup(ctx, p, head.Seq, []string{key})
	if err != nil {
		return eventstore.Position{}, false, fmt.Errorf("looking up a dedupe key: %w", away(err))
	}
	seq, taken := found[key]
	return eventstore.Position{Partition: p, Seq: seq}, taken, nil
}
