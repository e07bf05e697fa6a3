package klyropay

import (
	"context"
	"io"
	"iter"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// Batches takes batches of payouts and stops them.
type Batches interface {
	// Submit returns the batch once all of it is durable. A batch_ref that the merchant has used for the same digest returns that
	// batch as it is, and true; for another digest it is domain.Duplicate. Of two copies at the same time one makes the batch. After
	// an error the same batch can be submitted again, and goes on where it was. The items are valid and as many as announced; their
	// error is a fault of this server.
	Submit(ctx context.Context, s BatchSubmission, items iter.Seq2[BatchPayout, error]) (b batch.Batch, repeated bool, err error)
	// Cancel stops what is not drawn yet, and returns the batch; one that is cancelled already as it is. domain.NotFound for another
	// merchant's, too; domain.Stale when there is nothing left to stop.
	Cancel(ctx context.Context, of batch.Of, reason string, o eventstore.Origin) (batch.Batch, error)
	// Approve allows a batch, together with as many others as it needs; o.Actor is who approves. A second approval of the same actor changes nothing. domain.NotFound; domain.Forbidden to who submitted the
	// batch; domain.Stale when it waits for no approval, or was submitted under another rule.
	Approve(ctx context.Context, of batch.Of, note string, o eventstore.Origin) (batch.Batch, error)
	// Reject refuses a batch that waits for approval. domain.NotFound, domain.Stale, domain.Forbidden to who submitted it, and domain.Invalid
	// without a reason.
	Reject(ctx context.Context, of batch.Of, reason string, o eventstore.Origin) (batch.Batch, error)
	// Stopper says which of the items of a batch, all of which or none are to be paid, could not be paid now, and why: the first one whose
	// partner_request_id was used before, or that the balance does not cover together with those before it. It is 0 when all could. It keeps
	// and holds nothing.
	Stopper(ctx context.Context, m merchant.Merchant, items iter.Seq2[BatchPayout, error]) (index int, reason string, err error)
}

// BatchSubmission announces a batch whose items have been checked.
type BatchSubmission struct {
	Merchant   merchant.Merchant
	Ref        string
	Digest     string      // keyed, of items and options; independent of the format that they came in, of rules and of roles
	Plain      string      // SHA-256 of the same, hexadecimal: what batches have that are older than keyed digests
	Terms      batch.Terms // at least: the merchant's approval rule may ask for more by now
	Count      int
	Amount     money.Amount   // of all items
	Commission money.Amount   // of all items, by the merchant's plan; includes tax
	Columns    []batch.Column // of the file that it came in; none where it came in another way
	Origin     eventstore.Origin
}

// BatchPayout is one item to be paid, valid.
type BatchPayout struct {
	RequestID    string // the merchant's, else one that follows from batch_ref and index
	Amount       money.Amount
	IFSC         string
	BankName     string
	TransferType string
	To           wallet.Beneficiary
}

// BatchViews reads a merchant's batches. What was answered before the call is in it; others' batches do not exist: domain.NotFound.
type BatchViews interface {
	Batch(ctx context.Context, merchantID, id string) (projections.BatchRow, error)
	BatchByRef(ctx context.Context, merchantID, ref string) (projections.BatchRow, error)
	// Batches lists newest first, behind the batch of an id; "" begins.
	Batches(ctx context.Context, merchantID, before string, limit int) ([]projections.BatchRow, error)
	// BatchTally counts a batch's items by their status.
	BatchTally(ctx context.Context, merchantID, id string) (projections.BatchTally, error)
	// BatchItems lists in the order of their index.
	BatchItems(ctx context.Context, merchantID, id string, f projections.BatchItemFilter) ([]projections.BatchItem, error)
}

// BatchFormat is what the body of a batch is in.
type BatchFormat string

// The formats of bodies.
const (
	BatchJSON   BatchFormat = "json"
	BatchCSV    BatchFormat = "csv"
	BatchNDJSON BatchFormat = "ndjson"
)

// BatchSheet is what results are written in.
type BatchSheet string

// The formats of results.
const (
	SheetCSV  BatchSheet = "csv"
	SheetXLSX BatchSheet = "xlsx"
)

// BatchFiles knows the forms in which batches come and results go.
type BatchFiles interface {
	// Read reads a body from its beginning to its end, in memory that is bounded but for a mark of each item, and hands out the good items.
	// All that is wrong with form or values is in the report: not well-formed, no item, too many, an item for the second time
	// (by its partner_request_id, or without one as a whole). An error is one of body's or Take's, wrapped.
	Read(body io.Reader, r BatchReading) (BatchReport, error)
	// Results begins a file of results that has these columns before those of the outcome; without columns, all fields of an item.
	Results(sheet BatchSheet, columns []batch.Column, w io.Writer) BatchResults
	// Template writes a CSV to fill in.
	Template(w io.Writer) error
}

// BatchReading says how a body is read.
type BatchReading struct {
	Format   BatchFormat
	Currency money.Currency
	Items    int // at most; one more is a problem, and ends the reading
	Problems int // to list
	// Check says what is wrong with the values of an item. Of a field that has a problem already, what it says is dropped.
	Check func(*BatchEntry) []FieldProblem
	// Take is handed the items without problems, in their order. Its error ends the reading. It does not keep the item.
	Take func(*BatchEntry) error
}

// BatchReport says what was in a body.
type BatchReport struct {
	Options  BatchOptions   // of a JSON body; else empty
	Columns  []batch.Column // of a CSV, in its order, as its header calls them; else none
	Whole    bool           // the body was read to its end: what is not in Options was not given
	NotJSON  int            // line at which a JSON body stops being JSON; 0: it is JSON as far as it was read
	Problems []BatchProblem // the first ones
	Total    int            // of all problems
}

// BatchOptions are what a batch says beside its items, as given; once they are found good and complete, with the defaults, and the time
// as the API writes it. "" is what was not given.
type BatchOptions struct {
	BatchRef              string
	Mode                  string
	Approval              string
	OnInsufficientBalance string
	ScheduleAt            string
}

// BatchEntry is an item as submitted.
type BatchEntry struct {
	Index            int // from 1, counting items only
	MobileNo         string
	BeneficiaryName  string
	AccountNo        string
	IFSC             string
	BankName         string
	Amount           money.Amount // zero where it could not be read
	TransferType     string
	PartnerRequestID string
}

// BatchProblem is one thing that is wrong with a body. The message goes on from the field's name, if there is one, and quotes no values.
type BatchProblem struct {
	Line    int    // of the body, from 1; 0: none
	Column  int    // number of the column, from 1; 0: none
	Field   string // "": the item or the body as a whole
	Index   int    // of the item, from 1; 0: the body
	Message string

	RequestID string // of the item, where the body that is answered does not show it; else ""
}

// FieldProblem is what is wrong with the value of a field. The message goes on from the field's name: "must be 8 to 20 digits".
type FieldProblem struct {
	Field   string
	Message string
}

// BatchResults writes the results of a batch, row by row. Close ends the file, and leaves open what it is written to.
type BatchResults interface {
	Write(e *BatchEntry, o BatchOutcome) error
	Close() error
}

// BatchOutcome is what became of an item. Empty fields are written as empty cells.
type BatchOutcome struct {
	TransactionID string
	Status        string
	UTR           string
	FailureReason string
}
