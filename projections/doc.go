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
// # Durability
//
// On PostgreSQL a commit of a view waits for the disk: what a read has shown must not be gone when PostgreSQL crashes and comes
// back beside a process that remembers how far it was. On SQLite no commit waits that is not a checkpoint of the file
// (synchronous=NORMAL): only a crash of the machine loses commits, and it ends this process too. However commits come to be
// lost (a failover, synchronous_commit=off for the role), they are the newest ones in a row, each whole: the checkpoint goes back
// with its rows, a switch with the tables that it replaced, and the rest is read from the log again.
//
// # Where the time goes
//
// A batch is a transaction, and costs some twenty round trips however small it is: under a steady load Run gathers records for
// a few milliseconds, unless a read waits for them. A row costs mostly its indexes. So the journal has one, on numbers; a payment's
// wide row has none on what changes (its status is listed in a narrow table beside it), and is written once for all that a
// batch does to it. A writer remembers the wallets, accounts and pending payments that it has written, for as long as it alone
// moves the checkpoint, and reads the others back.
//
// A payout batch costs a row for each item, once; what becomes of an item is read from its payout, by its key. Its records are large, so what
// is read from the log at once is bounded by bytes, too.
//
// A build waits for nobody, and nobody for it. So on PostgreSQL its transactions hold many batches: a payment that begins and ends in one is written
// once, and the pending ones wait for the end of it. What follows from other tables of the generation (the list of payments by status) is made from
// them at once when they are filled, and indexes behind that. A transaction that fails is done again from the checkpoint before it.
//
// # Failure
//
// When the log or the views are away, Run says so once, backs off, and goes on by itself; reads fail meanwhile, with ErrBehind
// or the fault itself. A SQLite file that is missing or damaged is made anew by OpenSQLite.
package projections
