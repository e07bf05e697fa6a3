// Package razorpay is the adapter to Razorpay, written to its public documentation (razorpay.com/docs/api, /webhooks, /payments). It
// meets gateway.Checkout.
//
// # Orders
//
// A payin is one order: receipt is our reference (unique at Razorpay, too), and notes carry it once more. An order whose making has no known
// outcome is looked for by its receipt before another is made. Amounts are in the currency's smallest unit, whose size Razorpay takes from ISO
// 4217 (JPY 0, INR 2, KWD 3 decimals); it takes no third decimal other than 0, so such an amount is refused rather than changed.
//
// # What is trusted
//
//   - Our own calls over TLS, about the order, payment or refund that was asked for.
//   - A webhook whose X-Razorpay-Signature is the HMAC-SHA256 of its own bytes with the webhook secret, created within MaxAge.
//   - A return whose razorpay_signature is the HMAC-SHA256 of "order|payment" with the key secret, the order being ours and not the one that
//     the browser names. It proves that this payment was authorised for this order, and no more: the payment itself is asked for.
//
// Never: the notes of a payment (they come from the form in the customer's browser), x-razorpay-event-id (not signed; for logs), an error
// that the browser brings.
//
// # Replay
//
// Razorpay repeats an event for 24 hours after its creation, with the same body, so that created_at grows old honestly. MaxAge is twice
// that: enough for its queues and our outages, and still a bound. What is replayed within it changes nothing twice, since payments,
// refunds and disputes have ids of Razorpay's own.
//
// # Capture
//
// Accounts that capture by themselves need nothing. Of others, Collect captures the oldest authorised payment over the order's
// very amount, unless a payment of the order is captured already: Razorpay captures one per order, and gives the rest back.
//
// # Refunds
//
// A refund is looked for by its reference (receipt) among the payment's refunds before it is asked for, and is asked for with
// the reference as X-Refund-Idempotency. Either alone would do on a good day: the key has no documented lifetime, the list may lag.
package razorpay
