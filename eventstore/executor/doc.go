// Package executor turns commands into records by group commit: one goroutine per partition takes whatever is queued,
// decides each command against state in memory, appends all their events in one transaction, and only then answers.
// While one batch commits, the next one is decided.
//
//	Submit -> queue (bounded) -> decide (one goroutine, owns all state) -> commit (one goroutine, owns the store call) -> answer
//
// # A batch
//
//	decided -> in flight -> durable: answered; its snapshots are kept
//	                     -> conflict, deposed: undone, and decided again; so is the batch decided behind it
//	                     -> failed: undone, answered with ErrStore; the batch decided behind it is decided again
//
// # Guarantees
//
//   - Every answer, acceptance or rejection, is given only when what it stands on is durable. A batch that appends nothing
//     is answered after the head was read and found unmoved.
//   - A rejected command never fails its neighbours.
//   - When an append fails, what it and the batch decided behind it touched is put back as it was before (Copier), or
//     dropped from memory and read again from the log.
//   - On a conflict (another process appended) the records not yet seen are read, streams in memory follow them,
//     subjects that they touch are forgotten, and the commands are decided again, Options.Retries times at most. Who has lost half
//     of these claims the partition, which fails the append that the other process has under way: so two processes that are
//     never idle both get on.
//   - When the log turns out not to be the one that memory stands on (a standby that lacked records has taken over, an older copy
//     was restored), all of memory is dropped.
//   - A commit of unknown outcome is found out with the store before anybody is answered.
//   - A stream with a gap in its versions, or a record that cannot be decoded, fails the commands that need it, and no others.
//   - A full queue refuses at once (ErrBusy). Close refuses new commands and finishes the queued ones.
//
// A caller whose context ends while it waits gets ErrOutcomeUnknown: the command may still be carried out.
//
// # Snapshots
//
// A stream whose state is a Snapshotter is not folded from its first record at each start, but from its snapshot on.
//
//   - What is kept is the state as of the end of a batch, with the batch's head, after the batch is durable: never a state that
//     is undecided, in flight or undone. It is copied while the batch is the newest one, and written beside the deciding,
//     by one goroutine at a time, within a bounded time; Close waits for it, and keeps what has grown since.
//   - A snapshot is believed when its fold version is the program's and the record that it stands on is in the log with the same
//     hash. Then the state is the log's up to there, whoever wrote it: a process that was killed behind the commit, one that was
//     deposed, one on another history (whose record has another hash, and is not believed).
//   - One that is not believed, cannot be read, or does not meet the version that the stream goes on with is passed over, with a
//     line in the log, and the stream is folded from its first record. Losing one, or failing to keep one, costs only time.
package executor
