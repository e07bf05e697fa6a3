package klyropay_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/batch"
)

const (
	approve = firstBatch + "/approve"
	reject  = firstBatch + "/reject"
	by      = "X-Api-Key: "
)

func keyID(key string) string { return "key:key_" + sha(key)[:16] }

// Two checkers, each another key, and never the one that submitted it.
func TestBatchApproval(t *testing.T) {
	s := serve(t)
	s.books.rule(bands(7, "1", "2"))
	s.send("POST", batchesPath, batchBody, by+keyA)
	own := failure("Batch was submitted with this key: another one must decide about it")
	s.send("POST", approve, "", by+keyA).want(t, 403, own) // a full key, too
	first := s.send("POST", approve, `{"note":"checked against the payroll"}`, by+keyCheck, "X-Request-Id: req-3")
	if first.status != 200 || first.get(t, "data", "status") != "awaiting_approval" ||
		!strings.Contains(first.body, `"approval":"required","approvals":{"needed":2,"given":1,"by":[`+quote(keyID(keyCheck))+`]}`) {
		t.Errorf("%d %s", first.status, first.body)
	}
	o := s.works.origins[1]
	if o.Request != "req-3" || o.Actor != keyID(keyCheck) || len(o.Evidence) != 2 || string(o.Evidence[0].Body) != `{"note":"checked against the payroll"}` {
		t.Errorf("origin %+v", o)
	}
	s.send("POST", approve, "{}", by+keyCheck).want(t, 200, first.body)                 // once more is once
	s.sendType("POST", approve, io.MultiReader(), by+keyCheck).want(t, 200, first.body) // chunked
	last := s.send("POST", approve, "", by+keyCheck2, "Content-Type:")
	if last.status != 200 || last.get(t, "data", "status") != "processing" || last.get(t, "data", "decided_by") != keyID(keyCheck2) ||
		!strings.Contains(last.body, `"approvals":{"needed":2,"given":2,"by":[`+quote(keyID(keyCheck))+`,`+quote(keyID(keyCheck2))+`]}`) {
		t.Errorf("%d %s", last.status, last.body)
	}
	if o := s.works.origins[len(s.works.origins)-1]; len(o.Evidence) != 1 {
		t.Errorf("evidence of a body that was not sent: %+v", o)
	}
	s.send("POST", approve, "", by+keyCheck2).want(t, 200, last.body)
	s.send("POST", approve, "", by+keyA).want(t, 409, failure("Batch does not wait for approval"))
	s.send("POST", reject, `{"reason":"late"}`, by+keyCheck).want(t, 409, failure("Batch does not wait for approval"))
	if r := s.send("GET", batchesPath, ""); !strings.Contains(r.body, `"approvals":{"needed":2,"given":2,`) {
		t.Errorf("%s", r.body)
	}
}

func TestBatchApprovalUnderAnOldRule(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, batchBody, by+keyMaker)
	s.books.rule(bands(1, "1000000", "2000000"))
	s.send("POST", approve, "", by+keyCheck).want(t, 409, failure("Batch was submitted under another approval rule: submit it again"))
	s.works.viewFault = errAway
	s.send("POST", approve, "", by+keyCheck).want(t, 503, failure("Service temporarily unavailable, please try again"))
}

func TestBatchRejection(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, batchBody, by+keyMaker)
	s.send("POST", reject, `{}`, by+keyCheck).want(t, 422, validation("reason", "The reason is required."))
	s.send("POST", reject, ``, by+keyCheck).want(t, 400, failure("Malformed JSON"))
	r := s.send("POST", reject, `{"reason":"not this month"}`, by+keyCheck)
	if r.status != 200 || r.get(t, "data", "status") != "rejected" || r.get(t, "data", "reason") != "not this month" || r.get(t, "data", "decided_by") != keyID(keyCheck) ||
		r.get(t, "data", "counts", "rejected") != "2" || r.get(t, "data", "progress") != "100" || r.get(t, "data", "stopped_by") != "<nil>" {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.send("POST", reject, `{"reason":"again"}`, by+keyCheck).want(t, 409, failure("Batch does not wait for approval"))
	s.send("POST", approve, "", by+keyCheck2).want(t, 409, failure("Batch does not wait for approval"))
	s.send("POST", firstBatch+"/cancel", `{"reason":"late"}`).want(t, 409, failure("Batch has nothing left to cancel"))
}

