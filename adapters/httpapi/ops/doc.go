// Package ops speaks the operator API: what the people at the platform look at and do beside the command line. It is small on
// purpose: it stops payouts and makes none; what moves money or needs a second person is done on the command line.
//
//	GET  /ops/v1/merchants?after=&limit=                          merchants by id, never with key hashes
//	GET  /ops/v1/merchants/{id}
//	GET  /ops/v1/merchants/{id}/approval                          how many checkers its batches need
//	PUT  /ops/v1/merchants/{id}/approval                          {"bands":[...],"reason"}, see merchant.ParseApproval
//	POST /ops/v1/merchants/{id}/batches/{batch}/cancel            {"reason"}: stops a batch; what is not paid yet never will be
//	GET  /ops/v1/suspense?status=&merchant=&after=&limit=         money that fits no payin
//	GET  /ops/v1/deliveries?merchant=&status=&cursor=&limit=      callbacks, newest first
//	POST /ops/v1/deliveries/{id}/resend                           sends one again, with the same bytes
//	GET  /ops/v1/transactions/{id}                                a payment's events in order, masked
//
// Operators have keys of their own, in X-Operator-Key. Every role reads; owner and maker write. The envelope is that of the
// merchants' API: {"success":true,"data":{...}}, and its errors. Amounts are decimal strings, times RFC 3339 in UTC.
//
// Checks are made in this order: path, method, key, rate, role, body, parameters. A request that changes something is logged with
// the operator's id; what it changes is an event of operator:opr_..., with the address and the body as sealed evidence. Each can be
// repeated without harm, so there is no Idempotency-Key.
package ops
