package gateway_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/migrations"
)

// hear hands the records of a type to the checkouts, as the bus does: twice.
func (s *shop) hear(engine *gateway.Checkouts, types ...string) {
	s.t.Helper()
	for range 2 {
		for _, r := range s.books.records {
			if slices.Contains(types, r.Type) && slices.Contains(engine.Types(), r.Type) {
				if err := engine.Handle(s.t.Context(), r); err != nil {
					s.t.Fatal(err)
				}
			}
		}
	}
}

// late works on the jobs of payins that have ended, so long after now, and returns how many questions that took and how many jobs are left.
func (s *shop) late(engine *gateway.Checkouts, later time.Duration) (asked int, left int64) {
	s.t.Helper()
	s.pass(later)
	before := s.fake.collected()
	if _, err := gateway.StepJobs(s.t.Context(), s.jobs, gateway.LateJobs, s.now(), engine.LateHandler(), func() bool { return false }); err != nil {
		s.t.Fatal(err)
	}
	left, err := s.jobs.Count(s.t.Context(), gateway.LateJobs)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.fake.collected() - before, left
}

func (s *shop) expire(p wallet.Payment) {
	s.t.Helper()
	if ahead := p.ExpiresAt.Sub(s.now()); ahead > 0 {
		s.pass(ahead)
	}
	_, err := s.books.Submit(s.t.Context(), wallet.ExpirePayin{Base: wallet.Base{Of: p.Of, At: eventstore.Micros(s.now())}}, eventstore.Origin{})
	if err != nil {
		s.t.Fatal(err)
	}
}

// What is paid on the company's page after the payin has expired, and whose webhook is lost, is found by asking again, at growing gaps and not for ever.
func TestPaidAfterExpiryAndNobodyTells(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]int{"at the first question": 0, "at the second": 1, "at the last": 3, "never": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, migrations.SQLite)
			engine := s.checkouts()
			p := s.ordered(engine)
			s.expire(p)
			s.hear(engine, "payin.expired")
			for n, gap := range []time.Duration{10 * time.Minute, 50 * time.Minute, 5 * time.Hour, 18 * time.Hour} {
				if asked, left := s.late(engine, gap-time.Minute); asked != 0 || left != 1 {
					t.Fatalf("too early for question %d: asked %d times, %d jobs", n, asked, left)
				}
				if n == at {
					s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Currency: "INR", Paid: true})
				}
				asked, left := s.late(engine, 2*time.Minute)
				s.pass(-time.Minute)
				if more := n < 3 || n == at; asked != 1 || (left == 1) != more {
					t.Fatalf("question %d: asked %d times, %d jobs", n, asked, left)
				}
				if n == at {
					break
				}
			}
			after := s.payment(p.Payment)
			if paid := at < 4; paid != (after.Status == wallet.Success) || after.Late != paid {
				t.Fatalf("%+v", after)
			}
			if at == 4 {
				return
			}
			// From now on it is a payin that is paid: asked about once more, for a second payment.
			s.hear(engine, "payin.succeeded")
			s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_2", Amount: "1000", Currency: "INR", Paid: true})
			if asked, left := s.late(engine, 2*time.Hour); asked != 1 || left != 0 || len(s.payment(p.Payment).Suspense) != 1 {
				t.Errorf("asked %d times, %d jobs, %+v", asked, left, s.payment(p.Payment).Suspense)
			}
		})
	}
}

// A second payment on the same page, of which nobody tells, is found, and waits in suspense.
func TestSecondPaymentThatNobodyTells(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.ordered(engine)
	s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Currency: "INR", Paid: true})
	if status := s.tell(engine, success(p, "pay_1")); status != http.StatusOK {
		t.Fatal(status)
	}
	s.hear(engine, "payin.succeeded")
	s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_2", Amount: "1000", Currency: "INR", Paid: true})
	if asked, left := s.late(engine, time.Hour); asked != 0 || left != 1 {
		t.Fatalf("before the end of its time and an hour: asked %d times, %d jobs", asked, left)
	}
	if asked, left := s.late(engine, 31*time.Minute); asked != 1 || left != 0 {
		t.Fatalf("asked %d times, %d jobs", asked, left)
	}
	after := s.payment(p.Payment)
	if after.PaymentID != "pay_1" || len(after.Suspense) != 1 || s.books.events(p.Payment) != "created routed ordered succeeded suspended" {
		t.Errorf("%s: %+v", s.books.events(p.Payment), after.Suspense)
	}
}

