// Package testdisk is a disk that loses power, for tests: what SQLite has written and not synced may be gone, or there in part.
//
// Record makes SQLite, in this process, put down every write, truncation, sync, creation and deletion of the files under a folder, in
// the order in which they happen, in a journal beside them; the files themselves are written as ever. Whoever was given an answer
// puts a Mark in the same journal. A Disk reads the journal again, up to any operation, and Crash writes what a disk may hold when the power
// fails there:
//
//	synced                                    it is there
//	written or truncated since the last sync  each sector may be there, or as it was before, or be garbage
//	created or deleted, the folder not synced may have happened or not
//	the shared-memory file                    garbage
//
// A journal is appended to with one write for each entry, so the killing of a process (SIGKILL) leaves a whole journal, whose end is the moment of the
// kill; several processes may share one. A sync costs nothing here: it is its entry that counts.
//
// What is trusted: that a real disk keeps what fsync has answered for, and that a write does not damage bytes beside it (SQLite trusts in both).
package testdisk
