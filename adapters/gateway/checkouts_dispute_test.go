package gateway_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/migrations"
)

// disputing is a company that answers about disputes as it is told.
type disputing struct {
	*company
	answer gateway.Message
	err    error
	asked  []string
}

func (c *disputing) InquireDispute(_ context.Context, _ gateway.Account, id string) (gateway.Message, error) {
	c.asked = append(c.asked, id)
	return c.answer, c.err
}

// says makes the company answer.
func (c *disputing) says(d gateway.Dispute, raw string) {
	c.answer, c.err = gateway.Message{Dispute: &d, Raw: gateway.Raw{Body: []byte(raw), MediaType: "application/json"}}, nil
}

// disputed is a shop whose company's messages prove nothing, with a payin that is paid by pay_1.
func disputed(t *testing.T) (*shop, *disputing, *gateway.Checkouts, wallet.Payment) {
	t.Helper()
	s := hearsay(t, migrations.SQLite)
	c := &disputing{company: s.fake}
	engine, err := gateway.NewCheckouts(s.books, s.vault, s.jobs, []gateway.Checkout{c, s.spare}, s.options())
	if err != nil {
		t.Fatal(err)
	}
	p := s.ordered(engine)
	s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Currency: "INR", Paid: true})
	if status := s.tell(engine, success(p, "pay_1")); status != http.StatusOK {
		t.Fatal(status)
	}
	return s, c, engine, p
}

// claimed is a message about the dispute of pay_1.
func claimed(status, amount string) gateway.Dispute {
	return gateway.Dispute{Case: "disp_1", PaymentID: "pay_1", Phase: "chargeback", Status: status, Amount: amount, Reason: "fraud"}
}

func about(p wallet.Payment, d gateway.Dispute) gateway.Message {
	return gateway.Message{ID: "evt_" + d.Status, OrderID: p.Checkout.Order, Dispute: &d}
}

// early tries the early messages, so long after now.
func (s *shop) early(engine *gateway.Checkouts, later time.Duration) {
	s.t.Helper()
	s.pass(later)
	if _, err := gateway.StepJobs(s.t.Context(), s.jobs, gateway.EarlyJobs, s.now(), engine.EarlyHandler(), func() bool { return false }); err != nil {
		s.t.Fatal(err)
	}
}

// An app that signs to itself how a dispute has ended must not get what the dispute holds; the company's own word gives it back.
func TestSelfSignedEndOfADisputeFreesNothing(t *testing.T) {
	t.Parallel()
	s, c, engine, p := disputed(t)
	c.says(claimed("open", "1000"), `{"now":"open"}`)
	if status := s.tell(engine, about(p, claimed("open", "1000"))); status != http.StatusOK {
		t.Fatal(status)
	}
	evidence := s.books.evidenceOf(p.Payment, "dispute.opened")
	if len(evidence) != 2 || evidence[0] != `{"now":"open"}` || !strings.Contains(evidence[1], "disp_1") {
		t.Fatalf("evidence %q", evidence)
	}
	held := s.books.balances(t)
	for i, status := range []string{"won", "closed", "lost", "reversed"} {
		m := about(p, claimed(status, "1"))
		for range 2 {
			if got := s.tell(engine, m); got != http.StatusOK || s.payment(p.Payment).Anomalies != i {
				t.Fatalf("%s: %d, %d anomalies", status, got, s.payment(p.Payment).Anomalies)
			}
		}
		s.early(engine, time.Minute)
		if list := s.kept(engine, configA); len(list) != 1 || !maps.Equal(held, s.books.balances(t)) {
			t.Fatalf("%s, asked again: %+v, %v", status, list, s.books.balances(t))
		}
		s.early(engine, 2*time.Minute)
		after := s.payment(p.Payment)
		if list := s.kept(engine, configA); len(list) != 0 || after.Anomalies != i+1 || !maps.Equal(held, s.books.balances(t)) || !after.Disputes[0].Status.Running() {
			t.Fatalf("%s: %d anomalies, %v, %+v", status, after.Anomalies, s.books.balances(t), list)
		}
	}
	// A smaller claim of a later phase would free the rest; the company says what is claimed.
	m := about(p, claimed("open", "1"))
	m.Dispute.Phase = "arbitration"
	if got := s.tell(engine, m); got != http.StatusOK || !maps.Equal(held, s.books.balances(t)) {
		t.Fatalf("%d: %v", got, s.books.balances(t))
	}
	// Silence is no answer: the message comes again.
	c.err = errors.New("connection reset")
	if got := s.tell(engine, about(p, claimed("won", "1000"))); got != http.StatusServiceUnavailable || !maps.Equal(held, s.books.balances(t)) {
		t.Fatalf("without an answer: %d", got)
	}
	c.says(claimed("won", "1000"), `{"now":"won"}`)
	for range 2 {
		if got := s.tell(engine, about(p, claimed("won", "1000"))); got != http.StatusOK {
			t.Fatal(got)
		}
	}
	after, evidence := s.payment(p.Payment), s.books.evidenceOf(p.Payment, "dispute.won")
	if after.Disputes[0].Status != wallet.DisputeIsWon || maps.Equal(held, s.books.balances(t)) || len(evidence) != 2 || evidence[0] != `{"now":"won"}` {
		t.Errorf("%+v, evidence %q", after.Disputes[0], evidence)
	}
}

