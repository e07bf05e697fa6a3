package checkout

import (
	"fmt"
	"net/http"

	"github.com/khata-ledger/khata/domain/wallet"
)

// link finds the KlyroPay payin of a txn_ref. One of a KS Pay transaction has a page of its own, which takes a token.
func (g *Pages) link(r *http.Request) (*visit, error) {
	merchantID, id, kind, found, err := g.ports.Payments.Subject(r.Context(), r.PathValue("txn_ref"))
	if err != nil {
		return nil, fmt.Errorf("finding a payin: %w", err)
	}
	if !found || kind != wallet.KindPayin {
		return nil, errGone
	}
	v := &visit{}
	if v.payment, err = g.ports.Payments.Payment(r.Context(), merchantID, id); err != nil {
		return nil, gone(err)
	}
	if v.payment.TxnRef != r.PathValue("txn_ref") || v.payment.IntentURL == "" { // found by another id, or paid elsewhere
		return nil, errGone
	}
	v.app, err = g.ports.Merchants.Merchant(r.Context(), merchantID)
	return v, gone(err)
}

// payin shows a KlyroPay payin.
func (g *Pages) payin(w http.ResponseWriter, r *http.Request) {
	v, err := g.link(r)
	if err != nil {
		g.refuse(w, r, "opening the page of a payin", err)
		return
	}
	s := sheetOf(v)
	s.Title = "Pay " + v.app.Name
	page := "/pay/" + v.payment.TxnRef
	switch {
	case v.payment.Status != wallet.Pending:
		s.Ended = string(v.payment.Status)
		s.Heading, s.Text = ending(v.payment.Status)
		g.write(w, http.StatusOK, &s, "'none'")
	case !g.opts.Clock().Before(v.payment.ExpiresAt):
		s.Heading, s.Text = "The time to pay is over", "We are asking the bank whether a payment has come."
		s.Busy, s.Poll, s.Reload = true, page+"/status", page
		g.write(w, http.StatusOK, &s, "'none'")
	default:
		s.Heading, s.Ends, s.Poll = "Pay with a UPI app", v.payment.ExpiresAt, page+"/status"
		s.Text = "Scan the code with any UPI app, or open the app on this phone. This page tells you once the payment has arrived."
		g.writeUPI(w, &s, v.payment.IntentURL)
	}
}

// payinStatus tells where a KlyroPay payin stands.
func (g *Pages) payinStatus(w http.ResponseWriter, r *http.Request) {
	v, err := g.link(r)
	if err != nil {
		g.refuseStatus(w, r, err)
		return
	}
	g.writeStatus(w, &v.payment, "/pay/"+v.payment.TxnRef)
}
