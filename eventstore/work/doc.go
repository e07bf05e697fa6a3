// Package work keeps what is to be done: due jobs, how far consumers have read, and answers to be repeated. Every row can
// be derived again from the log, so losing one may repeat a message, and never strands or moves money.
//
// # A job
//
//	          Put                Lease               Done
//	(absent) -----> waiting ---------------> leased ------> (absent)
//	                ^  ^  due, first of its    |
//	                |  |  group                |
//	                |  +--- Retry, Release ----+
//	                +------ lease runs out ----+
//
// # Guarantees
//
//   - A job is known by kind and key. Putting it while it exists changes nothing; once it is done it can be put again.
//   - At any time at most one holder has the lease of a job. Who lost it (it ran out and somebody else took it, or the job
//     was removed) gets ErrLeaseLost from Done, Retry, Release and Extend, and changes nothing.
//   - Jobs of one kind that share a group are leased strictly one after the other, by Order and then Key; a
//     job waits while an earlier one of its group exists, be it leased or not due yet. Whoever puts the jobs of a group
//     puts them in order.
//   - A job is handled at least once: a handler that finished, but whose Done never reached the store, is called again.
//   - Those who Put at the same time share a transaction: while one commits, the next one fills. Put returns when its own has
//     committed. A job that the store refuses fails nobody else's.
//
// Any number of processes may use one store. Their clocks must agree to within much less than a lease.
//
// # What a crash of the database may lose
//
// On PostgreSQL, what a consumer wrote for a record (a job, a callback, its entry among the poisoned) is on the disk before the
// consumer acknowledges the record: PostgreSQL may crash and come back while the consumer lives on, and the consumer, which is
// past the record, would never write the row again. Other commits do not wait for the disk (synchronous_commit=off), and a crash
// may undo the newest of them:
//
//   - A lease, its extension, its end. The job is as it was before, and is handled again: see "at least once". Whether a payout
//     was sent is not known from its job, but from the log, which is durable before anything is sent; two processes that both
//     believe to have a job are kept apart there.
//   - A job put off. It is due at an earlier time, with an older memory; what it does is decided by the log.
//   - An answer under an Idempotency-Key. The key itself is in the log; the repeat is answered from the payment.
//   - A checkpoint. Records come again.
//
// What may be used once and has been (SpendOnce) is the one thing here that the log does not tell again: its commit waits for the disk, on SQLite too,
// where it goes through a connection of its own (synchronous=FULL).
//
// On SQLite no other commit of work waits for the disk (synchronous=NORMAL): only a crash of the machine undoes commits, it ends the
// consumers too, and what it undoes is the end of one history. The write-ahead log of this file is one sequence; so a checkpoint
// survives only if what was written before it does, and where it does not survive the consumer reads the record again. This holds
// as long as jobs, callbacks, poisoned records and checkpoints are in one file.
//
// The log, the secrets and what the bank was told are committed durably, always.
//
// # The inbox
//
// Messages of payment companies that the log does not take are kept here: what is early, what was never matched, what was not believed. It is evidence beside
// the ledger, sealed by who keeps it and bounded in number and age. Losing it loses no money: payments are asked for again when their payin expires.
//
// # Failures
//
// Run outlives a store that is away: it logs that, asks again with growing gaps up to MaxBackoff, and goes on when
// the store is back. A handler that panics has its job put off, and the rest go on.
package work