func TestBatchDecisionBodies(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, batchBody, by+keyMaker)
	long := quote(strings.Repeat("x", batch.MaxReason+1))
	for path, field := range map[string]string{approve: "note", reject: "reason"} {
		for value, text := range map[string]string{
			`" "`: "must not be blank", `7`: "must be a string", `"a\u0000"`: "must not contain control characters", long: fmt.Sprintf("must not be longer than %d bytes", batch.MaxReason),
		} {
			s.send("POST", path, `{"`+field+`":`+value+`}`, by+keyCheck).want(t, 422, validation(field, "The "+field+" "+text+"."))
		}
		s.send("POST", path, `{`, by+keyCheck).want(t, 400, failure("Malformed JSON"))
		s.send("POST", path, `[]`, by+keyCheck).want(t, 400, failure("Malformed JSON"))
		s.send("POST", path, `{"x":1}`, by+keyCheck, ofCSV).want(t, 415, failure("Content-Type must be application/json"))
		s.send("POST", strings.Replace(path, firstBatch, noBatch, 1), `{"reason":"x"}`, by+keyCheck).want(t, 404, failure("Batch not found"))
		s.send("POST", strings.Replace(path, firstBatch, batchesPath+"/x", 1), `{"reason":"x"}`, by+keyCheck).want(t, 404, failure("Batch not found"))
		s.send("POST", path, `{"reason":"x"}`, by+keyB).want(t, 404, failure("Batch not found"))
	}
	if len(s.works.origins) != 1 {
		t.Error("a refusal was carried out")
	}
}

// An atomic batch that was rejected for an item tells which; also when that shows while it is being submitted.
func TestStoppedBatch(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, optioned(`"mode":"atomic"`))
	h := s.works.batches[0]
	h.state.Status, h.state.Reason, h.state.Stopper, h.state.Decided = batch.Rejected, "the balance does not cover it", 2, "system:batches"
	for i := range h.items {
		h.items[i].Status, h.items[i].Reason = "rejected", h.state.Reason
	}
	items := s.send("GET", firstBatch+"/items", "")
	for i, want := range []string{"item 2 stopped the batch: the balance does not cover it", "the balance does not cover it"} {
		if got := items.get(t, "data", "items", i, "failure_reason"); got != want {
			t.Errorf("item %d: %q, want %q", i+1, got, want)
		}
	}
	if r := s.send("GET", firstBatch+"/results", ""); !strings.Contains(r.body, "item 2 stopped the batch") {
		t.Errorf("%s", r.body)
	}
	stopped := `"mode":"atomic","approval":"none","approvals":{"needed":0,"given":0,"by":[]},"on_insufficient_balance":"reject","schedule_at":null,"retry_of":null,` +
		`"stopped_by":{"index":2,"reason":"the balance does not cover it"},`
	if r := s.send("GET", firstBatch, ""); !strings.Contains(r.body, stopped) || r.get(t, "data", "status") != "rejected" {
		t.Errorf("%s", r.body)
	}
	if r := s.send("GET", batchesPath, ""); !strings.Contains(r.body, stopped) {
		t.Errorf("%s", r.body)
	}
	s = serve(t)
	s.works.atOnce = func(b *batch.Batch) {
		b.Status, b.Reason, b.Stopper, b.Decided = batch.Rejected, "the balance does not cover it", 2, "system:batches"
	}
	r := s.send("POST", batchesPath, optioned(`"mode":"atomic"`))
	if r.status != 202 || !strings.Contains(r.body, stopped) || r.get(t, "data", "counts", "rejected") != "2" || r.get(t, "data", "counts", "pending") != "0" ||
		r.get(t, "data", "sums", "rejected") != "105000.50" || r.get(t, "data", "progress") != "100" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// What waits for money is told apart, and is no progress.
