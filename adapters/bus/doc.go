// Package bus carries the effects: it gives the log to consumers as watermill messages.
//
// # Guarantees
//
//   - Each consumer (a group reading a topic) has one checkpoint per partition, in work storage. A record is given again
//     until it was acknowledged: at least once. Consumers dedupe by the message's UUID, which is the event's id.
//   - Within a partition messages come in the log's order, and the next one only after the one before was acknowledged. A
//     negative acknowledgement gives the same message again. Partitions go on side by side.
//   - Of several subscriptions of one consumer on one Bus, one reads a partition at a time and the others stand by. Consumers in
//     different processes may each see the same record; their checkpoints only move forward together.
//   - The checkpoint is written a little after the acknowledgement (FlushRecords, FlushAfter): a crash repeats at most that.
//
// # Failures
//
// A store that is away is asked again, with growing gaps, for as long as it takes: nothing is skipped. The Router tries a
// handler that fails again for ever, since handlers only write durable, idempotent work: what fails is the store. Only
// what can never work is taken out of the way, into the table poison, logged, and can be listed and replayed: a record that cannot
// be decoded, an error that calls itself Permanent, and a handler that goes on panicking.
package bus
