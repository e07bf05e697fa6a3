package klyropay_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/adapters/httpapi/spectest"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/eventstore"
)

// Every path and status that the description promises is provoked here, and each answer is held against it.
func TestEveryDocumentedAnswer(t *testing.T) {
	documented := readSpec(t)
	paths := map[string]string{
		klyropay.PathPayinCreate: payinPath, klyropay.PathPayinStatus: "/api/v1/payin/status/PAYIN-REF-0000000000",
		klyropay.PathPayinOrder: "/api/v1/payin/order/nothing", klyropay.PathPayins: payinsPath, klyropay.PathPayoutProcess: payoutPath,
		klyropay.PathPayouts: payoutsPath, klyropay.PathPayout: payoutsPath + "/txn_0000000000000000",
		klyropay.PathPayoutByRequest: payoutsPath + "/request/nothing", klyropay.PathBalance: balancePath,
		klyropay.PathBatches: batchesPath, klyropay.PathBatchTemplate: batchesPath + "/template", klyropay.PathBatch: noBatch,
		klyropay.PathBatchItems: noBatch + "/items", klyropay.PathBatchResults: noBatch + "/results", klyropay.PathBatchCancel: noBatch + "/cancel",
		klyropay.PathBatchApprove: noBatch + "/approve", klyropay.PathBatchReject: noBatch + "/reject", klyropay.PathBatchRetry: noBatch + "/retry-failed",
	}
	if len(documented.Paths) != len(paths) {
		t.Errorf("%d paths are documented, %d served", len(documented.Paths), len(paths))
	}
	for path, methods := range documented.Paths {
		for method, statuses := range methods {
			for status := range statuses {
				t.Run(method+" "+path+" "+status, func(t *testing.T) {
					r := provoke(t, method, paths[path], status)
					if fmt.Sprint(r.status) != status {
						t.Errorf("answered %d %s", r.status, r.body)
					}
					if _, done := provoked.Load(method + " " + path + " " + status); !done {
						t.Error("the answer was not of this path and status")
					}
				})
			}
		}
	}
}

// provoke makes a server answer a request with a status.
func provoke(t *testing.T, method, path, status string) reply {
	s := serve(t, func(o *klyropay.Options) {
		if status == "429" {
			o.RateLimit = 1
		}
		if status == "413" {
			o.MaxBatchBody = 4096
		}
	})
	s.books.fund(merchantA, "100000.00")
	body := ""
	if method == http.MethodPost {
		body = bodyOf(path)
	}
	switch status {
	case "200", "201", "202":
		return provokeSuccess(s, method, path, body, status)
	case "400":
		if method == http.MethodGet || path == batchesPath {
			return s.send(method, path+"?%zz", "")
		}
		return s.send(method, path, "{")
	case "401":
		return s.send(method, path, body, "X-Api-Key:")
	case "403":
		return s.send(method, path, body, "X-Api-Key: "+keyStop)
	case "404":
		return s.send(method, path, body)
	case "409":
		if doing, decides := strings.CutPrefix(path, noBatch); decides {
			s.send("POST", batchesPath, batchBody)
			s.works.batches[0].state.Status = batch.Completed
			path = firstBatch + doing
		}
		s.send(method, path, body)
		return s.send(method, path, strings.Replace(body, "Asha", "Usha", 1))
	case "413":
		return s.send(method, path, strings.Repeat(" ", 5000)+body)
	case "415":
		return s.send(method, path, body, "Content-Type: text/json")
	case "422":
		if method == http.MethodGet {
			return s.send(method, path+"?limit=1001&format=pdf", "")
		}
		return s.send(method, path, `{"note":" ","mode":"quick"}`)
	case "429":
		s.send(method, path, body)
		return s.send(method, path, body)
	case "500":
		s.books.panics = true
		r := s.send(method, path, body)
		if strings.Contains(r.body, "fault") {
			t.Errorf("a panic shows: %s", r.body)
		}
		return r
	case "503":
		s.books.submitFault, s.books.viewFault = errAway, errAway
		s.works.submitFault, s.works.viewFault = errAway, errAway
		if path == batchesPath+"/template" {
			s.books.keyFault = errAway
		}
		return s.send(method, path, body)
	}
	t.Fatalf("no request is known that is answered %s", status)
	return reply{}
}

