package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain/money"
)

// A JSON body that was read to its end is reported as whole: else a batch_ref that is missing is not noticed by the API.
func TestJSONBodyIsWhole(t *testing.T) {
	report, err := batchFiles{}.Read(strings.NewReader(`{"items":[{"mobile_no":"9876543210","beneficiary_name":"Asha","account_no":"123456789012",
		"ifsc":"HDFC0001234","bank_name":"HDFC Bank","amount":"1000","transfer_type":"5"}]}`), klyropay.BatchReading{
		Format: klyropay.BatchJSON, Currency: money.INR, Items: 10, Problems: 10,
		Check: func(*klyropay.BatchEntry) []klyropay.FieldProblem { return nil },
		Take:  func(*klyropay.BatchEntry) error { return nil },
	})
	if err != nil || report.Total != 0 || !report.Whole {
		t.Errorf("%+v, %v", report, err)
	}
}

// A sheet goes back as it came: its columns, in its order, under its names. What is no payout yet has no transaction_id, there as in answers.
func TestBatchGoesBackAsItCame(t *testing.T) {
	t.Parallel()
	w := storeIn(t)
	w.start()
	m := w.merchant()
	w.fund(m, "5000.00")
	file := filepath.Join(w.dir, "batch.csv")
	const sheet = "-Amount;Account No.;MOBILE NO;beneficiary-name;ifsc;Bank Name;transfer_type\r\n\"1,000\";400900000120;9876543210;Asha Verma;HDFC0001234;HDFC Bank;5\r\n"
	if err := os.WriteFile(file, []byte(sheet), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	out, code := w.client(m, "batch", "submit", file, "--ref", "R", "--mode", "atomic", "--schedule-at", at.In(time.FixedZone("", 19800)).Format(time.RFC3339), "--json")
	var b batchJSON
	if code != 0 || json.Unmarshal([]byte(out), &b) != nil || b.Mode != "atomic" || b.ScheduleAt != at.Format(httpapi.TimeLayout) {
		t.Fatalf("%d: %s", code, out)
	}
	_, o := w.call(m, http.MethodGet, pathBatches+"/"+b.ID+"/items", "")
	items, ok := o.at("data", "items").([]any)
	if !ok || len(items) != 1 || object(items[0].(map[string]any)).at("transaction_id") != nil {
		t.Errorf("%v", o)
	}
	want := `"'-Amount",Account No.,MOBILE NO,beneficiary-name,ifsc,Bank Name,transfer_type,transaction_id,status,utr,failure_reason` +
		"\r\n1000.00,400900000120,9876543210,Asha Verma,HDFC0001234,HDFC Bank,5,,pending,,\r\n"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.addr+pathBatches+"/"+b.ID+"/results", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", m.Key)
	resp, err := w.httpc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != want {
		t.Errorf("%v: %s, want %s", err, got, want)
	}
}

// Of an atomic batch the server names the item that stops it, by reference and by balance, and keeps nothing.
func TestAtomicBatchNamesWhatStopsIt(t *testing.T) {
	t.Parallel()
	w := storeIn(t)
	w.start()
	m := w.merchant()
	w.fund(m, "3100.00")
	if status, o := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789020", "1000", "B-2")); status != http.StatusOK {
		t.Fatalf("%d %v", status, o)
	}
	submit := func(ids ...string) (int, object) {
		var items []string
		for _, id := range ids {
			items = append(items, `{"mobile_no":"9876543210","beneficiary_name":"Asha","account_no":"123456789020","ifsc":"HDFC0001234","bank_name":"HDFC Bank",`+
				`"amount":1000,"transfer_type":"5","partner_request_id":"`+id+`"}`)
		}
		return w.call(m, http.MethodPost, pathBatches, `{"batch_ref":"R","mode":"atomic","items":[`+strings.Join(items, ",")+`]}`)
	}
	for _, c := range []struct {
		ids         []string
		index, name string
	}{{[]string{"B-1", "B-2", "B-3", "B-4"}, "2", "B-2"}, {[]string{"B-1", "B-3", "B-4"}, "3", "B-4"}} {
		status, o := submit(c.ids...)
		problems, ok := o.at("problems").([]any)
		if status != http.StatusUnprocessableEntity || !ok || len(problems) != 1 {
			t.Fatalf("%d %v", status, o)
		}
		if p := object(problems[0].(map[string]any)); p.text("index") != c.index || p.text("partner_request_id") != c.name || !strings.HasPrefix(p.text("message"), "stops the batch: ") {
			t.Errorf("%v: %v", c.ids, p)
		}
	}
	if status, o := submit("B-1", "B-3"); status != http.StatusAccepted {
		t.Errorf("%d %v", status, o)
	}
	w.verify()
}

// A dry run of a JSON body without a batch_ref must say what the real submission says.
func TestDryRunNeedsBatchRef(t *testing.T) {
	t.Parallel()
	w := storeIn(t)
	w.start()
	m := w.merchant()
	const body = `{"items":[{"mobile_no":"9876543210","beneficiary_name":"Asha","account_no":"123456789012",
		"ifsc":"HDFC0001234","bank_name":"HDFC Bank","amount":"1000","transfer_type":"5"}]}`
	real, o := w.call(m, "POST", "/api/v1/services/payout/batches", body)
	dry, p := w.call(m, "POST", "/api/v1/services/payout/batches?dry_run=true", body)
	if real != 422 || dry != 422 {
		t.Errorf("submitted: %d %v\ndry run: %d %v", real, o, dry, p)
	}
}
