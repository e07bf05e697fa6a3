package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/pack"
	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// packer makes dispute packs.
type packer struct {
	*prover
	ledger    *ledger.Ledger
	callbacks *webhook.Store
}

// opening says for whom a pack opens sealed data, and why.
type opening struct {
	actor    string
	reason   string
	unmasked bool
}

// pack makes a pack of a payment. That data is opened is in the log before it is: who dies in between has a record too many, never one too few.
func (p *packer) pack(ctx context.Context, payment string, o opening, from eventstore.Origin) ([]byte, pack.Receipt, error) {
	owner, err := p.packable(ctx, payment)
	if err != nil {
		return nil, pack.Receipt{}, err
	}
	opened, err := p.open(ctx, owner.ID, payment, o, from)
	if err != nil {
		return nil, pack.Receipt{}, err
	}
	records, err := p.story(ctx, payment, opened)
	if err != nil {
		return nil, pack.Receipt{}, err
	}
	src := &pack.Source{Payment: payment, MerchantName: owner.Name, Masked: !o.unmasked}
	if err := p.gather(ctx, src, records); err != nil {
		return nil, pack.Receipt{}, err
	}
	key, err := p.key(ctx)
	if err != nil {
		return nil, pack.Receipt{}, err
	}
	signed, err := p.covering(ctx, records)
	if err != nil {
		return nil, pack.Receipt{}, err
	}
	c, err := p.read(signed)
	if err == nil {
		err = p.reach(ctx)
	}
	if err != nil {
		return nil, pack.Receipt{}, fmt.Errorf("the checkpoint: %w", err)
	}
	if src.Inclusion, err = p.included(ctx, signed, &c, records); err != nil {
		return nil, pack.Receipt{}, err
	}
	return pack.Build(src, key)
}

// packable refuses what is no payin and no payout, and returns whose it is.
func (p *packer) packable(ctx context.Context, payment string) (merchant.Merchant, error) {
	if kind, _, _ := strings.Cut(payment, "_"); slices.Contains([]string{"bat", "mer", "opr", "dsp", "sus"}, kind) || strings.Contains(payment, ":") {
		return merchant.Merchant{}, notPackable(payment, "")
	}
	id, err := p.ledger.Owner(ctx, payment)
	if err != nil {
		return merchant.Merchant{}, err
	}
	one, err := p.ledger.Payment(ctx, id, payment)
	if err != nil {
		return merchant.Merchant{}, err
	}
	if one.Kind != wallet.KindPayin && one.Kind != wallet.KindPayout {
		return merchant.Merchant{}, notPackable(payment, one.Kind)
	}
	return p.ledger.Merchant(ctx, id)
}

func notPackable(subject string, kind wallet.Kind) error {
	problem := "must be a payin or a payout"
	if kind != "" {
		problem += ", and this is one of kind " + string(kind)
	}
	return &domain.Error{
		Code: domain.Invalid, Message: fmt.Sprintf("%s: a dispute pack %s", subject, strings.Replace(problem, "must be", "is of", 1)),
		Details: map[string]string{"id": problem},
	}
}

// open records that sealed data of a payment is opened, and returns the record.
func (p *packer) open(ctx context.Context, merchantID, payment string, o opening, from eventstore.Origin) (eventstore.Record, error) {
	var err error
	if from.Command, err = uuid.NewV7(); err != nil {
		return eventstore.Record{}, fmt.Errorf("making a command id: %w", err)
	}
	partition := p.ledger.Partition(merchantID)
	head, err := p.stores.log.Head(ctx, partition)
	if err != nil {
		return eventstore.Record{}, err
	}
	if _, err := p.ledger.SubmitMerchant(ctx, merchant.OpenData{
		Of: merchant.Of{Merchant: merchantID, Actor: o.actor}, Transaction: payment, Purpose: merchant.PurposePack, Unmasked: o.unmasked, Reason: o.reason,
	}, from); err != nil {
		return eventstore.Record{}, fmt.Errorf("recording that data of %s is opened: %w", payment, err)
	}
	var found eventstore.Record
	err = eventstore.EachPage(ctx, head.Seq, readAtOnce, func(ctx context.Context, after int64, limit int) ([]eventstore.Record, error) {
		return p.stores.log.ReadStream(ctx, partition, merchant.Stream(merchantID), after, limit)
	}, func(records []eventstore.Record) (bool, error) {
		i := slices.IndexFunc(records, func(r eventstore.Record) bool { return r.EventID == from.Command })
		if i >= 0 {
			found = records[i]
		}
		return i >= 0, nil
	})
	if err == nil && found.Seq == 0 {
		err = eventstore.ErrNotFound
	}
	if err != nil {
		return found, fmt.Errorf("reading that data of %s is opened: %w", payment, err)
	}
	return found, nil
}

