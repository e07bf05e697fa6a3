package gateway

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/khata-ledger/khata/eventstore/work"
)

// StepJobs handles the jobs of a kind that are there, one after the other, whether or not they are due: a simulation's time is its own. What dead
// reports after a handler is that its process has died: then the job stays as it was.
func StepJobs(ctx context.Context, jobs *work.Store, kind string, now time.Time, handle Stepper, dead func() bool) (int, error) {
	held, err := jobs.Lease(ctx, kind, now.Add(100*365*24*time.Hour), work.MaxLease, time.Minute)
	if err != nil {
		return 0, err
	}
	for _, j := range held {
		out := reflect.ValueOf(handle(ctx, j))
		verdict, payload := out.FieldByName("verdict").Int(), out.FieldByName("payload").Bytes()
		switch {
		case dead():
			err = jobs.Release(ctx, j)
		case verdict == 1:
			err = jobs.Done(ctx, j)
		case verdict == 2:
			err = jobs.Retry(ctx, j, now, payload)
		default:
			err = fmt.Errorf("job %s ended with verdict %d", j.Key, verdict)
		}
		if err != nil {
			return 0, err
		}
	}
	return len(held), nil
}

// EarlyHandler handles a job of EarlyJobs.
func (c *Checkouts) EarlyHandler() Stepper { return c.early }

// TrialHandler handles a job of TrialJobs.
func (c *Checkouts) TrialHandler() Stepper { return c.trial }

// LateHandler handles a job of LateJobs.
func (c *Checkouts) LateHandler() Stepper { return c.late }

// PutOff reports whether an outcome puts its job off until then, and returns what the job is to remember.
func PutOff(o work.Outcome, until time.Time) (memory []byte, is bool) {
	memory = reflect.ValueOf(o).FieldByName("payload").Bytes()
	return memory, reflect.DeepEqual(o, work.Again(until, memory))
}

// LateTurn takes one of a company's turns of questions about payins that have ended.
func (c *Checkouts) LateTurn(company string) (done func(), free bool) {
	return c.lateTurns.take(company)
}

// ExpiryHandler handles a job of ExpiryJobs.
func (e *Expiry) ExpiryHandler() Stepper { return e.expire }

// RefundHandler handles a job of RefundJobs.
func (f *Refunder) RefundHandler() Stepper { return f.serve }

// Stepper handles a job.
type Stepper func(context.Context, work.Job) work.Outcome
