// Package sandbox is a bank to try the ledger against: Bank, a real HTTP server with a durable memory of its own, and
// Client, the adapter through which the ledger talks to it like to any other gateway.
//
// # The bank
//
// The last two digits of the account number choose what happens to a transfer (see behaviours). The bank keeps one transfer per
// reference: sending again pays nothing and answers with the state of the first. What it has done is on disk before
// it answers, and so are its plans (timers, callbacks not yet delivered), so that a killed bank goes on where it was. Its
// file holds no account numbers and no names of whom transfers go to.
//
//	POST /sandbox/bank/transfers              a transfer; signed
//	GET  /sandbox/bank/transfers/{reference}  what has become of it; 404 with status "not_found" when there is none
//	GET  /sandbox/bank/transfers?limit=N      the bank's own truth, newest first; without limit all
//	POST /sandbox/upi/pay                     plays the customer's UPI app
//	GET  /sandbox/upi/payments?reference=R    the payments made for a reference
//	POST /sandbox/upi/disputes                plays the customer's bank, which disputes a payment
//	POST /sandbox/upi/refunds                 a refund of a payment; signed. The decimals of its amount choose what happens (see refundBehaviours)
//	GET  /sandbox/upi/refunds/{reference}     what has become of it; 404 with status "not_found" when there is none
//	GET  /sandbox/upi/refunds?payment_id=ID   the refunds of a payment
//
// # Callbacks
//
// POST {base}/gateways/sandbox/callback with a JSON body and the headers Sandbox-Message-Id, Sandbox-Timestamp (Unix
// seconds) and Sandbox-Signature ("v1=" and the hexadecimal HMAC-SHA256 of id, timestamp and body, joined by points). A
// repetition has the same id and body, and a new timestamp. Callbacks about one reference are delivered one after the other, each until it
// is answered with 200, with growing gaps, for three days.
//
// # The faces
//
// Two more parts speak the wire protocols of payment companies, as far as these are public, each below a base that stands for the company's
// own host. The requests to the sandbox itself:
//
//	POST /sandbox/razorpay/accounts           makes an account, or changes one for who gives its key_secret: key_id, key_secret, webhook_url,
//	                                          webhook_secret, orders, capture, refunds
//	GET  /sandbox/razorpay/accounts           the accounts, without secrets
//	GET  /sandbox/razorpay/truth?limit=N      what was really ordered, collected and given back, newest first; &key_id= of one account
//	POST /sandbox/payu/accounts               likewise, for who gives its salt: key, salt, webhook_url, verify, refunds
//	GET  /sandbox/payu/accounts, /sandbox/payu/truth?limit=N, &key=
//
// A webhook_url is on a loopback address or on the host of Options.CallbackBase or PublicBase, and its redirects are not followed: anybody may make an account. The answer
// is the only one that shows its secrets to who did not give them.
//
// Razorpay, below /sandbox/razorpay: /v1/orders, /v1/payments, /v1/refunds with Basic authentication; /v1/payments/create/upi; the hosted page
// /v1/checkout/embedded; webhooks to the account's address. PayU, below /sandbox/payu: the hosted page /_payment, and
// /merchant/postservice?form=2 with verify_payment, check_payment, cancel_refund_transaction, check_action_status and
// check_action_status_txnid.
//
// What an account does, by its settings:
//
//	orders   accept; refuse (400); error (500, nothing is made); silent (made, but the connection is closed)
//	capture  auto; manual
//	verify   accept; error (500); silent: of verify_payment and check_payment
//	refunds  process (after Options.Delay); fail (after that); hold (until it is another)
//
// On the pages, the button Pay pays and Decline does not (programs find them by the ids pay, decline, cancel, method-<value> and, on the page that
// leads back, continue); a card 4100 2800 0004 0005, a one-time password of fewer than four digits and the
// UPI ID failure@razorpay are declined, too. POST /sandbox/upi/pay pays the UPI links of the Razorpay face: another amount is taken as it comes,
// and what has failed may still succeed. A second payment of an order that is paid stays authorized. Webhooks about one order are delivered one after the
// other, each until it is answered with a 2xx.
//
// # States of a transfer
//
//	(absent) --> pending --> paid --> returned
//	    |           |
//	    |           +------> failed
//	    +----------------> paid | failed at once
package sandbox
