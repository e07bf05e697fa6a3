package klyropay_test

import (
	"strings"
	"testing"
)

// as sets whether records are made as before requests were committed to.
func (b *books) as(plain bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.plain = plain
}

// A key that was claimed before requests were committed to, and a batch from before digests were keyed, are repeated and refused as ever.
func TestRequestsOfOldRecords(t *testing.T) {
	const reused = "Idempotency-Key was used with a different request"
	s := serve(t)
	s.books.fund(merchantA, "100000.00")
	s.books.as(true)
	first := map[string]string{}
	for path, body := range map[string]string{payinPath: payinBody, payoutPath: payoutBody, batchesPath: batchBody} {
		r := s.send("POST", path, body, idem)
		if r.status >= 300 {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		first[path] = r.body
	}
	s.books.as(false)
	for path, body := range map[string]string{payinPath: payinBody, payoutPath: payoutBody, batchesPath: batchBody} {
		r := s.send("POST", path, body, idem)
		if r.status >= 300 || !isReplay(r) || r.body != first[path] {
			t.Errorf("%s: the repeat is answered %d %s", path, r.status, r.body)
		}
		s.send("POST", path, strings.Replace(body, "9876543210", "9876543219", 1), idem).want(t, 422, failure(reused))
	}
	s.send("POST", batchesPath, batchBody).want(t, 200, first[batchesPath])
	s.send("POST", batchesPath+"?dry_run=true", batchBody).want(t, 200, s.send("POST", batchesPath+"?dry_run=true", batchBody).body)
	s.send("POST", batchesPath, strings.Replace(batchBody, "9876543210", "9876543219", 1)).want(t, 409, failure("Duplicate request"))
}

// When the key is erased that a request was committed to with, nobody can tell a repeat any more: it is refused, and nothing is paid twice.
func TestRepeatOfAnErasedRequest(t *testing.T) {
	s := serve(t)
	s.books.fund(merchantA, "100000.00")
	s.send("POST", payoutPath, payoutBody, idem)
	s.books.mu.Lock()
	for _, o := range s.books.origins {
		s.books.erased[o.Command.String()] = true
	}
	records := len(s.books.records)
	s.books.mu.Unlock()
	s.send("POST", payoutPath, payoutBody, idem).want(t, 422, failure("Idempotency-Key was used with a different request"))
	if len(s.books.records) != records {
		t.Error("it was paid again")
	}
}
