package ledger_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// taxed is another plan than the default: other payins, and payouts whose flat fee contains a tax.
func taxed() fee.Plan {
	p := fee.Default()
	p.ID, p.Version = "taxed", 3
	p.Payin.Commission = fee.Schedule{Percent: decimal.RequireFromString("1.75"), Floor: decimal.NewFromInt(12)}
	p.Payin.GST = fee.GST{Rate: decimal.NewFromInt(18)}
	p.Payout.Commission = fee.Schedule{Percent: decimal.RequireFromString("0.3"), Flat: decimal.NewFromInt(2)}
	p.Payout.GST = fee.GST{Rate: decimal.NewFromInt(18), Included: true}
	return p
}

func everyRecord(*eventstore.Record) (bool, error) { return true, nil }

func (b *book) reprice(subject string, plan fee.Plan) ledger.Repricing {
	b.t.Helper()
	r, err := b.Reprice(b.t.Context(), subject, plan, everyRecord)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// lives takes payments through lives of all sorts, as the plan prices them. The same random numbers make the same commands.
func (b *book) lives(plan fee.Plan, random *rand.Rand, n int) {
	b.t.Helper()
	b.fund(merchantA, "txn_fund", "9000000")
	for i := range n {
		id := fmt.Sprint("txn_life", i)
		amount := money.FromMinor(100_000+random.Int64N(9_000_000), money.INR)
		how := random.IntN(8)
		if how < 3 {
			c, err := plan.PayinCharge(amount)
			if err != nil {
				b.t.Fatal(err)
			}
			b.submit(wallet.CreatePayin{Base: base(merchantA, id), Amount: amount, Charge: c, OrderID: id, TxnRef: id, Gateway: "sandbox", ExpiresAt: made.Add(time.Hour)})
			if how > 0 {
				b.submit(wallet.ReportPayment{Base: base(merchantA, id), Gateway: "sandbox", PaymentID: id, Amount: amount, Suspense: "sus_" + id})
			}
			continue
		}
		c, err := plan.PayoutCharge(amount)
		if err != nil {
			b.t.Fatal(err)
		}
		out := initiate(merchantA, id, id, amount.Fixed())
		out.Charge = c
		b.submit(out)
		b.submit(submitted(merchantA, id))
		for _, outcome := range [][]wallet.Outcome{
			{}, {wallet.OutcomePaid}, {wallet.OutcomeFailed}, {wallet.OutcomePaid, wallet.OutcomeReturned}, {wallet.OutcomeFailed, wallet.OutcomePaid},
		}[how-3] {
			b.submit(reported(merchantA, id, outcome))
		}
	}
}

// What Reprice says of a wallet is what happens where the other plan is the merchant's.
func TestRepriceIsWhatTheOtherPlanWouldHaveDone(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		as, other := open(t, memory.New(1)), open(t, memory.New(1))
		as.lives(fee.Default(), rand.New(rand.NewPCG(seed, 1)), 40)
		other.lives(taxed(), rand.New(rand.NewPCG(seed, 1)), 40)
		stream := wallet.Stream(merchantA, money.INR)
		got := as.reprice(stream, taxed())
		want, err := other.Wallet(t.Context(), merchantA, money.INR)
		if err != nil {
			t.Fatal(err)
		}
		if worth := want.Available.Add(want.Locked).Sub(want.Owed).Fixed(); got.Wallet.Repriced != worth {
			t.Errorf("seed %d: the wallet would have %s, and has %s", seed, got.Wallet.Repriced, worth)
		}
		if same := other.reprice(stream, taxed()); same.Different != 0 || same.First != nil || same.Commission.Difference != "0.00" ||
			same.Wallet.Difference != "0.00" || same.Priced != got.Priced || same.Commission.Recorded != got.Commission.Repriced {
			t.Errorf("seed %d: under its own plan: %+v; by the other's log %+v", seed, same, got)
		}
		sum := money.Zero(money.INR) // of its payments
		for i := range 40 {
			one := as.reprice(fmt.Sprint("txn_life", i), taxed())
			sum = sum.Add(money.MustParse(one.Wallet.Difference, money.INR))
		}
		if sum.Fixed() != got.Wallet.Difference {
			t.Errorf("seed %d: payment by payment %s, together %s", seed, sum.Fixed(), got.Wallet.Difference)
		}
	}
}

