// Package postgres is a log in PostgreSQL: the store for production. It lives in the schema public of one database, whatever
// the search path of the address says.
//
// # An append
//
//	BEGIN; SELECT the head FOR UPDATE     one round trip, two statements; the row lock orders all writers
//	compare it with the expected head     ErrConflict, ErrDeposed
//	COPY events, evidence, keys           binary; what is empty is left out
//	UPDATE the head; COMMIT               one round trip
//
// The head is locked in a statement of its own, and nothing else is read in the transaction, so no statement depends on a
// snapshot from before the lock. Readers take no locks.
//
// # Failure
//
// Whatever fails before the message with COMMIT is sent has written nothing. When the answer to it is lost, or comes from a
// server that is going down, Append returns eventstore.ErrUnknown. Committed then takes the head's row lock on a new
// connection, which waits until the transaction in doubt is over, and looks for its records in a statement behind that.
// COMMIT is not abandoned when the caller's context ends, but waited for a while, so that a caller that goes away does not make
// an outcome unknown.
//
// A client that vanishes with the lock in its hands is thrown out by the server: see the settings of a connection.
package postgres
