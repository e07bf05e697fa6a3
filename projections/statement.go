package projections

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// ErrUnbalanced tells that a statement's opening balance and its lines do not make its closing balance, or the balance that the journal has behind a
// line is another. `ledger verify` says which of the journal's lines is wrong.
var ErrUnbalanced = errors.New("the statement does not add up")

// StatementFilter picks the lines of an account.
type StatementFilter struct {
	Account  string // as the books name it: merchant:mer_x:available, platform:commission
	Currency money.Currency
	From, To time.Time // from inclusive, to exclusive
	ByValue  bool      // From and To are of value dates, or where a line is late for a closed period, of when it is posted; lines come in their order. Else by the time of recording
}

// Statement is an account over a period: what it had before, its lines, and what it has behind them. It stands on the log up to Heads: what is
// recorded while it is read does not belong to it.
type Statement struct {
	StatementFilter
	Merchant    string // whose account it is; "" when it is nobody's
	DebitNormal bool   // balances are debits less credits: of assets. Else they are credits less debits
	Opening     money.Amount
	Closing     money.Amount
	Locked      money.Amount      // what the merchant has in open holds at the end of the period; zero but for what a merchant has available
	Owed        money.Amount      // what the merchant owes then; zero likewise
	Heads       []eventstore.Head // of the partitions that may have lines of it: one for a merchant's account, else all; and, by value, the one with the closes

	closes books.Closings // by value: those that may freeze something of the period

	views *Views
	parts []statementPart
	page  int // lines that are read at once
}

// statementPart is the account in one partition. Amounts are debits less credits, in minor units.
type statementPart struct {
	partition, account int64
	upto               int64 // seq that the statement stands on
	opening, closing   int64
}

// Statement reads the balances of a statement, after Reach; Lines reads the rest. The account of a merchant without history has nothing, which
// is no error; any other account that is not in the books is domain.NotFound. domain.Invalid names a period that is none.
func (v *Views) Statement(ctx context.Context, f StatementFilter) (*Statement, error) {
	if !f.From.Before(f.To) {
		return nil, domain.InvalidField("to", "must be later than from")
	}
	if _, known := f.Currency.Exponent(); !known {
		return nil, domain.InvalidField("currency", "is not known")
	}
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	at, _ := v.standing()
	if !at.ready() {
		return nil, fmt.Errorf("%w: %s", ErrBehind, v.Standing())
	}
	f.From, f.To = eventstore.Micros(f.From), eventstore.Micros(f.To)
	s := &Statement{StatementFilter: f, views: v, page: statementPage, Merchant: merchantOf(f.Account), DebitNormal: debitNormal(f.Account)}
	if s.Merchant != "" {
		s.stand(&at, eventstore.PartitionOf(s.Merchant, v.info.Partitions))
	} else {
		for p := range at.marks {
			s.stand(&at, p)
		}
	}
	if err := s.freeze(ctx, &at); err != nil {
		return nil, err
	}
	if err := s.open(ctx, &at); err != nil {
		return nil, err
	}
	return s, nil
}

// freeze reads the closes that have a say in the period. The statement stands on their partition, too.
func (s *Statement) freeze(ctx context.Context, at *standing) error {
	if !s.ByValue {
		return nil
	}
	of := s.views.booksPartition()
	err := s.views.serving(ctx, periods{}, func(generation int64) (err error) {
		s.closes, err = s.views.standingCloses(ctx, s.views.db, generation, micros(s.From), micros(s.To), at.marks[of].seq, math.MaxInt64)
		return err
	})
	if err == nil && len(s.closes) > 0 && !slices.ContainsFunc(s.Heads, func(h eventstore.Head) bool { return h.Partition == of }) {
		s.stand(at, of)
	}
	return err
}

// frozen is the seq behind which nothing of a partition counts before a moment, by value.
func (s *Statement) frozen(partition int64, moment time.Time, upto int64) int64 {
	if c := s.closes.Freezing(moment); c != nil {
		return min(upto, c.Marks[partition].Seq)
	}
	return upto
}

// open reads the balances.
func (s *Statement) open(ctx context.Context, at *standing) (err error) {
	if s.parts, err = s.read(ctx, at, s.Account); err != nil {
		return err
	}
	if len(s.parts) == 0 && s.Merchant == "" {
		return domain.Errorf(domain.NotFound, "there is no account %s in %s", s.Account, s.Currency)
	}
	var opening, closing int64
	for i := range s.parts {
		opening += s.parts[i].opening
		closing += s.parts[i].closing
	}
	s.Opening, s.Closing = s.normal(opening), s.normal(closing)
	s.Locked, s.Owed = money.Zero(s.Currency), money.Zero(s.Currency)
	if s.Merchant == "" || s.Account != wallet.AccountAvailable(s.Merchant) {
		return nil
	}
	for account, sum := range map[string]*money.Amount{
		wallet.AccountLocked(s.Merchant): &s.Locked, wallet.AccountReceivable(s.Merchant): &s.Owed,
	} {
		parts, err := s.read(ctx, at, account)
		if err != nil {
			return err
		}
		for i := range parts {
			*sum = sum.Add(normal(parts[i].closing, debitNormal(account), s.Currency))
		}
	}
	return nil
}

