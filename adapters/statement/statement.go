package statement

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// Format is how a statement is written.
type Format string

// The formats.
const (
	CSV  Format = "csv"
	XLSX Format = "xlsx"
	PDF  Format = "pdf"
	JSON Format = "json"
)

// Errors. Compare with errors.Is.
var (
	// ErrUnbalanced: a line, or the closing balance, is not what the lines before make.
	ErrUnbalanced = errors.New("the statement does not add up")
	// ErrTooLong: a PDF would have more than MaxPDFLines, or a sheet more rows than spreadsheets read.
	ErrTooLong = errors.New("the statement is too long for its format")
)

// Document is what a statement says beside its lines.
type Document struct {
	*projections.Statement
	MerchantName string         // "" when the account is nobody's
	Zone         *time.Location // of all times that are written
	GeneratedAt  time.Time
}

// available tells whether the statement is of what a merchant can dispose of: then it ends with what is locked and owed.
func (d *Document) available() bool {
	return d.Merchant != "" && d.Account == wallet.AccountAvailable(d.Merchant)
}

// line is a line as it is written.
type line struct {
	*projections.StatementLine
	narration string
}

// totals are the sums of the lines so far.
type totals struct {
	lines         int
	debit, credit money.Amount
}

// renderer writes one format.
type renderer interface {
	begin() error
	line(l line) error
	end(sum totals) error
}

// Write writes a statement. Nothing that w has been given is a statement unless the error is nil. Errors are those of lines and of w,
// ErrUnbalanced, and ErrTooLong.
func Write(w io.Writer, f Format, d *Document, lines iter.Seq2[projections.StatementLine, error]) error {
	r, err := newRenderer(w, f, d)
	if err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return fmt.Errorf("begin the statement: %w", err)
	}
	sum := totals{debit: money.Zero(d.Currency), credit: money.Zero(d.Currency)}
	balance := d.Opening
	for l, err := range lines {
		if err != nil {
			return err
		}
		if balance, err = d.add(balance, &l); err != nil {
			return err
		}
		sum.lines++
		sum.debit, sum.credit = sum.debit.Add(l.Debit), sum.credit.Add(l.Credit)
		if err := r.line(line{&l, Narration(d.Account, &l)}); err != nil {
			return fmt.Errorf("write line %d of the statement (record %s): %w", sum.lines, l.Position, err)
		}
	}
	if !balance.Equal(d.Closing) {
		return fmt.Errorf("%w: %s opens with %s and has %s behind its %d lines, but closes with %s", ErrUnbalanced, d.Account, d.Opening.Fixed(),
			balance.Fixed(), sum.lines, d.Closing.Fixed())
	}
	if err := r.end(sum); err != nil {
		return fmt.Errorf("end the statement: %w", err)
	}
	return nil
}

func newRenderer(w io.Writer, f Format, d *Document) (renderer, error) {
	switch f {
	case CSV:
		return newCSV(w, d), nil
	case XLSX:
		return newXLSX(w, d), nil
	case PDF:
		return newPDF(w, d), nil
	case JSON:
		return newJSON(w, d), nil
	}
	return nil, fmt.Errorf("a statement has no format %q", f)
}

// add is the balance behind a line, checked.
func (d *Document) add(balance money.Amount, l *projections.StatementLine) (money.Amount, error) {
	change := l.Credit.Sub(l.Debit)
	if d.DebitNormal {
		change = change.Neg()
	}
	balance = balance.Add(change)
	if !balance.Equal(l.Balance) {
		return balance, fmt.Errorf("%w: behind record %s, line %d of %s, the balance is %s, but the line has %s", ErrUnbalanced, l.Position, l.Line, d.Account,
			balance.Fixed(), l.Balance.Fixed())
	}
	return balance, nil
}

// days is the period, both days included, as dates of the zone.
func (d *Document) days() (from, to time.Time) {
	return d.From.In(d.Zone), d.To.Add(-time.Microsecond).In(d.Zone)
}

// fact is something that a statement says of itself.
type fact struct{ name, value string }

