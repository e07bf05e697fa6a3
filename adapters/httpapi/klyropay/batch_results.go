package klyropay

import (
	"context"
	"net/http"

	"github.com/khata-ledger/khata/projections"
)

// Content types of sheets.
const (
	csvType  = "text/csv; charset=utf-8"
	xlsxType = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
)

// result is one row of the results.
type result struct {
	entry   BatchEntry
	outcome BatchOutcome
}

// batchResults streams all items of a batch with what became of them, in the order of their index. A fault in the middle cuts the
// connection, so that what was sent is not taken for all.
func (a *API) batchResults(w http.ResponseWriter, r *http.Request, c *caller) {
	p := query(w, r)
	if p == nil {
		return
	}
	sheet, kind := SheetCSV, csvType
	switch p.text("format") {
	case "", string(SheetCSV):
	case string(SheetXLSX):
		sheet, kind = SheetXLSX, xlsxType
	default:
		p.problems.add("format", `must be "csv" or "xlsx"`)
	}
	if len(p.problems) > 0 {
		p.problems.write(w)
		return
	}
	row := a.findBatch(w, r, c)
	if row == nil {
		return
	}
	page, err := a.resultPage(r.Context(), row, 0) // before anything is sent: most faults show here
	if err != nil {
		a.refuseBatch(w, r, "reading the results of a batch", err, messageBatchUnknown)
		return
	}
	attachment(w, kind, row.ID+"."+string(sheet))
	if r.Method == http.MethodHead {
		return
	}
	if err := a.writeResults(w, r, row, a.ports.BatchFiles.Results(sheet, row.Columns, w), page); err != nil {
		if r.Context().Err() == nil {
			a.opts.Logger.Warn("the results of a batch were cut short", "request_id", c.exchange.ID, "batch", row.ID, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// writeResults writes the first page and those behind it. Each has its own time to be sent.
func (a *API) writeResults(w http.ResponseWriter, r *http.Request, row *projections.BatchRow, out BatchResults, page []result) error {
	for len(page) > 0 {
		allow(w, writeMargin)
		for i := range page {
			if err := out.Write(&page[i].entry, page[i].outcome); err != nil {
				return err
			}
		}
		if len(page) < MaxBatchItems {
			break
		}
		var err error
		if page, err = a.resultPage(r.Context(), row, page[len(page)-1].entry.Index); err != nil {
			return err
		}
	}
	return out.Close()
}

// resultPage reads the results behind an index.
func (a *API) resultPage(ctx context.Context, row *projections.BatchRow, after int) ([]result, error) {
	items, err := a.ports.BatchViews.BatchItems(ctx, row.Merchant, row.ID, projections.BatchItemFilter{After: after, Limit: MaxBatchItems})
	if err != nil {
		return nil, err
	}
	page := make([]result, len(items))
	for n := range items {
		i := &items[n]
		to, err := a.unseal(ctx, sealed{of: i.Payment, text: i.Sealed, id: i.SealID})
		if err != nil {
			return nil, err
		}
		page[n] = result{
			entry: BatchEntry{
				Index: i.Index, MobileNo: to.Mobile, BeneficiaryName: to.Name, AccountNo: to.AccountNo, IFSC: i.IFSC, BankName: i.BankName,
				Amount: i.Amount, TransferType: i.TransferType, PartnerRequestID: i.RequestID,
			},
			outcome: BatchOutcome{TransactionID: transaction(i), Status: i.Status, UTR: i.UTR, FailureReason: failureReason(row, i)},
		}
	}
	return page, nil
}

// batchTemplate answers with a CSV to fill in.
func (a *API) batchTemplate(w http.ResponseWriter, r *http.Request, c *caller) {
	attachment(w, csvType, "payout-batch-template.csv")
	if r.Method == http.MethodHead {
		return
	}
	if err := a.ports.BatchFiles.Template(w); err != nil && r.Context().Err() == nil {
		a.opts.Logger.Warn("a template could not be sent", "request_id", c.exchange.ID, "error", err)
	}
}

// attachment announces a file.
func attachment(w http.ResponseWriter, kind, name string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}
