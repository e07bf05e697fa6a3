// Package sandbox is a bank to try the ledger against: Bank, a real HTTP server with a durable memory of its own, and
// Client, the adapter through which the ledger talks to it like to any other gateway.
//
// # The bank
//
// The last two digits of the account number choose what happens to a transfer (see behaviours). The bank keeps one transfer per
// reference: sending again pays nothing and answers with the state of the first. What it has done is on disk before
// it answers, and so are its plans (timers, callbacks not yet delivered), so that a killed bank goes on where it was. Its
// file holds no account numbers and no names.
//
//	POST /sandbox/bank/transfers              a transfer; signed
//	GET  /sandbox/bank/transfers/{reference}  what has become of it; 404 with status "not_found" when there is none
//	GET  /sandbox/bank/transfers?limit=N      the bank's own truth, newest first; without limit all
//	POST /sandbox/upi/pay                     plays the customer's UPI app
//	GET  /sandbox/upi/payments?reference=R    the payments made for a reference
//	POST /sandbox/upi/disputes                plays the customer's bank, which disputes a payment
//
// # Callbacks
//
// POST {base}/gateways/sandbox/callback with a JSON body and the headers Sandbox-Message-Id, Sandbox-Timestamp (Unix
// seconds) and Sandbox-Signature ("v1=" and the hexadecimal HMAC-SHA256 of id, timestamp and body, joined by points). A
// repetition has the same id and body, and a new timestamp. Callbacks about one reference are delivered one after the other, each until it
// is answered with 200, with growing gaps, for three days.
//
// # States of a transfer
//
//	(absent) --> pending --> paid --> returned
//	    |           |
//	    |           +------> failed
//	    +----------------> paid | failed at once
package sandbox
