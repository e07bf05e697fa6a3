// Package batches takes batches in and draws them: it turns what a merchant submits into events, and those into payouts.
//
//	Submit: batch.submitted -> batch.items ... (last)            in the request
//	                                  |
//	          bus -> Handle -> job "batch"                       from the log
//	                                  |
//	            draw: chunk -> payouts of the wallet -> batch.drawn -> next chunk ... -> all final -> batch.completed
//
// # Failures
//
// Every step is a record of the log, and each can be done again. Who submits the same batch_ref with the same content again goes on
// with the items that are missing; a batch that never becomes whole is cancelled after Options.Abandon, and has moved no money.
// From the last chunk on, nothing is needed of who submitted it: the job is derived from the log, and a process that dies in
// the middle of a chunk leaves it to the next one. What is a payout already is recognised by its id.
//
// Payouts of a batch go to the executor a chunk at a time, one chunk after the other, so that payouts of the same wallet that come
// by themselves wait for one chunk at most.
package batches