// bodyOf is a good body for a path.
func bodyOf(path string) string {
	switch path {
	case payoutPath:
		return payoutBody
	case batchesPath:
		return batchBody
	case noBatch + "/cancel", noBatch + "/reject":
		return `{"reason":"a mistake"}`
	case noBatch + "/approve":
		return `{"note":"as ordered"}`
	case noBatch + "/retry-failed":
		return `{"batch_ref":"SALARY-1-again"}`
	}
	return payinBody
}

func provokeSuccess(s *bench, method, path, body, status string) reply {
	t := s.t.(*testing.T)
	s.send("POST", payinPath, with(t, payinBody, "order_id", `"thing"`))
	s.send("POST", payoutPath, with(t, payoutBody, "partner_request_id", `"thing"`))
	switch path {
	case noBatch + "/approve", noBatch + "/reject":
		s.send("POST", batchesPath, batchBody, "X-Api-Key: "+keyMaker)
	case noBatch + "/retry-failed":
		s.send("POST", batchesPath, batchBody)
		s.works.batches[0].state.Status = batch.Completed
		s.works.end(s.works.batches[0], 1, "failed", "", "account_closed")
		if status == "200" {
			s.send(method, firstBatch+"/retry-failed", body)
		}
	case batchesPath:
		if status != "202" {
			s.send("POST", batchesPath, batchBody)
		}
	default:
		s.send("POST", batchesPath, batchBody)
	}
	n := len(s.books.order)
	payin, payout := s.books.payments[s.books.order[n-2]], s.books.payments[s.books.order[n-1]]
	path = strings.NewReplacer("PAYIN-REF-0000000000", payin.TxnRef, "txn_0000000000000000", payout.Of.Payment, "nothing", "thing",
		noBatch, batchesPath+"/bat_0000000000000001").Replace(path)
	return s.send(method, path, body)
}

// What the stores may say besides, on every kind of request.
func TestFaults(t *testing.T) {
	unavailable, internal := failure("Service temporarily unavailable, please try again"), failure("Internal server error")
	broken := fmt.Errorf("record 0:7: %w", eventstore.ErrBroken)
	for _, c := range []struct {
		name               string
		inject             func(*books)
		method, path, body string
		headers            []string
		status             int
		want               string
	}{
		{"keys away", func(b *books) { b.keyFault = errAway }, "GET", balancePath, "", nil, 503, unavailable},
		{"log away", func(b *books) { b.logFault = errAway }, "POST", payinPath, payinBody, []string{idem}, 503, unavailable},
		{"vault away for a payin", func(b *books) { b.sealFault = errAway }, "POST", payinPath, payinBody, nil, 503, unavailable},
		{"vault away for a payout", func(b *books) { b.sealFault = errAway }, "POST", payoutPath, payoutBody, nil, 503, unavailable},
		{"views away", func(b *books) { b.viewFault = errAway }, "GET", payinsPath, "", nil, 503, unavailable},
		{"views broken", func(b *books) { b.viewFault = broken }, "GET", payoutsPath + "/txn_x", "", nil, 500, internal},
		{"log broken", func(b *books) { b.submitFault = broken }, "POST", payinPath, payinBody, nil, 500, internal},
		{"a refusal that is no answer", func(b *books) { b.submitFault = domain.Errorf(domain.Stale, "secret") }, "POST", payinPath, payinBody, nil, 500, internal},
		{"a refusal of access", func(b *books) { b.submitFault = domain.Errorf(domain.Forbidden, "x") }, "POST", payinPath, payinBody, nil, 403, failure("You do not have access to this service")},
		{"the domain's own duplicate", func(b *books) { b.submitFault = domain.Errorf(domain.Duplicate, "x") }, "POST", payinPath, payinBody, nil, 409, failure("Duplicate request")},
		{"a field that the domain refuses", func(b *books) { b.submitFault = domain.InvalidField("amount", "is odd") }, "POST", payinPath, payinBody, nil, 422, validation("amount", "The amount is odd.")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t)
			c.inject(s.books)
			r := s.send(c.method, c.path, c.body, c.headers...)
			r.want(t, c.status, c.want)
			if c.status >= 500 && !strings.Contains(s.logs.String(), `"msg":"a request`) {
				t.Errorf("the fault was not logged:\n%s", s.logs)
			}
		})
	}
	t.Run("vault away for a list", func(t *testing.T) {
		s := serve(t)
		s.books.fund(merchantA, "10000.00")
		s.send("POST", payoutPath, payoutBody)
		s.books.sealFault = errAway
		s.send("GET", payoutsPath, "").want(t, 503, unavailable)
		s.send("GET", payoutsPath+"/request/YOUR-UNIQUE-ORDER-ID", "").want(t, 503, unavailable)
	})
}

