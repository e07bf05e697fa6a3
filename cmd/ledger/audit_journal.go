package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/adapters/plaintext"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore"
)

// auditPeriod is a period of whole days, both inclusive.
type auditPeriod struct {
	From     *auditDay `help:"First day, such as 2026-04-01." placeholder:"DATE"`
	To       *auditDay `help:"Last day." placeholder:"DATE"`
	TimeZone string    `default:"Asia/Kolkata" help:"Time zone of the days."`
}

// auditDay is a day on the command line; which instants it has is for the time zone to say.
type auditDay time.Time

// UnmarshalText reads 2026-04-01.
func (d *auditDay) UnmarshalText(text []byte) error {
	at, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a day such as 2026-04-01", text)
	}
	*d = auditDay(at)
	return nil
}

// bounds are the first instant of the period and the first one behind it; zero where it has no such end.
func (p *auditPeriod) bounds() (from, until time.Time, zone *time.Location, err error) {
	if zone, err = time.LoadLocation(p.TimeZone); err != nil {
		return from, until, nil, usagef("--time-zone: %v", err)
	}
	days := ops.Period{Zone: zone}
	if p.From != nil {
		days.From = time.Time(*p.From)
	}
	if p.To != nil {
		days.To = time.Time(*p.To)
	}
	from, until, ok := days.Bounds()
	if !ok {
		return from, until, nil, usagef("--to is before --from")
	}
	return from, until, zone, nil
}

// auditJournal is `ledger audit journal`.
type auditJournal struct {
	storeFlags
	auditPeriod
	Format   string `required:"" enum:"hledger,beancount,ledger,csv,json" help:"hledger, beancount, ledger (the program of that name), csv or json."`
	Merchant string `help:"Only the wallets of this merchant." placeholder:"ID"`
	Output   string `short:"o" help:"File to write; it appears whole or not at all. Without it, stdout." placeholder:"FILE"`
}

// journalWritten is what `audit journal` answers when it writes to a file.
type journalWritten struct {
	File    string     `json:"file"`
	Ledger  uuid.UUID  `json:"ledger_id"`
	Entries int64      `json:"entries"`                 // transactions, but for the opening one
	Late    int64      `json:"late_entries"`            // of an earlier date than one before them
	Moved   int64      `json:"moved_entries,omitempty"` // posted behind their value date, whose period had been closed
	Heads   []headJSON `json:"heads"`
}

// Run writes the journal while it reads the log. It needs no master key and no views.
func (c *auditJournal) Run(ctx context.Context, t *terminal) error {
	from, until, zone, err := c.bounds()
	if err != nil {
		return err
	}
	return withLog(ctx, &c.storeFlags, func(log eventstore.Store) error {
		tell, finish := t.progress("journal")
		var done plaintext.Written
		err := t.writeOut(c.Output, func(w io.Writer) (err error) {
			done, err = writeJournal(ctx, w, log, plaintext.Options{
				Format: plaintext.Format(c.Format), From: from, Until: until, Zone: zone, Merchant: c.Merchant, Progress: tell,
			})
			return err
		})
		if err = errors.Join(err, finish()); err != nil || c.Output == "" {
			return err
		}
		return t.answer(journalWritten{c.Output, done.Ledger, done.Entries, done.Late, done.Moved, headsJSON(done.Heads)})
	})
}

// known refuses a merchant that the log does not have. No id is every merchant.
func known(ctx context.Context, log eventstore.Store, id string) error {
	if id == "" {
		return nil
	}
	info, err := log.Info(ctx)
	if err != nil {
		return err
	}
	first, err := log.ReadStream(ctx, eventstore.PartitionOf(id, info.Partitions), merchant.Stream(id), 0, 1)
	if err == nil && len(first) == 0 {
		err = notFound("merchant", id)
	}
	return err
}
