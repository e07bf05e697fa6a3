package kspay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/vault"
)

const (
	idempotencyHeader = "Idempotency-Key"
	maxIdempotencyKey = 255
	// claimed is how many of a signature's transactions are found by it: the second one tells that it has several.
	claimed = 2
)

// made makes the transaction that is wanted, or finds the one that the same request has made before: by its Idempotency-Key, or by its
// referenceNumber, as long as that one has no order yet.
func (c *call) made(w wanted, f *form) (wallet.Payment, error) {
	a := c.api
	evidence := c.evidence(w, f)
	digest := hash(string(evidence.Body))
	key, err := c.idempotencyKey()
	if err != nil {
		return wallet.Payment{}, err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), a.opts.SubmitWithin)
	defer cancel()
	if key != "" {
		at, taken, err := a.ports.Ledger.Lookup(ctx, c.app.ID, key)
		if err != nil {
			return wallet.Payment{}, failed("looking up an Idempotency-Key", err)
		}
		if taken {
			return c.repeated(ctx, at, digest)
		}
	}
	command, origin, err := c.command(ctx, w)
	if err != nil {
		return wallet.Payment{}, err
	}
	origin.IdempotencyKey, origin.BodyHash = key, digest
	origin.Evidence = []eventstore.Evidence{evidence, c.circumstances()}
	for {
		p, err := a.ports.Ledger.Submit(ctx, command, origin)
		duplicate, is := errors.AsType[*executor.DuplicateError](err)
		switch {
		case !is:
			return p, failed("initiating a transaction", err)
		case key != "" && duplicate.Key == key:
			return c.repeated(ctx, duplicate.Position, digest)
		case duplicate.Key == wallet.PayinKey(c.app.ID, w.reference):
			return c.begun(ctx, duplicate.Position, digest)
		case command.SignatureNo == 0 || duplicate.Key != wallet.SignatureKey(c.app.ID, command.Signature, command.SignatureNo):
			return wallet.Payment{}, failed("initiating a transaction", err)
		}
		if command.SignatureNo++; command.SignatureNo > claimed {
			command.SignatureNo = 0
		}
	}
}

// command is what makes the transaction.
func (c *call) command(ctx context.Context, w wanted) (wallet.CreatePayin, eventstore.Origin, error) {
	a, none := c.api, eventstore.Origin{}
	plan, _ := c.app.App.Plan(w.currency.Code)
	if err := plan.Payin.CheckAmount(w.amount); err != nil {
		return wallet.CreatePayin{}, none, err
	}
	charge, err := plan.PayinCharge(w.amount)
	if err != nil {
		return wallet.CreatePayin{}, none, err
	}
	command, err := uuid.NewV7()
	if err != nil {
		return wallet.CreatePayin{}, none, failedIn(inGateway, "making a command id", err)
	}
	sealed, err := c.seal(ctx, command, w)
	if err != nil {
		return wallet.CreatePayin{}, none, err
	}
	id, err := a.newTransactionID(ctx)
	if err != nil {
		return wallet.CreatePayin{}, none, err
	}
	now := eventstore.Micros(c.now())
	p := wallet.CreatePayin{
		Base:   wallet.Base{Of: wallet.Of{Merchant: c.app.ID, Currency: w.currency.Code, Payment: id}, At: now},
		Amount: w.amount, Charge: charge, OrderID: w.reference, TxnRef: id, Sealed: sealed,
		Gateway: wallet.Unrouted, ExpiresAt: now.Add(a.opts.CheckoutExpiry),
		Method: string(w.method), Origin: c.recordedOrigin(w), Signature: c.token.ID, SignatureNo: 1,
	}
	if !c.openSignature() { // by a token or the credentials: it gets a signature of its own, which names it
		p.Signature, p.SignatureNo = ticket.NewID(), 0
	}
	return p, eventstore.Origin{Command: command, Actor: "key:" + c.key.ID, Request: c.x.ID}, nil
}

// openSignature reports whether the call came with a signature to initiate with.
func (c *call) openSignature() bool { return len(c.r.Header[headerSignature]) > 0 }

// recordedOrigin is where the transaction was initiated: the caller's origin, else that of the page that the customer returns to.
func (c *call) recordedOrigin(w wanted) string {
	const most = 200 // bytes that the ledger keeps
	origin := c.origin
	if origin == "" && w.redirect != "" {
		origin = originOf(w.redirect)
	}
	if len(origin) > most {
		return ""
	}
	return origin
}

// seal seals where the customer goes after paying: the address may name the customer.
func (c *call) seal(ctx context.Context, command uuid.UUID, w wanted) (string, error) {
	if w.redirect == "" {
		return "", nil
	}
	b, err := json.Marshal(wallet.Customer{RedirectURL: w.redirect})
	if err != nil {
		return "", fmt.Errorf("encoding personal data: %w", err)
	}
	sealed, err := c.api.ports.Vault.SealString(ctx, c.app.ID, command, string(b))
	return sealed, failedIn(inVault, "sealing personal data", err)
}

