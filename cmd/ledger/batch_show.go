package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/khata-ledger/khata/adapters/batchfile"
)

// Gaps between two looks at a batch.
const (
	firstLook = 200 * time.Millisecond
	lastLook  = 3 * time.Second
)

// end waits for the end of a batch, prints a summary, and writes what was not paid.
func (e ending) end(ctx context.Context, t *terminal, api *apiFlags, id string) error {
	tell, finish := t.progress("paying")
	var b batchJSON
	said, away := "", false // what was remarked last; whether the server cannot be asked
	for gap := firstLook; ; gap = min(2*gap, lastLook) {
		seen, err := api.batch(ctx, id)
		var refused *apiRefusal
		var wrong usageError
		switch {
		case errors.As(err, &refused), errors.As(err, &wrong):
			return errors.Join(err, finish())
		case err != nil && ctx.Err() == nil: // the server may be starting again
			if !away {
				t.remark(tell != nil, "batch "+id+": trying on: "+oneLine(err))
			}
			away = true
		case err == nil:
			b, away = seen, false
			if now := b.waiting(); now != said && !b.ended() {
				said = now
				t.remark(tell != nil, "batch "+id+": "+cmp.Or(said, "goes on"))
			}
			if tell != nil {
				tell(b.Total-b.Counts["pending"]-b.Counts["queued"], b.Total)
			}
		}
		if err == nil && b.ended() {
			break
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("batch %s goes on; look at it again with `ledger batch status %s --watch`", id, id), finish())
		case <-time.After(gap):
		}
	}
	if err := finish(); err != nil {
		return err
	}
	if e.Failures != "" {
		if err := t.writeOut(e.Failures, func(w io.Writer) error { return api.failures(ctx, id, w) }); err != nil {
			return err
		}
	}
	return b.print(t, e.JSON)
}

// remark says something beside the answer, on a line of its own; a bar that is drawn there is wiped off, and comes again.
func (t *terminal) remark(bar bool, text string) {
	if bar {
		text = "\r\x1b[2K" + text
	}
	complain(t.err, "%s\n", text)
}

// batchJSON is a batch as the API shows it.
type batchJSON struct {
	ID         string                 `json:"batch_id,omitempty"`
	Ref        string                 `json:"batch_ref"`
	Status     string                 `json:"status,omitempty"`
	Total      int64                  `json:"count"`
	Amount     json.Number            `json:"total_amount"`
	Commission json.Number            `json:"commission"`
	Counts     map[string]int64       `json:"counts,omitempty"`
	Sums       map[string]json.Number `json:"sums,omitempty"`
	Mode       string                 `json:"mode,omitempty"`
	Approval   string                 `json:"approval,omitempty"`
	Approvals  struct {
		Needed int      `json:"needed"`
		Given  int      `json:"given"`
		By     []string `json:"by"`
	} `json:"approvals,omitzero"`
	Shortage   string `json:"on_insufficient_balance,omitempty"`
	ScheduleAt string `json:"schedule_at,omitempty"`
	RetryOf    string `json:"retry_of,omitempty"`
	Reason     string `json:"reason,omitempty"`
	StoppedBy  *struct {
		Index  int    `json:"index"`
		Reason string `json:"reason"`
	} `json:"stopped_by,omitempty"`
}

// ended tells whether every item has its outcome.
func (b *batchJSON) ended() bool {
	return b.Status == "completed" || b.Status == "rejected" || b.Status == "cancelled" && b.Counts["pending"] == 0
}

func (a *apiFlags) batch(ctx context.Context, id string) (b batchJSON, err error) {
	return b, a.call(ctx, http.MethodGet, pathBatches+"/"+url.PathEscape(id), "", nil, &b)
}

// waiting says what a batch waits for; "" when that is nothing but its payouts.
func (b *batchJSON) waiting() string {
	switch {
	case b.Status == "awaiting_approval":
		return fmt.Sprintf("awaits approval: %d of %d given", b.Approvals.Given, b.Approvals.Needed)
	case b.Status == "processing" && b.Counts["queued"] > 0:
		return fmt.Sprintf("%d queued: they wait for the wallet to be funded", b.Counts["queued"])
	case b.Status == "processing" && b.ScheduleAt != "" && b.Counts["pending"] == b.Total:
		return "begins at " + b.ScheduleAt
	}
	return ""
}

// remarks are what is to be said of a batch beside its figures.
func (b *batchJSON) remarks() []string {
	var all []string
	say := func(when bool, format string, args ...any) {
		if when {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	say(b.RetryOf != "", "retry of %s", b.RetryOf)
	say(b.Mode == batchfile.ModeAtomic, "atomic: all of it is paid, or nothing")
	say(b.ScheduleAt != "", "scheduled for %s", b.ScheduleAt)
	say(b.Approvals.Needed > 0, "approvals: %s", strings.Join(append([]string{fmt.Sprintf("%d of %d", b.Approvals.Given, b.Approvals.Needed)}, b.Approvals.By...), " "))
	say(b.Counts["queued"] > 0, "%s", b.waiting())
	say(b.StoppedBy == nil && b.Reason != "", "reason: %s", b.Reason)
	if b.StoppedBy != nil {
		say(true, "stopped by item %d: %s", b.StoppedBy.Index, b.StoppedBy.Reason)
	}
	return all
}

// print shows a batch as a table, or as JSON.
func (b *batchJSON) print(t *terminal, asJSON bool) error {
	if asJSON {
		return t.answer(b)
	}
	if b.ID != "" {
		lines := append([]string{fmt.Sprintf("%s  %s  %s", b.ID, b.Ref, b.Status)}, b.remarks()...)
		if _, err := fmt.Fprintln(t.out, strings.Join(lines, "\n")); err != nil {
			return err
		}
	}
	rows := []string{"\titems\tamount\t", fmt.Sprintf("all\t%d\t%s\t", b.Total, b.Amount)}
	for _, status := range []string{"pending", "queued", "success", "refunded", "failed", "rejected", "cancelled"} {
		if n := b.Counts[status]; n > 0 {
			rows = append(rows, fmt.Sprintf("%s\t%d\t%s\t", status, n, b.Sums[status]))
		}
	}
	rows = append(rows, fmt.Sprintf("commission\t\t%s\t", b.Commission))
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if _, err := fmt.Fprintln(w, strings.Join(rows, "\n")); err != nil {
		return err
	}
	return w.Flush()
}
