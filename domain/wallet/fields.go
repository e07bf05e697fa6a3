package wallet

// The stored shape of every event: its fields, in the order in which they are written. It never changes; see codec.

func (e *PayinCreated) fields(c *codec) {
	c.of(&e.Of)
	c.priced(&e.Priced)
	c.text("order_id", &e.OrderID)
	c.text("txn_ref", &e.TxnRef)
	c.text("phone_last4", &e.PhoneLast4)
	c.text("sealed", &e.Sealed)
	c.text("intent_url", &e.IntentURL)
	c.text("gateway", &e.Gateway)
	c.time("expires_at", &e.ExpiresAt)
	c.option("method", &e.Method)
	c.option("origin", &e.Origin)
	c.option("signature", &e.Signature)
	c.option("trial", &e.Trial)
}

func (e *PayinSucceeded) fields(c *codec) {
	c.of(&e.Of)
	c.priced(&e.Priced)
	c.text("gateway", &e.Gateway)
	c.text("payment_id", &e.PaymentID)
	c.text("utr", &e.UTR)
	c.flag("late", &e.Late)
	c.option("method", &e.Method)
	c.option("sub_method", &e.SubMethod)
	c.option("config", &e.Config)
}

func (e *PayinFailed) fields(c *codec) {
	c.of(&e.Of)
	c.text("gateway", &e.Gateway)
	c.text("reason", &e.Reason)
}

func (e *PayinExpired) fields(c *codec) { c.of(&e.Of) }

func (e *PayinSuspended) fields(c *codec) {
	c.of(&e.Of)
	c.text("suspense", &e.Suspense)
	c.amount("amount", &e.Amount)
	c.amount("asked", &e.Asked)
	c.text("gateway", &e.Gateway)
	c.text("payment_id", &e.PaymentID)
	c.text("utr", &e.UTR)
	c.text("reason", &e.Reason)
	c.option("config", &e.Config)
}

func (e *PayinNoted) fields(c *codec) {
	c.of(&e.Of)
	c.text("gateway", &e.Gateway)
	c.text("claim", &e.Claim)
	c.flag("anomaly", &e.Anomaly)
}

func (e *SuspenseCredited) fields(c *codec) {
	c.of(&e.Of)
	c.priced(&e.Priced)
	c.text("suspense", &e.Suspense)
	c.text("reason", &e.Reason)
	c.text("actor", &e.Actor)
}

func (e *SuspenseRefunded) fields(c *codec) {
	c.of(&e.Of)
	c.text("suspense", &e.Suspense)
	c.amount("amount", &e.Amount)
	c.text("gateway", &e.Gateway)
	c.text("reason", &e.Reason)
	c.text("actor", &e.Actor)
	c.option("refund", &e.Refund)
	c.option("config", &e.Config)
	c.option("payment_id", &e.PaymentID)
}

func (e *PayoutInitiated) fields(c *codec) {
	c.of(&e.Of)
	c.priced(&e.Priced)
	c.text("partner_request_id", &e.RequestID)
	c.text("ifsc", &e.IFSC)
	c.text("bank_name", &e.BankName)
	c.text("account_last4", &e.AccountLast4)
	c.text("account_fp", &e.AccountFingerprint)
	c.text("transfer_type", &e.TransferType)
	c.text("sealed", &e.Sealed)
	c.option("batch", &e.Batch)
	c.count("index", &e.Index)
	c.flag("from_hold", &e.FromHold)
}

func (e *PayoutSubmitted) fields(c *codec) {
	c.of(&e.Of)
	c.number("attempt", &e.Attempt)
	c.text("gateway", &e.Gateway)
	c.text("reference", &e.Reference)
}

func (e *PayoutSucceeded) fields(c *codec) {
	c.of(&e.Of)
	c.priced(&e.Priced)
	c.text("gateway", &e.Gateway)
	c.text("utr", &e.UTR)
	c.text("bank_reference", &e.BankReference)
	c.option("actor", &e.Actor)
	c.option("batch", &e.Batch)
}

func (e *PayoutFailed) fields(c *codec) {
	c.of(&e.Of)
	c.priced(&e.Priced)
	c.text("reason", &e.Reason)
	c.option("batch", &e.Batch)
}

func (e *PayoutRefunded) fields(c *codec) {
	c.of(&e.Of)
	c.priced(&e.Priced)
	c.text("gateway", &e.Gateway)
	c.text("reason", &e.Reason)
	c.option("actor", &e.Actor)
	c.option("batch", &e.Batch)
}

func (e *PayoutReturned) fields(c *codec) {
	c.of(&e.Of)
	c.priced(&e.Priced)
	c.text("gateway", &e.Gateway)
	c.text("return_reference", &e.ReturnReference)
	c.text("reason", &e.Reason)
	c.option("actor", &e.Actor)
	c.option("batch", &e.Batch)
}

func (e *PayoutPaidAfterRefund) fields(c *codec) {
	c.of(&e.Of)
	c.priced(&e.Priced)
	c.amount("taken", &e.Taken)
	c.amount("owed", &e.Owed)
	c.text("gateway", &e.Gateway)
	c.text("utr", &e.UTR)
	c.text("bank_reference", &e.BankReference)
	c.option("actor", &e.Actor)
	c.option("batch", &e.Batch)
}

