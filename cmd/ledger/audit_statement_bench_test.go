package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// BenchmarkStatement writes a statement of a million lines to CSV: the whole command, on a SQLite store of 2.3 million records. It takes minutes
// to write the store, unless LEDGER_BENCH_STATEMENT names a folder to keep it in.
//
//	go test ./cmd/ledger -run '^$' -bench Statement -benchtime 1x -timeout 30m
func BenchmarkStatement(b *testing.B) {
	const lines = 1_000_000
	dir := os.Getenv("LEDGER_BENCH_STATEMENT")
	if dir == "" {
		dir = b.TempDir()
	}
	flags := &storeFlags{DB: "sqlite:" + filepath.Join(dir, "ledger.db"), MasterKeyFile: filepath.Join(dir, "master.key")}
	command := []string{
		"audit", "statement", "--db", flags.DB, "--merchant", statementMerchant, "--to", "2026-12-31", "--format", "csv",
		"-o", filepath.Join(dir, "statement.csv"),
	}
	if _, err := os.Stat(filepath.Join(dir, "ledger.db")); err != nil {
		if err := writeStatementStore(b.Context(), flags, lines); err != nil {
			b.Fatal(err)
		}
	}
	write := func(from, lines string) {
		var out, errs strings.Builder
		if code := run(b.Context(), append(command, "--from", from), &out, &errs); code != 0 || !strings.Contains(out.String(), `"lines":`+lines+`,`) {
			b.Fatalf("exit code %d: %s%s", code, out.String(), errs.String())
		}
	}
	write("2026-12-31", "0") // builds the views
	for b.Loop() {
		write("2026-01-01", fmt.Sprint(lines))
	}
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

const statementMerchant = "mer_00000statement00"

// statementWriter appends the history of one merchant to a log.
type statementWriter struct {
	log     eventstore.Store
	head    eventstore.Head
	wallet  *wallet.Wallet
	version int64
	now     time.Time
	records []eventstore.Record
}

// writeStatementStore makes a store in which a merchant has payins and payouts, all paid: one line of what it has for each.
func writeStatementStore(ctx context.Context, flags *storeFlags, lines int) error {
	if err := flags.migrate(ctx, 1); err != nil {
		return err
	}
	s, err := flags.open(ctx, true)
	if err != nil {
		return err
	}
	w := &statementWriter{log: s.log, wallet: wallet.NewWallet(statementMerchant, money.INR), now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	if err := w.write(ctx, lines); err != nil {
		return err
	}
	return s.Close()
}

func (w *statementWriter) write(ctx context.Context, lines int) (err error) {
	if w.head, err = w.log.Head(ctx, 0); err != nil {
		return err
	}
	made := &merchant.Created{Of: merchant.Of{Merchant: statementMerchant}, Name: "Statement Traders"}
	data, err := merchant.Encode(made)
	if err != nil {
		return err
	}
	w.records = append(w.records, w.record(merchant.Stream(statementMerchant), 1, statementMerchant, made.Type(), made.Schema(), data))
	for n := range lines {
		if err := w.pay(n); err != nil {
			return err
		}
		if len(w.records) > 4000 || n == lines-1 {
			next := eventstore.Chain(w.head, w.records)
			if err := w.log.Append(ctx, w.head, w.records); err != nil {
				return err
			}
			w.head, w.records = next, w.records[:0]
		}
	}
	return nil
}

func (w *statementWriter) record(stream string, version int64, subject, typ string, schema int, data []byte) eventstore.Record {
	w.now = w.now.Add(7 * time.Second)
	return eventstore.Record{
		Stream: stream, Version: version, Subject: subject, Type: typ, Schema: schema, EventID: uuid.New(), EffectiveAt: w.now, RecordedAt: w.now,
		Data: data, Meta: []byte(`{}`),
	}
}

// pay is a payin, and every third time a payout.
func (w *statementWriter) pay(n int) error {
	id := newID("txn_") // at random, as they are
	base := wallet.Base{Of: wallet.Of{Merchant: statementMerchant, Currency: money.INR, Payment: id}, At: w.now}
	charge := fee.Charge{
		Commission: money.MustParse("10.00", money.INR), Tax: money.MustParse("1.53", money.INR), Rule: fee.Rule{Plan: "default", Version: 1},
	}
	amount := money.FromMinor(int64(100_000+n%5000), money.INR)
	sealed := strings.Repeat("c2VhbGVk", 20)
	commands := []wallet.Command{
		wallet.CreatePayin{
			Base: base, Amount: amount, Charge: charge, OrderID: fmt.Sprintf("ORD-%012d", n), TxnRef: fmt.Sprintf("PAY-%016d", n), PhoneLast4: "3210",
			Sealed: sealed, IntentURL: "upi://pay?tr=" + id, Gateway: "sandbox", ExpiresAt: w.now.Add(10 * time.Minute),
		},
		wallet.ReportPayment{Base: base, Gateway: "sandbox", PaymentID: "pay_" + id, Amount: amount, UTR: fmt.Sprintf("%012d", n), Suspense: "sus_" + id},
	}
	if n%3 == 2 {
		commands = []wallet.Command{
			wallet.InitiatePayout{
				Base: base, Amount: amount, Charge: charge, RequestID: fmt.Sprintf("REQ-%012d", n), IFSC: "HDFC0001234", BankName: "HDFC Bank",
				AccountLast4: "4321", AccountFingerprint: "fp", TransferType: "5", Sealed: sealed,
			},
			wallet.SubmitPayout{Base: base, Attempt: 1, Gateway: "sandbox"},
			wallet.ReportPayout{Base: base, Gateway: "sandbox", Outcome: wallet.OutcomePaid, UTR: fmt.Sprintf("%012d", n), Message: "m"},
		}
	}
	p := &wallet.Payment{}
	for _, c := range commands {
		events, err := wallet.Decide(w.wallet, p, c)
		if err != nil {
			return err
		}
		for _, e := range events {
			data, err := wallet.Encode(e)
			if err != nil {
				return err
			}
			w.version++
			w.records = append(w.records, w.record(wallet.Stream(statementMerchant, money.INR), w.version, id, e.Type(), e.Schema(), data))
			w.wallet.Evolve(e)
			p.Evolve(e, w.now)
		}
	}
	return nil
}
