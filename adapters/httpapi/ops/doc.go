// Package ops speaks the operator API: what the people at the platform look at, take away and do beside the command line.
//
// Its routes, who may, and what they answer are in openapi.yaml, which a test holds against them. There are three kinds:
//
//	guard, guardChange    a question or a change, answered with the envelope
//	guardLong             the same, for what takes long: it has one of the places of exports
//	guardExport           a file, streamed: see export.go
//
// Operators have keys of their own, in X-Operator-Key. Every role reads what is there; all but support take it away; owner and maker write, and who
// approves is another one, an owner or a checker. The envelope is that of the
// merchants' API: {"success":true,"data":{...}}, and its errors. Amounts are decimal strings, times RFC 3339 in UTC.
//
// Checks are made in this order: path, method, key, rate, role, body, parameters. A request that changes something is logged with
// the operator's id; what it changes is an event of operator:opr_..., with the address and the body as sealed evidence. Each can be
// repeated without harm, or has an Idempotency-Key: disputes, refunds, making an app. Only giving an app a gateway makes another one each time. What a request brings
// of gateways' secrets is not kept with it.
package ops
