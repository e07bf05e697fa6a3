// Package sqlite is a log in a SQLite file: the default that needs no setup. It is pure Go, and works with several processes
// on one file: a server and the command line beside it.
//
// # States of a file
//
//	absent, empty --Migrate--> current --a newer program's Migrate--> newer (Open: eventstore.ErrNewer)
//
// Open takes a current file only. A file that is no log is left alone by both.
//
// # Durability and failure
//
// The file is in WAL mode with synchronous=FULL: Append returns nil after the WAL is on disk. A write is one transaction
// that takes SQLite's write lock at its start, so the head that it compares cannot move under it. What fails before
// COMMIT has written nothing. COMMIT itself fails without a trace too, unless the disk does not say whether the bytes
// arrived (an input/output error): then Append returns eventstore.ErrUnknown, and Committed settles it by writing behind
// the place in doubt. After any failure the writing connection is opened anew, so that the store works again as soon as
// the cause is gone: a full disk, a lock held by another process.
//
// # Concurrency
//
// A Store has one connection that writes, taken in turns, and a few that read. Reads never wait for a writer.
package sqlite
