package pack

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore/proof"
)

// summary is summary.json: what the PDF shows, in whatever script it is written.
type summary struct {
	Format       string    `json:"format"`
	Ledger       string    `json:"ledger"`
	Payment      string    `json:"payment"`
	Kind         string    `json:"kind"`
	Status       string    `json:"status"`
	Merchant     string    `json:"merchant_id"`
	MerchantName string    `json:"merchant_name"` // as it was when the pack was made
	Currency     string    `json:"currency"`
	Amount       string    `json:"amount"`
	Commission   string    `json:"commission"`
	Tax          string    `json:"tax"`
	Moved        string    `json:"moved"` // what the payment has brought the wallet since, with sign
	Reference    string    `json:"reference,omitempty"`
	UTR          string    `json:"utr,omitempty"`
	Gateway      string    `json:"gateway,omitempty"`
	BankRef      string    `json:"bank_reference,omitempty"`
	Bank         string    `json:"bank,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	CreatedAt    time.Time `json:"created_at"`
	Batch        string    `json:"batch,omitempty"`
	Masked       bool      `json:"personal_data_masked"`
	Parties      []known   `json:"parties"`
	Records      counts    `json:"records"`
	Messages     counts    `json:"messages"`
	Callbacks    int       `json:"callbacks"`
	OpenedBy     string    `json:"opened_by"`
	OpenedFor    string    `json:"opened_for,omitempty"`
	OpenedAt     string    `json:"opened_at"` // position in the log
	CheckpointAt time.Time `json:"checkpoint_at"`
	Covers       int64     `json:"checkpoint_records"` // of the payment's partition
	Root         string    `json:"checkpoint_root"`
}

// counts are how many there are of each kind.
type counts map[string]int

func (s *story) summary(d *documents, c *proof.Checkpoint) summary {
	p := &s.payment
	tree := c.Trees[s.entries[0].record.Partition]
	out := summary{
		Format: d.format, Ledger: c.Ledger.String(), Payment: p.Payment, Kind: string(p.Kind), Status: string(p.Status),
		Merchant: p.Merchant, MerchantName: d.merchantName, Currency: string(p.Currency), Amount: p.Amount.Fixed(), Commission: p.Commission.Fixed(), Tax: p.Tax.Fixed(),
		UTR: p.UTR, Gateway: p.Gateway, BankRef: p.BankReference, Reason: p.Reason, CreatedAt: p.CreatedAt.UTC(), Batch: s.batch, Masked: d.masked,
		Parties: d.personal.Parties, Records: counts{}, Messages: counts{}, Callbacks: len(d.callbacks.Callbacks),
		OpenedBy: s.opening.Actor, OpenedFor: s.opening.Reason, CheckpointAt: c.At.UTC(), Covers: tree.Size, Root: tree.Root.String(),
	}
	if out.Reference = p.OrderID; p.Kind == wallet.KindPayout {
		out.Reference = p.RequestID
		out.Bank = strings.TrimSpace(p.BankName + " " + p.IFSC + " ending in " + p.AccountLast4)
	}
	for i := range s.entries {
		out.Records[string(s.entries[i].part)]++
		if s.entries[i].part == ofOpening {
			out.OpenedAt = s.entries[i].record.Position().String()
		}
	}
	for i := range d.index.Messages {
		out.Messages[string(d.index.Messages[i].Shown)]++
	}
	out.Moved = s.moved().Fixed()
	return out
}

// moved is what the payment's events have brought the wallet: what became available, what is locked, less what is owed.
func (s *story) moved() money.Amount {
	w := wallet.NewWallet(s.payment.Merchant, s.payment.Currency)
	for i := range s.entries {
		if e := &s.entries[i]; e.fact != nil {
			w.Evolve(e.fact)
		}
	}
	return w.Available.Add(w.Locked).Sub(w.Owed)
}

// personalFile is personal.json.
type personalFile struct {
	Parties []known `json:"parties"`
}

// maskedData masks a customer or beneficiary.
func (m masker) maskedData(opened []byte) (json.RawMessage, error) {
	out, ok := m.json(opened)
	if !ok {
		return nil, fmt.Errorf("the sealed part is no JSON")
	}
	return out, nil
}

// readme is README.txt.
func readme(s *summary) []byte {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("DISPUTE PACK OF %s %s", strings.ToUpper(s.Kind), s.Payment)
	say("")
	say("Ledger      %s", s.Ledger)
	say("Merchant    %s", s.Merchant)
	say("Checkpoint  %s, %d records in this payment's partition, root %s", s.CheckpointAt.Format(timeLayout), s.Covers, s.Root)
	if s.Masked {
		say("Personal data is masked; messages that cannot be masked are withheld. Somebody who may can have a pack that shows it.")
	} else {
		say("Personal data is shown as it is. Opened by %s for: %s", oneLine(s.OpenedBy), oneLine(s.OpenedFor))
	}
	if n := s.Messages[string(Erased)]; n > 0 {
		say("%d messages were erased for ever: their sealed bytes and digests are here, what they said is not.", n)
	}
	say("")
	say("WHAT IS HERE")
	for _, l := range [][2]string{
		{manifestName, "SHA-256 and size of every file, signed by the ledger"},
		{pdfName, "for people; summary.json has the same facts, in every script"},
		{timelineName, "the events in order, with the wallet's balances before and after; timeline.txt is the same as a table"},
		{postingsName, "the double entry of each event"},
		{actionsName, "what people decided, and why; the last is the making of this pack"},
		{indexName, "each raw message of a record: its digest, the file with its sealed bytes, the file with what it opens to"},
		{personalName, "the sealed part of the payment: customer or beneficiary"},
		{callbacksName, "what was told to the merchant, attempt by attempt"},
		{answersName, "what the API answered to the request, where that is still kept"},
		{balancesName, "the wallet's balances before and after each event"},
		{inclusionName, "the records exactly as they were hashed, with their paths to the checkpoint"},
		{checkpointName, "the checkpoint; proof/key.txt is the key that it should be signed with: have it from elsewhere"},
	} {
		say("  %-22s %s", l[0], l[1])
	}
	say("")
	say("HOW TO CHECK IT")
	say("  ledger dispute verify THIS.zip --public-key KEY     needs no network and no ledger. Take the public key from where the ledger")
	say("                                                      has published it, not from this pack.")
	say("")
	say("WHAT IT PROVES, if that says VALID")
	for _, p := range proves() {
		say("  - %s", p)
	}
	say("")
	say("WHAT IT DOES NOT PROVE")
	for _, p := range limits() {
		say("  - %s", p)
	}
	return []byte(b.String())
}

// proves is what a valid pack proves, in general; Verify says it with numbers.
func proves() []string {
	return []string{
		"The ledger has signed every file here; none was altered, added or taken away since.",
		"Each record was in the log with exactly this content when the checkpoint was signed, at this position, behind the record whose hash it carries.",
		"The sealed messages are, byte for byte, those whose digests the records have.",
		"Timeline, postings, actions and summary are what the records say; the postings of each event sum to zero.",
		"Each event moved the wallet's balances by what it says, and by nothing else.",
		"Where the body of a request or a document of evidence is shown as it is, it is what was received: the record has its SHA-256, or commits to it.",
	}
}

// limits is what no pack proves.
func limits() []string {
	return []string{
		"That the log has no further record about this payment.",
		"That other opened messages are what was sealed. The sealed bytes are proven; that they open to this is the ledger's signed word, since the key that opens " +
			"them opens others too and does not leave the ledger. Somebody with access to its vault can check it.",
		"What was masked, withheld or erased.",
		"Callbacks, answers, the merchant's name, and how much was in the wallet before the first event: they are the ledger's signed word.",
		"That what a gateway, a merchant or an operator said is true, or that the ledger's clock was right.",
		"That the ledger shows everybody the same log. Compare the checkpoint with one that left its hands earlier: ledger proof consistency OLD --checkpoint proof/checkpoint.txt, " +
			"which the ledger has to give, and ledger proof verify.",
	}
}
