package merchant

import "github.com/khata-ledger/khata/domain"

// DataOpened says that sealed personal data of one of the merchant's payments was opened for somebody. It changes nothing of the merchant: it is here
// so that the log tells who has seen what, and why.
type DataOpened struct {
	Of
	Transaction string `json:"transaction"`
	Purpose     string `json:"purpose"`
	Unmasked    bool   `json:"unmasked,omitempty"` // it was handed over as it is, not masked
	Reason      string `json:"reason,omitempty"`
}

// PurposePack is the purpose of a dispute pack.
const PurposePack = "dispute_pack"

// OpenData records that data is opened, before it is. Unmasked takes a reason.
type OpenData struct {
	Of
	Transaction string
	Purpose     string
	Unmasked    bool
	Reason      string
}

// maxTransaction bounds the id of a transaction, in bytes.
const maxTransaction = 200

func openData(c OpenData) ([]Event, error) {
	switch {
	case c.Transaction == "" || len(c.Transaction) > maxTransaction:
		return nil, domain.InvalidField("transaction", "is missing or too long")
	case c.Purpose != PurposePack:
		return nil, domain.InvalidField("purpose", "is not known")
	}
	if c.Unmasked || c.Reason != "" {
		if err := validReason(c.Reason); err != nil {
			return nil, err
		}
	}
	return []Event{&DataOpened{Of: c.Of, Transaction: c.Transaction, Purpose: c.Purpose, Unmasked: c.Unmasked, Reason: c.Reason}}, nil
}
