package webhook_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain"
)

// TestPrune: deliveries that ended, and are old enough, go with their attempts; one that is pending stays however old it is, and so do those of later.
func TestPrune(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		const old = 1200 // more than one transaction takes
		db := open()
		s := newScene(t, db)
		server := receiverThat(t, answering(http.StatusOK, "ok"))
		s.join("mer_a", server.URL)
		s.join("mer_mute", receiverThat(t, answering(http.StatusInternalServerError, "no")).URL)
		stop := s.run(s.store, webhook.Options{Attempts: 2, PerMerchant: 16})
		gone := make([]string, old)
		for i := range gone {
			gone[i] = s.callback("mer_a", fmt.Sprintf("txn_%d", i))
		}
		for _, id := range gone {
			s.await(id, webhook.Delivered)
		}
		pending := s.callback("mer_mute", "txn_pending")
		s.awaitAttempt(pending, 1)
		stop()
		s.clock.advance(time.Hour)
		recent := s.callback("mer_a", "txn_recent")
		before := s.clock.Now()

		if n, err := s.store.Prune(t.Context(), before); err != nil || n != old {
			t.Fatalf("%d pruned (%v), want %d", n, err, old)
		}
		if n, err := s.store.Prune(t.Context(), before); err != nil || n != 0 {
			t.Errorf("%d pruned again (%v)", n, err)
		}
		for _, id := range []string{gone[0], gone[old-1]} {
			if _, _, err := s.store.Get(t.Context(), id); domain.CodeOf(err) != domain.NotFound {
				t.Errorf("%s: %v", id, err)
			}
		}
		for _, id := range []string{pending, recent} {
			s.get(id)
		}
		var attempts int
		if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM delivery_attempts`).Scan(&attempts); err != nil || attempts != 1 {
			t.Errorf("%d attempts are left (%v), want that of the pending one", attempts, err)
		}
	})
}
