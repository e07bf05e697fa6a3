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
// Commits of work need not wait for the disk (synchronous_commit=off on PostgreSQL, synchronous=NORMAL on SQLite): a crash of
// the database's machine may undo the newest of them. That is harmless, because what is undone is always the end of one
// history: the write-ahead log of this database is one sequence, a commit is durable when the log is up to its record, and
// recovery replays the log from its beginning to where it ends. So for any two commits, of which the second began after the first
// had returned, the second survives only if the first does. By kind of row:
//
//   - A job or a callback that a consumer wrote, or its entry among the poisoned. The consumer acknowledges the record after
//     that commit has returned, and its checkpoint passes the record after the acknowledgement. If the checkpoint survives
//     so does the row. If it does not, the consumer reads the record again and writes the row again.
//   - A lease, its extension, its end. The job is as it was before, and is handled again: see "at least once". Whether a payout
//     was sent is not known from its job, but from the log, which is durable before anything is sent; two processes that both
//     believe to have a job are kept apart there.
//   - A job put off. It is due at an earlier time, with an older memory; what it does is decided by the log.
//   - An answer under an Idempotency-Key. The key itself is in the log; the repeat is answered from the payment.
//   - A checkpoint. Records come again.
//
// This holds as long as jobs, callbacks, poisoned records and checkpoints are in one database, which they are: one area, one pool.
// The log, the secrets and what the bank was told are committed durably, always.
//
// # Failures
//
// Run outlives a store that is away: it logs that, asks again with growing gaps up to MaxBackoff, and goes on when
// the store is back. A handler that panics has its job put off, and the rest go on.
package work
