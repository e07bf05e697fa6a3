// Package payu is the adapter to PayU India, written to its public documentation (docs.payu.in: hosted checkout, general APIs, webhooks,
// hashing). It meets gateway.Checkout.
//
// # Orders
//
// PayU keeps no order before the customer is there: CreateOrder calls nobody, and an order's id is our reference, which is PayU's txnid.
// The browser posts a form with a SHA-512 over its fields and the account's salt, so that it can change none of them.
//
// # What is trusted
//
// PayU signs what it sends with the same salt, over status, udf1 to udf5, email, firstname, productinfo, amount, txnid and key: and
// nothing else. Its own payment id (mihpayid), the discount, the bank's reference and the time are not covered, and the customer gets the same
// form with the same hash as our webhook does. Whoever has paid once could therefore post it again with another mihpayid, as a second
// payment. So the hash only opens the door: a message that has a right hash makes the adapter ask PayU (verify_payment), and
// what PayU answers is what counts. When it does not answer, a webhook is not acknowledged (PayU repeats it), and a return says no
// more than that the customer is back.
//
// Webhooks about refunds have no hash at all. They make the adapter ask, too (check_action_status), and are believed only in so far as PayU
// says the same. Webhooks about disputes have no hash, and there is nothing to ask: they are refused (gateway.ErrSignature), and disputes of PayU are
// recorded by hand. The age of messages does not matter, since an old one says what PayU says now.
//
// # Amounts
//
// Rupees with two decimals. An offer of PayU's may take something off what the customer pays: a payment's amount is what was asked for
// less that discount, never what the form claims. Charges that PayU adds for itself are no part of it.
//
// # Refunds
//
// PayU keeps one refund per token, for ever; the token is our reference. When it says that the token is taken, and whenever it
// refuses, the refund is looked for among the payment's actions before that counts as a refusal.
//
// # Hash
//
// PayU's mobile client asks its app's server for hashes of strings that it makes itself. A server that signs whatever it gets gives every
// customer the account: the same salt signs refunds, captures and settlements (key|command|var1|salt), other customers' stored cards,
// other amounts. Hash signs a payment only of this transaction and its very amount, and of commands those alone that
// show a checkout, with arguments that name nobody.
package payu
