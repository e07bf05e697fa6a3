// Package webhook tells merchants by callback that a payment has reached a final status, and what has become of a batch.
//
//	log -> bus -> Outbox.Handle -> deliveries (work storage) -> Sender -> the merchant's server
//
// # A delivery
//
//	           Handle                begin              finish: HTTP 200
//	(absent) ---------> pending ---------------> sending -----------------> delivered
//	                    ^  ^  due, first of its   |  |                          |
//	                    |  |  subject             |  +-- finish: last one --> failed
//	                    |  +-- finish: not 200 ---+                             |
//	                    |  +-- the lease ran out -+                             |
//	                    +------------------------ Resend -----------------------+
//
// # Guarantees
//
//   - One delivery per event, however often the event is handled: its id is made of the event's.
//   - The body is made once, from the log up to the event, and stored: every attempt and resend sends the same bytes.
//   - HTTP 200 is success and nothing else is. Options.Attempts attempts in all, Options.Gap apart; an attempt is counted
//     before it is made, so that a crash cannot make more of them. Each is kept with its status, latency and the first KB of the answer.
//   - Callbacks about one subject, a transaction or a batch, go one after the other, in the order of its events: a later one
//     waits until the earlier one is delivered or failed. Between a batch and its payouts there is no order.
//   - A merchant has at most Options.PerMerchant attempts under way, and those who have that many are passed over, so
//     that a slow one never holds up the rest. All that are slow have at most half of Options.Concurrency together.
//   - An attempt goes to the URL that the merchant has at that time: a new one is for pending callbacks too. Without one the attempt counts
//     as failed; and what ends while the merchant has none is never told, not even when a URL is set later.
//   - An attempt that a kill cuts short counts, and keeps its lease: the next one is made when that has run out.
//   - Several processes may share the deliveries: an attempt holds a lease. Their clocks must agree to within a few seconds.
//
// # Batches
//
// One callback, batch.updated, when a batch is approved by the last who has to, rejected, completed or cancelled; also when it is
// cancelled because it was never received whole. A batch that needs no approval is first told of at its end. A merchant can switch them
// off (merchant.Merchant.BatchQuiet): what happens while they are off is never told, and what is pending already still goes out. The body
// is flat, like all bodies, and tells what the batch was announced with:
//
//	{"event":"batch.updated","batch_id":"bat_...","batch_ref":"SALARIES-MARCH","status":"rejected","reason":"wrong file",
//	 "stopped_by":null,"count":10000,"total_amount":10000000.5,"commission":100000,"timestamp":"2026-03-31T12:00:00.123456Z"}
//
// stopped_by is the index of the item for which an atomic batch was rejected, or null. status is processing (approved; before its time, if it is scheduled), rejected, completed or cancelled. reason is null where there is none.
// How many items were paid, refunded or refused is in GET .../batches/{id}: see buildBatchBody. What the wallet does for a batch
// (batch.queued, batch.held, batch.released) is about money and is not told.
//
// # Signature
//
// X-KlyroPay-Signature is the HMAC-SHA256, in lower-case hexadecimal, of the body, keyed with the merchant's newest active key of
// role full at the time of the attempt. The body is such that the document's PHP sample, its Node sample and a
// verifier of the raw bytes all come to the same bytes: compact, in the documented order, ASCII without "/", amounts without trailing
// zeros. A merchant may choose the dialect php, node or raw instead: then strings are sent as they are, and the signature covers
// what that platform re-encodes (with raw, the bytes as sent, whose amounts have two decimals).
//
// Beside it go the headers of Standard Webhooks 1.0.0: webhook-id (the delivery's id), webhook-timestamp (Unix seconds) and
// webhook-signature: "v1," and the base64 of the HMAC-SHA256 over "id.timestamp.body", one for each active key of role
// full, newest first, keyed with the bytes of the API key. What its libraries call the secret is therefore "whsec_" followed by
// the base64 of the API key.
//
// # Where callbacks go
//
// Only to public addresses: each address that the host's name resolves to is checked against the private and special
// ranges, and a checked address is what is dialled, so that a name cannot change in between. Options.Allow names ranges
// that may be called nevertheless. Redirects are not followed, proxies of the environment not used.
//
// Neither URLs nor bodies nor answers are logged, nor what an answer makes of an error: only errors of this system are told in its words.
package webhook
