// Package ledger joins the domain to the log: it gives each partition an executor whose model is the domain, seals the
// evidence of each command, and answers what a payment, wallet or merchant is now by folding its records.
//
//	adapters -> Ledger.Submit -> executor -> model (wallet.Decide, merchant.Decide) -> log
//
// Other adapters do not import it: they declare the few methods that they need.
package ledger
