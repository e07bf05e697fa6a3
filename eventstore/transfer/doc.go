// Package transfer copies a log between any two stores, as a file of lines.
//
// # The file
//
// NDJSON, UTF-8. The first line names the ledger and where the export begins; then comes one line per record, partition by
// partition, in order of position; the last line counts them:
//
//	{"header":{"format":"khata-ledger/log/1","ledger":"...","partitions":1,"records":2,"after":[{"partition":0,"seq":0,"hash":"..."}]}}
//	{"record":{"partition":0,"seq":1,"stream":"...", ... ,"data":"{\"merchant\":...}","meta":"...","evidence":[...],"hash":"..."}}
//	{"end":{"records":2,"heads":[{"partition":0,"seq":2,"hash":"..."}]}}
//
// Data and meta are strings, so that the stored bytes survive to the last space; times are Unix microseconds; evidence is
// base64 of the sealed bytes. What the log holds sealed stays sealed: the file carries no clear personal data, and
// none of the keys (see eventstore/vault for those).
//
// # Guarantees
//
//   - An export is the log as of one moment for each partition, whatever is appended meanwhile, and it is checked while it is
//     written: a log whose chain is broken is not exported.
//   - Every hash is computed again on import, evidence included, before anything of a batch is written. A truncated file or
//     a flipped bit gives ErrDamaged, which names the line, and nothing of the batch with that line is imported.
//   - An import into an empty store makes it a copy: same id, same partitions, same hashes. An import into a store of
//     the same ledger adds what is missing. Records that both have must be equal (ErrContradicts names the first that is not).
//   - An import that was killed is completed by running it again.
//   - Memory is bounded by one batch (maxBatchBytes) and the largest possible record.
package transfer
