package ledger_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// atOnce is a log that acknowledges and keeps nothing but its head: what is left is what the executor and the model cost.
type atOnce struct {
	*memory.Store
	mu   sync.Mutex
	head eventstore.Head
}

func (l *atOnce) Head(context.Context, int) (eventstore.Head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head, nil
}

func (l *atOnce) Append(_ context.Context, head eventstore.Head, records []eventstore.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.head.Stands(head); err != nil {
		return err
	}
	l.head = head.Behind(records)
	return nil
}

// payouts makes the commands of one caller. The n-th payout of all is on the n-th wallet, round and round.
type payouts struct {
	made    *atomic.Int64
	wallets []string
	charge  fee.Charge
	meta    []byte
}

func (p *payouts) next(batch int) []executor.Command {
	commands := make([]executor.Command, batch)
	to := p.made.Add(int64(batch))
	for i := range commands {
		n := to - int64(i)
		id := strconv.FormatInt(n, 10)
		body := initiate(p.wallets[n%int64(len(p.wallets))], "txn_"+id, "PRQ-20260331-"+id, "1")
		body.Sealed = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9g"
		commands[i] = executor.Command{ID: number(n), Keys: body.Keys(), Body: body, Meta: p.meta}
	}
	return commands
}

func number(n int64) (id uuid.UUID) {
	id[0] = 1
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// BenchmarkPayouts is the executor with the real model, and no store to wait for: payouts from so many callers, so many at once,
// on so many wallets.
func BenchmarkPayouts(b *testing.B) {
	for _, bench := range []struct{ callers, batch, wallets int }{{64, 1, 1}, {16, 1000, 1}, {16, 1000, 10_000}} {
		b.Run(fmt.Sprintf("%dx%d-on-%d", bench.callers, bench.batch, bench.wallets), func(b *testing.B) {
			p := &payouts{made: &atomic.Int64{}, charge: charge("10", "1.53"), meta: eventstore.Meta{
				Command: uuid.NewString(), Actor: "key:key_aaaaaaaaaaaaaaaa", Request: "req_aaaaaaaaaaaaaaaa",
			}.Bytes()}
			for i := range bench.wallets {
				p.wallets = append(p.wallets, fmt.Sprintf("mer_%016d", i))
			}
			payoutsPerSecond(b, p, bench.callers, bench.batch)
		})
	}
}

func payoutsPerSecond(b *testing.B, p *payouts, callers, batch int) {
	log := &atOnce{Store: memory.New(1)}
	log.head.Hash[0] = 1
	x := executor.New(log, ledger.TheModel(), 0, executor.Options{Timeout: time.Minute, Queue: 1 << 16})
	for i, w := range p.wallets {
		c := executor.Command{ID: number(-1 - int64(i)), Meta: p.meta, Body: wallet.AdjustWallet{
			Base: base(w, "txn_fund"+w), Amount: inr("1000000000"), Reason: "funds", Actor: "test",
		}}
		if _, err := x.Submit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
	answered, stop := make(chan error), make(chan struct{})
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for {
				_, errs := x.SubmitAll(context.Background(), p.next(batch))
				select {
				case answered <- errs[batch-1]:
				case <-stop:
					return
				}
			}
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := <-answered; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/payout")
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "payouts/s")
	close(stop)
	all.Wait()
	if err := x.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkVerify checks a log in memory of one wallet: payouts that stay open, so that each leaves an open item behind.
func BenchmarkVerify(b *testing.B) {
	const events = 20_000
	log := memory.New(1)
	head, err := log.Head(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	records := make([]eventstore.Record, events)
	for i := range records {
		of := wallet.Of{Merchant: merchantA, Currency: "INR", Payment: "txn_" + strconv.Itoa(i)}
		var event wallet.Event = &wallet.PayoutInitiated{Of: of, Priced: wallet.Priced{Amount: inr("10"), Commission: inr("1.53"), Tax: inr("0.23")}}
		if i == 0 {
			event = &wallet.WalletAdjusted{Of: of, Amount: inr("1000000"), Reason: "funds", Actor: "test"}
		}
		data, err := wallet.Encode(event)
		if err != nil {
			b.Fatal(err)
		}
		records[i] = eventstore.Record{
			Stream: wallet.Stream(merchantA, "INR"), Version: int64(i) + 1, Subject: of.Payment, Type: event.Type(), Schema: event.Schema(),
			EventID: number(int64(i) + 1), EffectiveAt: made, RecordedAt: made, Data: data, Meta: eventstore.Meta{Actor: "test"}.Bytes(),
		}
	}
	eventstore.Chain(head, records)
	if err := log.Append(b.Context(), head, records); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		checks, err := ledger.Verify(b.Context(), log, func(int64, int64) {})
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range checks {
			if !c.OK {
				b.Fatalf("%+v", c)
			}
		}
	}
	b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
}
