package paypal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

type dispute struct {
	ID           string `json:"dispute_id"`
	Updated      string `json:"update_time"`
	Created      string `json:"create_time"`
	Transactions []struct {
		Seller  string `json:"seller_transaction_id"` // the capture's
		Invoice string `json:"invoice_number"`
		Custom  string `json:"custom"`
	} `json:"disputed_transactions"`
	Reason  string `json:"reason"`
	Status  string `json:"status"`
	Stage   string `json:"dispute_life_cycle_stage"`
	Amount  amount `json:"dispute_amount"`
	Due     string `json:"seller_response_due_date"`
	Outcome struct {
		Code     string `json:"outcome_code"`
		Refunded amount `json:"amount_refunded"`
	} `json:"dispute_outcome"`
	Movements []struct {
		Party  string `json:"affected_party"`
		Type   string `json:"type"`
		Amount amount `json:"amount"`
	} `json:"money_movements"`
}

// InquireDispute meets gateway.DisputeTeller. PayPal tells it to accounts whose app has the feature "Disputes" switched on.
func (g *Client) InquireDispute(ctx context.Context, a gateway.Account, name string) (gateway.Message, error) {
	if !id(name) {
		return gateway.Message{}, errors.New("paypal: that is no dispute of PayPal's")
	}
	var said json.RawMessage
	raw, err := g.do(ctx, a, call{method: http.MethodGet, path: "/v1/customer/disputes/" + name}, &said)
	if err != nil {
		return gateway.Message{}, err
	}
	m := gateway.Message{Raw: raw}
	ours, err := readDispute(said, &m)
	if err == nil && (!ours || m.Dispute.Case != name) {
		err = errors.New("an answer that is not about one payment of ours")
	}
	if err != nil {
		return gateway.Message{}, fmt.Errorf("paypal: inquiring after dispute %s: %w", name, err)
	}
	return m, nil
}

// readDispute reads what PayPal says of a dispute, in a message or when it is asked. PayPal holds the money from the start, in the stage INQUIRY too, and so do we. It does not tell a fee
// with the dispute.
func readDispute(resource []byte, m *gateway.Message) (ours bool, err error) {
	var d dispute
	if wire.Read(resource, &d) != nil || d.ID == "" || len(d.ID) > 255 {
		return false, fmt.Errorf("%w: a dispute without an id", gateway.ErrMalformed)
	}
	if len(d.Transactions) != 1 { // one over several payments is for people to look at, in PayPal's own centre
		return false, nil
	}
	t := d.Transactions[0]
	if m.Reference = reference(t.Custom); m.Reference == "" {
		m.Reference = reference(t.Invoice)
	}
	if m.Reference == "" {
		return false, nil
	}
	claimed, err := d.Amount.read()
	if err != nil || claimed.Sign() <= 0 {
		return false, fmt.Errorf("%w: a dispute without an amount", gateway.ErrMalformed)
	}
	phase, known := phaseOf(d.Stage)
	if !known {
		return false, fmt.Errorf("%w: a dispute in an unknown stage", gateway.ErrMalformed)
	}
	status, total, known := d.state(claimed)
	if !known {
		return false, fmt.Errorf("%w: a dispute of unknown status", gateway.ErrMalformed)
	}
	m.Dispute = &gateway.Dispute{
		Case: d.ID, Phase: string(phase), Status: status, Amount: total.Fixed(), Reason: reasonOf(d.Reason), RespondBy: at(d.Due), At: at(d.Updated, d.Created),
	}
	if id(t.Seller) {
		m.Dispute.PaymentID = t.Seller
	}
	return true, nil
}

func phaseOf(stage string) (wallet.Phase, bool) {
	switch stage {
	case "INQUIRY":
		return wallet.PhaseRetrieval, true
	case "CHARGEBACK":
		return wallet.PhaseChargeback, true
	case "PRE_ARBITRATION":
		return wallet.PhasePreArbitration, true
	case "ARBITRATION":
		return wallet.PhaseArbitration, true
	}
	return "", false
}

// state is where the dispute stands, and the amount that goes with it. An outcome that does not say who has the money leaves the dispute
// under review, and the money held, until a person has looked.
func (d *dispute) state(claimed money.Amount) (status string, total money.Amount, known bool) {
	switch d.Status {
	case "OPEN", "WAITING_FOR_SELLER_RESPONSE", "WAITING_FOR_BUYER_RESPONSE", "OTHER":
		return "open", claimed, true
	case "UNDER_REVIEW":
		return "under_review", claimed, true
	case "RESOLVED":
	default:
		return "", claimed, false
	}
	switch d.Outcome.Code {
	case "RESOLVED_SELLER_FAVOUR", "DENIED":
		return "won", claimed, true
	case "CANCELED_BY_BUYER", "NONE": // NONE: it was closed without a decision
		return "closed", claimed, true
	case "RESOLVED_BUYER_FAVOUR", "ACCEPTED":
		if part, err := d.Outcome.Refunded.read(); err == nil && part.Currency() == claimed.Currency() && part.Sign() > 0 && part.Cmp(claimed) < 0 {
			return "lost", part, true
		}
		return "lost", claimed, true
	case "RESOLVED_WITH_PAYOUT": // PayPal has paid one of the two: whose money it was, the movements say
		if d.debited() {
			return "under_review", claimed, true
		}
		return "won", claimed, true
	}
	return "under_review", claimed, true
}

// debited reports whether money was taken from the merchant, and not all of it given back.
func (d *dispute) debited() bool {
	n := 0
	for _, m := range d.Movements {
		switch {
		case m.Party != "SELLER":
		case m.Type == "DEBIT":
			n++
		case m.Type == "CREDIT":
			n--
		}
	}
	return n > 0
}

// reasonOf brings PayPal's reasons to wallet.DisputeReasons.
func reasonOf(said string) string {
	switch said {
	case "MERCHANDISE_OR_SERVICE_NOT_RECEIVED":
		return "not_received"
	case "MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED":
		return "not_as_described"
	case "UNAUTHORISED":
		return "fraud"
	case "CREDIT_NOT_PROCESSED":
		return "credit_not_processed"
	case "DUPLICATE_TRANSACTION":
		return "duplicate"
	case "INCORRECT_AMOUNT", "PAYMENT_BY_OTHER_MEANS", "PROBLEM_WITH_REMITTANCE":
		return "processing_error"
	case "CANCELED_RECURRING_BILLING":
		return "cancelled"
	}
	return wallet.FailureOther
}
