// Package batch decides about payout batches: what was submitted, who allowed it, how far it has been drawn, how it ended.
// It decides about no money: each item becomes a payout of the wallet, by wallet.InitiatePayout, and its fate is that payout's.
//
//	submitted -> receiving --last chunk--> awaiting_approval --approved--> processing --all drawn, all final--> completed
//	                 |                           |                             |
//	                 | (no approval asked) ------+-----------------------------+--> cancelled (what is not drawn yet)
//	                 +-> cancelled               +--> rejected
//
// # What is in the log
//
// A batch is a stream of its own, beside the wallet in the merchant's partition. Its first record says what is coming (number of
// items, sums, digest of the content). Then come the items in chunks: what each payout will be, sealed and priced, with the ids
// that it will have. From then on nothing is needed of whoever submitted it: a process that dies is followed by one that goes on.
//
//	version 1: batch.submitted     version 1+k: batch.items, chunk k     then: decisions, batch.drawn for each chunk, the end
//
// Drawing a chunk submits its payouts to the wallet, then notes batch.drawn. A process that dies between the two draws the chunk again:
// what is a payout already is refused by its own partner_request_id, and found to be the same payout by its id. Where payouts were
// refused, the chunk is closed first, by batch.closed: from then on none of its payouts can be made by anybody, so that what batch.drawn
// then says was refused, and why, stays so.
//
// A partner_request_id is claimed when the payout is made, not before: a batch that is rejected or cancelled uses none up.
package batch
