package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/eventstore"
)

// Reconciliation compares the books with what gateways and banks say. Its answers are those that the command line prints, as JSON.
type Reconciliation interface {
	// ReconcileSources lists the sources, or the one. domain.NotFound.
	ReconcileSources(ctx context.Context, name string) (any, error)
	// DeclareSource makes a source, or gives it other terms. domain.Invalid.
	DeclareSource(ctx context.Context, name string, c money.Currency, t reconcile.Terms, o eventstore.Origin) (any, error)
	// ImportFile takes in a file. domain.Invalid names the line that is wrong; then nothing is changed.
	ImportFile(ctx context.Context, f ReconcileFile, o eventstore.Origin) (any, error)
	// Reconcile runs the passes over one source, or all of them without a name.
	Reconcile(ctx context.Context, q ReconcileQuery, o eventstore.Origin) (any, error)
	// Breaks lists what does not agree.
	Breaks(ctx context.Context, q BreakQuery) (any, error)
	// Break is what becomes of one break. domain.NotFound, domain.Stale; domain.Forbidden when one person does both.
	Break(ctx context.Context, d BreakDecision, o eventstore.Origin) (any, error)
	// TieBalances compares the balances of books and banks.
	TieBalances(ctx context.Context, name string) (any, error)
}

// ReconcileFile is a file as it is sent.
type ReconcileFile struct {
	Source  string
	Name    string
	Format  string // "": found out
	Mapping []byte // "": none
	Body    io.Reader
}

// ReconcileQuery says what is to be reconciled.
type ReconcileQuery struct {
	Source string
	Upto   reconcile.Day
	Grace  int // days
}

// BreakQuery picks breaks.
type BreakQuery struct {
	Source, Owner, After string
	Kind                 reconcile.BreakKind
	OlderThan, Limit     int
	Ended                bool
}

// BreakDecision is what an operator does about a break.
type BreakDecision struct {
	ID    string
	Act   string // show, narration, assign, settle, approve or reject
	Owner string
	Way   reconcile.Way

	Proposal int // that is to be approved; 0: the last one
}

// Bounds of reconciliation.
const (
	maxBankFile    = 64 << 20
	maxMapping     = 64 << 10
	longWithin     = 5 * time.Minute // an import, a run
	defaultLate    = 3               // days
	defaultGrace   = 1
	maxDays        = 366
	defaultFeeGST  = "18"
	unnamedFile    = "upload"
	maxFormHeaders = 16
)

// registerReconciliation adds the routes of reconciliation.
func (a *API) registerReconciliation(rt *httpapi.Router) {
	const root = "/ops/v1/reconcile"
	rt.Handle(http.MethodGet, root+"/sources", a.guard(reads, a.sources))
	rt.Handle(http.MethodGet, root+"/sources/{source}", a.guard(reads, a.sources))
	rt.Handle(http.MethodPut, root+"/sources/{source}", a.guardChange(writes, a.declareSource))
	rt.Handle(http.MethodPost, root+"/sources/{source}/imports", a.guardLong(writes, a.importFile))
	rt.Handle(http.MethodPost, root+"/run", a.guardLong(writes, a.runReconciliation))
	rt.Handle(http.MethodGet, root+"/internal", a.guardLong(audits, a.tieBalances))
	rt.Handle(http.MethodGet, root+"/breaks", a.guard(reads, a.breaks))
	rt.Handle(http.MethodGet, root+"/breaks/{break}", a.guard(reads, a.showBreak))
	rt.Handle(http.MethodPost, root+"/breaks/{break}/narration", a.guardChange(unmasks, a.openNarration))
	rt.Handle(http.MethodPost, root+"/breaks/{break}/assign", a.guardChange(handles, a.assignBreak))
	rt.Handle(http.MethodPost, root+"/breaks/{break}/settle", a.guardChange(writes, a.settleBreak))
	rt.Handle(http.MethodPost, root+"/breaks/{break}/approve", a.guardChange(approves, a.approveBreak))
	rt.Handle(http.MethodPost, root+"/breaks/{break}/reject", a.guardChange(approves, a.rejectBreak))
}

// handles are who may say whose business a break is.
func handles(r merchant.Role) bool { return writes(r) || approves(r) }

// guardLong is guard for what takes long, and much memory: it has one of the places of exports.
func (a *API) guardLong(may func(merchant.Role) bool, serve handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, ok := a.admit(w, r, may)
		if !ok {
			return
		}
		select {
		case a.exports <- struct{}{}:
			defer func() { <-a.exports }()
		default:
			httpapi.RetryAfter(w, exportRetry)
			httpapi.Fail(w, http.StatusServiceUnavailable, messageExportsBusy)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), longWithin)
		defer cancel()
		if a.opts.Stopping != nil {
			defer context.AfterFunc(a.opts.Stopping, cancel)()
		}
		rc, end := http.NewResponseController(w), time.Now().Add(longWithin)
		_ = rc.SetReadDeadline(end)                  //nolint:errcheck // a connection without deadlines has none to move
		_ = rc.SetWriteDeadline(end.Add(sendWithin)) //nolint:errcheck // see above
		r.Body = http.MaxBytesReader(w, r.Body, maxBankFile)
		data, err := serve(r.WithContext(ctx), by)
		var over *http.MaxBytesError
		if errors.As(err, &over) {
			err = httpapi.ErrTooLarge
		}
		a.answer(w, r, data, err)
	})
}

