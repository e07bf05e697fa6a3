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
// # A refund's way
//
//	initiated -------> submitted n --> Refund --> done | failed | refused ----------------> reported, done
//	(held)     append    ^               |  \
//	                     |               |   pending, unknown --> InquireRefund (backoff) --> done | failed --> reported, done
//	                     |               |                          |  ^   \
//	                     +-- not known --+--------------------------+  +----+ unknown, pending
//
// NextRefundStep is this diagram. Gateways keep one refund per reference, which is the refund's id: so a refund may be asked for again
// whenever the gateway does not know it, and is never given up. A refusal of the first request is definite; that of a later one counts only if
// an inquiry does not know the refund either, since it may be about the refund that an earlier request has made. The table of deaths above
// holds for refunds too, with one difference: between intent and call nothing is lost, since asking twice is harmless.
//
// # Payins
//
// A payin's job is due when it expires. Its gateway is asked first; payments are reported, and what nobody paid expires. When the
// gateway does not answer a few times it expires anyway, since money that arrives later is credited all the same.
// One that has failed at a checkout is asked about then, too: its customer may have tried again on the page that was open.
//
// # Callbacks
//
// Inbound verifies, finds the payment, reports, and answers 200 only for what is durable. Repeated, reordered and contradicting
// messages are the domain's to judge: they change nothing twice.
//
// # A checkout's order
//
// Checkouts take payins that are paid on the pages of payment companies, in accounts of the apps' own. ADR 17 says why it is so.
//
//	created (wallet.Unrouted)
//	   |
//	   |  RoutePayin n: appended before anybody is asked; who gets it appended asks
//	   v
//	routed n ---> CreateOrder ---> an order ----------------> ordered: customers may be sent there
//	   ^             |   \
//	   |             |    definite: *Declined, ErrCredentials, no account
//	   |             |             \
//	   |          unknown           +-> order_failed: the next candidate, n+1; none left: OrderError, or domain.NotFound
//	   |             |
//	   |             +-> order_failed (unknown): open
//	   |                      |
//	   +--- n+1, Again, the same configuration: once at once, then whenever Ensure is called
//
// # Rules of checkouts
//
//   - The decision with its candidates is in payin.routed, and follows from them alone.
//   - An open attempt keeps its configuration, as long as that can be used: another one might have the payin paid twice.
//   - A client, a form, a link is given only for an order that is in the log. An order that was made and not recorded is known to nobody.
//   - One process has one call under way for a payin; those who want the same wait for it. Of several processes the log lets one ask; the
//     others wait a bounded time, and then ask the same configuration whether it has the order. A second order of one payin, should a company make
//     one, is never shown.
//   - A configuration that keeps failing is passed over for a while: see health.
//   - A message counts for a payin of its own app, through its own configuration, about its own order. Another amount is suspended, everything else that does
//     not fit is noted as an anomaly, with the message as evidence; neither is sent again.
//   - Where the app knows what messages are signed with (Spec.Hearsay), what a webhook, a return or an early message says of a payment has the company asked:
//     its answer is booked, with message and answer as evidence. No answer: nothing is booked, and the message comes again. Not known there, or otherwise:
//     asked again for a while, since a message may be ahead of the company's list, and then noted. What is booked already is compared with the books. Refunds
//     are asked about likewise; one that is not definite there is left to its job.
//   - So are disputes. Where the company will not tell (DisputeTeller), a message holds what it claims, and lets nothing go: that takes a person.
//   - What has ended is asked about again (LateJobs), at growing gaps for a day, or once when it is paid: the company's page takes what is paid whenever it is.
//   - The way by which a payment is told does not matter: webhook, return, refresh and expiry report the same payment under the same key.
//   - A return that is not signed proves nothing: the gateway is asked.
//   - A refusal of the company ends a payin when a webhook, a signed return or its expiry tells it. A page that only waits does not end it. It does not end a
//     trial: its customer may try again.
//
// # A message's states
//
//	verified ---> (confirmed, where that takes a question) ---> booked, or noted with its payin
//	    \
//	     order not known,
//	     or not confirmed --> early ---> booked, or noted                       (tried again with growing gaps)
//	                            |
//	                            +------> unmatched, after EarlyFor; noted, where it is a refund of a known order that nobody here has asked for
//	not believed -------------> refused
//
// early, unmatched and refused are kept in work storage (eventstore/work, inbox), sealed under the app's key, bounded for each configuration and
// in age. Refused ones are written at a bounded pace, and never push out the others. Kept lists them.
//
// # When the process dies, at a checkout
//
//	before routed is durable              nothing was asked
//	between routed and ordered            the attempt is open: the next Ensure asks the same configuration, with Again
//	between a refusal and order_failed    likewise; the company refuses again
//	before a webhook is answered          the company sends it again
//	between the payment and EndTrial      likewise: the trial is ended before the 200
//	an early message, before its job      it was not answered
//	a trial whose webhook never comes     its job is due behind the expiry; it is put when the payin is made
package gateway
