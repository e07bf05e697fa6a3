package klyropay_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// freeLedger accepts everything and keeps nothing: what is left is the cost of the API itself.
type freeLedger struct{ *books }

func (freeLedger) Submit(_ context.Context, c wallet.Command, _ eventstore.Origin) (wallet.Payment, error) {
	p := c.(wallet.InitiatePayout)
	return wallet.Payment{
		Of: p.Of, Priced: wallet.Priced{Amount: p.Amount, Commission: p.Charge.Commission, Tax: p.Charge.Tax}, Kind: wallet.KindPayout,
		Status: wallet.Pending, CreatedAt: p.At, UpdatedAt: p.At, RequestID: p.RequestID,
	}, nil
}

func (freeLedger) Matches(context.Context, uuid.UUID, string, string) (bool, error) {
	return false, nil
}

func (freeLedger) SealString(context.Context, string, uuid.UUID, string) (string, error) {
	return "sealed", nil
}

func (freeLedger) Fingerprint(context.Context, string, string) (string, error) { return "fp", nil }

// sink is a ResponseWriter that keeps only the status.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

func BenchmarkPayout(b *testing.B) {
	books := newBooks(b)
	newMerchants(books)
	ports := freeLedger{books}
	api, err := klyropay.New(klyropay.Ports{Merchants: ports, Ledger: ports, Log: ports, Vault: ports, Answers: ports, Payments: ports, Lists: ports},
		klyropay.Options{VPA: "a@b", PayeeName: "P", Gateway: "sandbox"})
	if err != nil {
		b.Fatal(err)
	}
	router := httpapi.NewRouter()
	api.Register(router)
	front := &httpapi.Front{Next: router, Logger: discard()}
	body := strings.NewReader(payoutBody)
	r := httptest.NewRequest(http.MethodPost, payoutPath, nil)
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("X-Api-Key", keyA)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(payoutBody))
	r.Body = nopCloser{body}
	w := &sink{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(payoutBody)
		clear(w.header)
		front.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatalf("status %d", w.status)
		}
	}
}

type nopCloser struct{ *strings.Reader }

func (nopCloser) Close() error { return nil }
