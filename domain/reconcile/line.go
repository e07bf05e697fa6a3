// Package reconcile compares what a gateway or a bank says of an account with what the ledger's books say of it.
package reconcile

import (
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// Statement is a settlement file of a gateway or a statement of a bank account, as read from a file.
type Statement struct {
	Account  string         // the account's number or name at whoever keeps it; "" when the file does not say
	Currency money.Currency // of all amounts
	Opening  money.Amount   // balances, if Balanced
	Closing  money.Amount
	Balanced bool // the file states its balances, and opening + lines = closing has been checked
	Lines    []Line
}

// Line is one line of a statement.
type Line struct {
	Number     int          // where it stands in the file: line of text, or of camt.053 the nth transaction, from 1; no other line has it
	Date       time.Time    // value date, midnight UTC of that day
	Booked     time.Time    // day on which it was entered, midnight UTC; zero when the file does not say
	Amount     money.Amount // signed: positive came into the account, negative left it. Of a settlement line: gross, before Fee and Tax
	Fee        money.Amount // charged by the gateway, tax not included; zero when the file does not say
	Tax        money.Amount // on the fee
	UTR        string       // the bank's reference of the transfer; "" when unknown
	Gateway    string       // the gateway's own id of the payment
	Reference  string       // ours, as the file gives it back: a transaction id, an order id
	Tail       string       // last four characters of the other side's account
	Settlement string       // what groups the lines that the gateway has settled by one transfer: its id or UTR
	Narration  string       // free text: may name people, so it is sealed before it is kept
}

// Net is what the line moves once fee and tax are taken off.
func (l *Line) Net() money.Amount { return l.Amount.Sub(l.Fee).Sub(l.Tax) }
