// Package bus carries the effects: it gives the log to consumers as watermill messages.
//
//	log -> reads (once for all consumers) -> reader -> window -> message -> handler -> acknowledged
//	                                           |                                           |
//	                                           +-- of no interest ---> checkpoint <--------+ of everything up to there
//
// # Guarantees
//
//   - Each consumer (a group reading a topic) has one checkpoint per partition, in work storage. A record is given again
//     until it was acknowledged: at least once. Consumers dedupe by the message's UUID, which is the event's id.
//   - A consumer says which types of record it wants. Others never become messages; they only move the checkpoint.
//   - Within a partition up to Window messages are unacknowledged at a time. Messages of one subject (a payment) come in the
//     log's order, and the next one only after the one before was acknowledged; messages of different subjects go side by
//     side, so that what their handlers write is committed together. With a Window of one, all of a partition come in the log's
//     order. A negative acknowledgement gives the same message again, before the next one of its subject. Partitions go on side
//     by side.
//   - The checkpoint stands behind the lowest record that is not acknowledged: whatever happens, that one comes again. So may
//     those behind it that were acknowledged already.
//   - Of several subscriptions of one consumer on one Bus, one reads a partition at a time and the others stand by. Consumers in
//     different processes may each see the same record; their checkpoints only move forward together.
//   - The checkpoint is written a little after the acknowledgement (FlushRecords, FlushAfter): a crash repeats at most that, and
//     the window.
//   - What comes after a silence is given at once. While a partition keeps growing it is read once in a Gap, of which every
//     consumer makes use.
//
// # Failures
//
// A store that is away is asked again, with growing gaps, for as long as it takes: nothing is skipped. The Router tries a
// handler that fails again for ever, since handlers only write durable, idempotent work: what fails is the store. It holds up its
// own subject at once, and the partition when the window behind it is full. Only what can never work is taken out of the way,
// into the table poison, logged, and can be listed and replayed: a record that cannot be decoded, an error that calls itself
// Permanent, and a handler that goes on panicking. Its entry is stored before the record is acknowledged.
//
// A checkpoint that somebody sets back, to have records again, is followed: what is in the window is dropped, and read again.
package bus
