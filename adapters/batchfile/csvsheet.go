package batchfile

import (
	"bufio"
	"io"
	"strings"

	"github.com/khata-ledger/khata/domain/money"
)

// ByteOrderMark before a CSV makes spreadsheets read it as UTF-8. Results have none, since other programs stumble over it: who writes for
// people may write it first.
const ByteOrderMark = "\ufeff"

// csvSheet writes CSV as RFC 4180 has it.
type csvSheet struct {
	out *bufio.Writer // its errors stay
	row []byte
	any bool // cells in the row
}

func newCSVSheet(w io.Writer) *csvSheet { return &csvSheet{out: bufio.NewWriterSize(w, 32<<10)} }

func (s *csvSheet) heading(h string) { s.text(h) }

func (s *csvSheet) text(text string) {
	s.comma()
	guarded := guard(text)
	if len(guarded) == len(text) && !strings.ContainsAny(text, ",\"\r\n;\t") && strings.TrimSpace(text) == text {
		s.row = append(s.row, text...)
		return
	}
	s.row = append(s.row, '"')
	for i := range len(guarded) {
		if guarded[i] == '"' {
			s.row = append(s.row, '"')
		}
		s.row = append(s.row, guarded[i])
	}
	s.row = append(s.row, '"')
}

func (s *csvSheet) amount(a money.Amount) {
	s.comma()
	s.row = a.AppendFixed(s.row)
}

func (s *csvSheet) comma() {
	if s.any {
		s.row = append(s.row, ',')
	}
	s.any = true
}

func (s *csvSheet) end() error {
	s.row = append(s.row, "\r\n"...)
	_, err := s.out.Write(s.row)
	s.row, s.any = s.row[:0], false
	return err
}

func (s *csvSheet) close() error { return s.out.Flush() }

// guard makes text of what a spreadsheet would take for a formula when it opens a CSV: an apostrophe is put before it, as OWASP's page on
// CSV injection and ASVS 1.2.10 have it. What has such an apostrophe already gets one more, so that readers can take one off.
func guard(s string) string {
	if formula(strings.TrimLeft(s, "'")) {
		return "'" + s
	}
	return s
}

// WriteTemplate writes a CSV to fill in: all columns and two examples, whose bank does not exist. It begins with a byte order mark, so that
// spreadsheets save it as UTF-8 again, and the second account number shows the apostrophe that keeps their hands off it.
func WriteTemplate(w io.Writer) error {
	_, err := io.WriteString(w, ByteOrderMark+
		"mobile_no,beneficiary_name,account_no,ifsc,bank_name,amount,transfer_type,partner_request_id\r\n"+
		"9876543210,Asha Verma (example),123456789012,ABCD0123456,Example Bank,1500.00,5,example-1\r\n"+
		"9876543211,Ravi Kumar (example),'001234567890123,ABCD0123456,Example Bank,\"1,00,000.50\",5,example-2\r\n")
	return err
}
