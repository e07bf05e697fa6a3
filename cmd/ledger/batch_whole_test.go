package main

import (
	"strings"
	"testing"

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