func (e *PayoutAnomaly) fields(c *codec) {
	c.of(&e.Of)
	c.text("gateway", &e.Gateway)
	c.text("status", &e.Status)
	c.text("claim", &e.Claim)
	c.text("detail", &e.Detail)
}

func (e *PayoutNoted) fields(c *codec) {
	c.of(&e.Of)
	c.text("gateway", &e.Gateway)
	c.text("claim", &e.Claim)
	c.option("utr", &e.UTR)
}

func (e *WalletAdjusted) fields(c *codec) {
	c.of(&e.Of)
	c.amount("amount", &e.Amount)
	c.text("reason", &e.Reason)
	c.text("actor", &e.Actor)
}

func (e *WalletRecovered) fields(c *codec) {
	c.of(&e.Of)
	c.amount("amount", &e.Amount)
}

func (e *WalletHeld) fields(c *codec) {
	c.of(&e.Of)
	c.amount("amount", &e.Amount)
	c.text("reason", &e.Reason)
	c.text("actor", &e.Actor)
}

func (e *WalletReleased) fields(c *codec) {
	c.of(&e.Of)
	c.amount("amount", &e.Amount)
	c.text("reason", &e.Reason)
	c.text("actor", &e.Actor)
}

func (e *BatchQueued) fields(c *codec) {
	c.of(&e.Of)
	c.time("since", &e.Since)
}

func (e *BatchHeld) fields(c *codec) {
	c.of(&e.Of)
	c.amount("amount", &e.Amount)
	c.number("upto", &e.Upto)
	c.flag("last", &e.Last)
}

func (e *BatchReleased) fields(c *codec) {
	c.of(&e.Of)
	c.amount("amount", &e.Amount)
	c.flag("done", &e.Done)
}

func (e *DisputeOpened) fields(c *codec) {
	c.of(&e.Of)
	c.text("dispute", &e.Dispute)
	c.option("case", &e.Case)
	c.text("gateway", &e.Gateway)
	c.option("payment_id", &e.PaymentID)
	c.option("suspense", &e.Suspense)
	c.text("phase", (*string)(&e.Phase))
	c.text("reason", &e.Reason)
	c.amount("amount", &e.Amount)
	c.amount("taken", &e.Taken)
	c.amount("owed", &e.Owed)
	c.time("respond_by", &e.RespondBy)
	c.option("actor", &e.Actor)
}

func (e *DisputeEscalated) fields(c *codec) {
	c.of(&e.Of)
	c.text("dispute", &e.Dispute)
	c.text("phase", (*string)(&e.Phase))
	c.text("reason", &e.Reason)
	c.amount("amount", &e.Amount)
	c.amount("taken", &e.Taken)
	c.amount("owed", &e.Owed)
	c.amount("released", &e.Released)
	c.time("respond_by", &e.RespondBy)
	c.option("actor", &e.Actor)
}

func (e *DisputeUpdated) fields(c *codec) {
	c.of(&e.Of)
	c.text("dispute", &e.Dispute)
	c.option("case", &e.Case)
	c.text("status", (*string)(&e.Status))
	c.time("respond_by", &e.RespondBy)
	c.option("reason", &e.Reason)
}

func (e *DisputeEvidence) fields(c *codec) {
	c.of(&e.Of)
	c.text("dispute", &e.Dispute)
	c.text("kind", &e.Kind)
	c.option("digest", &e.Digest)
	c.count("size", &e.Size)
	c.option("note", &e.Note)
	c.flag("submitted", &e.Submitted)
	c.text("actor", &e.Actor)
}

func (e *DisputeWon) fields(c *codec) {
	c.of(&e.Of)
	c.text("dispute", &e.Dispute)
	c.amount("released", &e.Released)
	c.text("reason", &e.Reason)
	c.option("actor", &e.Actor)
}

func (e *DisputeLost) fields(c *codec) {
	c.of(&e.Of)
	c.text("dispute", &e.Dispute)
	c.text("gateway", &e.Gateway)
	c.amount("amount", &e.Amount)
	c.amount("fee", &e.Fee)
	c.amount("from_hold", &e.FromHold)
	c.amount("released", &e.Released)
	c.amount("taken", &e.Taken)
	c.amount("owed", &e.Owed)
	c.option("suspense", &e.Suspense)
	c.text("reason", &e.Reason)
	c.option("actor", &e.Actor)
}

func (e *DisputeReversed) fields(c *codec) {
	c.of(&e.Of)
	c.text("dispute", &e.Dispute)
	c.text("gateway", &e.Gateway)
	c.amount("amount", &e.Amount)
	c.amount("fee", &e.Fee)
	c.option("suspense", &e.Suspense)
	c.text("reason", &e.Reason)
	c.option("actor", &e.Actor)
}

func (e *DisputeClosed) fields(c *codec) {
	c.of(&e.Of)
	c.text("dispute", &e.Dispute)
	c.amount("released", &e.Released)
	c.text("reason", &e.Reason)
	c.option("actor", &e.Actor)
}
