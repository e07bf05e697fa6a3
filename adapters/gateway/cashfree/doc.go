// Package cashfree is the adapter to Cashfree Payments' payment gateway.
//
// Written to Cashfree's public documents, and tried against servers of our own that answer as those documents say, never against Cashfree
// itself or its sandbox:
//
//   - PG API 2025-01-01 and 2023-08-01 (Orders, Payments, Refunds; the shapes of the two are told apart nowhere: ids come as numbers or as strings),
//     its list of errors, and the models of the official SDKs cashfree-pg for Go and Node;
//   - Webhooks 2025-01-01 and 2023-08-01: signature, payments, refunds, disputes, retries.
//
// # Money
//
// order_amount is a decimal number of rupees with at most two decimals. It is written as such and read as such, never as a float. A payment's amount
// is payment_amount, what the customer paid: with an offer or a surcharge that the merchant has set up at Cashfree it is another than order_amount.
//
// # Idempotency
//
// order_id is our transaction id, refund_id our reference of the refund, and Cashfree keeps one of each: what was made by a call whose outcome is not
// known is found by that id. x-idempotency-key is beside that: a UUID made of the request. Cashfree repeats whatever it answered first under a key, a
// 500 as well, so an order that is asked for again gets a new one.
//
// # What is sent that nobody said
//
// customer_phone is required. When the customer's is not known, unknownPhone is sent, as Cashfree's own plugin for WooCommerce does.
// An order must be open for a while, 15 minutes by what others report of refusals (the documents that were found do not say): one that should close
// sooner than minOpen after it was made closes then. A payment that comes later than the ledger waits is a late payment, as of any gateway.
//
// # Begin
//
// Documented is the hosted checkout by Cashfree's script (cashfree.js v3, checkout({paymentSessionId})). What that script does, by the public
// sources of those who looked, and what the web checkout of Cashfree's Android SDK does (its form cashfree_pay_form), is to post a form with
// payment_session_id to /pg/view/sessions/checkout. Begin gives that form, and no script of anybody else's is loaded. The address is no
// documented interface: when Cashfree changes it, this is the place. A GET of /pg/view/sessions/checkout/web/{id}, which is seen too, is reported
// not to work.
// Documented, too, is POST /pg/orders/sessions ("Order Pay") with {"upi":{"channel":"link"}}, which gives links for UPI apps; it needs no
// credentials, but has to be enabled for the merchant. Where Cashfree refuses it, the customer pays by UPI on the hosted page.
//
// # Webhooks
//
// Verified with the client secret: there is no secret of webhooks. Cashfree sends a message again for as long as the merchant has set up (three times within
// 42 minutes by default), and does not say whether with a new timestamp, hence maxAge. A message that comes twice does no harm: the
// ledger keeps one payment per id, and one message per its bytes.
//
// Orders of several payments are usual: every attempt of the customer is a payment with an id of its own, and one that failed says nothing about the next.
package cashfree
