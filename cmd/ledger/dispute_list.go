package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/adapters/sheet"
	"github.com/khata-ledger/khata/projections"
)

type disputeList struct {
	storeFlags
	Status      string   `enum:"running,all,open,under_review,won,lost,closed" default:"running" help:"running (open or under review), all, open, under_review, won, lost or closed."`
	Merchant    string   `help:"Of this merchant alone." placeholder:"ID"`
	Transaction string   `help:"Of this payin alone." placeholder:"ID"`
	DueBy       *instant `help:"To be responded to by then (RFC 3339)." placeholder:"TIME"`
	Format      string   `enum:"table,json,csv" default:"table" help:"table, json or csv."`
}

// disputes is the answer of `dispute list`.
type disputes struct {
	Disputes []ops.Dispute `json:"disputes"`
}

// Run lists, those first that must be responded to first.
func (c *disputeList) Run(ctx context.Context, t *terminal) error {
	f := projections.DisputeFilter{Statuses: ops.StatusesOf(c.Status), Merchant: c.Merchant, Payment: c.Transaction, Limit: projections.MaxLimit}
	if c.DueBy != nil {
		f.DueBy = time.Time(*c.DueBy)
	}
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		found := disputes{Disputes: []ops.Dispute{}}
		for now := present(); ; {
			page, err := views.Disputes(ctx, f)
			if err != nil {
				return err
			}
			for i := range page.Items {
				found.Disputes = append(found.Disputes, ops.NewDispute(&page.Items[i], now))
			}
			if f.Cursor = page.NextCursor; f.Cursor == "" {
				return found.print(t, c.Format)
			}
		}
	})
}

func (d *disputes) print(t *terminal, format string) error {
	switch format {
	case "json":
		return t.answer(d)
	case "csv":
		return d.csv(t)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	line := func(cells ...any) {
		for i, cell := range cells {
			end := "\t"
			if i == len(cells)-1 {
				end = "\n"
			}
			fmt.Fprintf(w, "%v%s", cell, end) //nolint:errcheck // Flush tells
		}
	}
	line("RESPOND BY", "DISPUTE", "STATUS", "PHASE", "AMOUNT", "HELD", "MERCHANT", "TRANSACTION", "REASON")
	for i := range d.Disputes {
		v := &d.Disputes[i]
		by := v.RespondBy.Format(time.RFC3339)
		if v.Overdue {
			by += " OVERDUE"
		}
		line(by, v.ID, v.Status, v.Phase, v.Amount+" "+v.Currency, v.Held, v.Merchant, v.Transaction, v.Reason)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	return nil
}

func (d *disputes) csv(t *terminal) error {
	w := csv.NewWriter(t.out)
	rows := [][]string{{
		"respond_by", "dispute", "status", "phase", "currency", "amount", "held", "lost", "fee", "merchant_id", "transaction_id", "case_id", "gateway", "documents",
		"overdue", "reason", "opened_at", "changed_at",
	}}
	for i := range d.Disputes {
		v := &d.Disputes[i]
		rows = append(rows, []string{
			v.RespondBy.Format(time.RFC3339), v.ID, string(v.Status), string(v.Phase), v.Currency, v.Amount, v.Held, v.Lost, v.Fee, v.Merchant, v.Transaction,
			sheet.Guard(v.Case), v.Gateway, strconv.Itoa(v.Documents), strconv.FormatBool(v.Overdue), sheet.Guard(v.Reason), v.OpenedAt.Format(time.RFC3339Nano), v.ChangedAt.Format(time.RFC3339Nano),
		})
	}
	if err := w.WriteAll(rows); err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	return nil
}

type disputeShow struct {
	storeFlags
	ID string `arg:"" help:"Dispute (dsp_...)."`
}

// Run shows.
func (c *disputeShow) Run(ctx context.Context, t *terminal) error {
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		d, err := views.Dispute(ctx, c.ID)
		if err != nil {
			return err
		}
		return t.answer(ops.NewDispute(&d, present()))
	})
}
