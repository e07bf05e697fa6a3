// Package vault seals personal data and keeps secrets.
//
// A log that never forgets must not hold what has to be forgotten. So names, account numbers and raw messages go into
// the log sealed, and the keys that open them are here, in a store of their own (the area "secrets"), which can forget.
//
// # Keys
//
//	master key       given by the operator, never stored
//	  wraps  seal key          one per owner (a merchant) and calendar month (UTC), made when first needed
//	  wraps  fingerprint key   one per owner
//	  wraps  named secrets     what signing and gateways need
//
// Everything is AES-256-GCM. A sealed value is
//
//	version (1 byte, 1) | key id (16 bytes) | nonce (12 bytes) | ciphertext and tag
//
// with the event's id as associated data, so that a sealed value cannot be moved to another event. A commitment (see Commit) is made
// with a key derived from the seal key, and gone with it. Nonces are random:
// one key should seal fewer than 2^32 values, which the month bounds.
//
// # Guarantees
//
//   - A wrong master key is found when the vault is opened (ErrWrongMaster), not when the first value fails.
//   - Any number of processes may use one store. They agree on each key: the first to insert it wins.
//   - Rotating the master key is one transaction. Every write of a wrapped value holds the lock of the row that the
//     rotation changes, so none slips past it. Processes that still have the old master key get ErrWrongMaster.
//   - An erased key stays erased: its id is kept, and an import of an older backup does not bring it back.
//   - A key is committed before anything is sealed with it. So the database must be durable on commit, as the log is
//     (SQLite: synchronous=FULL): a key lost in a power cut would be an erasure nobody asked for.
//
// # Erasure
//
// Erase deletes keys; what they sealed cannot be opened any more (ErrErased), while the log's hashes still hold. Other
// processes forget a cached key within CacheTTL. A deleted row can linger in free pages and backups of the
// database, wrapped; rotating the master key and destroying the old one makes such remains worthless.
//
// # Failures
//
// Without its database the vault can still use keys that are cached, for at most CacheTTL; then calls return the
// database's error, and work again when the database does.
package vault
