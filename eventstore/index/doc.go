// Package index finds records by the names that they carry: dedupe keys, streams, subjects. It trails the log: an append
// commits the records alone, since an index on random names is the dearest thing that a commit could carry, and what finds
// them follows in large sorted steps.
//
// # Shape
//
// A name is known by 64 bits of its SHA-256, and an entry is (hash, position). The entries of each partition are in
//
//	runs     in the database, each sorted by hash, for a range of positions; never changed, merged eight to one
//	tables   in memory, for the positions behind the newest run; the last table grows with each append
//
// Runs and tables together cover the log from its first record to the newest one that this process knows, without a gap. A
// lookup asks each of them. A run answers most questions from memory: a filter tells that a name is not in it, fences tell in
// which page a name must be.
//
// # What is found is true
//
// An index only proposes positions. Whoever asks reads the records there and compares their names, so an entry that should not
// be there finds nothing and refuses nobody. A missing entry would matter, and Check looks for it.
//
// # Failure
//
// A table is written as a run in one transaction, which also moves the checkpoint from where the run begins to where it
// ends. A process that dies before has lost nothing: the next one reads the names behind the checkpoint from the log. That tail
// is bounded: appends wait when maxFrozen tables are not written yet.
//
// Several processes may write: the checkpoint moves for one of them, the others read what it wrote. Merging writes the
// pages of a new run first, in small transactions, and then swaps it for its eight sources in one. Pages that are missing when
// they are read were swapped by another process: the runs are read again.
//
// A log that went back (a standby took over that lacks the newest records) is noticed by the hash of the record that memory
// ends with: then memory is dropped and read again.
package index
