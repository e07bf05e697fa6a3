package payu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// States of a payment, as PayU maps them.
const (
	success = "success"
	failed  = "failure"
)

// payment is what verify_payment tells of a transaction.
type payment struct {
	PayUID   text `json:"mihpayid"`
	TxnID    text `json:"txnid"`
	Amount   text `json:"amt"`                // after a discount
	Asked    text `json:"transaction_amount"` // before it
	Discount text `json:"disc"`
	Status   text `json:"status"`
	Detail   text `json:"unmappedstatus"`
	Mode     text `json:"mode"`
	Bank     text `json:"bankcode"`
	BankRef  text `json:"bank_ref_num"`
	Error    text `json:"error_code"`
	AddedOn  text `json:"addedon"`
}

// payuIDs are PayU's own ids: numbers.
var payuIDs = regexp.MustCompile(`^[0-9]{1,32}$`)

// india is where PayU's clocks are: its times say no zone.
func india() *time.Location { return time.FixedZone("IST", 5*3600+1800) }

// payment is what an answer says of a transaction; nil when PayU says that it does not know it.
func (a answer) payment(txnID string) (*payment, error) {
	raw, there := a.Details[txnID]
	if !there {
		return nil, fmt.Errorf("an answer that does not tell of the transaction: %s", wire.Said(string(a.Msg)))
	}
	var said payment
	if err := wire.Read(raw, &said); err != nil {
		return nil, errors.New("an answer that cannot be read")
	}
	if strings.EqualFold(string(said.Status), "Not Found") {
		return nil, nil //nolint:nilnil // nothing is an answer
	}
	if a.Status != "1" || string(said.TxnID) != txnID || !payuIDs.MatchString(string(said.PayUID)) {
		return nil, errors.New("an answer about another transaction")
	}
	return &said, nil
}

// collected is what was collected: what was asked for, less what an offer took off.
func (p payment) collected() (money.Amount, error) {
	asked, discount := string(p.Asked), string(p.Discount)
	if asked == "" {
		asked, discount = string(p.Amount), ""
	}
	if discount == "" {
		discount = "0"
	}
	whole, err := rupees(asked)
	if err != nil {
		return money.Amount{}, err
	}
	off, err := rupees(discount)
	if err != nil {
		return money.Amount{}, err
	}
	if whole.Cmp(off) < 0 {
		return money.Amount{}, errors.New("a discount of more than the amount")
	}
	return whole.Sub(off), nil
}

func rupees(s string) (money.Amount, error) {
	if !number.MatchString(s) {
		return money.Amount{}, errors.New("an amount that cannot be read")
	}
	return money.Parse(s, money.INR)
}

// read brings a payment into our terms; false when it has not come to an end.
func (p payment) read() (gateway.Payment, bool, error) {
	status := strings.ToLower(string(p.Status))
	if status != success && status != failed {
		return gateway.Payment{}, false, nil
	}
	amount, err := p.collected()
	if err != nil {
		return gateway.Payment{}, false, err
	}
	out := gateway.Payment{
		PaymentID: string(p.PayUID), Reference: string(p.TxnID), Amount: amount.Fixed(), Currency: string(money.INR), UTR: wire.Text(string(p.BankRef), 64),
		Method: wire.Text(string(p.Mode), 32), SubMethod: wire.Text(string(p.Bank), 32), Paid: status == success,
	}
	if at, err := time.ParseInLocation(time.DateTime, string(p.AddedOn), india()); err == nil {
		out.At = at.UTC()
	}
	if !out.Paid {
		out.Reason = p.failure()
	}
	return out, true, nil
}

// failure brings PayU's detailed status to a reason of ours. Its error codes are some hundreds, and change.
func (p payment) failure() string {
	switch strings.ToLower(string(p.Detail)) {
	case "usercancelled", "dropped":
		return wallet.FailureDeclined
	case "bounced":
		return wallet.FailureGatewayTimeout
	case "failed":
		return wallet.FailureRejectedByBank
	}
	return wallet.FailureOther
}

// Collect meets gateway.Checkout. PayU takes payments by itself, and knows one per transaction: the last, or the one that succeeded.
func (c *Client) Collect(ctx context.Context, a gateway.Account, o gateway.Order, made gateway.Ordered) (gateway.Payments, error) {
	if made.OrderID != o.Reference {
		return gateway.Payments{}, fmt.Errorf("payu: collecting %s: that is not its order", o.Reference)
	}
	out, err := c.verify(ctx, a, o.Reference)
	if err != nil {
		return gateway.Payments{}, fmt.Errorf("payu: collecting %s: %w", o.Reference, err)
	}
	return out, nil
}

// verify asks PayU what has become of a transaction.
func (c *Client) verify(ctx context.Context, a gateway.Account, txnID string) (gateway.Payments, error) {
	said, err := c.command(ctx, a, "verify_payment", txnID)
	if err != nil {
		return gateway.Payments{}, err
	}
	out := gateway.Payments{Raw: said.Raw}
	p, err := said.payment(txnID)
	if err != nil || p == nil {
		return out, err
	}
	one, definite, err := p.read()
	if err != nil {
		return gateway.Payments{}, err
	}
	if definite {
		out.List = []gateway.Payment{one}
	}
	return out, nil
}

// action is what check_action_status tells of one thing done to a payment.
type action struct {
	PayUID  text `json:"mihpayid"`
	Request text `json:"request_id"`
	Amount  text `json:"amt"`
	Action  text `json:"action"`
	Token   text `json:"token"`
	Status  text `json:"status"`
	ARN     text `json:"bank_arn"`
	BankRef text `json:"bank_ref_num"`
}

// actions are those of a payment; none is an answer.
func (a answer) actions(payuID string) ([]action, error) {
	raw, there := a.Details[payuID]
	if !there {
		return nil, fmt.Errorf("an answer that does not tell of the payment: %s", wire.Said(string(a.Msg)))
	}
	var nothing string
	if wire.Read(raw, &nothing) == nil {
		if a.Status == "0" && strings.HasPrefix(strings.ToLower(nothing), "no action status found") {
			return nil, nil
		}
		return nil, errors.New("an answer that cannot be read")
	}
	var said map[string]json.RawMessage
	if err := wire.Read(raw, &said); err != nil || a.Status != "1" {
		return nil, errors.New("an answer that cannot be read")
	}
	out := make([]action, 0, len(said))
	for _, one := range said {
		var read action
		if err := wire.Read(one, &read); err != nil || strings.TrimSpace(string(read.PayUID)) != payuID {
			return nil, errors.New("an answer with an action of another payment")
		}
		out = append(out, read)
	}
	return out, nil
}
