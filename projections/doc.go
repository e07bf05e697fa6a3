// Package projections holds the views: what balances, lists, statements and key look-ups are read from. A view is derived
// from the log alone, so dropping one loses nothing.
//
// # Shape
//
// A projection has a name, a version and tables, whose names end in a generation (payments_3). All serving projections stand
// at one checkpoint per partition: the position of a record and its hash.
//
//	             build                    switch
//	(no views) ---------> generation g ------------> serving at a checkpoint --records--> serving further on
//	                          ^                            |
//	                          +-- Rebuild, a new version --+   the old generation serves meanwhile, then is dropped
//	                          +-- the log lacks the checkpoint's record: dropped at once, not serving meanwhile
//
// # Guarantees
//
//   - The rows of a batch and the checkpoint behind it are committed together, after a compare-and-swap on the old checkpoint
//     and on the epoch, which every switch raises. So each record has its effect once, however many processes run, and a
//     stale worker is fenced: it writes nothing, and follows.
//   - A checkpoint is believed only if the log has its record, with its hash. Otherwise (a restore, a failover, another log)
//     the views are built again, with a warning.
//   - Reach waits, bounded, until the views stand at the heads of the log that it read when it was called: what was answered
//     by any process can be read. Reads of payments, balances and suspense call it themselves.
//   - A view is a function of the log up to its checkpoint: it depends on no clock and no batch size. Check proves it.
//
// # Failure
//
// When the log or the views are away, Run says so once, backs off, and goes on by itself; reads fail meanwhile, with ErrBehind
// or the fault itself. A SQLite file that is missing or damaged is made anew by OpenSQLite.
package projections