func (a *API) sources(r *http.Request, _ merchant.Operator) (any, error) {
	return a.ports.Reconciliation.ReconcileSources(r.Context(), r.PathValue("source"))
}

// declareSource takes {"kind","account","books":"a,b","against","currency","fee_percent","fee_gst_percent","late_days"}.
func (a *API) declareSource(r *http.Request, by merchant.Operator, s sent) (any, error) {
	if err := s.knownFields("kind", "account", "books", "against", "currency", "fee_percent", "fee_gst_percent", "late_days"); err != nil {
		return nil, err
	}
	f := s.read()
	t := reconcile.Terms{
		Kind: reconcile.Kind(f.text("kind", true, maxText)), Account: f.text("account", true, maxText), Against: f.text("against", false, maxText),
		Late: defaultLate,
	}
	c := money.Currency(f.text("currency", false, maxText))
	if c == "" {
		c = money.INR
	}
	if m := s.fields.Get("late_days"); m.Kind != httpapi.Absent {
		n, err := strconv.Atoi(m.Text)
		if m.Kind != httpapi.Number || err != nil {
			f.fault("late_days", "must be a number of days")
		}
		t.Late = n
	}
	if books := f.text("books", false, maxText*reconcile.MaxBooks); books != "" {
		t.Books = strings.Split(books, ",")
	}
	percent, gst := f.text("fee_percent", false, maxText), f.text("fee_gst_percent", false, maxText)
	if gst == "" {
		gst = defaultFeeGST
	}
	if percent != "" {
		var err error
		if t.Fee, err = reconcile.Charge(percent, gst); err != nil {
			f.fault("fee_percent", err.Error())
		}
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	found, err := a.ports.Reconciliation.DeclareSource(r.Context(), r.PathValue("source"), c, t, origin(r, by, s.body))
	return found, conflict(err)
}

// importFile takes the file as the body, or as the part "file" of a form behind a part "map".
func (a *API) importFile(r *http.Request, by merchant.Operator) (any, error) {
	p := query(r)
	f := ReconcileFile{
		Source: r.PathValue("source"), Name: p.text("name"), Format: p.text("format", "csv", "mt940", "camt053"), Body: r.Body,
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if err := f.form(r); err != nil {
		return nil, err
	}
	if f.Name == "" {
		f.Name = unnamedFile
	}
	said, err := json.Marshal(map[string]string{"source": f.Source, "name": f.Name, "format": f.Format})
	if err != nil {
		return nil, err
	}
	found, err := a.ports.Reconciliation.ImportFile(r.Context(), f, origin(r, by, said))
	if err != nil {
		return nil, conflict(err)
	}
	a.opts.Logger.Info("a bank's file is imported", "request_id", httpapi.From(r.Context()).ID, "operator", by.ID, "source", f.Source)
	return found, nil
}

// form finds the file in a form, where the body is one.
func (f *ReconcileFile) form(r *http.Request) error {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(kind), "multipart/form-data") {
		return nil // the body is the file
	}
	form, err := r.MultipartReader()
	if err != nil {
		return domain.InvalidField("file", "is in a form that cannot be read")
	}
	for range maxFormHeaders {
		part, err := form.NextPart()
		if err != nil {
			break
		}
		switch part.FormName() {
		case "map":
			if err := f.mapping(part); err != nil {
				return err
			}
		case "file":
			if f.Name == "" {
				f.Name = part.FileName()
			}
			f.Body = part
			return nil
		}
	}
	return domain.InvalidField("file", "is missing: send a part of that name, behind that of the mapping")
}

func (f *ReconcileFile) mapping(part *multipart.Part) (err error) {
	f.Mapping, err = io.ReadAll(io.LimitReader(part, maxMapping+1))
	if err == nil && len(f.Mapping) > maxMapping {
		err = domain.InvalidField("map", fmt.Sprintf("must not be longer than %d bytes", maxMapping))
	}
	return err
}

func (a *API) runReconciliation(r *http.Request, by merchant.Operator) (any, error) {
	p := query(r)
	q := ReconcileQuery{Source: p.text("source"), Upto: reconcile.Day{Time: p.day("upto")}, Grace: p.number("grace_days", defaultGrace, maxDays)}
	if err := p.err(); err != nil {
		return nil, err
	}
	found, err := a.ports.Reconciliation.Reconcile(r.Context(), q, origin(r, by, []byte(r.URL.RawQuery)))
	return found, conflict(err)
}

func (a *API) tieBalances(r *http.Request, _ merchant.Operator) (any, error) {
	p := query(r)
	name := p.text("source")
	if err := p.err(); err != nil {
		return nil, err
	}
	return a.ports.Reconciliation.TieBalances(r.Context(), name)
}

func (a *API) breaks(r *http.Request, _ merchant.Operator) (any, error) {
	p := query(r)
	var kinds []string
	for _, k := range reconcile.BreakKinds() {
		kinds = append(kinds, string(k))
	}
	q := BreakQuery{
		Source: p.text("source"), Owner: p.text("owner"), After: p.text("after"), Kind: reconcile.BreakKind(p.text("kind", kinds...)),
		OlderThan: p.number("older_than_days", 0, maxDays*100), Limit: p.limit(), Ended: p.text("ended", "true", "false") == "true",
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return a.ports.Reconciliation.Breaks(r.Context(), q)
}

// number is a number from 0 on; preset without one.
func (p *params) number(name string, preset, most int) int {
	s := p.text(name)
	if s == "" {
		return preset
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		p.wrong[name] = fmt.Sprintf("must be from 0 to %d", most)
	}
	return n
}

func (a *API) showBreak(r *http.Request, _ merchant.Operator) (any, error) {
	return a.ports.Reconciliation.Break(r.Context(), BreakDecision{ID: r.PathValue("break"), Act: "show"}, eventstore.Origin{})
}

// openNarration shows a break with the narration of its line, which is sealed. It takes {"reason":"..."}.
func (a *API) openNarration(r *http.Request, by merchant.Operator, s sent) (any, error) {
	if err := s.knownFields("reason"); err != nil {
		return nil, err
	}
	f := s.read()
	return a.decideBreak(r, by, s, f, BreakDecision{Act: "narration", Way: reconcile.Way{Reason: f.text("reason", true, reconcile.MaxReason)}})
}

// assignBreak takes {"owner":"..."}; "" is nobody.
func (a *API) assignBreak(r *http.Request, by merchant.Operator, s sent) (any, error) {
	if err := s.knownFields("owner"); err != nil {
		return nil, err
	}
	f := s.read()
	d := BreakDecision{Act: "assign", Owner: f.text("owner", false, reconcile.MaxActor)}
	return a.decideBreak(r, by, s, f, d)
}

// settleBreak takes {"reason":"...","to":"suspense"} or "merchant_id" or "accept":true in place of "to".
func (a *API) settleBreak(r *http.Request, by merchant.Operator, s sent) (any, error) {
	if err := s.knownFields("reason", "to", "merchant_id", "accept"); err != nil {
		return nil, err
	}
	f := s.read()
	d := BreakDecision{Act: "settle", Way: reconcile.Way{
		Reason: f.text("reason", true, reconcile.MaxReason), To: f.text("to", false, maxText), Merchant: f.text("merchant_id", false, maxText),
		Accept: f.flag("accept"),
	}}
	return a.decideBreak(r, by, s, f, d)
}

// approveBreak posts what another operator has proposed. It takes {"proposal":2}, the number of what the operator has seen, or {}.
func (a *API) approveBreak(r *http.Request, by merchant.Operator, s sent) (any, error) {
	if err := s.knownFields("proposal"); err != nil {
		return nil, err
	}
	f, d := s.read(), BreakDecision{Act: "approve"}
	if m := s.fields.Get("proposal"); m.Kind != httpapi.Absent {
		n, err := strconv.Atoi(m.Text)
		if m.Kind != httpapi.Number || err != nil || n < 1 {
			f.fault("proposal", "must be the number of a proposal")
		}
		d.Proposal = n
	}
	return a.decideBreak(r, by, s, f, d)
}

// rejectBreak takes {"reason":"..."}.
func (a *API) rejectBreak(r *http.Request, by merchant.Operator, s sent) (any, error) {
	if err := s.knownFields("reason"); err != nil {
		return nil, err
	}
	f := s.read()
	return a.decideBreak(r, by, s, f, BreakDecision{Act: "reject", Way: reconcile.Way{Reason: f.text("reason", true, reconcile.MaxReason)}})
}

func (a *API) decideBreak(r *http.Request, by merchant.Operator, s sent, f *fields, d BreakDecision) (any, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	d.ID = r.PathValue("break")
	found, err := a.ports.Reconciliation.Break(r.Context(), d, origin(r, by, s.body))
	if err != nil {
		return nil, conflict(err)
	}
	a.opts.Logger.Info("a break is decided about", "request_id", httpapi.From(r.Context()).ID, "operator", by.ID, "break", d.ID, "act", d.Act)
	return found, nil
}
