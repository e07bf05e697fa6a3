package sandbox

import (
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// What the bank and its clients say to each other. Amounts are plain decimals in rupees, times RFC 3339 UTC.

type transferRequest struct {
	Reference    string         `json:"reference"`
	Amount       string         `json:"amount"`
	Currency     money.Currency `json:"currency"`
	AccountNo    string         `json:"account_no"`
	IFSC         string         `json:"ifsc"`
	Name         string         `json:"name"`
	Mobile       string         `json:"mobile"`
	BankName     string         `json:"bank_name"`
	TransferType string         `json:"transfer_type"`
}

type transferAnswer struct {
	Reference       string    `json:"reference"`
	Status          string    `json:"status"`
	Amount          string    `json:"amount,omitempty"`
	UTR             string    `json:"utr,omitempty"`
	BankReference   string    `json:"bank_reference,omitempty"`
	ReturnReference string    `json:"return_reference,omitempty"`
	Reason          string    `json:"reason,omitempty"`
	At              time.Time `json:"at,omitzero"` // of the last change
}

// listedTransfer is a line of the bank's own truth.
type listedTransfer struct {
	Reference string `json:"reference"`
	Amount    string `json:"amount"`
	Status    string `json:"status"`
	UTR       string `json:"utr"`
}

// Outcomes of a customer's payment.
const (
	outcomeSuccess = "success"
	outcomeFailure = "failure"
)

type paymentAnswer struct {
	PaymentID string    `json:"payment_id"`
	Reference string    `json:"reference"`
	Amount    string    `json:"amount"`
	Status    string    `json:"status"` // success, failure
	UTR       string    `json:"utr"`    // "" of a failure
	Reason    string    `json:"reason,omitempty"`
	At        time.Time `json:"at"`
}

type paymentsAnswer struct {
	Reference string          `json:"reference"`
	Payments  []paymentAnswer `json:"payments"`
}

// Kinds of callbacks.
const (
	kindTransfer = "transfer"
	kindPayment  = "payment"
	kindDispute  = "dispute"
	kindRefund   = "refund"
)

type callbackBody struct {
	MessageID       string    `json:"message_id"`
	Kind            string    `json:"kind"`
	Reference       string    `json:"reference"`
	PaymentID       string    `json:"payment_id,omitempty"`
	Status          string    `json:"status"`
	Amount          string    `json:"amount"`
	UTR             string    `json:"utr,omitempty"`
	BankReference   string    `json:"bank_reference,omitempty"`
	ReturnReference string    `json:"return_reference,omitempty"`
	Reason          string    `json:"reason,omitempty"`
	At              time.Time `json:"at"`

	// Of a dispute. Reference is that of the payment.
	CaseID    string    `json:"case_id,omitempty"`
	Phase     string    `json:"phase,omitempty"`
	Fee       string    `json:"fee,omitempty"`
	RespondBy time.Time `json:"respond_by,omitzero"`
	Inquiry   bool      `json:"inquiry,omitempty"`

	// Of a refund. Reference is that of the payment.
	Refund   string `json:"refund,omitempty"` // reference of the refund
	RefundID string `json:"refund_id,omitempty"`
}

// errorBody is every 4xx and 5xx of the bank.
type errorBody struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"` // which part of the request is wrong
}
