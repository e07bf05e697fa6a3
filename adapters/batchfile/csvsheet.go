package batchfile

import "io"

// ByteOrderMark before a CSV makes spreadsheets read it as UTF-8. Results have none, since other programs stumble over it: who writes for
// people may write it first.
const ByteOrderMark = "\ufeff"

// WriteTemplate writes a CSV to fill in: all columns and two examples, whose bank does not exist. It begins with a byte order mark, so that
// spreadsheets save it as UTF-8 again, and the second account number shows the apostrophe that keeps their hands off it.
func WriteTemplate(w io.Writer) error {
	_, err := io.WriteString(w, ByteOrderMark+
		"mobile_no,beneficiary_name,account_no,ifsc,bank_name,amount,transfer_type,partner_request_id\r\n"+
		"9876543210,Asha Verma (example),123456789012,ABCD0123456,Example Bank,1500.00,5,example-1\r\n"+
		"9876543211,Ravi Kumar (example),'001234567890123,ABCD0123456,Example Bank,\"1,00,000.50\",5,example-2\r\n")
	return err
}
