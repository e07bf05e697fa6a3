// Package httpapi holds what every HTTP dialect of the ledger shares: the listener's routes, request ids, the access log,
// panics, bodies, client addresses, rate limits, strict JSON, readiness, metrics and the documentation pages. The dialects
// are packages below it and import it; it knows none of them.
//
//	listener -> Front (request id, client address, access log, metrics, panic) -> Router -> dialect's handler
//
// # Bounds
//
// Headers (64 KiB), bodies (MaxBody), times (see NewServer), JSON depth (MaxDepth), windows kept by a Limiter: all are
// bounded, and what is beyond a bound is answered with the envelope, never by a cut connection, as long as net/http can
// still read the request.
//
// # What is logged
//
// Method, route pattern, status, duration, bytes, request id and key id. Never bodies, keys, names, account numbers, paths as sent
// or query strings: they may hold what merchants choose.
package httpapi
