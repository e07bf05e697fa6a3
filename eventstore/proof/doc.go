// Package proof lets somebody who does not trust the ledger check what it says of its log.
//
// # Trees
//
// Over each partition stands a Merkle tree as RFC 6962 builds it: the data of leaf n-1 is the 32-byte hash of record n
// (eventstore.Record.Next), which covers every field of the record, the digests of its evidence and the hash of the record before it. A leaf
// is SHA-256(0x00 || data), a node SHA-256(0x01 || left || right), the root of no records SHA-256 of nothing.
//
// # Checkpoints
//
// A checkpoint names the size and the root of every partition's tree at a moment. It is a signed note (golang.org/x/mod/sumdb/note) with
// exactly one Ed25519 signature, of a key whose name is the origin. Its text, each line ended by a line feed:
//
//	origin      "khata-ledger/" and the ledger's id
//	time        UTC, such as 2026-03-31T18:00:00Z
//	partition   for each, from 0: "partition size root", single spaces, decimal, the root in padded standard base64
//
// There is one way to write a checkpoint, and no other is read.
//
// # Proofs
//
// An inclusion proof is a file with whole records, the hash that each stands on, its path in the tree and the checkpoint that the paths lead to. A consistency proof
// has an older and a newer checkpoint, and for each partition the path that shows that the newer tree only appends to the older one. Both are JSON, and
// are read only as they are written, byte for byte: what a reader sees in a file is what was verified.
//
// # What they prove
//
// A checkpoint proves who signed it and nothing of the log. Inclusion proves that the log which was signed has this record, at this position, with
// this content and this evidence; not that no other record is about the same payment. Consistency proves that no record which the
// older checkpoint covers was altered, removed or moved since. All of it rests on the checkpoint having left the ledger's hands in time: whoever
// holds the key and the store can sign another history, but not one that an older checkpoint elsewhere leads to.
package proof
