// Package klyropay speaks the KlyroPay HTTP API: payins, payouts and the wallet of a merchant. openapi.yaml describes it
// in full, and the package's tests hold every answer against it.
//
// # Order of checks
//
//	path, method -> key -> address -> rate -> service and role -> Idempotency-Key -> body -> duplicate reference -> balance
//
// A refusal changes nothing and binds neither an Idempotency-Key nor a reference.
//
// # Decisions beyond the document
//
//   - A suspended merchant is answered 403 "You do not have access to this service" on every endpoint. Money in flight goes on.
//   - A service that is not the merchant's is 403 for reading, too. The wallet's balance belongs to every service.
//   - Keys have roles, and what one may not do is a 403. Keys of role full may do everything. A maker submits, retries and cancels batches,
//     which then need approval, and creates payins, but no single payouts. A checker approves, rejects and cancels batches, and creates
//     nothing. All of them read.
//   - The rate limit's window begins with a key's first request and lasts a minute; see httpapi.Limiter.
//   - Failed authentications are limited per address (of IPv6, per /64): beyond the limit the answer to a further bad key is 429.
//     A good key is never held up by its neighbours' failures.
//   - Unknown fields of a body are ignored, null and "" are like an absent field; a name for the second time is a 400.
//   - An amount is what it is written as: digits with at most two decimals, as a JSON number or in a string. 1000.000 and 1e3 are
//     refused, not read as 1000.
//
// # Idempotency-Key
//
// The key is claimed in the same append as the payment, so that of two copies in the same instant one makes it and the
// other finds it. The first answer is stored before it is sent. A repeat gets that answer; when there is none (the process
// died before it had one, or has it only now in the making), the repeat waits for the payment like the original,
// is answered from the payment's present state, and that answer is stored for those that follow.
//
// # Batches
//
//	body -> Read: form, fields, prices -> spool -> Submit -> 202
//	             |                          (a file without a name)
//	             +-> 422 with places, nothing kept
//
// A body is read once, in memory that does not grow with it but for a mark of each item (BatchFiles), and checked as a whole before
// anything of it is submitted. Meanwhile its items wait in a file that has no name and that only this process can decipher: what dies
// with the process, or breaks off with the client, is nothing. A batch that was read whole is submitted whether or not the client is
// still there.
//
//   - The digest of a batch is over its items in their order and its options, not over the bytes that came: the same batch as CSV and as
//     JSON is the same. batch_ref and digest decide what a repeat is. A partner_request_id that was not given counts as such, and is
//     made from batch_ref and index. How many must approve it follows from the merchant's rule and the key's role, too, which may change:
//     that is no part of the digest.
//   - What a batch asks for when it is made is looked at only then: a repeat is answered with the batch when its schedule_at has passed, and
//     when its own payouts have used up the balance.
//   - An atomic batch that is to be paid at once is looked at before it is kept (Batches.Stopper). What comes in between, or later, makes it
//     rejected, and stopped_by says for which item.
//   - The transaction_id of an item is shown from when there is a payout: before, nothing could be asked about it.
//   - An Idempotency-Key is claimed with the batch. It says no more than batch_ref does for who repeats requests as they were; it holds
//     back who makes up a new batch_ref for every attempt. A repeat is answered with the batch as it is now, not with the first answer.
//     Approving, rejecting and cancelling need none: to do it twice is to do it once.
//   - Retrying what failed is a submission whose items come from the ledger. An item that was a payout gets an id that follows from the old
//     one, so that it is retried once, whatever the batch_refs of the retries. A repeat of the request is the batch that it made, also
//     when the bank has returned more payouts of the old batch since.
//   - A body that is not well-formed is a 422 with its line here, not a 400. Unknown fields of items are refused: a column that nobody
//     reads is a mistake in a sheet.
//   - The body itself is no evidence of the request: its items are in the events, sealed.
//   - Results hold account numbers in full, as submitted, so that a failed part can be submitted again. All other answers mask them.
//
// # Failures
//
// A ledger that is busy, stopping or without its store is answered 503 with Retry-After; the payment then either does not
// exist or its outcome is not known yet, and the same request with the same key finds out. Faults that are ours are 500,
// logged whole and shown as nothing. Personal data that was erased reads as null.
package klyropay