// Of whom nothing is to be asked: a company that takes one payment of an order, a payin without an order, one that ended long ago, a merchant without apps.
func TestEndsThatNobodyAsksAbout(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	s.fake.spec.OnePayment = true
	engine := s.checkouts()
	paid := s.ordered(engine)
	s.fake.pays(paid.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Currency: "INR", Paid: true})
	if status := s.tell(engine, success(paid, "pay_1")); status != http.StatusOK {
		t.Fatal(status)
	}
	s.hear(engine, "payin.succeeded")
	if _, left := s.late(engine, 0); left != 0 {
		t.Errorf("one payment: %d jobs", left)
	}
	s.expire(s.payin())
	s.hear(engine, "payin.expired")
	if asked, left := s.late(engine, time.Hour); asked != 0 || left != 0 {
		t.Errorf("no order: asked %d times, %d jobs", asked, left)
	}
	s.pass(72 * time.Hour)
	s.hear(engine, "payin.expired")
	other := s.books.records[len(s.books.records)-1]
	other.Stream, other.EffectiveAt = "wallet:mer_1:INR", s.now()
	if err := engine.Handle(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, left := s.late(engine, 0); left != 0 {
		t.Errorf("long ago, or no app: %d jobs", left)
	}
}

// Silence is asked about again a few times; then the next question is waited for, and in the end none.
func TestCompanyThatIsSilentAboutAnEnd(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.ordered(engine)
	s.expire(p)
	s.hear(engine, "payin.expired")
	s.fake.silence(true)
	s.pass(10 * time.Minute)
	for n := range 5 {
		if asked, left := s.late(engine, time.Second); asked != 1 || left != 1 {
			t.Fatalf("try %d: asked %d times, %d jobs", n, asked, left)
		}
	}
	if asked, left := s.late(engine, 20*time.Minute); asked != 0 || left != 1 {
		t.Fatalf("between two questions: asked %d times, %d jobs", asked, left)
	}
	s.pass(48 * time.Hour) // all questions that were missed are one
	for n := range 5 {
		if asked, left := s.late(engine, time.Second); asked != 1 || (left == 0) != (n == 4) {
			t.Fatalf("the last, try %d: asked %d times, %d jobs", n, asked, left)
		}
	}
	if s.payment(p.Payment).Status != wallet.Expired {
		t.Error(s.payment(p.Payment).Status)
	}
}

// While a company hangs, the payins that it is to be asked about wait for their turns, longer each time: they are many. When it answers again, it is asked.
func TestLateQuestionsWaitForTheirTurns(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.ordered(engine)
	s.expire(p)
	s.hear(engine, "payin.expired")
	s.pass(10 * time.Minute)
	now, o := s.now(), s.options()
	o.Clock, o.Jitter = func() time.Time { return now }, func(time.Duration) time.Duration { return 0 }
	engine, err := gateway.NewCheckouts(s.books, s.vault, s.jobs, []gateway.Checkout{s.fake, s.spare}, o)
	if err != nil {
		t.Fatal(err)
	}
	var taken []func()
	for done, free := engine.LateTurn(p.Gateway); free; done, free = engine.LateTurn(p.Gateway) {
		taken = append(taken, done)
	}
	j, found, err := s.jobs.Find(t.Context(), gateway.LateJobs, p.Payment)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	for _, seconds := range []int{5, 10, 20, 40, 80, 160, 320, 640, 900, 900} {
		wait := time.Duration(seconds) * time.Second
		out := engine.LateHandler()(t.Context(), j)
		memory, is := gateway.PutOff(out, now.Add(wait))
		if j.Payload = memory; !is {
			t.Errorf("not put off for %s: %+v", wait, out)
		}
	}
	if asked := s.fake.collected(); asked != 0 {
		t.Errorf("asked %d times", asked)
	}
	for _, done := range taken {
		done()
	}
	if asked, left := s.late(engine, 0); asked != 1 || left != 1 {
		t.Errorf("asked %d times, %d jobs", asked, left)
	}
}