func (s *Statement) stand(at *standing, partition int) {
	s.Heads = append(s.Heads, eventstore.Head{Partition: partition, Seq: at.marks[partition].seq, Hash: at.marks[partition].hash})
}

// read reads the balances of an account in its partitions, at the beginning and the end of the period.
func (s *Statement) read(ctx context.Context, at *standing, account string) ([]statementPart, error) {
	rows, err := query(ctx, s.views, journal{}, accountTable, "WHERE name = $1 AND currency = $2 ORDER BY partition", account, string(s.Currency))
	if err != nil {
		return nil, err
	}
	parts := make([]statementPart, len(rows))
	for i, row := range rows {
		p := &parts[i]
		p.partition, p.account, p.upto = row.partition, row.account, at.marks[row.partition].seq
		if p.opening, err = s.before(ctx, p, s.From); err != nil {
			return nil, err
		}
		if p.closing, err = s.before(ctx, p, s.To); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// before is the balance of a part before a moment: as its last line before it has it, or, by value, the sum of all such lines.
func (s *Statement) before(ctx context.Context, p *statementPart, moment time.Time) (int64, error) {
	if s.ByValue {
		return number(ctx, s.views, journal{}, "CAST(coalesce(sum(debit - credit), 0) AS BIGINT)",
			lineTable.marked(generationMark)+` WHERE partition = $1 AND account = $2 AND effective_at < $3 AND seq <= $4`,
			p.partition, p.account, micros(moment), s.frozen(p.partition, moment, p.upto))
	}
	rows, err := query(ctx, s.views, journal{}, lineTable, lastLine, p.partition, p.account, micros(moment), p.upto)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return rows[0].balance, nil
}

const lastLine = `WHERE partition = $1 AND account = $2 AND recorded_at < $3 AND seq <= $4 ORDER BY recorded_at DESC, seq DESC, line DESC LIMIT 1`

// normal is debits less credits as the statement shows them.
func (s *Statement) normal(minor int64) money.Amount {
	return normal(minor, s.DebitNormal, s.Currency)
}

func normal(minor int64, debit bool, c money.Currency) money.Amount {
	if !debit {
		minor = -minor
	}
	return money.FromMinor(minor, c)
}

// merchantOf is whose account it is, by its name; "" for one that is no merchant's.
func merchantOf(account string) string {
	a, known := wallet.ParseAccount(account)
	if known && (a.Kind == books.MerchantAvailable || a.Kind == books.MerchantLocked || a.Kind == books.MerchantReceivable) {
		return a.Owner
	}
	return ""
}

// debitNormal tells the accounts that debits make grow.
func debitNormal(account string) bool {
	a, known := wallet.ParseAccount(account)
	return known && a.Kind.Type().Normal() == books.DebitSide
}

// StatementLine is one line of the journal, with what the views know of its payment now: a payout that was pending when the line was
// recorded has the UTR that it got later. Debit or Credit is zero. Balance is that behind the line.
type StatementLine struct {
	Position    eventstore.Position
	Line        int // of the record's, from 1
	RecordedAt  time.Time
	ValueAt     time.Time
	PostedAt    time.Time // by value: when it counts, which is ValueAt unless it is late; else zero
	LateFor     string    // by value: the closed period that it is late for, the last one of those that end behind its value date; "" when it is not
	Type        string    // of the event that moved the money: payout.initiated
	Transaction string    // subject of the record: a payment, a hold or a batch
	Debit       money.Amount
	Credit      money.Amount
	Balance     money.Amount

	Merchant     string
	Reference    string       // order_id or partner_request_id
	UTR          string       // of a return, the bank's reference of it
	Amount       money.Amount // of the payment, without commission
	Commission   money.Amount
	BankName     string
	AccountLast4 string
	Batch        string // that the payout belongs to
	Reason       string // of an adjustment, a hold, a failure, a return, or of closing a suspense entry
	Suspense     string // id of the suspense entry that the line is about

	TxnRef        string // of a payin: what the customer's app was given
	BankReference string // the bank's or gateway's own id: of a payout, of the payment of a payin, of a refund
}