// facts are what every format says beside the lines, in the order in which people look for it.
func (d *Document) facts() []fact {
	from, to := d.days()
	order := "time of recording"
	if d.ByValue {
		order = "value date"
	}
	balances := "credits less debits"
	if d.DebitNormal {
		balances = "debits less credits"
	}
	var facts []fact
	if d.Merchant != "" {
		facts = append(facts, fact{"Merchant", d.MerchantName}, fact{"Merchant id", d.Merchant})
	}
	facts = append(facts,
		fact{"Account", d.Account}, fact{"Currency", string(d.Currency)},
		fact{"Period", from.Format(time.DateOnly) + " to " + to.Format(time.DateOnly) + " (" + d.Zone.String() + ")"},
		fact{"Lines by", order}, fact{"Balances are", balances},
		fact{"Generated at", d.GeneratedAt.In(d.Zone).Format(time.RFC3339)})
	for _, h := range d.Heads {
		facts = append(facts, fact{"Stands on log position " + headAt(h), h.Hash.String()})
	}
	return facts
}

func headAt(h eventstore.Head) string {
	return eventstore.Position{Partition: h.Partition, Seq: h.Seq}.String()
}

// Narration says in a few words what a line is about, as it is seen from the account. It holds no personal data beyond the last four digits of
// an account number, and the reasons that operators have given.
func Narration(account string, l *projections.StatementLine) string {
	said := happened(account, l)
	switch account {
	case wallet.AccountCommission:
		return "Commission: " + said
	case wallet.AccountTax:
		return "GST on commission: " + said
	}
	return said
}

func happened(account string, l *projections.StatementLine) string {
	available := strings.HasSuffix(account, ":available")
	switch l.Type {
	case "payin.succeeded":
		if available && !l.Commission.IsZero() {
			return "Payin of " + l.Amount.Grouped() + " less commission " + l.Commission.Grouped()
		}
		return "Payin received"
	case "payin.suspended":
		return because("Payment that fits no payin, put in suspense", l.Reason)
	case "suspense.credited":
		return because("Payment from suspense credited", l.Reason)
	case "suspense.refunded":
		return because("Payment from suspense sent back", l.Reason)
	case "payout.initiated":
		if available && !l.Commission.IsZero() {
			return payout(l) + ", " + l.Amount.Grouped() + " with commission " + l.Commission.Grouped()
		}
		return payout(l)
	case "payout.succeeded":
		return payout(l) + ", paid"
	case "payout.failed":
		return because(payout(l)+", not sent and given back", l.Reason)
	case "payout.refunded":
		return because(payout(l)+", not paid and given back", l.Reason)
	case "payout.returned":
		return because(payout(l)+", returned by the bank", l.Reason)
	case "payout.paid_after_refund":
		return payout(l) + ", paid after it was given back"
	case "wallet.adjusted", "books.adjusted":
		return because("Adjustment", l.Reason)
	case "wallet.recovered":
		return "Recovery of what was owed"
	case "wallet.held":
		return because("Hold", l.Reason)
	case "wallet.released":
		return because("Hold released", l.Reason)
	case "dispute.opened":
		return because("Dispute opened, held", l.Reason)
	case "dispute.escalated":
		return because("Dispute escalated, held", l.Reason)
	case "dispute.won":
		return because("Dispute won, released", l.Reason)
	case "dispute.lost":
		return because("Dispute lost", l.Reason)
	case "dispute.reversed":
		return because("Lost dispute given back", l.Reason)
	case "dispute.closed":
		return because("Dispute closed, released", l.Reason)
	case "refund.initiated":
		return because("Refund to the customer, held", l.Reason)
	case "refund.succeeded":
		return "Refund to the customer, made"
	case "refund.failed":
		return because("Refund to the customer, not made and given back", l.Reason)
	case "refund.paid_after_failure":
		return "Refund to the customer, made after it was given back"
	case "batch.held":
		return "Held for payout batch " + l.Batch
	case "batch.released":
		return "Released from payout batch " + l.Batch
	}
	return l.Type // of an event that is newer than this text
}

func payout(l *projections.StatementLine) string {
	bank := l.BankName
	if bank == "" {
		bank = "a bank account"
	}
	return "Payout to " + bank + " ****" + l.AccountLast4
}

// because adds a reason: one of the closed list, or what an operator wrote.
func because(what, reason string) string {
	if reason == "" {
		return what
	}
	if !strings.Contains(reason, " ") {
		reason = strings.ReplaceAll(reason, "_", " ")
	}
	return what + ": " + reason
}
