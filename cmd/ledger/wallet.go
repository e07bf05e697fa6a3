package main

import (
	"context"
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// walletCommand is `ledger wallet`.
type walletCommand struct {
	Adjust walletAdjust `cmd:"" help:"Correct a wallet by hand: a positive amount credits, a negative one debits."`
	Show   walletShow   `cmd:"" help:"Show a wallet now, or as it was, computed from the log itself."`
}

type walletAdjust struct {
	storeFlags
	actorFlag
	reasonFlag
	Merchant string         `required:"" help:"Merchant." placeholder:"ID"`
	Amount   signedText     `required:"" help:"Signed amount, such as 100000.00 or -5.00." placeholder:"AMOUNT"`
	Currency money.Currency `default:"INR" help:"Currency of the wallet."`
}

// signedText is a value that may begin with a hyphen, also as an argument of its own.
type signedText string

// Decode takes the next argument as it is.
func (s *signedText) Decode(c *kong.DecodeContext) error {
	token := c.Scan.Pop()
	if token.IsEOL() {
		return fmt.Errorf("%s needs a value", c.Value.Name)
	}
	*s = signedText(token.String())
	return nil
}

// adjusted is the answer of `wallet adjust`: the wallet after it.
type adjusted struct {
	Transaction string `json:"transaction_id"`
	Balance     string `json:"balance"`
	Locked      string `json:"locked_balance"`
}

// Run adjusts.
func (c *walletAdjust) Run(ctx context.Context, t *terminal) error {
	amount, err := money.Parse(string(c.Amount), c.Currency)
	if err != nil {
		return usagef("--amount: %v", err)
	}
	if amount.IsZero() {
		return usagef("--amount: an adjustment of nothing")
	}
	actor, err := c.who()
	if err != nil {
		return err
	}
	reason, err := c.why()
	if err != nil {
		return err
	}
	from, err := origin(actor, "wallet adjust", map[string]string{
		"merchant": c.Merchant, "amount": amount.Fixed(), "currency": string(c.Currency), "reason": reason,
	})
	if err != nil {
		return err
	}
	return deciding(ctx, &c.storeFlags, t, func(_ *stores, l *ledger.Ledger) error {
		if _, err := l.Merchant(ctx, c.Merchant); err != nil {
			return err
		}
		id := newID("txn_")
		of := wallet.Of{Merchant: c.Merchant, Currency: c.Currency, Payment: id}
		res, err := l.Submit(ctx, wallet.AdjustWallet{
			Base: wallet.Base{Of: of, At: present()}, Amount: amount, Reason: reason, Actor: actor,
		}, from)
		if err != nil {
			return err
		}
		return t.answer(adjusted{id, res.Wallet.Available.Fixed(), res.Wallet.Locked.Fixed()})
	})
}

type walletShow struct {
	storeFlags
	Merchant string         `required:"" help:"Merchant." placeholder:"ID"`
	At       *instant       `help:"Show it as the ledger knew it then (RFC 3339), instead of now." placeholder:"TIME"`
	Currency money.Currency `default:"INR" help:"Currency of the wallet."`
}

// instant is a time on the command line.
type instant time.Time

// UnmarshalText reads RFC 3339.
func (i *instant) UnmarshalText(text []byte) error {
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time such as 2026-03-31T18:00:00+05:30", text)
	}
	*i = instant(at)
	return nil
}

// walletAt is the answer of `wallet show`.
type walletAt struct {
	Merchant  string         `json:"merchant_id"`
	Currency  money.Currency `json:"currency"`
	Balance   string         `json:"balance"`
	Locked    string         `json:"locked_balance"`
	Owed      string         `json:"owed"`
	AsOf      time.Time      `json:"as_of"`
	Partition int            `json:"partition"`
	Position  int64          `json:"position"` // of the wallet's newest record that was counted; 0 without one
}

// Run shows.
func (c *walletShow) Run(ctx context.Context, t *terminal) error {
	if _, known := c.Currency.Exponent(); !known {
		return usagef("--currency: %q is not known", c.Currency)
	}
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		asOf := present()
		if c.At != nil {
			asOf = eventstore.Micros(time.Time(*c.At))
		}
		partition := eventstore.PartitionOf(c.Merchant, s.info.Partitions)
		first, err := s.log.ReadStream(ctx, partition, merchant.Stream(c.Merchant), 0, 1)
		if err != nil {
			return err
		}
		if len(first) == 0 {
			return notFound("merchant", c.Merchant)
		}
		w, position, err := walletAsOf(ctx, s.log, partition, c.Merchant, c.Currency, asOf)
		if err != nil {
			return err
		}
		return t.answer(walletAt{
			Merchant: c.Merchant, Currency: c.Currency,
			Balance: w.Available.Fixed(), Locked: w.Locked.Fixed(), Owed: w.Owed.Fixed(),
			AsOf: asOf, Partition: partition, Position: position,
		})
	})
}

// walletAsOf folds the wallet's records that were recorded at or before a time. It also returns the position of the last
// of them.
func walletAsOf(ctx context.Context, log eventstore.Store, partition int, id string, c money.Currency, at time.Time) (*wallet.Wallet, int64, error) {
	const page = 5000
	w, position := wallet.NewWallet(id, c), int64(0)
	for {
		records, err := log.ReadStream(ctx, partition, wallet.Stream(id, c), position, page)
		if err != nil {
			return nil, 0, err
		}
		for i := range records {
			if records[i].RecordedAt.After(at) {
				return w, position, nil
			}
			fact, err := ledger.DecodeFact(&records[i])
			if err != nil {
				return nil, 0, fmt.Errorf("record %s: %w", records[i].Position(), err)
			}
			event, ok := fact.(wallet.Event)
			if !ok {
				return nil, 0, fmt.Errorf("record %s: %s in the stream of a wallet", records[i].Position(), records[i].Type)
			}
			w.Evolve(event)
			position = records[i].Seq
		}
		if len(records) < page {
			return w, position, nil
		}
	}
}
