package cashfree

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/wallet"
)

type dispute struct {
	ID       ident       `json:"dispute_id"`
	Type     string      `json:"dispute_type"`
	Status   string      `json:"dispute_status"`
	Code     string      `json:"reason_code"`
	Reason   string      `json:"reason_description"`
	Amount   json.Number `json:"dispute_amount"`
	Currency string      `json:"dispute_amount_currency"` // since 2025-01-01
	Respond  string      `json:"respond_by"`
	Updated  string      `json:"updated_at"`
	Resolved string      `json:"resolved_at"`
	Created  string      `json:"created_at"`
}

type disputeOrder struct {
	OrderID   string `json:"order_id"`
	PaymentID ident  `json:"cf_payment_id"`
	Currency  string `json:"payment_currency"`
}

// readDispute reads a message about a dispute.
func readDispute(said event, m *gateway.Message) error {
	var data struct {
		Dispute dispute      `json:"dispute"`
		Order   disputeOrder `json:"order_details"`
	}
	if wire.Read(said.Data, &data) != nil {
		return fmt.Errorf("%w: not a dispute", gateway.ErrMalformed)
	}
	return data.Dispute.read(data.Order, said.Type == "DISPUTE_CLOSED", m)
}

// InquireDispute meets gateway.DisputeTeller. The answer says flat what a webhook says in parts; a dispute that has the time of its end is closed.
func (g *Client) InquireDispute(ctx context.Context, a gateway.Account, id string) (gateway.Message, error) {
	if !reference(id) || strings.Trim(id, ".") == "" {
		return gateway.Message{}, errors.New("cashfree: that is no dispute of Cashfree's")
	}
	var said struct {
		dispute
		Order disputeOrder `json:"order_details"`
	}
	raw, err := g.call(ctx, a, http.MethodGet, "/disputes/"+url.PathEscape(id), nil, "", &said)
	if err != nil {
		return gateway.Message{}, err
	}
	m := gateway.Message{Raw: raw}
	if err := said.read(said.Order, said.Resolved != "", &m); err != nil {
		return gateway.Message{}, fmt.Errorf("cashfree: inquiring after a dispute: %w", err)
	}
	if m.Dispute.Case != id {
		return gateway.Message{}, errors.New("cashfree: an answer about another dispute")
	}
	return m, nil
}

// read brings a dispute into our terms. Cashfree tells no fee of it.
func (d dispute) read(of disputeOrder, closed bool, m *gateway.Message) error {
	if d.ID == "" || !reference(of.OrderID) {
		return fmt.Errorf("%w: a dispute without its id and order", gateway.ErrMalformed)
	}
	phase, inquiry, known := phaseOf(d.Type)
	if !known {
		return fmt.Errorf("%w: a dispute of unknown type", gateway.ErrMalformed)
	}
	status, known := statusOf(d, closed)
	if !known {
		return fmt.Errorf("%w: a dispute of unknown status", gateway.ErrMalformed)
	}
	if d.Currency == "" {
		d.Currency = of.Currency
	}
	claimed, err := amount(d.Amount, d.Currency)
	if err != nil || claimed.Sign() <= 0 {
		return fmt.Errorf("%w: a dispute without an amount", gateway.ErrMalformed)
	}
	m.Reference, m.OrderID = of.OrderID, of.OrderID
	m.Dispute = &gateway.Dispute{
		Case: string(d.ID), PaymentID: string(of.PaymentID), Phase: string(phase), Status: status, Amount: claimed.Fixed(),
		Reason: disputeReason(d.Reason), RespondBy: at(d.Respond), Inquiry: inquiry, At: at(d.Resolved, d.Updated, d.Created),
	}
	return nil
}

// phaseOf is a type of Cashfree's in the ledger's words. DISPUTE is what a customer raises with Cashfree or in his UPI app before his bank claims
// anything; unlike RETRIEVAL it can be lost, so the money is held.
func phaseOf(kind string) (phase wallet.Phase, inquiry, known bool) {
	switch strings.ToUpper(kind) {
	case "RETRIEVAL":
		return wallet.PhaseRetrieval, true, true
	case "DISPUTE":
		return wallet.PhaseRetrieval, false, true
	case "CHARGEBACK":
		return wallet.PhaseChargeback, false, true
	case "PRE_ARBITRATION":
		return wallet.PhasePreArbitration, false, true
	case "ARBITRATION":
		return wallet.PhaseArbitration, false, true
	}
	return "", false, false
}

// statusOf reads {type}_{status}, such as CHARGEBACK_DOCS_RECEIVED.
func statusOf(d dispute, closed bool) (status string, known bool) {
	said, ok := strings.CutPrefix(strings.ToUpper(d.Status), strings.ToUpper(d.Type)+"_")
	if !ok {
		return "", false
	}
	switch said {
	case "CREATED":
		return "open", true
	case "INSUFFICIENT_EVIDENCE": // better evidence is asked for, or it is too late for that
		if closed {
			return "lost", true
		}
		return "open", true
	case "DOCS_RECEIVED", "UNDER_REVIEW":
		return "under_review", true
	case "MERCHANT_WON":
		return "won", true
	case "MERCHANT_LOST", "MERCHANT_ACCEPTED":
		return "lost", true
	}
	return "", false
}

// disputeReason brings a description to wallet.DisputeReasons; the codes are those of each card network, and differ.
func disputeReason(said string) string {
	said = strings.ToLower(said)
	for _, known := range []struct{ word, reason string }{
		{"duplicate", "duplicate"},
		{"not received", "not_received"},
		{"not recei", "not_received"},
		{"not rendered", "not_received"},
		{"not as described", "not_as_described"},
		{"quality", "not_as_described"},
		{"defective", "not_as_described"},
		{"credit not processed", "credit_not_processed"},
		{"cancel", "cancelled"},
		{"not recognize", "unrecognized"},
		{"fraud", "fraud"},
		{"unauthori", "fraud"},
		{"authori", "authorization"},
		{"processing", "processing_error"},
	} {
		if strings.Contains(said, known.word) {
			return known.reason
		}
	}
	return wallet.FailureOther
}
