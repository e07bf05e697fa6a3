package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// seedMain is the scripts' command `seed`: it does what otherwise needs a server and a bank.
//
//	seed payin MERCHANT ASKED PAID    a payin of which another amount was paid; it goes to suspense
//	seed payout MERCHANT AMOUNT       a payout that was sent to a bank, which has not answered
//	seed late MERCHANT TIME AMOUNT    an adjustment with a value date of then
//	seed batch MERCHANT REASON        a batch of one payout that was announced, and cancelled for that reason
//	seed callbacks                    the callbacks that the log calls for, undelivered
//	seed newer AREA                   makes the store look as if a newer program had migrated it
func seedMain() {
	if err := seed(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

func seed(ctx context.Context, args []string) error {
	flags := &storeFlags{DB: os.Getenv("LEDGER_DB"), MasterKeyFile: os.Getenv("LEDGER_MASTER_KEY_FILE")}
	t := &terminal{os.Stdout, os.Stderr}
	if len(args) == 0 {
		return errors.New("what?")
	}
	return deciding(ctx, flags, t, func(s *stores, l *ledger.Ledger) error {
		switch args[0] {
		case "payin":
			return seedPayin(ctx, l, args[1], args[2], args[3])
		case "payout":
			return seedPayout(ctx, l, args[1], args[2])
		case "late":
			return seedLate(ctx, l, args[1], args[2], args[3])
		case "batch":
			return seedBatch(ctx, l, args[1], args[2])
		case "callbacks":
			return seedCallbacks(ctx, s, l)
		case "newer":
			_, err := s.secrets.ExecContext(ctx, `INSERT INTO goose_secrets (version_id, is_applied) VALUES (999, true)`)
			return err
		}
		return fmt.Errorf("%s?", args[0])
	})
}

func seedBase(merchantID, prefix string) wallet.Base {
	return wallet.Base{Of: wallet.Of{Merchant: merchantID, Currency: money.INR, Payment: newID(prefix)}, At: present()}
}

func seedPayin(ctx context.Context, l *ledger.Ledger, merchantID, asked, paid string) error {
	m, err := l.Merchant(ctx, merchantID)
	if err != nil {
		return err
	}
	amount := money.MustParse(asked, money.INR)
	charge, err := m.Plan.PayinCharge(amount)
	if err != nil {
		return err
	}
	base, from := seedBase(merchantID, "txn_"), eventstore.Origin{Actor: "system:seed"}
	_, err = l.Submit(ctx, wallet.CreatePayin{
		Base: base, Amount: amount, Charge: charge, OrderID: base.Payment, TxnRef: "PAYIN-REF-" + base.Payment, Gateway: "sandbox",
		ExpiresAt: base.At.Add(time.Hour),
	}, from)
	if err != nil {
		return err
	}
	suspense := newID("sus_")
	_, err = l.Submit(ctx, wallet.ReportPayment{
		Base: base, Gateway: "sandbox", PaymentID: "pay-" + base.Payment, Amount: money.MustParse(paid, money.INR), UTR: "600000000001", Suspense: suspense,
	}, from)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"transaction_id": base.Payment, "suspense": suspense})
}

func seedPayout(ctx context.Context, l *ledger.Ledger, merchantID, text string) error {
	m, err := l.Merchant(ctx, merchantID)
	if err != nil {
		return err
	}
	amount := money.MustParse(text, money.INR)
	var charge fee.Charge
	if charge, err = m.Plan.PayoutCharge(amount); err != nil {
		return err
	}
	base, from := seedBase(merchantID, "txn_"), eventstore.Origin{Actor: "system:seed"}
	_, err = l.Submit(ctx, wallet.InitiatePayout{
		Base: base, Amount: amount, Charge: charge, RequestID: base.Payment, IFSC: "HDFC0001234", BankName: "HDFC Bank",
		AccountLast4: "9908", TransferType: "5",
	}, from)
	if err != nil {
		return err
	}
	if _, err = l.Submit(ctx, wallet.SubmitPayout{Base: base, Attempt: 1, Gateway: "sandbox"}, from); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"transaction_id": base.Payment})
}

func seedLate(ctx context.Context, l *ledger.Ledger, merchantID, value, amount string) error {
	base := seedBase(merchantID, "txn_")
	var err error
	if base.At, err = time.Parse(time.RFC3339, value); err != nil {
		return err
	}
	_, err = l.Submit(ctx, wallet.AdjustWallet{Base: base, Amount: money.MustParse(amount, money.INR), Reason: "late", Actor: "seed"},
		eventstore.Origin{Actor: "system:seed"})
	return err
}

func seedBatch(ctx context.Context, l *ledger.Ledger, merchantID, reason string) error {
	m, err := l.Merchant(ctx, merchantID)
	if err != nil {
		return err
	}
	base := batch.Base{Of: batch.Of{Merchant: merchantID, Currency: money.INR, Batch: newID("bat_")}, At: present(), Actor: "key:seed"}
	from := eventstore.Origin{Actor: "system:seed"}
	for _, c := range []batch.Command{
		batch.Submit{
			Base: base, Ref: "SEED", Digest: "seed", Terms: batch.Terms{Approval: batch.NoApproval, Rule: m.Approval.Version}, Count: 1,
			Amount: money.MustParse("1000.50", money.INR), Commission: money.MustParse("10", money.INR),
		},
		batch.Cancel{Base: base, Reason: reason},
	} {
		if _, err := l.SubmitBatch(ctx, c, from); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"batch_id": base.Batch})
}

func seedCallbacks(ctx context.Context, s *stores, l *ledger.Ledger) error {
	outbox := webhook.NewOutbox(s.log, l, webhook.NewStore(s.workDB, s.workQuick), time.Now)
	for p := range s.info.Partitions {
		records, err := s.log.Read(ctx, p, 0, projections.MaxLimit)
		if err != nil {
			return err
		}
		for i := range records {
			if err := outbox.Handle(ctx, records[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