// A genuine message may be ahead of what its company answers: then it is asked again a little later.
func TestEndOfADisputeAheadOfTheCompany(t *testing.T) {
	t.Parallel()
	s, c, engine, p := disputed(t)
	c.says(claimed("under_review", "1000"), `{"now":"under_review"}`)
	for _, status := range []string{"open", "won"} {
		if got := s.tell(engine, about(p, claimed(status, "1000"))); got != http.StatusOK {
			t.Fatal(got)
		}
	}
	if d := s.payment(p.Payment).Disputes; len(d) != 1 || d[0].Status != wallet.DisputeReview {
		t.Fatalf("%+v", d)
	}
	c.says(claimed("won", "1000"), `{"now":"won"}`)
	s.early(engine, 5*time.Second)
	after := s.payment(p.Payment)
	if list := s.kept(engine, configA); len(list) != 0 || after.Disputes[0].Status != wallet.DisputeIsWon || after.Anomalies != 0 {
		t.Errorf("%+v, %d anomalies, %+v", after.Disputes[0], after.Anomalies, list)
	}
}

// An answer about another payment frees nothing, whatever case the message names.
func TestAnswerAboutAnotherDispute(t *testing.T) {
	t.Parallel()
	s, c, engine, p := disputed(t)
	c.says(claimed("open", "1000"), `{"now":"open"}`)
	if status := s.tell(engine, about(p, claimed("open", "1000"))); status != http.StatusOK {
		t.Fatal(status)
	}
	held := s.books.balances(t)
	other := claimed("won", "1000")
	other.PaymentID = "pay_2"
	c.says(other, `{"now":"won","of":"pay_2"}`)
	if got := s.tell(engine, about(p, claimed("won", "1000"))); got != http.StatusOK || !maps.Equal(held, s.books.balances(t)) || s.payment(p.Payment).Anomalies != 1 {
		t.Errorf("%d: %v", got, s.books.balances(t))
	}
	other.PaymentID, other.Case = "pay_1", "disp_2"
	c.says(other, `{"now":"won","case":"disp_2"}`)
	if got := s.tell(engine, about(p, claimed("closed", "1000"))); got != http.StatusServiceUnavailable || !maps.Equal(held, s.books.balances(t)) {
		t.Errorf("%d: %v", got, s.books.balances(t))
	}
}

// A company that will not tell, or cannot be asked: what a message claims is held, and stays held until a person says otherwise.
func TestDisputesThatNobodyConfirms(t *testing.T) {
	t.Parallel()
	for what, refusal := range map[string]error{
		"does not know it": &gateway.Declined{Code: "BAD_REQUEST_ERROR", Reason: "The id provided does not exist"}, "will not tell": gateway.ErrCredentials, "cannot be asked": nil,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, c, engine, p := disputed(t)
			if c.err = refusal; refusal == nil {
				engine = s.checkouts() // of the company as it is without disputing
			}
			if got := s.tell(engine, about(p, claimed("open", "400"))); got != http.StatusOK || s.payment(p.Payment).Disputes[0].Held.Fixed() != "400.00" {
				t.Fatalf("%d: %+v", got, s.payment(p.Payment).Disputes)
			}
			more := about(p, claimed("open", "1000"))
			more.Dispute.Phase = "pre_arbitration"
			if got := s.tell(engine, more); got != http.StatusOK || s.payment(p.Payment).Disputes[0].Held.Fixed() != "1000.00" {
				t.Fatalf("%d: %+v", got, s.payment(p.Payment).Disputes)
			}
			held := s.books.balances(t)
			less := about(p, claimed("open", "1"))
			less.Dispute.Phase = "arbitration"
			won := about(p, claimed("won", "1000"))
			won.Dispute.Phase = "pre_arbitration"
			invented := about(p, claimed("won", "1000"))
			invented.Dispute.Case = "disp_9"
			for _, m := range []gateway.Message{less, won, invented} {
				if got := s.tell(engine, m); got != http.StatusOK {
					t.Fatal(got)
				}
				s.early(engine, 3*time.Minute)
			}
			after := s.payment(p.Payment)
			if !maps.Equal(held, s.books.balances(t)) || after.Anomalies != 3 || len(after.Disputes) != 1 || len(s.kept(engine, configA)) != 0 {
				t.Errorf("%d anomalies, %v, %+v", after.Anomalies, s.books.balances(t), after.Disputes)
			}
		})
	}
}
