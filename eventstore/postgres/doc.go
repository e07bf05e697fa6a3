// Package postgres is a log in PostgreSQL: the store for production. It lives in the schema public of one database, whatever
// the search path of the address says.
//
// # An append
//
//	BEGIN; move_head; COPY events; COPY evidence     one query; the function locks the head, compares it and moves it
//	the rows                                         binary
//	COMMIT                                           a query of its own
//
// All of it is sent before the first answer is read: one round trip. The head is locked in a statement of its own, and nothing else is
// read in the transaction, so no statement depends on a snapshot from before the lock. Readers take no locks. What finds
// records by name is not in the commit: see package index.
//
// # Failure
//
// An error ends the first query; the server ignores the rows that follow, and COMMIT then commits nothing. When an answer is lost, or
// comes from a server that is going down, Append returns eventstore.ErrUnknown. Committed then takes the head's row lock on a
// new connection, which waits until the transaction in doubt is over, looks for its records in a statement behind that, and, if they
// are not there, raises the epoch, so that what may still be on its way cannot be committed after all. COMMIT is not abandoned
// when the caller's context ends, but waited for a while, so that a caller that goes away does not make an outcome unknown.
//
// A client that vanishes with the lock in its hands is thrown out by the server: see the settings of a connection.
package postgres
