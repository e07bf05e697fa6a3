package webhook

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// The values of the payload's event and of the header X-KlyroPay-Event.
const (
	TransactionUpdated = "transaction.updated"
	BatchUpdated       = "batch.updated"
)

// eventOf is the event that a callback about a record of this type tells.
func eventOf(recordType string) string {
	if strings.HasPrefix(recordType, "batch.") {
		return BatchUpdated
	}
	return TransactionUpdated
}

// timestampLayout has six fraction digits and Z, as the document shows.
const timestampLayout = "2006-01-02T15:04:05.000000Z"

// exactDigits is how many digits of a number survive the way through a double, in PHP as in Node.
const exactDigits = 15

// finalTypes are the types of record of which finalStatus is true.
func finalTypes() []string {
	return []string{
		"payin.succeeded", "payin.failed", "payin.expired",
		"payout.succeeded", "payout.failed", "payout.refunded", "payout.returned", "payout.paid_after_refund",
	}
}

// finalStatus is the status that a record's callback tells; false for records that are none of the merchant's business.
func finalStatus(recordType string) (wallet.Status, bool) {
	switch recordType {
	case "payin.succeeded", "payout.succeeded", "payout.paid_after_refund":
		return wallet.Success, true
	case "payin.failed", "payout.failed":
		return wallet.Failed, true
	case "payin.expired":
		return wallet.Expired, true
	case "payout.refunded", "payout.returned":
		return wallet.Refunded, true
	}
	return "", false
}

// buildBody is the payload of the callback about record r, where p is the payment as of r: fields in the documented order,
// compact, without a line feed at the end.
func buildBody(r *eventstore.Record, p *wallet.Payment, status wallet.Status, d merchant.Dialect) []byte {
	w := &bodyWriter{dialect: d}
	w.text("event", TransactionUpdated)
	w.text("transaction_id", p.Payment)
	w.text("service", string(p.Kind))
	w.text("status", string(status))
	w.amount("amount", p.Amount)
	w.amount("commission", p.Commission)
	if p.Kind == wallet.KindPayin {
		w.amount("net_amount", p.Net())
		w.text("order_id", p.OrderID)
		w.text("txn_ref", p.TxnRef)
		w.optional("utr", p.UTR)
	} else {
		w.amount("net_amount", p.Gross())
		w.optional("reference_id", p.BankReference)
		w.text("partner_request_id", p.RequestID)
	}
	w.text("timestamp", r.RecordedAt.UTC().Format(timestampLayout))
	return append(w.b, '}')
}

// bodyWriter writes a flat JSON object.
type bodyWriter struct {
	dialect merchant.Dialect
	b       []byte
}

func (w *bodyWriter) name(name string) {
	if len(w.b) == 0 {
		w.b = append(w.b, '{')
	} else {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), `":`...)
}

func (w *bodyWriter) text(name, value string) {
	w.name(name)
	if w.dialect == merchant.Stable {
		value = Sanitise(value)
	}
	w.b = appendText(w.b, value)
}

// optional writes a bank's reference or a reason, or null where there is none.
func (w *bodyWriter) optional(name, value string) {
	if value == "" {
		w.name(name)
		w.b = append(w.b, "null"...)
		return
	}
	w.text(name, value)
}

// count writes a number of things, which is small.
func (w *bodyWriter) count(name string, n int) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, int64(n), 10)
}

// index writes the number of an item, or null where there is none.
func (w *bodyWriter) index(name string, n int) {
	if n == 0 {
		w.name(name)
		w.b = append(w.b, "null"...)
		return
	}
	w.count(name, n)
}

// amount writes a number, without trailing zeros but for the dialect raw. One with more digits than a double holds goes as
// a string.
func (w *bodyWriter) amount(name string, a money.Amount) {
	value := a.Short()
	if w.dialect == merchant.Raw {
		value = a.Fixed()
	}
	if digits(value) > exactDigits {
		w.text(name, value)
		return
	}
	w.name(name)
	w.b = append(w.b, value...)
}

// digits counts the digits of a plain decimal number.
func digits(number string) int {
	n := 0
	for _, c := range number {
		if c >= '0' && c <= '9' {
			n++
		}
	}
	return n
}

// maxText bounds a string of the payload, in bytes.
const maxText = 200

// Sanitise makes a bank's reference, a reason or any other string one that every verifier re-encodes alike: of the characters
// 0x20 to 0x7E without "/". Others become "-". It is cut after 200 bytes.
func Sanitise(s string) string {
	clean := strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7E || c == '/' {
			return '-'
		}
		return c
	}, s)
	return clean[:min(len(clean), maxText)]
}

// appendText writes a JSON string: quotes, backslashes and control characters escaped, everything else as it is.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c < 0x20:
			b = appendEscape(b, uint16(c))
		default:
			b = utf8.AppendRune(b, c) // what is no UTF-8 becomes U+FFFD
		}
	}
	return append(b, '"')
}

// appendEscape writes \uXXXX, in lower case, as PHP and Node do.
func appendEscape(b []byte, unit uint16) []byte {
	hex := strconv.FormatUint(uint64(unit), 16)
	return append(append(append(b, `\u`...), "0000"[len(hex):]...), hex...)
}
