package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Subjects finds what a gateway's reference is about.
type Subjects interface {
	// Subject finds a payment by its transaction id or its txn_ref; found is false when there is none.
	Subject(ctx context.Context, reference string) (merchantID, id string, kind wallet.Kind, found bool, err error)
}

// inboundTimeout bounds the handling of one callback.
const inboundTimeout = 15 * time.Second

// Inbound receives the callbacks of gateways at POST /gateways/{name}/callback. It answers
//
//	200  every message is durable in the ledger, or was already
//	400  the message cannot be read         401  forged, or too old
//	404  no such gateway, or a reference that nobody has
//	409  the statement contradicts the ledger in a way that cannot be recorded: a person has to look
//	413  too large
//	503  not now: send it again
//
// so that a gateway that sends until it gets 200 loses nothing.
type Inbound struct {
	reporter
	gateways map[string]Callbacks
	subjects Subjects
	mux      *http.ServeMux
}

// NewInbound makes it. It serves the whole path; mount it at /gateways/.
func NewInbound(l Ledger, subjects Subjects, gateways []Callbacks, o Options) *Inbound {
	o = o.withDefaults()
	in := &Inbound{
		reporter: reporter{ledger: l, clock: o.Clock, count: o.Count, log: o.Log.With("part", "inbound")},
		gateways: map[string]Callbacks{}, subjects: subjects, mux: http.NewServeMux(),
	}
	for _, g := range gateways {
		in.gateways[g.Name()] = g
	}
	in.mux.HandleFunc("POST /gateways/{name}/callback", in.callback)
	return in
}

// ServeHTTP answers as the type's comment says.
func (in *Inbound) ServeHTTP(w http.ResponseWriter, r *http.Request) { in.mux.ServeHTTP(w, r) }

func (in *Inbound) callback(w http.ResponseWriter, r *http.Request) {
	g, ok := in.gateways[r.PathValue("name")]
	if !ok {
		answer(w, http.StatusNotFound, "there is no such gateway")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			in.refuse(w, g, http.StatusRequestEntityTooLarge, "the body is too large", err)
			return
		}
		in.refuse(w, g, http.StatusBadRequest, "the body cannot be read", err)
		return
	}
	messages, err := g.ParseCallback(r.Header, body, in.clock())
	switch {
	case errors.Is(err, ErrSignature), errors.Is(err, ErrStale):
		in.refuse(w, g, http.StatusUnauthorized, "the message is not authentic", err)
		return
	case err != nil, len(messages) > MaxMessages:
		in.refuse(w, g, http.StatusBadRequest, "the message cannot be read", err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), inboundTimeout)
	defer cancel()
	status, text := http.StatusOK, "ok"
	for _, m := range messages {
		if s, t := in.accept(ctx, g, m); s > status {
			status, text = s, t
		}
	}
	answer(w, status, text)
}

// accept brings one message into the ledger, and returns what to answer.
func (in *Inbound) accept(ctx context.Context, g Callbacks, m Message) (int, string) {
	l := in.log.With("gateway", g.Name(), "message", m.ID, "reference", m.Reference)
	err := in.record(ctx, g, m)
	switch {
	case err == nil:
		in.count.count(g.Name(), CountCallback)
		return http.StatusOK, "ok"
	case domain.CodeOf(err) == domain.NotFound:
		in.count.count(g.Name(), CountCallbackRefused)
		l.Warn("a callback about an unknown reference", "error", err)
		return http.StatusNotFound, "the reference is not known"
	case errors.Is(err, ErrMalformed):
		in.count.count(g.Name(), CountCallbackRefused)
		l.Warn("a callback is malformed", "error", err)
		return http.StatusBadRequest, "the message cannot be read"
	case refusal(err):
		in.count.count(g.Name(), CountAnomaly)
		l.Error("a gateway's statement cannot be recorded", "error", err)
		return http.StatusConflict, "the statement contradicts what is known"
	default:
		in.count.count(g.Name(), CountCallbackDeferred)
		l.Warn("a callback was not recorded, the gateway has to send it again", "error", err)
		return http.StatusServiceUnavailable, "try again"
	}
}

