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
//
// Any number of processes may use one store. Their clocks must agree to within much less than a lease.
//
// # Failures
//
// Run outlives a store that is away: it logs that, asks again with growing gaps up to MaxBackoff, and goes on when
// the store is back. A handler that panics has its job put off, and the rest go on.
package work
