// Package eventstore is the log: the only truth of the ledger.
//
// # Shape
//
// A log has P partitions, fixed when the store is made. A partition is one gapless sequence of records, numbered
// from 1, each carrying the hash of the one before it. Every partition has one head: the position and hash of its
// newest record and the epoch of its owner.
//
// # Guarantees, which storetest checks for every store
//
//   - Append is a compare-and-swap on the head: records, evidence, keys and the new head are committed in one
//     transaction, durable before it returns nil, or nothing is written at all.
//   - If the head has moved, Append returns ErrConflict; if the epoch has changed, ErrDeposed.
//   - If the connection broke while committing, Append returns ErrUnknown: Committed finds out what happened.
//   - Positions are gapless and their order is commit order: a reader that tails by position never skips a record,
//     however many writers there are.
//   - Reads see every record committed before they began.
//   - Nothing updates or deletes a record; the SQL schema itself refuses.
//
// # What it does not do
//
// It knows records, not money. It does not answer that a dedupe key is taken: the executor asks Lookup, and the
// compare-and-swap proves that nothing came between. As a last line of defence the stores of today refuse an append with a
// taken key (ErrInvalid), which is a fault of the caller. It does not retry.
package eventstore
