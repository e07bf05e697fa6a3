package ops

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// MaxDocument bounds a document of evidence, in bytes.
const MaxDocument = 2 << 20

// maxEvidenceBody is a document as base64, with what stands around it.
const maxEvidenceBody = MaxDocument/3*4 + 16<<10

// fields reads the members of a body; what is wrong with them is one domain.Invalid.
type fields struct {
	sent  sent
	wrong map[string]string
}

func (s sent) read() *fields { return &fields{s, map[string]string{}} }

func (f *fields) fault(name, text string) {
	if f.wrong[name] == "" {
		f.wrong[name] = text
	}
}

// text is a text of the body, at most limit bytes.
func (f *fields) text(name string, required bool, limit int) string {
	m := f.sent.fields.Get(name)
	switch {
	case m.Kind == httpapi.Absent || m.Kind == httpapi.Null:
		if required {
			f.fault(name, "is missing")
		}
		return ""
	case m.Kind != httpapi.String:
		f.fault(name, "must be a string")
		return ""
	}
	if fault := reasonFault(m.Text, limit); fault != "" && (required || m.Text != "") {
		f.fault(name, fault)
	}
	return m.Text
}

func (f *fields) flag(name string) bool {
	m := f.sent.fields.Get(name)
	switch {
	case m.Kind == httpapi.Bool:
		return m.Text == "true"
	case m.Kind != httpapi.Absent && m.Kind != httpapi.Null:
		f.fault(name, "must be true or false")
	}
	return false
}

// amount is a decimal amount, as a string or a number; preset without one.
func (f *fields) amount(name string, preset money.Amount) money.Amount {
	m := f.sent.fields.Get(name)
	switch m.Kind {
	case httpapi.Absent, httpapi.Null:
		return preset
	case httpapi.String, httpapi.Number:
		a, err := money.Parse(m.Text, preset.Currency())
		if err == nil {
			return a
		}
	default:
	}
	f.fault(name, fmt.Sprintf("must be an amount in %s", preset.Currency()))
	return preset
}

// deadline is a time, or a day, of which the last second is meant, in the zone of statements.
func (f *fields) deadline(name string) time.Time {
	s := f.text(name, true, maxText)
	at, err := ParseDeadline(s)
	if err != nil && f.wrong[name] == "" {
		f.fault(name, err.Error())
	}
	return at
}

// ParseDeadline reads a time (RFC 3339), or a day: the last second of it in India.
func ParseDeadline(s string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at.UTC(), nil
	}
	zone, err := time.LoadLocation(DefaultZone)
	if err != nil {
		return time.Time{}, err
	}
	day, err := time.ParseInLocation(time.DateOnly, s, zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("must be a day such as 2026-04-01, or a time such as 2026-04-01T18:00:00+05:30")
	}
	return day.AddDate(0, 0, 1).Add(-time.Second).UTC(), nil
}

func (f *fields) err() error {
	if len(f.wrong) == 0 {
		return nil
	}
	return &domain.Error{Code: domain.Invalid, Message: messageValidation, Details: f.wrong}
}

