package klyropay

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Whatever merchants do, so many batches are taken at the same time and no more; the next one comes when one ends.
func TestUploads(t *testing.T) {
	u := newUploads()
	var leave []func()
	for i := range maxUploads {
		end, ok := u.enter(t.Context(), httptest.NewRecorder(), fmt.Sprint("mer_", i), time.Minute)
		if !ok {
			t.Fatalf("%d was not admitted", i)
		}
		leave = append(leave, end)
	}
	w := httptest.NewRecorder()
	if _, ok := u.enter(t.Context(), w, "mer_x", 0); ok || w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %v, %d", ok, w.Code)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := u.enter(gone, httptest.NewRecorder(), "mer_x", time.Minute); ok {
		t.Error("a client that has gone was admitted")
	}
	admitted := make(chan func())
	go func() {
		end, _ := u.enter(t.Context(), httptest.NewRecorder(), "mer_x", time.Minute)
		admitted <- end
	}()
	leave[0]()
	(<-admitted)()
	for _, end := range leave[1:] {
		end()
	}
	if u.all != 0 || len(u.of) != 0 {
		t.Errorf("left: %d, %v", u.all, u.of)
	}
}