// evidence is the body as it came; or, when it names a secret, or in form data, whose borders change with every sending, its fields alone.
func (c *call) evidence(w wanted, f *form) eventstore.Evidence {
	if f.media != typeMultipart && !f.namesSecret() {
		return eventstore.Evidence{MediaType: f.media, Body: f.raw}
	}
	var o object
	o.text("currencyId", w.currency.ID)
	if m, given := f.member("paymentMethodId"); given {
		o.text("paymentMethodId", m.Text)
	}
	o.text("amount", w.amount.Short())
	o.text("referenceNumber", w.reference)
	for _, name := range []string{"appId", "redirectUrl", "interfaceType"} {
		if m, given := f.member(name); given {
			o.text(name, m.Text)
		}
	}
	return eventstore.Evidence{MediaType: typeJSON, Body: o.end()}
}

// circumstances say who asked: evidence, too, since an address is personal.
func (c *call) circumstances() eventstore.Evidence {
	var o object
	o.text("key_id", c.key.ID)
	o.text("client_ip", c.x.Client.String())
	o.text("request_id", c.x.ID)
	return eventstore.Evidence{MediaType: "application/vnd.khata.origin+json", Body: o.end()}
}

// idempotencyKey is the header as the log knows it; "" for none.
func (c *call) idempotencyKey() (string, error) {
	values := c.r.Header[idempotencyHeader]
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || values[0] == "" || len(values[0]) > maxIdempotencyKey {
		return "", custom("%s must be 1 to %d printable ASCII characters, given once", idempotencyHeader, maxIdempotencyKey)
	}
	for i := range len(values[0]) {
		if b := values[0][i]; b < 0x20 || b > 0x7E {
			return "", custom("%s must be 1 to %d printable ASCII characters, given once", idempotencyHeader, maxIdempotencyKey)
		}
	}
	return "idem:" + c.app.ID + ":POST " + Prefix + PathInitiate + ":" + values[0], nil
}

// repeated is the transaction that the request's Idempotency-Key stands for, as it is now.
func (c *call) repeated(ctx context.Context, at eventstore.Position, digest string) (wallet.Payment, error) {
	p, same, err := c.held(ctx, at, digest)
	if err != nil {
		return p, err
	}
	if !same {
		return p, custom(messageKeyReused)
	}
	c.w.Header().Set("Idempotent-Replayed", "true")
	return p, nil
}

// begun is the transaction that has the referenceNumber already, if the very same request made it and died before it had an order.
func (c *call) begun(ctx context.Context, at eventstore.Position, digest string) (wallet.Payment, error) {
	p, same, err := c.held(ctx, at, digest)
	if err != nil {
		return p, err
	}
	if !same || p.Status != wallet.Pending || p.Checkout.Order != "" || !c.now().Before(p.ExpiresAt) ||
		!merchant.ValidID(transactionPrefix, p.Payment) {
		return p, custom(messageDuplicate)
	}
	return p, nil
}

// held is the transaction that a record made, as it is now, and whether a body of the digest asked for it; that it did is not said when the
// key is erased that would tell, nor when no digest is given.
func (c *call) held(ctx context.Context, at eventstore.Position, digest string) (wallet.Payment, bool, error) {
	record, err := c.api.ports.Ledger.Record(ctx, at)
	if err != nil {
		return wallet.Payment{}, false, failed("reading the record of a transaction", err)
	}
	same := false
	if digest != "" {
		same, err = c.asked(ctx, &record, digest)
	}
	if err != nil {
		return wallet.Payment{}, false, failed("reading the record of a transaction", err)
	}
	p, err := c.api.ports.Ledger.Payment(ctx, c.app.ID, record.Subject)
	return p, same, failed("reading a transaction", err)
}

// asked tells whether a body of the digest asked for a record.
func (c *call) asked(ctx context.Context, r *eventstore.Record, digest string) (bool, error) {
	meta, err := eventstore.ParseMeta(r.Meta)
	if err != nil {
		return false, fmt.Errorf("%w: record %s: %w", eventstore.ErrBroken, r.Position(), err)
	}
	command, err := uuid.Parse(meta.Command)
	if err != nil {
		return false, fmt.Errorf("%w: record %s: its command: %w", eventstore.ErrBroken, r.Position(), err)
	}
	same, err := c.api.ports.Vault.Matches(ctx, command, meta.BodyHash, digest)
	if errors.Is(err, vault.ErrErased) {
		return false, nil
	}
	return same, err
}

// number is an amount in minor units, as gateways' own clients want it.
func number(p *wallet.Payment) []byte {
	minor, fits := p.Amount.Minor()
	if !fits {
		return httpapi.AppendString(nil, p.Amount.Short())
	}
	return fmt.Append(nil, minor)
}
