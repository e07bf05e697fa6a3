// Package simulation is a test of the whole ledger in a world that is made up: a store, a work database, views, a bank, a
// network and a clock that fail as they please, processes that are killed between any two steps, and an oracle that keeps books of its own. It
// holds nothing but tests: `go test ./cmd/ledger/simulation` runs a few hundred worlds, `make sim` as many as time allows.
//
// # One seed, one history
//
// A seed decides everything, and the same seed gives the same history, record by record and hash by hash: a test holds that. It
// is done so:
//
//   - A run is a bubble of testing/synctest: its clock is made up, and stands still while anything moves.
//   - Whatever leaves the process (a call of the store, a statement of the work database, a transaction of the views, a call of the
//     bank, a command that is submitted, a record that the bus delivers) is parked, under a name that follows from what it is. When all goroutines stand,
//     one goroutine, the world, lets one of those parked go on, by the dice of the seed, and with what fault; then it waits again
//     until all stand. So at each moment one thing happens, and what may run side by side is only what does not meet.
//   - What must not be overtaken in its own goroutine (reads of the executor, leases of jobs: whoever waits there would see several
//     events at once, and select among them at random) goes first, in the order of names; what has waited longer than its
//     caller goes behind that.
//   - A pause holds those up, too, while time passes. So a goroutine of the product that comes back from outside, and selects, gives the
//     same answer whichever of the events that have come meanwhile it is given first.
//   - What goroutines of one process share in memory (the queue of an executor, a transaction that several callers share) they reach
//     one at a time: whoever gets there has been parked since it met others.
//   - Ids are drawn from the seed when a command is let go on. The product's jitter is an option of the product.
//
// TestSameSeedSameHistory holds it, for SIM_PAIRS pairs of runs.
//
// # Snapshots and views
//
// Wallets are kept in snapshots after every few records. A snapshot may be lost, come late and over a newer one, be cut short or be of another
// history; a process that starts, or has lost a race, reads it.
//
// In some of the worlds each process builds the views, all of them in one SQLite file: the transactions are the product's, so is what they
// wait for; a COMMIT may fail, or take effect and say that it has not. The views are built again beside what serves, lost, and put back to an
// older copy. At the end they stand at the heads of the log, equal a replay of it, and have the balances that the oracle has.
//
// # Callbacks and batches
//
// In some of the worlds merchants have callback URLs: the deliverer of each process runs for real, its HTTP client too, over pipes to
// servers that answer 200, anything else, late, never, or cut the connection before or after they have taken a callback in; names do not
// resolve, or to private addresses; URLs and keys change. The oracle makes each callback's body of the log by itself. A callback is
// signed by a key of its merchant, goes to no other, says the same each time, is in the log, comes behind earlier ones of its subject, and is
// counted before it is made; in the end each is delivered, or was tried as often as documented, with the gaps.
//
// In some of the worlds clients submit batches: partial and atomic, that wait for money or do not, under approval, scheduled, broken
// off, announced wrongly, larger than the balance or than a chunk, with references that are taken. The oracle follows each: a row is one payout or
// refused, once; nothing is paid without approvals, before its time, or after a cancellation; a hold is spent or given back; what was
// taken in is there as it was submitted, and ends.
//
// SIM_WITH=callbacks,batches gives them to every world.
//
// # What happens to a world
//
//	storm   clients send commands, customers pay, the bank pays; faults, crashes, pauses, jumps of the clock
//	calm    everything is repaired; processes that are down are started; time passes until nothing is under way, at most CalmFor
//	after   the processes are stopped in order; the oracle compares log, bank, clients, work and views
//
// What the oracle finds names the seed and the command that repeats the run.
package simulation
