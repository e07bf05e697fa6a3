package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/migrations"
)

// hanging is a company that answers no question for payments, and about no message that is slow, before its caller gives up.
type hanging struct {
	*company
	asked chan struct{} // one for each question
}

func (h *hanging) Collect(ctx context.Context, _ gateway.Account, _ gateway.Order, _ gateway.Ordered) (gateway.Payments, error) {
	select {
	case h.asked <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return gateway.Payments{}, ctx.Err()
}

func (h *hanging) ParseWebhook(ctx context.Context, a gateway.Account, header http.Header, body []byte, now time.Time) ([]gateway.Message, error) {
	if string(body) != "slow" {
		return h.company.ParseWebhook(ctx, a, header, body, now)
	}
	h.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// hangs is a shop whose first company hangs; its second one does not.
func hangs(t *testing.T) (*shop, *gateway.Checkouts, *hanging) {
	t.Helper()
	s := newShop(t, migrations.SQLite)
	first := &hanging{company: s.fake, asked: make(chan struct{}, 1000)}
	o := s.options()
	o.CallTimeout = time.Hour // nobody gives up before the test has seen what it wants
	engine, err := gateway.NewCheckouts(s.books, s.vault, s.jobs, []gateway.Checkout{first, s.spare}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, engine, first
}

// atSpare is a payin that has its order at the second company.
func (s *shop) atSpare(engine *gateway.Checkouts) wallet.Payment {
	s.t.Helper()
	s.fake.plan("declined")
	p := s.ordered(engine)
	if p.Gateway != "spare" {
		s.t.Fatalf("ordered at %s", p.Gateway)
	}
	return p
}

// TestAHangingCompanyHoldsUpNoOthersPayins: many payins have ended at a company that hangs, all before one at another company: that one is asked about and
// booked while the others hang.
func TestAHangingCompanyHoldsUpNoOthersPayins(t *testing.T) {
	t.Parallel()
	s, engine, first := hangs(t)
	expiry := gateway.NewExpiry(s.books, s.jobs, nil, gateway.ExpiryPolicy{InquiryTimeout: time.Hour}, s.options().Options)
	expiry.AskOrders(engine, "fake", "spare")
	var waiting []string
	for range 30 {
		waiting = append(waiting, s.ordered(engine).Payment)
	}
	paid, unrouted := s.atSpare(engine), s.payin()
	s.spare.pays(paid.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Paid: true, Method: "upi"})
	for _, r := range slices.Clone(s.books.records) {
		if slices.Contains(expiry.Types(), r.Type) {
			if err := expiry.Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.pass(31 * time.Minute)
	ctx, stop := contextOf(t)
	ran := make(chan error, 1)
	go func() { ran <- expiry.Run(ctx) }()
	for range 8 {
		<-first.asked
	}
	s.until("the payin at the other company is booked", func() bool { return s.payment(paid.Payment).Status == wallet.Success })
	s.until("what has no order has expired", func() bool { return s.payment(unrouted.Payment).Status == wallet.Expired })
	stop() // the questions under way are cut off after a while, and nothing has become of them
	if err := <-ran; err != nil {
		t.Error(err)
	}
	for _, id := range waiting {
		if status := s.payment(id).Status; status != wallet.Pending {
			t.Errorf("%s is %s", id, status)
		}
	}
	if n, err := s.jobs.Count(t.Context(), gateway.ExpiryJobsOf("fake")); n != 30 || err != nil {
		t.Errorf("%d jobs are left of 30 (%v)", n, err)
	}
}

// TestAHangingCompanyHoldsUpNoOthersMessages: more messages of a company that hangs, at more accounts, than are handled at a time do not keep out those of another one.
func TestAHangingCompanyHoldsUpNoOthersMessages(t *testing.T) {
	t.Parallel()
	s, engine, first := hangs(t)
	other := s.atSpare(engine)
	ctx, goAway := contextOf(t)
	var flood sync.WaitGroup
	const accounts, each = 6, 40
	answers := make(chan int, accounts*each)
	var paths []string
	for i := range accounts {
		app, config := fmt.Sprintf("ap_Shops%04d", i), fmt.Sprintf("gc_Shops%04d", i)
		s.app(app)
		s.verified(app, config, "fake")
		paths = append(paths, gateway.WebhookPath("fake", app, config))
	}
	for _, path := range paths {
		for range each {
			flood.Go(func() {
				r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader("slow"))
				w := httptest.NewRecorder()
				engine.ServeHTTP(w, r)
				answers <- w.Code
			})
		}
	}
	inside, refused := 0, 0
	for inside+refused < accounts*each {
		select {
		case <-first.asked:
			inside++
		case status := <-answers:
			if refused++; status != http.StatusServiceUnavailable {
				t.Errorf("beyond the limit: %d", status)
			}
		}
	}
	if inside == 0 || inside > 48 {
		t.Errorf("%d questions of one company at a time", inside)
	}
	if status := s.hook(engine, "spare", appID, configB, "hook of "+configB, s.now(), s.body(success(other, "pay_other"))); status != http.StatusOK {
		t.Errorf("a message of another company: %d", status)
	}
	if got := s.payment(other.Payment).Status; got != wallet.Success {
		t.Errorf("it is %s", got)
	}
	goAway()
	flood.Wait()
}
