package razorpay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
)

type dispute struct {
	ID             string `json:"id"`
	Entity         string `json:"entity"`
	PaymentID      string `json:"payment_id"`
	Amount         int64  `json:"amount"`
	Currency       string `json:"currency"`
	AmountDeducted int64  `json:"amount_deducted"`
	ReasonCode     string `json:"reason_code"`
	RespondBy      int64  `json:"respond_by"`
	Status         string `json:"status"`
	Phase          string `json:"phase"`
}

// read brings a dispute into our terms, as it stood at a time; false when it is not one that we know how to read. Phases and states are named as ours are.
func (d dispute) read(at time.Time) (*gateway.Dispute, bool) {
	amount := d.Amount
	if d.Status == string(wallet.DisputeIsLost) && d.AmountDeducted > 0 {
		amount = d.AmountDeducted
	}
	claimed, known := plain(amount, d.Currency)
	phase, valid := phaseOf(d.Phase)
	if !isID(d.ID, "disp_") || !isID(d.PaymentID, "pay_") || !known || !valid || !statusKnown(d.Status) {
		return nil, false
	}
	return &gateway.Dispute{
		Case: d.ID, PaymentID: d.PaymentID, Phase: string(phase), Status: d.Status, Amount: claimed, Reason: disputeReason(d.ReasonCode),
		RespondBy: unix(d.RespondBy), Inquiry: phase == wallet.PhaseFraud || phase == wallet.PhaseRetrieval, At: at,
	}, true
}

// InquireDispute meets gateway.DisputeTeller.
func (c *Client) InquireDispute(ctx context.Context, a gateway.Account, id string) (gateway.Message, error) {
	if !isID(id, "disp_") {
		return gateway.Message{}, errors.New("razorpay: that is no dispute of Razorpay's")
	}
	var said dispute
	raw, err := c.call(ctx, a, request{method: http.MethodGet, path: "/v1/disputes/" + id}, &said)
	if err != nil {
		return gateway.Message{}, fmt.Errorf("razorpay: inquiring after dispute %s: %w", id, err)
	}
	d, ok := said.read(time.Time{}) // it says when it was made, and not when it came to be as it is
	if !ok || said.Entity != "dispute" || said.ID != id {
		return gateway.Message{}, fmt.Errorf("razorpay: inquiring after dispute %s: an answer that is not about it", id)
	}
	return gateway.Message{Dispute: d, Raw: raw}, nil
}

func phaseOf(said string) (wallet.Phase, bool) {
	for _, p := range wallet.Phases() {
		if string(p) == said {
			return p, true
		}
	}
	return "", false
}

func statusKnown(said string) bool {
	switch said {
	case string(wallet.DisputeOpen), string(wallet.DisputeReview), string(wallet.DisputeIsWon), string(wallet.DisputeIsLost), string(wallet.DisputeEnded):
		return true
	}
	return false
}

// disputeReason brings Razorpay's reason code, which names the card networks' own, to the closed list.
func disputeReason(code string) string {
	for _, known := range []struct{ part, reason string }{
		{"fraud", "fraud"}, {"counterfeit", "fraud"}, {"not_received", "not_received"}, {"not_provided", "not_received"}, {"not_delivered", "not_received"},
		{"not_as_described", "not_as_described"}, {"defective", "not_as_described"}, {"quality", "not_as_described"}, {"duplicate", "duplicate"},
		{"paid_by_other", "duplicate"}, {"credit_not", "credit_not_processed"}, {"refund_not", "credit_not_processed"}, {"cancel", "cancelled"},
		{"recogni", "unrecognized"}, {"authori", "authorization"}, {"process", "processing_error"}, {"account_number", "processing_error"},
	} {
		if strings.Contains(code, known.part) {
			return known.reason
		}
	}
	return wallet.DisputeReason(code)
}
