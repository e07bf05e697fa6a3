package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/adapters/batchfile"
	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/projections"
)

// openBatches tells the service of batches how their payouts stand.
type openBatches struct{ *projections.Views }

// Open tells whether the outcome of any of a batch's items is not final.
func (v openBatches) Open(ctx context.Context, merchantID, id string) (bool, error) {
	return v.BatchOpen(ctx, merchantID, id)
}

// Unfinished lists batches that have not ended, behind the id after.
func (v openBatches) Unfinished(ctx context.Context, after string, limit int) ([]batches.Unfinished, error) {
	rows, err := v.BatchesUnfinished(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]batches.Unfinished, len(rows))
	for i, r := range rows {
		list[i] = batches.Unfinished{Of: batch.Of{Merchant: r.Merchant, Currency: r.Currency, Batch: r.ID}, Status: r.Status, Terms: r.Terms}
	}
	return list, nil
}

// batchService is the service of batches as the API asks for it.
type batchService struct{ *batches.Service }

// Submit takes a batch in.
func (s batchService) Submit(ctx context.Context, b klyropay.BatchSubmission, items iter.Seq2[klyropay.BatchPayout, error]) (batch.Batch, bool, error) {
	return s.Service.Submit(ctx, batches.Request{
		Merchant: b.Merchant, Ref: b.Ref, Digest: b.Digest, Plain: b.Plain, Terms: b.Terms, Count: b.Count, Amount: b.Amount, Commission: b.Commission, Origin: b.Origin,
		Columns: b.Columns,
	}, batchItems(items))
}

// Stopper says for which item a batch cannot be held as a whole now.
func (s batchService) Stopper(ctx context.Context, m merchant.Merchant, items iter.Seq2[klyropay.BatchPayout, error]) (int, string, error) {
	return s.Service.Stopper(ctx, batch.Of{Merchant: m.ID, Currency: m.Plan.Currency}, batchItems(items), func(a money.Amount) (money.Amount, error) {
		charge, err := m.Plan.PayoutCharge(a)
		if err != nil {
			return a, err
		}
		return a.Add(charge.Commission), nil
	})
}

func batchItems(items iter.Seq2[klyropay.BatchPayout, error]) iter.Seq2[batches.Item, error] {
	return func(yield func(batches.Item, error) bool) {
		for p, err := range items {
			if !yield(batches.Item(p), err) {
				return
			}
		}
	}
}

// batchFiles is package batchfile as the API asks for it.
type batchFiles struct{}

// Read reads a body, and hands out the good items.
func (batchFiles) Read(body io.Reader, r klyropay.BatchReading) (klyropay.BatchReport, error) {
	o := batchfile.ReadOptions{
		Limits: batchfile.Limits{Items: r.Items, Problems: r.Problems}, Currency: r.Currency,
		Check: func(i *batchfile.Item) []batchfile.FieldError {
			var found []batchfile.FieldError
			for _, p := range r.Check(batchEntry(i)) {
				found = append(found, batchfile.FieldError(p))
			}
			return found
		},
	}
	var reader *batchfile.Reader
	switch r.Format {
	case klyropay.BatchCSV:
		reader = batchfile.NewCSV(body, o)
	case klyropay.BatchNDJSON:
		reader = batchfile.NewNDJSON(body, o)
	default:
		reader = batchfile.NewJSON(body, o)
	}
	whole, notJSON := true, 0
	for item, err := range reader.Items() {
		var wrong *batchfile.ItemError
		var end *batchfile.FileError
		switch {
		case errors.As(err, &wrong): // it is in the report
			continue
		case errors.As(err, &end):
			whole = false
			if r.Format == klyropay.BatchJSON {
				notJSON = end.Malformed()
			}
			continue
		case err != nil:
			return klyropay.BatchReport{}, err
		}
		if err := r.Take(batchEntry(&item)); err != nil {
			return klyropay.BatchReport{}, err
		}
	}
	report := batchReport(reader)
	report.Whole, report.NotJSON = whole, notJSON
	if r.Format == klyropay.BatchCSV {
		for _, c := range reader.Columns() {
			report.Columns = append(report.Columns, batch.Column{Field: c.Field, Name: c.Header})
		}
	}
	return report, nil
}

func batchEntry(i *batchfile.Item) *klyropay.BatchEntry {
	return &klyropay.BatchEntry{
		Index: i.Index, MobileNo: i.MobileNo, BeneficiaryName: i.BeneficiaryName, AccountNo: i.AccountNo, IFSC: i.IFSC, BankName: i.BankName,
		Amount: i.Amount, TransferType: i.TransferType, PartnerRequestID: i.PartnerRequestID,
	}
}

func batchReport(r *batchfile.Reader) klyropay.BatchReport {
	report, options := r.Report(), r.Options()
	out := klyropay.BatchReport{
		Options: klyropay.BatchOptions{
			BatchRef: options.BatchRef, Mode: options.Mode, Approval: options.Approval, OnInsufficientBalance: options.OnInsufficientBalance,
		},
		Total: report.Total,
	}
	if !options.ScheduleAt.IsZero() {
		out.Options.ScheduleAt = options.ScheduleAt.Format(time.RFC3339Nano)
	}
	for _, p := range report.Problems {
		out.Problems = append(out.Problems, klyropay.BatchProblem{Line: p.Line, Column: p.Column, Field: p.Field, Index: p.Index, Message: p.Message})
	}
	return out
}

// Results begins a file of results, with the columns that the batch came in.
func (batchFiles) Results(sheet klyropay.BatchSheet, columns []batch.Column, w io.Writer) klyropay.BatchResults {
	as := batchfile.DefaultColumns()
	if len(columns) > 0 {
		as = nil
	}
	for _, c := range columns {
		as = append(as, batchfile.Column{Field: c.Field, Header: c.Name})
	}
	if sheet == klyropay.SheetXLSX {
		return batchResults{batchfile.NewXLSXResults(w, as)}
	}
	return batchResults{batchfile.NewCSVResults(w, as)}
}

// Template writes a CSV to fill in.
func (batchFiles) Template(w io.Writer) error { return batchfile.WriteTemplate(w) }

// batchResults is a file of results as the API writes it.
type batchResults struct{ *batchfile.Results }

// Write writes one item and its outcome.
func (r batchResults) Write(e *klyropay.BatchEntry, o klyropay.BatchOutcome) error {
	return r.Results.Write(&batchfile.Item{
		Index: e.Index, MobileNo: e.MobileNo, BeneficiaryName: e.BeneficiaryName, AccountNo: e.AccountNo, IFSC: e.IFSC, BankName: e.BankName,
		Amount: e.Amount, TransferType: e.TransferType, PartnerRequestID: e.PartnerRequestID,
	}, batchfile.Outcome(o))
}