// openDispute opens a dispute of a payin by hand.
func (a *API) openDispute(r *http.Request, by merchant.Operator, s sent) (any, error) {
	name, err := id(r)
	if err != nil {
		return nil, err
	}
	if err := s.knownFields("phase", "reason", "amount", "respond_by", "case_id", "payment_id", "hold"); err != nil {
		return nil, err
	}
	p, err := a.ports.Disputes.Payin(r.Context(), name)
	if err != nil {
		return nil, err
	}
	name, err = a.disputeID(r, by)
	if err != nil {
		return nil, err
	}
	f := s.read()
	c := wallet.OpenDispute{
		Base: wallet.Base{Of: p.Of, At: a.now()}, Dispute: name, Case: f.text("case_id", false, wallet.MaxName), PaymentID: f.text("payment_id", false, wallet.MaxName),
		Phase: wallet.Phase(f.text("phase", true, maxText)), Reason: f.text("reason", true, wallet.MaxReason), Amount: f.amount("amount", p.Amount),
		RespondBy: f.deadline("respond_by"), Actor: actor(by),
	}
	if hold := s.fields.Get("hold").Kind; hold != httpapi.Absent && hold != httpapi.Null {
		c.Unheld = !f.flag("hold")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.submitDispute(r, by, c, c.Dispute, nil, origin(r, by, s.body))
}

// now is the value date of what is done by hand.
func (a *API) now() time.Time { return eventstore.Micros(a.opts.Clock()) }

// disputeNamed finds the dispute that the path names.
func (a *API) disputeNamed(r *http.Request) (*projections.DisputeEntry, error) {
	name, err := id(r)
	if err != nil {
		return nil, err
	}
	d, err := a.ports.Disputes.Dispute(r.Context(), name)
	return &d, err
}

// escalateDispute takes a dispute to a later phase.
func (a *API) escalateDispute(r *http.Request, by merchant.Operator, s sent) (any, error) {
	if err := s.knownFields("phase", "reason", "amount", "respond_by"); err != nil {
		return nil, err
	}
	d, err := a.disputeNamed(r)
	if err != nil {
		return nil, err
	}
	f := s.read()
	c := wallet.EscalateDispute{
		Base: wallet.Base{Of: d.Of, At: a.now()}, Dispute: d.ID, Phase: wallet.Phase(f.text("phase", true, maxText)),
		Reason: f.text("reason", true, wallet.MaxReason), Amount: f.amount("amount", d.Amount), RespondBy: f.deadline("respond_by"), Actor: actor(by),
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.submitDispute(r, by, c, d.ID, d, origin(r, by, s.body))
}

// settleDispute says how a dispute has ended.
func (a *API) settleDispute(outcome wallet.Settlement) change {
	return func(r *http.Request, by merchant.Operator, s sent) (any, error) {
		known := []string{"reason"}
		if outcome == wallet.SettleLost || outcome == wallet.SettleReversed {
			known = append(known, "amount", "fee")
		}
		if err := s.knownFields(known...); err != nil {
			return nil, err
		}
		d, err := a.disputeNamed(r)
		if err != nil {
			return nil, err
		}
		f := s.read()
		c := wallet.SettleDispute{
			Base: wallet.Base{Of: d.Of, At: a.now()}, Dispute: d.ID, Outcome: outcome, Amount: f.amount("amount", d.Amount),
			Fee: f.amount("fee", money.Zero(d.Of.Currency)), Reason: f.text("reason", true, wallet.MaxReason), Actor: actor(by),
		}
		if outcome == wallet.SettleReversed {
			c.Amount, c.Fee = f.amount("amount", d.Lost), f.amount("fee", d.Fee)
		}
		if err := f.err(); err != nil {
			return nil, err
		}
		return a.submitDispute(r, by, c, d.ID, d, origin(r, by, s.body))
	}
}

// attachEvidence keeps a document with a dispute, or a note.
func (a *API) attachEvidence(r *http.Request, by merchant.Operator, s sent) (any, error) {
	if err := s.knownFields("kind", "name", "note", "document", "submitted"); err != nil {
		return nil, err
	}
	d, err := a.disputeNamed(r)
	if err != nil {
		return nil, err
	}
	f := s.read()
	c := wallet.AttachEvidence{
		Base: wallet.Base{Of: d.Of, At: a.now()}, Dispute: d.ID, Kind: f.text("kind", true, maxText),
		Note: f.text("note", false, wallet.MaxReason), Submitted: f.flag("submitted"), Actor: actor(by),
	}
	name, document, o := f.text("name", false, wallet.MaxName), f.document(), origin(r, by, nil)
	if err := f.err(); err != nil {
		return nil, err
	}
	// The body holds the document once more: it is kept as what it is, not as what it was wrapped in. A file's name may name people: it is
	// sealed, too.
	sum := sha256.Sum256(s.body)
	o.BodyHash, o.Evidence = hex.EncodeToString(sum[:]), o.Evidence[1:]
	if name != "" {
		named := httpapi.AppendString([]byte(`{"name":`), name)
		o.Evidence = append(o.Evidence, eventstore.Evidence{MediaType: "application/json", Body: append(named, '}')})
	}
	if len(document) > 0 {
		digest := sha256.Sum256(document)
		c.Digest, c.Size = hex.EncodeToString(digest[:]), len(document)
		o.Evidence = append(o.Evidence, eventstore.Evidence{MediaType: http.DetectContentType(document), Body: document})
	}
	return a.submitDispute(r, by, c, d.ID, d, o)
}

// document is the file that a body brings, as base64.
func (f *fields) document() []byte {
	m := f.sent.fields.Get("document")
	switch {
	case m.Kind == httpapi.Absent || m.Kind == httpapi.Null:
		return nil
	case m.Kind != httpapi.String:
		f.fault("document", "must be a string")
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(m.Text)
	switch {
	case err != nil:
		f.fault("document", "must be the file as base64")
	case len(b) == 0:
		f.fault("document", "is empty")
	case len(b) > MaxDocument:
		f.fault("document", fmt.Sprintf("is larger than %d bytes", MaxDocument))
	}
	return b
}
