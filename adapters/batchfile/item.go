package batchfile

import (
	"encoding/binary"

	"github.com/khata-ledger/khata/domain/money"
)

// Item is one payout of a batch. Its fields are those of a single payout's request, as submitted: how long a name or which account
// number is allowed is for ReadOptions.Check to say.
type Item struct {
	Index int // from 1, counting items only: it never changes
	Line  int // physical line of the file on which the item begins, from 1

	MobileNo         string
	BeneficiaryName  string
	AccountNo        string
	IFSC             string
	BankName         string
	Amount           money.Amount // zero where it could not be read: then AmountText says what stands there
	AmountText       string
	TransferType     string
	PartnerRequestID string

	raw string // the item as submitted, where not all of it could be put into the fields: what makes two such items the same
}

// Outcome is what became of an item. Empty fields are written as empty cells.
type Outcome struct {
	TransactionID string
	Status        string
	UTR           string
	FailureReason string
}

// field is one of the fields of an item, in the document's order, which is also that of problems.
type field int

const (
	mobileNo field = iota
	beneficiaryName
	accountNo
	ifsc
	bankName
	amount
	transferType
	partnerRequestID
	fieldCount
	noField field = -1
)

func (f field) String() string {
	switch f {
	case mobileNo:
		return "mobile_no"
	case beneficiaryName:
		return "beneficiary_name"
	case accountNo:
		return "account_no"
	case ifsc:
		return "ifsc"
	case bankName:
		return "bank_name"
	case amount:
		return "amount"
	case transferType:
		return "transfer_type"
	case partnerRequestID:
		return "partner_request_id"
	default:
		return ""
	}
}

// required says whether every item must have the field.
func (f field) required() bool { return f != partnerRequestID }

// freeText says whether the field may hold any text, an apostrophe at its beginning included.
func (f field) freeText() bool {
	return f == beneficiaryName || f == bankName || f == partnerRequestID
}

// fieldNamed finds a field by its exact name; noField when there is none.
func fieldNamed(name string) field {
	for f := range fieldCount {
		if f.String() == name {
			return f
		}
	}
	return noField
}

// text is where the item keeps a field; for the amount, what stands there when it is none.
func (it *Item) text(f field) *string {
	switch f {
	case mobileNo:
		return &it.MobileNo
	case beneficiaryName:
		return &it.BeneficiaryName
	case accountNo:
		return &it.AccountNo
	case ifsc:
		return &it.IFSC
	case bankName:
		return &it.BankName
	case transferType:
		return &it.TransferType
	case partnerRequestID:
		return &it.PartnerRequestID
	default:
		return &it.AmountText
	}
}

// appendCanonical appends the item's content: every field behind its length, the amount with its currency. Where the item stands is
// no part of it.
func appendCanonical(b []byte, it *Item) []byte {
	for f := range fieldCount {
		b = appendText(b, *it.text(f))
	}
	var scratch [32]byte
	b = appendText(b, string(it.Amount.AppendFixed(scratch[:0])))
	b = appendText(b, string(it.Amount.Currency()))
	return appendText(b, it.raw)
}

// appendText appends a text behind its length in bytes.
func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
