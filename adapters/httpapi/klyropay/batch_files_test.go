package klyropay_test

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
)

// plainFiles reads and writes the formats of batches in the simplest way that keeps the contract.
type plainFiles struct{}

// plainItem is an item as JSON has it.
type plainItem struct {
	MobileNo         string      `json:"mobile_no"`
	BeneficiaryName  string      `json:"beneficiary_name"`
	AccountNo        string      `json:"account_no"`
	IFSC             string      `json:"ifsc"`
	BankName         string      `json:"bank_name"`
	Amount           json.Number `json:"amount"`
	TransferType     string      `json:"transfer_type"`
	PartnerRequestID string      `json:"partner_request_id"`
}

// plainReading is one reading.
type plainReading struct {
	r      klyropay.BatchReading
	report klyropay.BatchReport
	index  int
	seen   map[string]string
	column func(field string) int
}

var errProblem = errors.New("the body has a problem that ends the reading")

func (f plainFiles) Read(body io.Reader, r klyropay.BatchReading) (klyropay.BatchReport, error) {
	p := &plainReading{r: r, seen: map[string]string{}, column: func(string) int { return 0 }}
	var err error
	switch r.Format {
	case klyropay.BatchJSON:
		err = p.json(body)
	case klyropay.BatchCSV:
		err = p.csv(body)
	default:
		err = p.lines(body)
	}
	if errors.Is(err, errProblem) {
		return p.report, nil
	}
	if err == nil && p.index == 0 {
		p.problem(klyropay.BatchProblem{Message: "there is no item in the batch"})
	}
	p.report.Whole = true
	return p.report, err
}

func (p *plainReading) problem(one klyropay.BatchProblem) {
	p.report.Total++
	if len(p.report.Problems) < p.r.Problems {
		p.report.Problems = append(p.report.Problems, one)
	}
}

func (p *plainReading) json(body io.Reader) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var doc struct {
		BatchRef   string            `json:"batch_ref"`
		Mode       string            `json:"mode"`
		Approval   string            `json:"approval"`
		Shortage   string            `json:"on_insufficient_balance"`
		ScheduleAt string            `json:"schedule_at"`
		Items      []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		p.problem(klyropay.BatchProblem{Line: 1, Message: "is not well-formed JSON"})
		p.report.NotJSON = 1
		return errProblem
	}
	p.report.Options = klyropay.BatchOptions{BatchRef: doc.BatchRef, Mode: doc.Mode, Approval: doc.Approval, OnInsufficientBalance: doc.Shortage, ScheduleAt: doc.ScheduleAt}
	if doc.Mode == "quick" {
		p.problem(klyropay.BatchProblem{Line: 1, Field: "mode", Message: "is not known"})
	}
	for _, raw := range doc.Items {
		if err := p.object(raw, 1+bytes.Count(text[:bytes.Index(text, raw)], []byte("\n"))); err != nil {
			return err
		}
		text = text[bytes.Index(text, raw):]
	}
	return nil
}

func (p *plainReading) lines(body io.Reader) error {
	in := bufio.NewScanner(body)
	for line := 1; in.Scan(); line++ {
		if err := p.object(in.Bytes(), line); err != nil {
			return err
		}
	}
	return in.Err()
}

func (p *plainReading) object(raw []byte, line int) error {
	var one plainItem
	if wellFormed := json.Unmarshal(raw, &one) == nil; !wellFormed {
		p.index++
		p.problem(klyropay.BatchProblem{Index: p.index, Line: line, Message: "is not well-formed JSON"})
		return nil
	}
	return p.item(one, line)
}

