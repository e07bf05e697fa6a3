package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Moment is one event of a timeline, with the wallet before and after it.
type Moment struct {
	Position    string          `json:"position"`
	Type        string          `json:"type"`
	Stream      string          `json:"stream"`
	Subject     string          `json:"subject"`
	EventID     string          `json:"event_id"`
	EffectiveAt time.Time       `json:"effective_at"`
	RecordedAt  time.Time       `json:"recorded_at"`
	Actor       string          `json:"actor"`
	Request     string          `json:"request_id,omitempty"`
	Data        json.RawMessage `json:"data"`
	Evidence    []string        `json:"evidence,omitempty"` // digests of the raw messages
	Hash        string          `json:"hash"`
	Before      *Balances       `json:"before,omitempty"` // of wallets' events
	After       *Balances       `json:"after,omitempty"`
}

// Balances are a wallet's figures at a moment.
type Balances struct {
	Available string `json:"balance"`
	Locked    string `json:"locked_balance"`
	Owed      string `json:"owed"`
}

func balancesOf(w *wallet.Wallet) *Balances {
	return &Balances{Available: w.Available.Fixed(), Locked: w.Locked.Fixed(), Owed: w.Owed.Fixed()}
}

// Timeline calls each with the events of a subject in order: a payment, hold or adjustment by its id, a merchant or operator by
// its id, or a wallet by its stream name ("wallet:mer_x:INR"). domain.NotFound when there is none.
func (l *Ledger) Timeline(ctx context.Context, subject string, each func(Moment) error) error {
	if strings.HasPrefix(subject, reconcile.BreakPrefix) {
		return l.breakTimeline(ctx, subject, each)
	}
	partition, stream, err := l.find(ctx, subject)
	if err != nil {
		return err
	}
	if strings.HasPrefix(stream, "batch:") {
		return l.batchTimeline(ctx, partition, stream, subject, each)
	}
	if !strings.HasPrefix(stream, "wallet:") {
		return l.eachOf(ctx, partition, stream, func(r *eventstore.Record) (bool, error) {
			if stream == books.Stream && subject != stream && r.Subject != subject { // the general ledger has one stream for all
				return false, nil
			}
			m, err := momentOf(r)
			if err == nil {
				err = each(m)
			}
			return false, err
		})
	}
	until := int64(-1)
	if stream != subject {
		records, err := l.log.ReadSubjects(ctx, partition, []string{subject})
		if err != nil {
			return fmt.Errorf("reading %s: %w", subject, err)
		}
		until = records[len(records)-1].Seq
	}
	return l.walletTimeline(ctx, partition, stream, subject, until, each)
}

// batchTimeline is Timeline of a batch: its own stream, and what the wallet has held for it, in the order of the log.
func (l *Ledger) batchTimeline(ctx context.Context, partition int, stream, subject string, each func(Moment) error) error {
	records, err := l.log.ReadSubjects(ctx, partition, []string{subject})
	if err != nil {
		return fmt.Errorf("reading %s: %w", subject, err)
	}
	held := map[int64]Moment{}
	last, of := int64(0), ""
	for i := range records {
		if r := &records[i]; r.Stream != stream {
			last, of = r.Seq, r.Stream
		}
	}
	if last > 0 {
		if err := l.walletTimeline(ctx, partition, of, subject, last, func(m Moment) error {
			p, err := eventstore.ParsePosition(m.Position)
			held[p.Seq] = m
			return err
		}); err != nil {
			return err
		}
	}
	for i := range records {
		m, there := held[records[i].Seq]
		if !there {
			if m, err = momentOf(&records[i]); err != nil {
				return err
			}
		}
		if err := each(m); err != nil {
			return err
		}
	}
	return nil
}

