// Package gateway brings payouts to banks and what banks say into the ledger. contract.go is the contract that every
// adapter of a bank meets; the rest is the same for all of them.
//
// # A payout's dispatch
//
//	initiated ----------> submitted n ----> Send ----> paid | failed | returned ------> reported, done
//	(money held)  append      ^              |  \
//	                          |              |   pending ---+
//	                          |           unknown           |
//	                          |              |              v
//	                          |              +---------> Inquire (backoff) --> paid | failed | returned --> reported, done
//	                          |                          |  ^   \
//	                          |                          |  +----+ unknown, pending
//	                          |                      not found
//	                          |                          |
//	                          +---- n < MaxSends --------+
//	                                                     |
//	                                 quiet window over --+--> reported failed (not_found)        , done
//
// NextStep is this diagram as a pure function of the payment (folded from the log), of what the job remembers, and of the
// time. Every other part only carries out what it says.
//
// # Rules
//
//   - Intent first: SubmitPayout is durable before Send is called. The log takes each attempt once, and only who appended
//     it sends it. A refusal as stale, or any doubt whether it was appended, means inquiring, never sending.
//   - One reference for ever: every attempt carries the transaction id. The bank keeps one transfer per reference.
//   - Silence is unknown: a timeout, a dropped connection, a 5xx, garbage, too much of anything. Unknown is asked about, with
//     growing gaps, for as long as it takes. Only the bank's own word settles a payout.
//   - Not found is about now: the transfer is sent again, a bounded number of times, and given up only when an inquiry
//     finds no trace of it a quiet window after the last send and after the last trace. The window is longer than a send may
//     take. An attempt whose recording took longer than a send may take is not sent.
//   - Should a bank pay a payout after that, the ledger books it (payout.paid_after_refund) when the bank says so.
//   - The raw message is stored with the event that it caused; its SHA-256 is the dedupe key, so that the same statement,
//     by whichever way it comes, counts once.
//
// # When the process dies
//
//	before the job is stored       the bus gives the record again
//	before SubmitPayout is durable nothing was sent; attempt n is recorded by whoever comes next
//	between it and Send            the attempt is in the log: inquire, not found, send again as n+1
//	during Send, before its answer inquire
//	before the answer is reported  inquire; the bank gives the same answer again
//	after the report               the payment is settled: the job ends
//	the job's row is lost          Recover puts it again; only the memory of inquiries is gone, and a quiet window starts anew
//
// Two processes may handle the same job for a moment, when a lease runs out: the log decides who sends.
//
// # Payins
//
// A payin's job is due when it expires. Its gateway is asked first; payments are reported, and what nobody paid expires. When the
// gateway does not answer a few times it expires anyway, since money that arrives later is credited all the same.
//
// # Callbacks
//
// Inbound verifies, finds the payment, reports, and answers 200 only for what is durable. Repeated, reordered and contradicting
// messages are the domain's to judge: they change nothing twice.
package gateway
