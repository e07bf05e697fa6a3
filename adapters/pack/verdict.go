package pack

import (
	"fmt"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore/proof"
)

// say says what a pack that holds proves, and what it does not.
func (v *Verdict) say(s *story, d *documents, c *proof.Checkpoint, t ties, neighbours int) {
	n := map[part]int{}
	for i := range s.entries {
		n[s.entries[i].part]++
	}
	tree := c.Trees[s.entries[0].record.Partition]
	masking := "personal data is masked"
	if !d.masked {
		masking = "personal data is shown"
	}
	v.prove("Ledger %s has signed this pack of %s %s; %s. No file was altered, added or taken away since.", c.Ledger, s.payment.Kind, s.payment.Payment, masking)
	records := plural(n[ofPayment], "record") + " of the payment"
	if n[ofBatch] > 0 {
		records += ", " + plural(n[ofBatch], "record") + " of decisions about its batch " + s.batch
	}
	v.prove("%s, and the record of this pack's making, were in its log with exactly this content, at these positions, when it signed on %s that their partition held %d records (root %s).",
		records, c.At.Format(timeLayout), tree.Size, tree.Root)
	v.prove("%s of these records are here sealed, byte for byte as the records' digests have them.", plural(t.sealed, "raw message"))
	if t.bodies > 0 {
		v.prove("%s shown as received: the record has its SHA-256, or commits to it.", plural(t.bodies, "request body or document is", "request bodies or documents are each"))
	}
	v.prove("Timeline, postings, actions and summary are what the records say. The postings of each event sum to zero; together they have moved %s by %s %s, to the status %s.",
		wallet.AccountAvailable(s.payment.Merchant), s.available().Fixed(), s.payment.Currency, s.payment.Status)
	v.prove("Each of the %s moved the wallet's balances by what it says and by nothing else%s.", plural(n[ofPayment], "event"), between(neighbours))
	v.limit(s, d, t)
}

func between(neighbours int) string {
	if neighbours == 0 {
		return ""
	}
	return fmt.Sprintf("; %s in the wallet, and the balances go on", plural(neighbours, "pair of them has nothing in between", "pairs of them have nothing in between"))
}

// available is what the payment has moved the merchant's available balance by.
func (s *story) available() money.Amount {
	sum := money.Zero(s.payment.Currency)
	account := wallet.AccountAvailable(s.payment.Merchant)
	for i := range s.entries {
		if s.entries[i].fact == nil {
			continue
		}
		for _, p := range wallet.Postings(s.entries[i].fact) {
			if p.Account == account {
				sum = sum.Add(p.Credit).Sub(p.Debit)
			}
		}
	}
	return sum
}

// limit says what the pack does not prove.
func (v *Verdict) limit(s *story, d *documents, t ties) {
	not := func(format string, args ...any) {
		v.DoesNotProve = append(v.DoesNotProve, fmt.Sprintf(format, args...))
	}
	count := map[Shown]int{}
	for i := range d.index.Messages {
		count[d.index.Messages[i].Shown]++
	}
	not("That the log has no further record about %s.", s.payment.Payment)
	if t.word > 0 {
		not("That %s what was sealed: that is the ledger's signed word. The sealed bytes are proven, and so is their length; the key that opens them does not leave the ledger.",
			plural(t.word, "opened message shows", "opened messages show"))
	}
	if len(d.personal.Parties) > 0 {
		not("That %s is what was sealed in the event: that is the ledger's signed word.", personalName)
	}
	if n := count[Masked]; n > 0 {
		not("What %s: that they are masked rightly is the ledger's signed word.", plural(n, "masked message says in full", "masked messages say in full"))
	}
	if n := count[Withheld]; n > 0 {
		not("What %s: in a masked pack only JSON and forms are shown.", plural(n, "withheld message says", "withheld messages say"))
	}
	if n := count[Erased]; n > 0 {
		not("What %s: the key was erased for ever. The sealed bytes and digests stay proven.", plural(n, "erased message said", "erased messages said"))
	}
	if n := count[LeftOut]; n > 0 {
		not("What %s of the batch: they concern other payments, and only their digests are here.", plural(n, "message says", "messages say"))
	}
	not("%s, %s and how much was in the wallet before the first event: they are the ledger's signed word.",
		plural(len(d.callbacks.Callbacks), "callback to the merchant", "callbacks to the merchant"), plural(len(d.answers.Answers), "answer of the API", "answers of the API"))
	not("That what a gateway, a merchant or an operator said is true, or that the ledger's clock was right.")
	not("That the ledger shows everybody the same log: hold %s against one that left its hands earlier (ledger proof consistency, ledger proof verify).", checkpointName)
}

// plural is a number with the word for one or for several; of a single word the several end in s.
func plural(n int, words ...string) string {
	word := words[0]
	switch {
	case n != 1 && len(words) > 1:
		word = words[1]
	case n != 1:
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
}

// sealedPart is the sealed text of an event; "" for none.
func sealedPart(e *entry) string {
	switch f := e.fact.(type) {
	case *wallet.PayinCreated:
		return f.Sealed
	case *wallet.PayoutInitiated:
		return f.Sealed
	}
	return ""
}

// Sealed returns the sealed text of a payment's event, as vault.UnsealString takes it with the record's event id; "" for none.
func Sealed(fact wallet.Event) string { return sealedPart(&entry{fact: fact}) }
