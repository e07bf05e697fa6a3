package main

// disputeCommand is `ledger dispute`: claims of customers' banks, and packs of everything that is known of a payment.
type disputeCommand struct {
	Open     disputeOpen     `cmd:"" help:"Open a dispute of a payin, and hold what it claims."`
	List     disputeList     `cmd:"" help:"List disputes, those first that must be responded to first."`
	Show     disputeShow     `cmd:"" help:"Show a dispute."`
	Evidence disputeEvidence `cmd:"" help:"Attach a document, or a note."`
	Escalate disputeEscalate `cmd:"" help:"Take a dispute to its next phase, and hold what is not held of it."`
	Win      disputeWin      `cmd:"" help:"End it for the merchant: what is held is released."`
	Lose     disputeLose     `cmd:"" help:"End it for the customer: what is lost is debited, with the gateway's fee."`
	Close    disputeClose    `cmd:"" help:"End it without an outcome: what is held is released."`
	Reverse  disputeReverse  `cmd:"" help:"Give back what a lost dispute has cost."`
	Pack     disputePack     `cmd:"" help:"Make a pack of everything that is known of a payment, with proof."`
	Verify   disputeVerify   `cmd:"" help:"Verify a pack, with the public key alone."`
}
