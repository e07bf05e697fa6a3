// Package paypal is the adapter to PayPal: orders that customers approve on PayPal's page, and that are captured then.
//
// Written to PayPal's public documents, and tried against servers of our own that answer as those documents say, never against PayPal itself or
// its sandbox:
//
//   - Orders v2, Payments v2, Webhooks v1 (verify-webhook-signature) and Customer Disputes v1, by PayPal's published OpenAPI descriptions;
//   - the guides "Authentication", "Idempotency", "Currency codes", "Webhook event names" and "Integrate webhooks".
//
// # Money
//
// PayPal has its own list of currencies and of their decimals: HUF, JPY and TWD have none there, whatever ISO 4217 says (see currencies). An
// amount that PayPal cannot take is declined here, with PayPal's own words for that.
//
// # Idempotency
//
// PayPal cannot be asked for an order or a refund by our reference. It knows a request again by its PayPal-Request-Id: for six hours of an order, for 45
// days of a refund. An order that is made twice because more time went by does no harm: nobody was ever given the address of the first.
// invoice_id is our reference, too, and PayPal takes each but once from customers (unless the merchant has switched that off).
// An order is captured once at most, by PayPal's own rule (ORDER_ALREADY_CAPTURED). Its PayPal-Request-Id is therefore made of the order's state:
// after a capture was declined, and the customer has approved the order anew, the answer is not that of the first time.
// A refund whose answer was lost is looked for among the refunds of the order, by custom_id.
//
// # Tokens
//
// An access token is kept per account until shortly before it ends. One is fetched at a time for an account; when PayPal does not take a token (401), one
// new one is tried. Tokens are kept in memory only.
//
// # Webhooks
//
// PayPal signs with a certificate that would have to be fetched. Instead, PayPal is asked: POST /v1/notifications/verify-webhook-signature
// with the message's own bytes, as they came, in place of webhook_event: written anew they would not fit the signature. A message that PayPal cannot be asked about
// is neither true nor false; it is to be refused with a 5xx, and PayPal sends it again, up to 25 times in three days. The documents do not say
// whether it then has a new transmission time, hence maxAge. PayPal's simulator cannot be verified in this way (its documents say so).
// A message that comes twice does no harm: the ledger keeps one payment per id, and one message per its bytes. The webhook's id is
// Account.WebhookSecret: no secret, but PayPal says SUCCESS only to messages of that webhook.
//
// PAYMENT.CAPTURE.REVERSED is not read: a dispute tells the same with its case. What a bank takes back without one is found by reconciliation.
package paypal
