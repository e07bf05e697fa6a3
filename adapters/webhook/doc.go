// Package webhook tells merchants by callback that a payment has reached a final status.
//
//	log -> bus -> Outbox.Handle -> deliveries (work storage) -> Sender -> the merchant's server
//
// # A delivery
//
//	           Handle                begin              finish: HTTP 200
//	(absent) ---------> pending ---------------> sending -----------------> delivered
//	                    ^  ^  due, first of its   |  |                          |
//	                    |  |  transaction         |  +-- finish: last one --> failed
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
//   - Callbacks about one transaction go one after the other, in the order of its events: a later one waits until the
//     earlier one is delivered or failed.
//   - A merchant has at most Options.PerMerchant attempts under way, and those who have that many are passed over, so
//     that a slow one never holds up the rest.
//   - An attempt goes to the URL that the merchant has at that time: a new one is for pending callbacks too. Without one the attempt counts
//     as failed; and what ends while the merchant has none is never told, not even when a URL is set later.
//   - An attempt that a kill cuts short counts, and keeps its lease: the next one is made when that has run out.
//   - Several processes may share the deliveries: an attempt holds a lease. Their clocks must agree to within a few seconds.
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
