package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/tail"
)

// counting is a log that counts its appends.
type counting struct {
	eventstore.Store
	appends int
	then    func() // behind each append
}

func (c *counting) Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error {
	err := c.Store.Append(ctx, head, records)
	c.appends++
	if c.then != nil {
		c.then()
	}
	return err
}

func openBatches(t *testing.T, log eventstore.Store, batchMax int) *book {
	t.Helper()
	info, err := log.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &book{t: t, log: log, tail: tail.New(log, info.Partitions, time.Hour, nil)}
	b.Ledger, err = ledger.Open(t.Context(), log, openSealer{}, b.tail, ledger.Options{BatchMax: batchMax})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func submissions(commands ...wallet.Command) (out []ledger.Submission) {
	for _, c := range commands {
		out = append(out, ledger.Submission{Command: c, Origin: eventstore.Origin{
			Actor: "test", Evidence: []eventstore.Evidence{{MediaType: "text/plain", Body: []byte(c.Target().Payment)}},
		}})
	}
	return out
}

func TestSubmitAll(t *testing.T) {
	t.Parallel()
	b := openBatches(t, memory.New(2), 0)
	b.fund(merchantA, "txn_fund", "2500")
	results, errs := b.SubmitAll(t.Context(), merchantA, submissions(
		initiate(merchantA, "txn_1", "P-1", "1000"),
		initiate(merchantB, "txn_2", "P-2", "1000"), // another merchant's
		initiate(merchantA, "txn_3", "P-1", "1000"), // a duplicate
		initiate(merchantA, "txn_4", "P-4", "9000"), // not covered
		submitted(merchantA, "txn_1"),               // stands on the first of the same call
		initiate(merchantA, "txn_5", "P-5", "1000"),
	))
	if len(results) != 6 || len(errs) != 6 {
		t.Fatalf("%d results, %d errors", len(results), len(errs))
	}
	for _, i := range []int{0, 4, 5} {
		if errs[i] != nil || results[i].First != results[i].Last || results[i].First.Seq == 0 {
			t.Errorf("%d: %+v, %v", i, results[i], errs[i])
		}
	}
	var duplicate *executor.DuplicateError
	if domain.CodeOf(errs[1]) != domain.Invalid || !errors.As(errs[2], &duplicate) || duplicate.Position != results[0].First || domain.CodeOf(errs[3]) != domain.InsufficientBalance {
		t.Errorf("%v; %v; %v", errs[1], errs[2], errs[3])
	}
	for _, i := range []int{1, 2, 3} {
		if results[i] != (ledger.Outcome{}) || results[i].Payment().Kind != "" || results[i].Wallet().Merchant != "" {
			t.Errorf("%d was refused: %+v", i, results[i])
		}
	}
	if results[4].Payment().Attempts != 1 || results[5].Wallet().Available.Fixed() != "480.00" {
		t.Errorf("%+v, %s", results[4].Payment(), results[5].Wallet().Available)
	}
	messages, err := b.log.Evidence(t.Context(), results[5].First)
	if err != nil || len(messages) != 1 || string(messages[0].Body[:len("sealed for "+merchantA)]) != "sealed for "+merchantA {
		t.Errorf("%q, %v", messages, err)
	}
	if results, errs := b.SubmitAll(t.Context(), merchantA, nil); len(results) != 0 || len(errs) != 0 {
		t.Errorf("%v, %v", results, errs)
	}
}

// What is more than the executor takes at once goes in parts, in order.
func TestSubmitAllInParts(t *testing.T) {
	t.Parallel()
	log := &counting{Store: memory.New(1)}
	b := openBatches(t, log, 3)
	b.fund(merchantA, "txn_fund", "100000")
	var commands []wallet.Command
	for i := range 8 {
		commands = append(commands, initiate(merchantA, fmt.Sprintf("txn_%d", i), fmt.Sprintf("P-%d", i), "1000"))
	}
	before := log.appends
	results, errs := b.SubmitAll(t.Context(), merchantA, submissions(commands...))
	for i := range results {
		if errs[i] != nil || results[i].First.Seq != int64(i+2) || results[i].Payment().Payment != fmt.Sprintf("txn_%d", i) {
			t.Errorf("%d: %+v, %v", i, results[i].First, errs[i])
		}
	}
	if n := log.appends - before; n != 3 {
		t.Errorf("%d appends", n)
	}
}

// When the caller goes away between two parts, the rest is not carried out.
func TestSubmitAllEnds(t *testing.T) {
	t.Parallel()
	log := &counting{Store: memory.New(1)}
	b := openBatches(t, log, 2)
	b.fund(merchantA, "txn_fund", "100000")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log.then = cancel
	var commands []wallet.Command
	for i := range 6 {
		commands = append(commands, initiate(merchantA, fmt.Sprintf("txn_%d", i), fmt.Sprintf("P-%d", i), "1000"))
	}
	_, errs := b.SubmitAll(ctx, merchantA, submissions(commands...))
	for i, err := range errs[2:] {
		if !errors.Is(err, context.Canceled) || errors.Is(err, executor.ErrOutcomeUnknown) {
			t.Errorf("%d: %v", i+2, err)
		}
	}
	head, err := log.Head(t.Context(), 0)
	if err != nil || head.Seq != 3 {
		t.Errorf("the log ends at %d, %v", head.Seq, err)
	}
}

func TestSubmitPartition(t *testing.T) {
	t.Parallel()
	b := openBatches(t, memory.New(2), 0)
	elsewhere := merchantB
	for i := 0; b.Partition(elsewhere) == b.Partition(merchantA); i++ {
		elsewhere = fmt.Sprintf("mer_%016d", i)
	}
	near := merchantB
	for i := 0; b.Partition(near) != b.Partition(merchantA); i++ {
		near = fmt.Sprintf("mer_%016d", i)
	}
	b.fund(merchantA, "txn_funda", "100000")
	b.fund(near, "txn_fundb", "100000")
	results, errs := b.SubmitPartition(t.Context(), b.Partition(merchantA), submissions(
		initiate(merchantA, "txn_1", "P-1", "1000"), initiate(near, "txn_2", "P-1", "1000"), initiate(elsewhere, "txn_3", "P-3", "1000")))
	if errs[0] != nil || errs[1] != nil || results[1].Payment().Merchant != near || domain.CodeOf(errs[2]) != domain.Invalid {
		t.Errorf("%v, %+v", errs, results[1].Payment())
	}
}
