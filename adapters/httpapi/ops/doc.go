// Package ops speaks the operator API: what the people at the platform look at and do beside the command line. It is small on
// purpose; what moves money or needs a second person is done on the command line.
//
//	GET  /ops/v1/merchants?after=&limit=                          merchants by id, never with key hashes
//	GET  /ops/v1/merchants/{id}
//	GET  /ops/v1/suspense?status=&merchant=&after=&limit=         money that fits no payin
//	GET  /ops/v1/deliveries?merchant=&status=&cursor=&limit=      callbacks, newest first
//	POST /ops/v1/deliveries/{id}/resend                           sends one again, with the same bytes
//	GET  /ops/v1/transactions/{id}                                a payment's events in order, masked
//
// Operators have keys of their own, in X-Operator-Key. Every role reads; owner and maker write. The envelope is that of the
// merchants' API: {"success":true,"data":{...}}, and its errors. Amounts are decimal strings, times RFC 3339 in UTC.
//
// Checks are made in this order: path, method, key, rate, role, parameters. A request that changes something is logged with
// the operator's id.
package ops
