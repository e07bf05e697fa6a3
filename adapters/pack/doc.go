// Package pack makes dispute packs, and verifies them with a public key alone: one payment's whole story in a file, for a bank, a court, or anybody
// who has no reason to trust the ledger.
//
// # The file
//
// A zip without compression, which is written in exactly one way: entries sorted by name, all of the time of the checkpoint. So every bit of it counts, and
// nothing can be hidden between the files.
//
//	manifest.txt           a signed note (see proof.SignStatement): ledger, payment, and SHA-256, size and name of every other file
//	README.txt             what is what, and what it proves
//	summary.pdf            one or a few pages for people;  summary.json: the same facts for machines, in whatever script they are written
//	timeline.json, .txt    the events in order, with the wallet's balances before and after each
//	postings.csv           the double entry of each event
//	actions.json           what people decided
//	callbacks.json         what was told to the merchant, attempt by attempt
//	answers.json           what the API answered to the request, where that was kept
//	balances.json          the wallet's balances before and after each event, which the timeline shows
//	personal.json          the sealed part of the payment: customer or beneficiary
//	messages/index.json    every raw message that belongs to a record, and what of it is shown
//	messages/P-SEQ-N.sealed    the message as it is stored and hashed
//	messages/P-SEQ-N.json      the message as it opens; .txt or .bin for others
//	proof/inclusion.json   the records exactly as hashed, with their paths to the checkpoint's root (`ledger proof verify` reads it too)
//	proof/checkpoint.txt   the signed checkpoint
//	proof/key.txt          the public key; verify does not believe it, it takes yours
//
// # What follows from what
//
// The records are the ground. From them alone are made the timeline (with balances.json), the postings, the actions, the summary, the README and the PDF: Verify makes
// them again and compares. (README and PDF are words and drawing for people: where another version of the program has written them, it says that they were not compared.) Sealed messages are tied to the records by their digests. What a sealed message opens to can be checked
// by nobody who has not the vault: AES-GCM with a key that must not leave it. There are two exceptions: the body of a request, to whose
// SHA-256 the record commits under a key that the pack has (docs/adr/0019), and a document of evidence, whose SHA-256 stands in the record. So for the rest of the opened messages, for callbacks, answers and the level of the balances a pack has the ledger's signed word, and Verify says so.
// See docs/adr/0014.
//
// # Personal data
//
// A masked pack shows of messages in JSON and forms what is known to be impersonal, masks the rest, and withholds messages of other kinds. Records hold no
// clear personal data but last digits, so they are the same in both. Making a pack opens sealed data: that is a record of its own
// (merchant.data_opened) in the log before anything is opened, and part of the pack.
package pack