func (p *plainReading) csv(body io.Reader) error {
	in := csv.NewReader(body)
	header, err := in.Read()
	if err != nil {
		return err
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	var names []string
	for _, name := range header {
		field := strings.ToLower(strings.ReplaceAll(name, " ", "_"))
		names = append(names, field)
		p.report.Columns = append(p.report.Columns, batch.Column{Field: field, Name: name})
	}
	p.column = func(field string) int { return 1 + slices.Index(names, field) }
	for {
		row, err := in.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		cell := func(field string) string {
			if at := p.column(field); at > 0 {
				return row[at-1]
			}
			return ""
		}
		line, _ := in.FieldPos(0)
		if err := p.item(plainItem{
			MobileNo: cell("mobile_no"), BeneficiaryName: cell("beneficiary_name"), AccountNo: cell("account_no"), IFSC: cell("ifsc"), BankName: cell("bank_name"),
			Amount: json.Number(strings.ReplaceAll(cell("amount"), ",", "")), TransferType: cell("transfer_type"), PartnerRequestID: cell("partner_request_id"),
		}, line); err != nil {
			return err
		}
	}
}

func (p *plainReading) item(one plainItem, line int) error {
	p.index++
	if p.index > p.r.Items {
		p.problem(klyropay.BatchProblem{Index: p.index, Line: line, Message: fmt.Sprintf("a batch has at most %d items", p.r.Items)})
		return errProblem
	}
	e := &klyropay.BatchEntry{
		Index: p.index, MobileNo: one.MobileNo, BeneficiaryName: one.BeneficiaryName, AccountNo: one.AccountNo, IFSC: one.IFSC, BankName: one.BankName,
		Amount: money.Zero(p.r.Currency), TransferType: one.TransferType, PartnerRequestID: one.PartnerRequestID,
	}
	var wrong []klyropay.FieldProblem
	if a, err := money.Parse(string(one.Amount), p.r.Currency); err == nil {
		e.Amount = a
	} else {
		wrong = append(wrong, klyropay.FieldProblem{Field: "amount", Message: "must be a plain decimal number"})
	}
	if first, again := p.seen[one.PartnerRequestID]; again && one.PartnerRequestID != "" {
		wrong = append(wrong, klyropay.FieldProblem{Field: "partner_request_id", Message: "is that of " + first + ", too"})
	}
	if one.PartnerRequestID != "" {
		p.seen[one.PartnerRequestID] = fmt.Sprintf("item %d (line %d)", p.index, line)
	}
	for _, found := range p.r.Check(e) {
		if !slices.ContainsFunc(wrong, func(w klyropay.FieldProblem) bool { return w.Field == found.Field }) {
			wrong = append(wrong, found)
		}
	}
	for _, w := range wrong {
		p.problem(klyropay.BatchProblem{Index: p.index, Line: line, Column: p.column(w.Field), Field: w.Field, Message: w.Message})
	}
	if len(wrong) > 0 {
		return nil
	}
	return p.r.Take(e)
}

const csvHeader = "mobile_no,beneficiary_name,account_no,ifsc,bank_name,amount,transfer_type,partner_request_id"

func (plainFiles) Template(w io.Writer) error {
	_, err := io.WriteString(w, csvHeader+"\r\n")
	return err
}

// Results writes both formats alike; the workbook only says that it is one.
func (plainFiles) Results(sheet klyropay.BatchSheet, columns []batch.Column, w io.Writer) klyropay.BatchResults {
	out := bufio.NewWriterSize(w, 4096)
	if sheet == klyropay.SheetXLSX {
		fmt.Fprintln(out, "workbook")
	}
	if len(columns) == 0 {
		for field := range strings.SplitSeq(csvHeader, ",") {
			columns = append(columns, batch.Column{Field: field, Name: field})
		}
	}
	for _, c := range columns {
		fmt.Fprint(out, c.Name, ",")
	}
	fmt.Fprintln(out, "transaction_id,status,utr,failure_reason")
	return &plainResults{out, columns}
}

type plainResults struct {
	out     *bufio.Writer
	columns []batch.Column
}

func (p *plainResults) Write(e *klyropay.BatchEntry, o klyropay.BatchOutcome) error {
	fields := map[string]string{
		"mobile_no": e.MobileNo, "beneficiary_name": e.BeneficiaryName, "account_no": e.AccountNo, "ifsc": e.IFSC, "bank_name": e.BankName,
		"amount": e.Amount.Fixed(), "transfer_type": e.TransferType, "partner_request_id": e.PartnerRequestID,
	}
	for _, c := range p.columns {
		fmt.Fprint(p.out, fields[c.Field], ",")
	}
	_, err := fmt.Fprintln(p.out, strings.Join([]string{o.TransactionID, o.Status, o.UTR, o.FailureReason}, ","))
	return err
}

func (p *plainResults) Close() error { return p.out.Flush() }