// record finds the payment of a message and reports it.
func (in *Inbound) record(ctx context.Context, g Callbacks, m Message) error {
	reference := m.Reference
	if m.Refund != nil && m.OrderID != "" { // the message names the refund, and the payment's reference beside it
		reference = m.OrderID
	}
	merchantID, id, kind, found, err := in.subjects.Subject(ctx, reference)
	if err != nil {
		return fmt.Errorf("finding the payment: %w", err)
	}
	if !found {
		return domain.Errorf(domain.NotFound, "nothing has this reference")
	}
	p, err := in.ledger.Payment(ctx, merchantID, id)
	if err != nil {
		return err
	}
	switch {
	case kind == wallet.KindPayin && atCheckout(&p):
		// Whoever has its id can name it to another gateway, such as a bank that knows UPI references alone. It is that of its app's gateway
		// configuration, whose messages come to an address of their own; nothing that another one says books anything.
		return in.note(ctx, p, g.Name(), m.ID, "a message of "+g.Name()+" is about a payin that goes through another gateway", m.Raw)
	case m.Transfer != nil && kind == wallet.KindPayout && p.Kind == wallet.KindPayout:
		if err := sameAmount(m.Amount, p); err != nil {
			return err
		}
		if !m.Transfer.whole() {
			return fmt.Errorf("%w: the answer is not whole", ErrMalformed)
		}
		if !m.Transfer.State.Definite() {
			return nil // "still pending" is nothing to record
		}
		return in.payout(ctx, p, g.Name(), m.ID, *m.Transfer)
	case m.Payment != nil && kind == wallet.KindPayin && p.Kind == wallet.KindPayin:
		return in.payment(ctx, p, g.Name(), m.ID, *m.Payment, m.Raw)
	case m.Dispute != nil && kind == wallet.KindPayin && p.Kind == wallet.KindPayin:
		return in.dispute(ctx, p, g.Name(), m.ID, *m.Dispute, m.Raw)
	case m.Refund != nil && kind == wallet.KindPayin && p.Kind == wallet.KindPayin:
		known, err := in.refundSaid(ctx, p, g.Name(), "", m)
		if err == nil && !known {
			err = domain.Errorf(domain.NotFound, "payin %s has no refund %s", p.Of.Payment, m.Reference)
		}
		return err
	}
	return fmt.Errorf("%w: a message about another kind of payment", ErrMalformed)
}

// atCheckout reports whether a payin is paid through the gateways of its app.
func atCheckout(p *wallet.Payment) bool {
	return p.Gateway == wallet.Unrouted || p.Checkout.Config != ""
}

// sameAmount refuses a statement about another amount than was sent: nothing can be concluded from it.
func sameAmount(stated string, p wallet.Payment) error {
	if stated == "" {
		return nil
	}
	amount, err := money.Parse(stated, p.Currency)
	if err != nil {
		return fmt.Errorf("%w: amount: %w", ErrMalformed, err)
	}
	if !amount.Equal(p.Amount) {
		return domain.Errorf(domain.Stale, "the gateway speaks of %s, the payout is of %s", amount, p.Amount)
	}
	return nil
}

func (in *Inbound) refuse(w http.ResponseWriter, g Callbacks, status int, text string, err error) {
	in.count.count(g.Name(), CountCallbackRefused)
	in.log.Warn("a callback was refused", "gateway", g.Name(), "status", status, "error", err)
	answer(w, status, text)
}

// answer writes a status and a short text as JSON.
func answer(w http.ResponseWriter, status int, text string) {
	b, err := json.Marshal(map[string]any{"ok": status == http.StatusOK, "message": text})
	if err != nil {
		panic("gateway: an answer cannot be encoded: " + err.Error()) // a bool and a constant always can
	}
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	w.Write(b) //nolint:errcheck // a gateway that went away sends again
}
