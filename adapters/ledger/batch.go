package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// defaultBatchMax is how many commands go to an executor at once, where Options.BatchMax does not say.
const defaultBatchMax = 2500

// batchMax is Options.BatchMax as the executors take it.
func (o Options) batchMax() int {
	return min(cmp.Or(max(o.BatchMax, 0), defaultBatchMax), executor.MaxBatch)
}

// Submission is one command of SubmitAll, and where it comes from.
type Submission struct {
	Command wallet.Command
	Origin  eventstore.Origin
}

// Outcome is what became of one command of SubmitAll; the zero Outcome of one that was refused.
type Outcome struct {
	First, Last eventstore.Position // of its events; zero when it changed nothing
	after       *answer
}

// Payment is the payment after the command.
func (o Outcome) Payment() (p wallet.Payment) {
	if o.after != nil {
		o.after.payment.Unpack(&p)
	}
	return p
}

// Wallet is the wallet after the command.
func (o Outcome) Wallet() wallet.Wallet {
	if o.after == nil {
		return wallet.Wallet{}
	}
	return o.after.wallet
}

// outcome is the model's answer to a wallet command, with where its events are.
func outcome(r *executor.Result) Outcome {
	return Outcome{First: r.First, Last: r.Last, after: r.Answer.(*answer)}
}

// SubmitAll carries out many commands on the wallets of one merchant, in order, each by itself: one that is refused does not
// fail the others. There is one outcome and one error per submission; errors are those of Submit, and domain.Invalid for a
// command on another merchant's wallet. Commands share appends, Options.BatchMax of them at most: what is more goes in parts,
// each durable before the next one is submitted. When ctx ends between two parts, the rest is not carried out and has its error.
func (l *Ledger) SubmitAll(ctx context.Context, merchantID string, all []Submission) ([]Outcome, []error) {
	return l.submitAll(ctx, l.Partition(merchantID), all, func(c wallet.Command) error {
		if owner := c.Target().Merchant; owner != merchantID {
			return domain.Errorf(domain.Invalid, "a command on a wallet of %s among those of %s", owner, merchantID)
		}
		return nil
	})
}

// SubmitPartition is SubmitAll for the wallets of many merchants, all in one partition; a command on another partition's
// wallet is domain.Invalid.
func (l *Ledger) SubmitPartition(ctx context.Context, partition int, all []Submission) ([]Outcome, []error) {
	return l.submitAll(ctx, partition, all, func(c wallet.Command) error {
		if owner := c.Target().Merchant; l.Partition(owner) != partition {
			return domain.Errorf(domain.Invalid, "a command on a wallet of %s, which is not in partition %d", owner, partition)
		}
		return nil
	})
}

func (l *Ledger) submitAll(ctx context.Context, partition int, all []Submission, check func(wallet.Command) error) ([]Outcome, []error) {
	outcomes, errs := make([]Outcome, len(all)), make([]error, len(all))
	commands := make([]executor.Command, 0, len(all))
	places := make([]int, 0, len(all)) // of commands, in all
	metas := pieces{bytes: min(len(all)*metaBytes, pieceBytes)}
	for i := range all {
		c := all[i].Command
		if errs[i] = check(c); errs[i] != nil {
			continue
		}
		command, err := l.command(ctx, c.Target().Merchant, c, c.Keys(), all[i].Origin, &metas)
		if err != nil {
			errs[i] = err
			continue
		}
		commands, places = append(commands, command), append(places, i)
	}
	for part := range slices.Chunk(commands, l.batchMax) {
		at := places[:len(part)]
		places = places[len(part):]
		if err := ctx.Err(); err != nil {
			for _, i := range at {
				errs[i] = fmt.Errorf("not submitted: %w", err)
			}
			continue
		}
		answers, failed := l.partitions[partition].SubmitAll(ctx, part)
		for n, i := range at {
			if errs[i] = failed[n]; errs[i] == nil {
				outcomes[i] = outcome(&answers[n])
			}
		}
	}
	return outcomes, errs
}
