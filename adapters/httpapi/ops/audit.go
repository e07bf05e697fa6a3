package ops

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// Auditor writes what auditors take away, as the command line does. An error is domain.Invalid or domain.NotFound for what cannot be asked, or
// a fault; what was written until then is nothing whole.
type Auditor interface {
	// Statement writes the statement of an account.
	Statement(ctx context.Context, w io.Writer, q StatementQuery) error
	// Journal writes the double-entry journal.
	Journal(ctx context.Context, w io.Writer, q JournalQuery) error
	// EditLog writes who changed what.
	EditLog(ctx context.Context, w io.Writer, q EditLogQuery) error
	// Replay writes the events of a subject in order.
	Replay(ctx context.Context, w io.Writer, q ReplayQuery) error
}

// StatementQuery asks for a statement. Its period has both ends.
type StatementQuery struct {
	Merchant string // whose available balance; or
	Account  string // of the books
	Currency money.Currency
	ByValue  bool // days and order are those of value dates; else of recording
	Format   string
	Period
}

// JournalQuery asks for the journal, by value dates.
type JournalQuery struct {
	Format   string
	Merchant string // "": of all
	Period
}

// EditLogQuery asks for the edit log, by days of recording.
type EditLogQuery struct {
	Format   string // csv or json
	Merchant string // "": of all, and operators
	Period
}

// ReplayQuery asks for a timeline, up to a time or a position, that included; without either, the whole of it.
type ReplayQuery struct {
	Subject string
	Until   time.Time
	UpTo    eventstore.Position
	Masked  bool // leave out what Mask does
}

// audits are who may take away what everybody has: all but support.
func audits(r merchant.Role) bool { return reads(r) && r != merchant.Support }

func (a *API) statement(r *http.Request, _ merchant.Operator) (*file, error) {
	p := query(r)
	q := StatementQuery{
		Merchant: p.text("merchant"), Account: p.text("account"), Currency: p.currency(),
		ByValue: p.text("by", "recording", "value") == "value", Format: p.must("format", "csv", "xlsx", "pdf", "json"), Period: p.period(),
	}
	if (q.Merchant == "") == (q.Account == "") {
		p.wrong["merchant"] = "or account is needed, and not both"
	}
	for _, day := range []string{"from", "to"} {
		p.must(day)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	name := fileName("statement", q.Merchant+q.Account, p.text("from"), p.text("to")) + "." + q.Format
	kind := map[string]string{"csv": typeCSV, "xlsx": typeXLSX, "pdf": typePDF, "json": typeJSON}[q.Format]
	return &file{name: name, kind: kind, write: func(ctx context.Context, w io.Writer) error {
		return a.ports.Auditor.Statement(ctx, w, q)
	}}, nil
}

func (a *API) journal(r *http.Request, _ merchant.Operator) (*file, error) {
	p := query(r)
	q := JournalQuery{Format: p.must("format", "hledger", "beancount", "ledger", "csv", "json"), Merchant: p.text("merchant"), Period: p.period()}
	if err := p.err(); err != nil {
		return nil, err
	}
	kind, ending := typeText, map[string]string{"hledger": "journal", "beancount": "beancount", "ledger": "ledger"}[q.Format]
	switch q.Format {
	case "csv":
		kind, ending = typeCSV, "csv"
	case "json":
		kind, ending = typeJSON, "json"
	}
	return &file{name: fileName(named("journal", q.Merchant)...) + "." + ending, kind: kind, write: func(ctx context.Context, w io.Writer) error {
		return a.ports.Auditor.Journal(ctx, w, q)
	}}, nil
}

func (a *API) editLog(r *http.Request, _ merchant.Operator) (*file, error) {
	p := query(r)
	q := EditLogQuery{Format: p.text("format", "csv", "json"), Merchant: p.text("merchant"), Period: p.period()}
	if err := p.err(); err != nil {
		return nil, err
	}
	kind := typeCSV
	if q.Format != "csv" {
		q.Format, kind = "json", typeJSON
	}
	return &file{name: fileName(named("edit-log", q.Merchant)...) + "." + q.Format, kind: kind, write: func(ctx context.Context, w io.Writer) error {
		return a.ports.Auditor.EditLog(ctx, w, q)
	}}, nil
}

// named are the parts of a file's name that are there.
func named(what, of string) []string {
	if of == "" {
		return []string{what}
	}
	return []string{what, of}
}

// replay answers with the events of a payment, batch, wallet, merchant or operator. Support sees payments and batches, masked.
func (a *API) replay(r *http.Request, by merchant.Operator) (*file, error) {
	p := query(r)
	q := ReplayQuery{Masked: by.Role == merchant.Support}
	if until := p.text("until"); until != "" {
		var err error
		if q.UpTo, err = eventstore.ParsePosition(until); err != nil || q.UpTo.Seq < 1 {
			if q.Until, err = time.Parse(time.RFC3339, until); err != nil {
				p.wrong["until"] = "must be a time such as 2026-03-31T18:00:00Z, or a position such as 0:17"
			}
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	var err error
	if q.Subject, err = pathText(r, "subject"); err != nil {
		return nil, err
	}
	if q.Masked && !strings.HasPrefix(q.Subject, "txn_") && !strings.HasPrefix(q.Subject, "bat_") {
		return nil, domain.Errorf(domain.Forbidden, "support replays payments and batches alone")
	}
	return &file{kind: typeJSON, write: func(ctx context.Context, w io.Writer) error { return a.ports.Auditor.Replay(ctx, w, q) }}, nil
}

// pathText is a segment of the path, refused when nothing can be called that.
func pathText(r *http.Request, name string) (string, error) {
	s := r.PathValue(name)
	if len(s) > maxText || !eventstore.ValidText(s) {
		return "", domain.Errorf(domain.NotFound, "nothing is called that")
	}
	return s, nil
}
