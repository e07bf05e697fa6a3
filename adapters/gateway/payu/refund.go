package payu

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// tokens are what PayU takes to tell refunds apart.
var tokens = regexp.MustCompile(`^[A-Za-z0-9_-]{1,23}$`)

// Refund meets gateway.Refunds.
func (c *Client) Refund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	out, err := c.refund(ctx, a, r)
	if err != nil {
		return gateway.RefundAnswer{}, fmt.Errorf("payu: refunding %s: %w", r.Reference, err)
	}
	return out, nil
}

func (c *Client) refund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	if err := refundable(r); err != nil {
		return gateway.RefundAnswer{}, err
	}
	said, err := c.command(ctx, a, "cancel_refund_transaction", r.PaymentID, r.Reference, r.Amount.Fixed())
	if err != nil {
		return gateway.RefundAnswer{}, err
	}
	id := said.Request
	if id == "" {
		id = said.Update
	}
	if said.Status == "1" && payuIDs.MatchString(string(id)) && (said.PayUID == "" || strings.TrimSpace(string(said.PayUID)) == r.PaymentID) {
		return gateway.RefundAnswer{State: gateway.RefundPending, RefundID: string(id), Raw: said.Raw}, nil
	}
	// Refused, or something that we cannot read. The refund may be there from before: "token already used".
	first, err := c.findRefund(ctx, a, r)
	if err != nil || first.State != gateway.RefundUnknown {
		return first, wire.Blur(err)
	}
	if said.Status == "1" || doubtful(said) {
		return gateway.RefundAnswer{}, fmt.Errorf("an answer that tells nothing: code %s, %s", wire.Text(string(said.Code), 16), wire.Said(string(said.Msg)))
	}
	code := string(said.Code)
	if code == "" {
		code = "status " + string(said.Status)
	}
	return gateway.RefundAnswer{}, &gateway.Declined{Code: wire.Text(code, 64), Reason: wire.Said(string(said.Msg))}
}

// refundable looks whether PayU could take a refund at all.
func refundable(r gateway.Refund) error {
	switch {
	case r.Amount.Currency() != money.INR || r.Amount.Sign() <= 0:
		return &gateway.Declined{Code: "amount", Reason: "PayU gives back rupees, more than none"}
	case !payuIDs.MatchString(r.PaymentID):
		return errors.New("that is no payment of PayU's")
	case !tokens.MatchString(r.Reference):
		return errors.New("the reference is not one of up to 23 letters, digits, hyphens and underscores")
	}
	return nil
}

// doubtful reports whether a refusal leaves open that a refund is made: the token or the request is there (106, 109, 227), or it waits
// for something (101 to 104, 107, 112, 120, 122, 123, 126, 127, 225, 226; documentation, Error Codes for Refund Initiation).
func doubtful(said answer) bool {
	switch said.Code {
	case "100", "101", "102", "103", "104", "106", "107", "109", "112", "120", "122", "123", "126", "127", "214", "225", "226", "227":
		return true
	}
	msg := strings.ToLower(string(said.Msg))
	return strings.Contains(msg, "token already") || strings.Contains(msg, "pending") || strings.Contains(msg, "queued") || strings.Contains(msg, "already logged")
}

// InquireRefund meets gateway.Refunds.
func (c *Client) InquireRefund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	err := refundable(r)
	var out gateway.RefundAnswer
	if err == nil {
		out, err = c.findRefund(ctx, a, r)
	}
	if err != nil {
		return gateway.RefundAnswer{}, fmt.Errorf("payu: inquiring after refund %s: %w", r.Reference, wire.Doubt(err))
	}
	return out, nil
}

// findRefund looks for a refund among what was done to its payment.
func (c *Client) findRefund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	found, raw, err := c.findAction(ctx, a, r.PaymentID, r.Reference)
	if err != nil {
		return gateway.RefundAnswer{}, err
	}
	if found == nil {
		return gateway.RefundAnswer{State: gateway.RefundUnknown, Raw: raw}, nil
	}
	if !sameAmount(string(found.Amount), r.Amount) {
		return gateway.RefundAnswer{}, errors.New("a refund of this token is there, of another amount")
	}
	return found.answer(raw)
}

// findAction asks for the refund of a token; nil when there is none.
func (c *Client) findAction(ctx context.Context, a gateway.Account, payuID, token string) (*action, gateway.Raw, error) {
	said, err := c.command(ctx, a, "check_action_status", payuID, "payuid")
	if err != nil {
		return nil, gateway.Raw{}, err
	}
	all, err := said.actions(payuID)
	if err != nil {
		return nil, gateway.Raw{}, err
	}
	for _, one := range all {
		if string(one.Token) == token && (one.Action == "refund" || one.Action == "cancel") {
			return &one, said.Raw, nil
		}
	}
	return nil, said.Raw, nil
}

// answer is what a refund's state says (documentation, Refund states).
func (one action) answer(raw gateway.Raw) (gateway.RefundAnswer, error) {
	out := gateway.RefundAnswer{RefundID: wire.Text(string(one.Request), 64), UTR: wire.Text(string(one.ARN), 64), Raw: raw}
	if out.UTR == "" {
		out.UTR = wire.Text(string(one.BankRef), 64)
	}
	switch strings.ReplaceAll(strings.ToLower(string(one.Status)), " ", "_") {
	case "success":
		out.State = gateway.RefundDone
	case "failure":
		out.State, out.Reason = gateway.RefundFailed, wallet.FailureRejectedByBank
	case "queued", "in_progress", "requested", "pending", "od_hit", "":
		out.State = gateway.RefundPending
	default:
		return gateway.RefundAnswer{}, errors.New("a refund in a state that is not known")
	}
	return out, nil
}
