package razorpay

import (
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain/wallet"
)

const dispID = "disp_EsIAlDcoUr8CaQ"

func TestInquireDispute(t *testing.T) {
	r, c, a := world(t)
	for _, one := range []struct {
		status   string
		deducted int
		amount   string
	}{{"open", 0, "390.00"}, {"under_review", 0, "390.00"}, {"won", 0, "390.00"}, {"closed", 0, "390.00"}, {"lost", 30000, "300.00"}} {
		r.on("GET /v1/disputes/"+dispID, disputeBody(one.status, "chargeback", one.deducted))
		m, err := c.InquireDispute(timeout(t), a, dispID)
		if err != nil || len(m.Body) == 0 {
			t.Fatalf("%s: %+v, %v", one.status, m, err)
		}
		d := m.Dispute
		if d.Case != dispID || d.PaymentID != payID || d.Status != one.status || d.Amount != one.amount || d.Phase != string(wallet.PhaseChargeback) ||
			!d.RespondBy.Equal(time.Unix(1590431400, 0)) || !d.At.IsZero() {
			t.Errorf("%s: %+v", one.status, d)
		}
	}
	good := disputeBody("won", "chargeback", 0)
	for what, body := range map[string]string{
		"of another": strings.Replace(good, dispID, "disp_other000000000", 1), "in no known state": strings.Replace(good, `"won"`, `"odd"`, 1),
		"in no known phase": strings.Replace(good, `"chargeback"`, `"odd"`, 1), "no dispute": strings.Replace(good, `"entity":"dispute"`, `"entity":"payment"`, 1),
		"of no payment": strings.Replace(good, payID, "", 1), "in no known currency": strings.Replace(good, "INR", "XXX", 1),
	} {
		r.on("GET /v1/disputes/"+dispID, body)
		if m, err := c.InquireDispute(timeout(t), a, dispID); kind(err) != "unknown" {
			t.Errorf("an answer %s: %+v, %v", what, m, err)
		}
	}
	asked := len(r.lines())
	for _, id := range []string{"", "pay_29QQoUBi66xm2f", "disp_../orders", "disp_"} {
		if _, err := c.InquireDispute(timeout(t), a, id); kind(err) != "unknown" || len(r.lines()) != asked {
			t.Errorf("%q: %v", id, err)
		}
	}
}
