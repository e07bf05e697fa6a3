package gateway_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/migrations"
)

// post posts a body to a path, and returns the status. It may be called from any goroutine.
func (s *shop) post(c http.Handler, path string, body io.Reader) int {
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, path, body)
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w.Code
}

// Strangers whose bodies never end must not keep the messages of gateways out, whatever their number.
func TestSlowStrangersKeepNobodyOut(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.ordered(engine)
	var strangers sync.WaitGroup
	var held []*io.PipeWriter
	for range 200 {
		body, slow := io.Pipe()
		held = append(held, slow)
		strangers.Go(func() {
			s.post(engine, gateway.WebhookPath("fake", "ap_zzzzzzzzz", "gc_zzzzzzzzz"), body)
			body.Close()
		})
		if _, err := slow.Write([]byte("a")); err != nil { // somebody reads it
			t.Fatal(err)
		}
	}
	if status := s.tell(engine, success(p, "pay_1")); status != http.StatusOK {
		t.Errorf("a genuine message is answered %d", status)
	}
	for _, slow := range held {
		slow.Close()
	}
	strangers.Wait()
}

// asking is a company that has to be asked whether a message is its own, and takes its time over those that say "slow".
type asking struct {
	*company
	entered chan struct{}
	release chan struct{}
}

func (a *asking) ParseWebhook(ctx context.Context, account gateway.Account, header http.Header, body []byte, now time.Time) ([]gateway.Message, error) {
	if string(body) == "slow" {
		a.entered <- struct{}{}
		<-a.release
		return nil, gateway.ErrSignature
	}
	return a.company.ParseWebhook(ctx, account, header, body, now)
}

// A flood of forged messages at one app's address, each of which takes a question to its company, must not keep out those of other apps.
func TestFloodAtOneAccountKeepsNobodyElseOut(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	s.app(otherApp)
	s.verified(otherApp, "gc_Foreign01", "spare")
	slow := &asking{company: s.spare, entered: make(chan struct{}), release: make(chan struct{})}
	engine, err := gateway.NewCheckouts(s.books, s.vault, s.jobs, []gateway.Checkout{s.fake, slow}, s.options())
	if err != nil {
		t.Fatal(err)
	}
	p := s.ordered(engine)
	var flood sync.WaitGroup
	answers := make(chan int, 200)
	for range 200 {
		flood.Go(func() {
			answers <- s.post(engine, gateway.WebhookPath("spare", otherApp, "gc_Foreign01"), strings.NewReader("slow"))
		})
	}
	inside, refused := 0, 0
	for inside+refused < 200 {
		select {
		case <-slow.entered:
			inside++
		case status := <-answers:
			if refused++; status != http.StatusServiceUnavailable {
				t.Errorf("beyond the limit: %d", status)
			}
		}
	}
	if inside == 0 || inside > 32 {
		t.Errorf("%d questions of one account at a time", inside)
	}
	if status := s.tell(engine, success(p, "pay_1")); status != http.StatusOK {
		t.Errorf("a genuine message of another app is answered %d", status)
	}
	close(slow.release)
	flood.Wait()
	if status := s.post(engine, gateway.WebhookPath("spare", otherApp, "gc_Foreign01"), strings.NewReader("[]")); status != http.StatusUnauthorized {
		t.Errorf("the turns were not given back: %d", status)
	}
}
