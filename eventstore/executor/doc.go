// Package executor turns commands into records by group commit: one goroutine per partition takes whatever is queued,
// decides each command against state in memory, appends all their events in one transaction, and only then answers.
// While one batch commits, the next one is decided; not so for a second behind a conflict, when what is decided ahead of the
// commit would often be for nothing (see takeTurns).
//
//	Submit -> queue (bounded) -> decide (one goroutine, owns all state) -> commit (one goroutine, owns the store call) -> answer
//
// # Guarantees
//
//   - Every answer, acceptance or rejection, is given only when what it stands on is durable. A batch that appends nothing
//     is answered after the head was read and found unmoved.
//   - A rejected command never fails its neighbours.
//   - When an append fails, what it and the batch decided behind it touched is put back as it was before (Copier), or
//     dropped from memory and read again from the log.
//   - On a conflict (another process appended) the records not yet seen are read, streams in memory follow them,
//     subjects that they touch are forgotten, and the commands are decided again, Options.Retries times at most.
//   - When the log turns out not to be the one that memory stands on (a standby that lacked records has taken over, an older copy
//     was restored), all of memory is dropped.
//   - A commit of unknown outcome is found out with the store before anybody is answered.
//   - A full queue refuses at once (ErrBusy). Close refuses new commands and finishes the queued ones.
//
// A caller whose context ends while it waits gets ErrOutcomeUnknown: the command may still be carried out.
package executor