// readAtOnce bounds a page of a stream.
const readAtOnce = 500

// story are the records of a pack, in the order of the log: those of the payment, the decisions about its batch, and the opening.
func (p *packer) story(ctx context.Context, payment string, opened eventstore.Record) ([]eventstore.Record, error) {
	records, err := p.stores.log.ReadSubjects(ctx, opened.Partition, []string{payment})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", payment, err)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("reading %s: %w", payment, eventstore.ErrNotFound)
	}
	first, err := wallet.Decode(records[0].Type, records[0].Schema, records[0].Data)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", records[0].Position(), err)
	}
	if made, is := first.(*wallet.PayoutInitiated); is && made.Batch != "" {
		decisions, err := p.decisions(ctx, opened.Partition, batch.Stream(made.Merchant, made.Batch))
		if err != nil {
			return nil, err
		}
		records = append(records, decisions...)
	}
	records = append(records, opened)
	slices.SortFunc(records, func(a, b eventstore.Record) int { return cmp.Compare(a.Seq, b.Seq) })
	return records, bounded(payment, records)
}

// decisions are the records of a batch that concern all of its payments: not its items, nor what became of each.
func (p *packer) decisions(ctx context.Context, partition int, stream string) (all []eventstore.Record, err error) {
	const page = 50 // a record of items is large
	err = eventstore.EachPage(ctx, 0, page, func(ctx context.Context, after int64, limit int) ([]eventstore.Record, error) {
		return p.stores.log.ReadStream(ctx, partition, stream, after, limit)
	}, func(records []eventstore.Record) (bool, error) {
		for i := range records {
			switch records[i].Type {
			case (*batch.ItemsAdded).Type(nil), (*batch.Closed).Type(nil), (*batch.Drawn).Type(nil):
			default:
				all = append(all, records[i])
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", stream, err)
	}
	return all, nil
}

// gather reads everything of a pack that is not in its records.
func (p *packer) gather(ctx context.Context, src *pack.Source, records []eventstore.Record) error {
	total := 0
	of := map[string]bool{}
	for i := range records {
		r := &records[i]
		if strings.HasPrefix(r.Stream, "batch:") {
			continue
		}
		messages, err := p.messages(ctx, r, &total)
		if err != nil {
			return err
		}
		src.Messages = append(src.Messages, messages...)
		if r.Subject != src.Payment {
			continue
		}
		of[r.Position().String()] = true
		if err := p.personal(ctx, src, r); err != nil {
			return err
		}
		if err := p.told(ctx, src, r); err != nil {
			return err
		}
	}
	return p.ledger.Timeline(ctx, src.Payment, func(m ledger.Moment) error {
		if of[m.Position] && m.Before != nil && m.After != nil {
			src.Balances = append(src.Balances, pack.Step{Position: m.Position, Before: pack.Balances(*m.Before), After: pack.Balances(*m.After)})
		}
		return nil
	})
}

// maxMessageBytes bounds the sealed messages of a pack; they are in it twice.
const maxMessageBytes = 48 << 20

// messages opens the raw messages of a record.
func (p *packer) messages(ctx context.Context, r *eventstore.Record, total *int) ([]pack.Message, error) {
	if len(r.EvidenceDigests) == 0 {
		return nil, nil
	}
	sealed, err := p.stores.log.Evidence(ctx, r.Position())
	if err != nil {
		return nil, err
	}
	if len(sealed) != len(r.EvidenceDigests) {
		return nil, fmt.Errorf("record %s has %d messages and digests of %d: run `ledger verify`", r.Position(), len(sealed), len(r.EvidenceDigests))
	}
	key, err := p.commitmentKey(ctx, r)
	if err != nil {
		return nil, err
	}
	var out []pack.Message
	for n := range sealed {
		if sealed[n].Digest() != r.EvidenceDigests[n] {
			return nil, fmt.Errorf("message %d of record %s is not the one that was recorded: run `ledger verify`", n, r.Position())
		}
		if *total += len(sealed[n].Body); *total > maxMessageBytes {
			return nil, &domain.Error{Code: domain.Invalid, Message: fmt.Sprintf("%s: its messages have more than %d MiB, which no pack holds", r.Subject, maxMessageBytes>>20),
				Details: map[string]string{"id": fmt.Sprintf("has messages of more than %d MiB", maxMessageBytes>>20)}}
		}
		m := pack.Message{Position: r.Position(), Number: n, MediaType: sealed[n].MediaType, Sealed: sealed[n].Body, Key: key}
		m.Opened, err = p.stores.vault.Unseal(ctx, r.EventID, sealed[n].Body)
		if m.Erased = errors.Is(err, vault.ErrErased); err != nil && !m.Erased {
			return nil, fmt.Errorf("message %d of record %s: %w", n, r.Position(), err)
		}
		out = append(out, m)
	}
	return out, nil
}

// commitmentKey is the key of what a record has committed to; nil where it has not, or where the key is erased.
func (p *packer) commitmentKey(ctx context.Context, r *eventstore.Record) ([]byte, error) {
	meta, err := eventstore.ParseMeta(r.Meta)
	if err != nil || !vault.IsCommitment(meta.BodyHash) {
		return nil, err
	}
	command, err := uuid.Parse(meta.Command)
	if err != nil {
		return nil, fmt.Errorf("record %s: its command: %w", r.Position(), err)
	}
	key, err := p.stores.vault.OpenCommitment(ctx, command, meta.BodyHash)
	if errors.Is(err, vault.ErrErased) {
		return nil, nil
	}
	return key, err
}

// personal opens the sealed part of an event.
func (p *packer) personal(ctx context.Context, src *pack.Source, r *eventstore.Record) error {
	fact, err := wallet.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		return fmt.Errorf("record %s: %w", r.Position(), err)
	}
	sealed := pack.Sealed(fact)
	if sealed == "" {
		return nil
	}
	plain, err := p.stores.vault.UnsealString(ctx, r.EventID, sealed)
	erased := errors.Is(err, vault.ErrErased)
	if err != nil && !erased {
		return fmt.Errorf("the sealed part of record %s: %w", r.Position(), err)
	}
	src.Personal = append(src.Personal, pack.Personal{Position: r.Position(), Opened: []byte(plain), Erased: erased})
	return nil
}

// told reads what was told to the merchant of an event: its callback, and the answer to the request that caused it.
func (p *packer) told(ctx context.Context, src *pack.Source, r *eventstore.Record) error {
	d, attempts, err := p.callbacks.OfEvent(ctx, r.EventID)
	switch {
	case err == nil:
		src.Callbacks = append(src.Callbacks, packedCallback(&d, attempts))
	case domain.CodeOf(err) != domain.NotFound:
		return err
	}
	for _, key := range r.Keys {
		rest, idempotent := strings.CutPrefix(key, "idem:")
		owner, rest, _ := strings.Cut(rest, ":")
		scope, name, found := strings.Cut(rest, ":")
		if !idempotent || !found {
			continue
		}
		a, kept, err := p.stores.work.Answer(ctx, owner, scope, name)
		if err != nil {
			return err
		}
		if kept {
			src.Answers = append(src.Answers, pack.Answer{Position: r.Position().String(), Request: scope, HTTPStatus: a.Status, At: a.At, Body: string(a.Body)})
		}
	}
	return nil
}

func packedCallback(d *webhook.Delivery, attempts []webhook.Attempt) pack.Callback {
	c := pack.Callback{
		ID: d.ID, Position: d.Position.String(), Event: d.Type, Tells: d.Status, Status: string(d.State), CreatedAt: d.CreatedAt, DeliveredAt: d.DeliveredAt,
		Body: string(d.Body), Attempts: []pack.Attempt{},
	}
	for _, a := range attempts {
		c.Attempts = append(c.Attempts, pack.NewAttempt(pack.Attempt{
			Number: a.Number, StartedAt: a.StartedAt, FinishedAt: a.FinishedAt, HTTPStatus: a.Status, LatencyMs: a.Latency.Milliseconds(), Error: a.Error,
		}, a.Answer))
	}
	return c
}

// disputePacker makes packs for the operator API.
type disputePacker struct{ *server }

// Pack implements ops.Packer.
func (d disputePacker) Pack(ctx context.Context, payment string, o ops.Opening, from eventstore.Origin) ([]byte, error) {
	p := &packer{prover: &prover{stores: d.stores, views: d.views}, ledger: d.ledger, callbacks: d.webhooks}
	zip, _, err := p.pack(ctx, payment, opening{actor: o.Actor, reason: o.Reason, unmasked: o.Unmasked}, from)
	return zip, err
}
