// Package wallet decides what happens to a merchant's money: payins, payouts, holds and corrections of one wallet.
//
// Decide says which events a command causes, Evolve brings wallet and payment behind an event, Postings gives the event's
// double entry, Encode and Decode its stored form. All are pure: no clock, no I/O.
//
// # Wallet
//
// Available is never negative. Locked is the sum of open holds: pending payouts (amount + commission), the
// merchant's part of refunds on their way, disputes, and holds by hand.
// Owed is what the merchant owes; while it is more than zero, available is zero, since whatever is credited is taken for the
// debt in the same decision (wallet.recovered). Commission and tax are decided once, when the payment is made; a refund
// gives back that split, whatever the fee plan says by then.
//
// # Payins
//
//	             payment of the     payment of      failure             expiry
//	             asked amount       another amount
//	pending      succeeded          suspended       failed              expired, if its time is over
//	expired      succeeded (late)   suspended       noted               -
//	failed       succeeded (late)   suspended       noted               -
//	success      suspended          suspended       anomaly; noted, if  -
//	                                                of another try
//
// "Suspended" leaves the payin as it is and puts the money in suspense, until an operator credits or refunds it. The dedupe
// key of ReportPayment is the gateway's own payment id, so the same payment never arrives here twice.
//
// # Disputes
//
// A dispute claims a part of a payin that was paid, or all of it; all disputes of a payin together never claim more. What is
// claimed is held: from available as far as that goes, and the rest is owed. By the dispute's status:
//
//	              opened, escalated          won, closed     lost                              reversed
//	open          holds what is not held     released        hold, then available, then owed   refused
//	under review  holds what is not held     released        hold, then available, then owed   refused
//	won, closed   holds all of it again      refused         refused                           refused
//	lost          refused                    refused         refused                           credited; won, once all is back
//
// A gateway's message is held against what is known: the phase before is noted, a later one escalates first, and what contradicts
// is an anomaly. A lost dispute is won again only by "reversed", since a "won" might be an old message.
//
// # Refunds
//
// A refund gives back a part of what a payin was credited with, or all of it, by the split of that payin: merchant, commission and tax
// each give back their share, rounded over all refunds of the payin together. Refunds that are on their way or done take together no
// more than was paid, less what disputes hold or have taken. What becomes of one, by what is said of it:
//
//	             asked for          paid                          failed
//	never asked  submitted          succeeded + anomaly           refused (stale)
//	pending      submitted again    succeeded                     failed: the hold is given back
//	success      refused            noted; anomaly, if another    anomaly
//	failed       refused            paid_after_failure + anomaly  noted
//
// With an operator's proof, one that was never asked for ends like any other. A refund of a payment in suspense begins with
// suspense.refunded and holds nothing: the money has left suspense. When it fails, it is there again.
//
// # Payouts
//
// What a definite answer causes, by the payout's state. "Same" is the gateway and the UTR that are known, as far as both are;
// "it" is the gateway that was sent the payout last or that paid it, or an operator with proof.
//
//	                   paid                          failed                    returned
//	never sent         succeeded + anomaly           refused (stale)           succeeded + returned + anomaly
//	pending            succeeded                     refunded, by it;          succeeded + returned
//	                                                 noted, by another
//	success            noted, if same; anomaly       anomaly, by it;           returned, by the gateway that paid;
//	                                                 noted, by another         anomaly, by another
//	refunded: failed   paid_after_refund + anomaly   noted                     anomaly
//	refunded: returned noted, if same; anomaly       noted                     noted, if of the same return; anomaly
//	failed (not sent)  paid_after_refund + anomaly   noted                     anomaly
//
// A success after paid_after_refund is a success like any other: a return credits the whole, of which the debt is taken.
// A failure reported by a gateway that no longer has the payout proves nothing about the one that has it. "Noted" and an
// anomaly that stands alone move nothing; they are bounded (MaxNotes, MaxAnomalies), and what exceeds the bound changes
// nothing. So the records of a payout are bounded; of a payin, too, by MaxSuspended.
package wallet