// walletTimeline is Timeline of what is about a subject in a wallet's stream, or of the stream. A wallet's balance before an event is the fold
// of all that came before: the stream is read as far as the record at until, or to its end (-1).
func (l *Ledger) walletTimeline(ctx context.Context, partition int, stream, subject string, until int64, each func(Moment) error) error {
	s, err := newModel().New(streamNeed(stream))
	if err != nil {
		return err
	}
	state := s.(*walletState)
	return l.eachOf(ctx, partition, stream, func(r *eventstore.Record) (bool, error) {
		before := balancesOf(&state.Wallet)
		if err := evolve(state, r); err != nil {
			return true, err
		}
		if r.Subject == subject || r.Stream == subject {
			m, err := momentOf(r)
			if err != nil {
				return true, err
			}
			m.Before, m.After = before, balancesOf(&state.Wallet)
			if err := each(m); err != nil {
				return true, err
			}
		}
		return r.Seq == until, nil
	})
}

func momentOf(r *eventstore.Record) (Moment, error) {
	meta, err := eventstore.ParseMeta(r.Meta)
	if err != nil {
		return Moment{}, fmt.Errorf("record %s: %w", r.Position(), err)
	}
	m := Moment{
		Position: r.Position().String(), Type: r.Type, Stream: r.Stream, Subject: r.Subject, EventID: r.EventID.String(),
		EffectiveAt: r.EffectiveAt, RecordedAt: r.RecordedAt, Actor: meta.Actor, Request: meta.Request, Data: r.Data, Hash: r.Hash.String(),
	}
	for _, d := range r.EvidenceDigests {
		m.Evidence = append(m.Evidence, d.String())
	}
	return m, nil
}

// find returns the partition and the stream of a subject.
func (l *Ledger) find(ctx context.Context, subject string) (partition int, stream string, err error) {
	stream = subject
	switch {
	case strings.HasPrefix(subject, "mer_"):
		stream = "merchant:" + subject
	case strings.HasPrefix(subject, "opr_"):
		stream = operatorStream(subject)
	}
	for p := range l.partitions {
		records, err := l.log.ReadStream(ctx, p, stream, 0, 1)
		if err != nil {
			return 0, "", fmt.Errorf("looking for %s: %w", subject, err)
		}
		if len(records) > 0 {
			return p, stream, nil
		}
		if records, err = l.log.ReadSubjects(ctx, p, []string{subject}); err != nil {
			return 0, "", fmt.Errorf("looking for %s: %w", subject, err)
		}
		if len(records) > 0 {
			return p, records[0].Stream, nil
		}
	}
	return 0, "", domain.Errorf(domain.NotFound, "nothing in the log is about %s", subject)
}

// Owner returns the merchant that a payment, hold or adjustment belongs to, by its id. domain.NotFound when there is none.
func (l *Ledger) Owner(ctx context.Context, id string) (string, error) {
	_, stream, err := l.find(ctx, id)
	if err != nil {
		return "", err
	}
	parts := strings.Split(stream, ":")
	if parts[0] != "wallet" || len(parts) != 3 {
		return "", domain.Errorf(domain.NotFound, "%s is no payment", id)
	}
	return parts[1], nil
}

// eachOf calls f with every record of a stream, until it says that it has enough.
func (l *Ledger) eachOf(ctx context.Context, partition int, stream string, f func(*eventstore.Record) (bool, error)) error {
	return l.eachBehind(ctx, partition, stream, 0, f)
}

// eachBehind is eachOf for the records behind a position.
func (l *Ledger) eachBehind(ctx context.Context, partition int, stream string, from int64, f func(*eventstore.Record) (bool, error)) error {
	const page = 5000
	read := func(ctx context.Context, after int64, limit int) ([]eventstore.Record, error) {
		records, err := l.log.ReadStream(ctx, partition, stream, after, limit)
		if err != nil {
			err = fmt.Errorf("reading stream %s: %w", stream, away(err))
		}
		return records, err
	}
	return eventstore.EachPage(ctx, from, page, read, func(records []eventstore.Record) (enough bool, err error) {
		for i := 0; i < len(records) && !enough && err == nil; i++ {
			enough, err = f(&records[i])
		}
		return enough, err
	})
}