func TestRepriceShowsTheFirstDifference(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(4))
	b.history(merchantA) // priced at 10.00 with a tax of 1.53, whatever the plan
	b.history(merchantB)

	out := b.reprice("txn_out0aaaa", taxed()) // 1000: 0.3 % and 2.00, of which 0.76 is tax; it has been paid
	want := ledger.PriceDifference{
		Position: out.First.Position, Type: "payout.initiated", Subject: "txn_out0aaaa", Amount: "1000.00",
		Recorded: ledger.Price{Plan: fee.Rule{Plan: "default", Version: 1}, Commission: "10.00", Tax: "1.53"}, Repriced: out.First.Repriced,
	}
	if *out.First != want || *out.First.Repriced != (ledger.Price{Plan: fee.Rule{Plan: "taxed", Version: 3}, Commission: "5.00", Tax: "0.76"}) {
		t.Errorf("%+v, %+v", *out.First, *out.First.Repriced)
	}
	if out.Priced != 2 || out.Different != 2 || out.Commission != (ledger.Effect{Recorded: "10.00", Repriced: "5.00", Difference: "-5.00"}) || out.Wallet.Difference != "5.00" {
		t.Errorf("%+v", out)
	}
	if back := b.reprice("txn_out2aaaa", taxed()); back.Commission.Difference != "0.00" || back.Wallet.Difference != "0.00" || back.Different != 3 {
		t.Errorf("it came back, with its commission: %+v", back)
	}
	if whole, of := b.reprice(wallet.Stream(merchantA, "INR"), taxed()), b.reprice(merchantA, taxed()); whole.Wallet != of.Wallet || *whole.First.Repriced != *of.First.Repriced {
		t.Errorf("the wallet %+v, the merchant %+v", whole, of)
	}
	if hold := b.reprice("txn_holdaaaa", taxed()); hold.Priced != 0 || hold.First != nil {
		t.Errorf("no plan prices a hold: %+v", hold)
	}

	dear := taxed()
	dear.Payout.Min = decimal.NewFromInt(5000)
	if refused := b.reprice("txn_out0aaaa", dear); refused.First.Repriced != nil || !strings.Contains(refused.First.Refused, "at least 5000") ||
		refused.Commission.Repriced != "0.00" || refused.Wallet.Difference != "1010.00" {
		t.Errorf("%+v, %+v", refused, *refused.First)
	}
}

func TestRepriceOfABatch(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(1))
	b.fund(merchantA, "txn_fund", "5000")
	s := b.announce("bat_1", 2, batch.Terms{Approval: batch.NoApproval, Mode: batch.Atomic})
	s.hold(0, 2)
	r := b.reprice("bat_1", taxed())
	if r.Priced != 2 || r.Different == 0 || r.First.Type != "batch.items" || r.First.Item != 1 || r.Commission.Difference != "0.00" {
		t.Errorf("%+v, %+v", r, r.First)
	}
}

func TestRepriceStopsAndRefuses(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(2))
	b.history(merchantA)
	stream := wallet.Stream(merchantA, "INR")
	n := 0
	r, err := b.Reprice(t.Context(), stream, taxed(), func(*eventstore.Record) (bool, error) { n++; return n <= 2, nil })
	if err != nil || r.Priced != 1 || r.First.Type != "payin.created" || r.Wallet.Recorded != "20000.00" {
		t.Errorf("up to the payin: %+v, %v", r, err)
	}
	dollars := taxed()
	dollars.Currency = "USD"
	for subject, plan := range map[string]fee.Plan{stream: dollars, "txn_out0aaaa": dollars} {
		if _, err := b.Reprice(t.Context(), subject, plan, everyRecord); domain.CodeOf(err) != domain.Invalid {
			t.Errorf("%s: %v", subject, err)
		}
	}
	if _, err := b.Reprice(t.Context(), "txn_none", taxed(), everyRecord); domain.CodeOf(err) != domain.NotFound {
		t.Error(err)
	}
}

func TestPlanVersion(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(2))
	b.history(merchantA)
	if _, err := b.SubmitMerchant(t.Context(), merchant.SetPlan{Of: merchant.Of{Merchant: merchantA, Actor: "test"}, Plan: taxed()}, eventstore.Origin{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	for version, id := range map[int]string{1: "default", 2: "taxed"} {
		for _, subject := range []string{merchantA, "txn_out0aaaa", wallet.Stream(merchantA, "INR")} {
			if p, err := b.PlanVersion(t.Context(), subject, version); err != nil || p.ID != id || p.Version != version {
				t.Errorf("version %d by %s: %+v, %v", version, subject, p, err)
			}
		}
	}
	if _, err := b.PlanVersion(t.Context(), merchantA, 3); !errors.Is(err, ledger.ErrNoPlan) {
		t.Error(err)
	}
	if _, err := b.PlanVersion(t.Context(), "txn_none", 1); domain.CodeOf(err) != domain.NotFound {
		t.Error(err)
	}
}
