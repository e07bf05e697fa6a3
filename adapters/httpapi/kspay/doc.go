// Package kspay speaks the KS Pay HTTP API: an app's tokens and signatures, what it can be paid in and by, and its transactions, which are
// payins of the same ledger. openapi.yaml describes it in full, and the package's tests hold every answer against it. docs/kspay.md is for who
// integrates it.
//
// # Order of checks
//
//	path -> credentials, token or signature -> app disabled -> address -> origin -> rate -> role -> body -> what it asks for
//
// A refusal changes nothing and binds neither a referenceNumber nor an Idempotency-Key.
//
// # A transaction
//
//	initiate (x-signature) ------------------> payin.created -> order made -> answer: the order
//	initiate (token, or keys in headers) ----> payin.created -> answer: a signature of this transaction
//	process (that signature) ----------------> order made, unless there is one -> answer: the order
//
// Its id is the payin's id and its txn_ref; its referenceNumber the payin's order_id. What happens at a gateway is behind Checkouts.
//
// Who dies between payin.created and the order leaves a pending payin without one. The very same request (the same bytes) finds it by its
// referenceNumber and goes on with it; so does process; and nobody's repeat makes a second one. It expires like every other.
//
// # Decisions beyond the document
//
//   - Errors are answered by their rows (Errors), with their own HTTP status. Two are not: dbError is a 503, since clients take a 4xx as a
//     refusal and must not here, and a body that is too large or of a foreign type is invalidRequest as a 413 or 415. externalError, which has
//     no status, is a 502: a gateway's outcome that is not known. A wrong method is NotFoundUrl as a 405.
//   - A signature of generate-signature may initiate several transactions while it lasts. process then wants to be told which. A signature
//     that belongs to a transaction initiates nothing.
//   - process goes by the signature of the request that made the transaction: one that found it begun, under another signature, does not make
//     that signature its own.
//   - Idempotency-Key is honoured by initiate, and claimed in the same append as the payin. No answer is stored for it, unlike in the other dialect:
//     a repeat is answered from the transaction as it is, since an answer of the checkout flow is a signature, which is nothing to keep.
//   - A key of role checker may read, and not initiate (unauthorizedAccess); so may an app without the payin service.
//   - The evidence of an initiation is its body as it came; of form data, and of a body with something in it that is called a secret, its own
//     fields alone. Headers are no part of it.
//   - Amounts are values: zeros behind the point do not count as decimals. The order of Razorpay has its amount in minor units, since the
//     vendor's clients hand it to Razorpay's own as it is.
//   - page and limit have no errors in the payment API's table: they are those of the other table (4089, 4056).
//
// # Failures
//
// Stores that are away, busy or stopping are 503 with Retry-After; what is broken is a 500, logged whole and shown as nothing. The client going
// away does not end the making of an order.
package kspay