func TestQueuedItems(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, optioned(`"on_insufficient_balance":"queue"`))
	h := s.works.batches[0]
	s.works.end(h, 1, "success", "432109876543", "")
	s.works.end(h, 2, "queued", "", "")
	r := s.send("GET", firstBatch, "")
	if r.get(t, "data", "on_insufficient_balance") != "queue" || r.get(t, "data", "status") != "processing" || r.get(t, "data", "counts", "queued") != "1" ||
		r.get(t, "data", "sums", "queued") != "5000.00" || r.get(t, "data", "counts", "pending") != "0" || r.get(t, "data", "progress") != "50" {
		t.Errorf("%s", r.body)
	}
	if r := s.send("GET", firstBatch+"/results", ""); !strings.Contains(r.body, "PRQ-42OCP65Y7DIO64DZ,,queued,,\n") {
		t.Errorf("%s", r.body)
	}
}

// What would have to be paid at once is looked at before anything is kept, and the item that stops it is told as others' problems are.
func TestAtomicBatchIsLookedAtFirst(t *testing.T) {
	s := serve(t)
	atomic := optioned(`"mode":"atomic"`)
	s.works.stop = stopAt(2, "its partner_request_id was used before")
	stopped := `{"success":false,"message":"Validation failed","data":null,"errors":{"items":["item 2, partner_request_id PRQ-42OCP65Y7DIO64DZ: stops the batch: its partner_request_id was used before"]},` +
		`"problems":[{"index":2,"line":null,"column":null,"field":null,"partner_request_id":"PRQ-42OCP65Y7DIO64DZ","message":"stops the batch: its partner_request_id was used before"}],"more":0}`
	s.send("POST", batchesPath, atomic, idem).want(t, 422, stopped)
	s.send("POST", batchesPath+"?dry_run=true", atomic).want(t, 422, stopped)
	s.send("POST", batchesPath+"?batch_ref=SALARY-1&mode=atomic", batchSheet, ofCSV).want(t, 422, stopped)
	if len(s.works.batches) != 0 || len(s.books.keys) != 0 || s.works.asked != 3 {
		t.Errorf("%d batches, %d keys, asked %d times", len(s.works.batches), len(s.books.keys), s.works.asked)
	}
	s.works.stop = nil // the balance covers it now: neither batch_ref nor Idempotency-Key was used up
	first := s.send("POST", batchesPath, atomic, idem)
	if first.status != 202 || first.get(t, "data", "mode") != "atomic" {
		t.Fatalf("%d %s", first.status, first.body)
	}
	s.works.stop, s.works.asked = stopAt(1, "its partner_request_id was used before"), 0
	s.send("POST", batchesPath, atomic).want(t, 200, first.body) // its own payouts do not stop a repeat
	s.send("POST", batchesPath, strings.Replace(atomic, "Asha", "Usha", 1)).want(t, 409, failure("Duplicate request"))
	for i, later := range []string{
		`"mode":"atomic","approval":"required"`, `"mode":"atomic","on_insufficient_balance":"queue"`, `"mode":"atomic","schedule_at":"2024-05-01T00:00:00Z"`, `"mode":"partial"`,
	} {
		if r := s.send("POST", batchesPath, strings.Replace(optioned(later), "SALARY-1", fmt.Sprint("B-", i), 1)); r.status != 202 {
			t.Errorf("%s: %d %s", later, r.status, r.body)
		}
	}
	if s.works.asked != 0 {
		t.Errorf("asked %d times about what is not to be held now", s.works.asked)
	}
	s.works.submitFault = errAway
	s.send("POST", batchesPath, strings.Replace(atomic, "SALARY-1", "Z", 1)).want(t, 503, failure("Service temporarily unavailable, please try again"))
}

// A copy of the request that has made the batch meanwhile is what stops it: so it is the batch.
func TestAtomicBatchStoppedByItself(t *testing.T) {
	s := serve(t)
	atomic := optioned(`"mode":"atomic"`)
	first := s.send("POST", batchesPath, atomic)
	made := s.works.batches
	s.works.batches = nil
	s.works.meanwhile = func() { s.works.batches = made }
	s.works.stop = stopAt(1, "its partner_request_id was used before")
	s.send("POST", batchesPath, atomic).want(t, 200, first.body)
}
