package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
)

// A view that was altered does not sum to zero: the answer is no, and says what to do, which then helps.
func TestTrialBalanceOfAnAlteredView(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		w.made()
		var b ops.TrialBalance
		w.ledger(&b, "audit", "trial-balance", "--format", "json")
		if !b.Balanced || len(b.Currencies) != 1 || b.Currencies[0].Debit != "5000.00" || b.FirstWrong != nil {
			t.Fatalf("as it was made: %+v", b)
		}
		var generation int64
		w.ask("views", "SELECT generation FROM views_serving WHERE name = 'journal'", &generation)
		w.do("views", fmt.Sprintf("UPDATE journal_%d SET balance = balance + 150 WHERE debit > 0", generation))

		out, code := w.run("audit", "trial-balance", "--format", "json")
		var wrong ops.TrialBalance
		if err := json.Unmarshal([]byte(out), &wrong); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if code != exitNo || wrong.Balanced || wrong.Currencies[0].Difference != "1.50" || wrong.FirstWrong == nil ||
			wrong.FirstWrong.Position != "" || !strings.Contains(wrong.FirstWrong.Problem, "ledger rebuild journal") {
			t.Errorf("altered: exit %d, %+v", code, wrong)
		}
		out, code = w.run("audit", "trial-balance")
		if code != exitNo || !strings.Contains(out, "\nWRONG: debits less credits of INR are 1.50\nfirst wrong: every record balances") {
			t.Errorf("altered: exit %d\n%s", code, out)
		}

		w.ledger(nil, "rebuild", "journal")
		w.ledger(&b, "audit", "trial-balance", "--format", "json")
		if !b.Balanced {
			t.Errorf("rebuilt: %+v", b)
		}
	})
}