// The description's own examples are what it describes.
func TestExamples(t *testing.T) {
	s := readSpec(t)
	n := 0
	for path, methods := range s.Paths {
		for method, statuses := range methods {
			for status := range statuses {
				response, pointer := s.At("/paths/" + spectest.Escape(path) + "/" + strings.ToLower(method) + "/responses/" + status)
				content := response.(map[string]any)["content"].(map[string]any)
				media, ok := content["application/json"].(map[string]any)
				if !ok && content["text/csv"] != nil {
					continue
				}
				if !ok {
					t.Fatalf("%s: no content", pointer)
				}
				example, given := media["example"]
				if !given {
					continue
				}
				n++
				if err := s.Compile(t, pointer+"/content/application~1json/schema").Validate(example); err != nil {
					t.Errorf("example at %s: %v", pointer, err)
				}
			}
			if request, ok := s.Doc.(map[string]any)["paths"].(map[string]any)[path].(map[string]any)[strings.ToLower(method)].(map[string]any)["requestBody"]; ok {
				at := "/paths/" + spectest.Escape(path) + "/" + strings.ToLower(method) + "/requestBody/content/application~1json"
				example := request.(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)["example"]
				if err := s.Compile(t, at+"/schema").Validate(example); err != nil {
					t.Errorf("example of the request %s: %v", path, err)
				}
			}
		}
	}
	for _, hook := range []string{"payinUpdated", "payoutUpdated", "batchUpdated"} {
		media, at := s.At("/webhooks/" + hook + "/post/requestBody/content/application~1json")
		if err := s.Compile(t, at+"/schema").Validate(media.(map[string]any)["example"]); err != nil {
			t.Errorf("example of %s: %v", hook, err)
		}
	}
	if n < 40 {
		t.Errorf("only %d examples", n)
	}
}

// A check that accepts everything would prove nothing.
func TestDescriptionIsStrict(t *testing.T) {
	s := readSpec(t)
	schema := s.Compile(t, "/components/schemas/Balance")
	for _, wrong := range []any{
		map[string]any{"success": true, "data": map[string]any{"balance": 1.5}},
		map[string]any{"success": true, "data": map[string]any{"balance": 1.5, "locked_balance": "0.00"}},
		map[string]any{"success": true, "data": map[string]any{"balance": 1.505, "locked_balance": 0.0}},
		map[string]any{"success": true, "data": map[string]any{"balance": 1.5, "locked_balance": 0.0, "extra": 1.0}},
		map[string]any{"success": false, "data": map[string]any{"balance": 1.5, "locked_balance": 0.0}},
	} {
		if schema.Validate(wrong) == nil {
			t.Errorf("%v was accepted", wrong)
		}
	}
	_, at := s.At("/components/responses/Unknown")
	schema = s.Compile(t, at+"/content/application~1json/schema")
	if schema.Validate(map[string]any{"success": false, "message": "Transaction not found", "data": nil, "errors": map[string]any{}}) == nil ||
		schema.Validate(map[string]any{"success": false, "message": "Not found", "data": nil}) == nil {
		t.Error("a wrong error was accepted")
	}
}
