package klyropay

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
)

// farthest is how far ahead a batch can be scheduled.
const farthest = 90 * 24 * time.Hour

// batchRequest is what a submission says beside its body.
type batchRequest struct {
	format  BatchFormat
	options BatchOptions // of bodies that cannot hold them
	dryRun  bool
	wait    time.Duration // 0: not to wait
}

// batchRequest reads content type, query and preferences. It answers for itself when it returns false.
func (a *API) batchRequest(w http.ResponseWriter, r *http.Request) (batchRequest, bool) {
	var in batchRequest
	var ok bool
	if in.format, ok = batchFormat(r.Header); !ok {
		httpapi.Fail(w, http.StatusUnsupportedMediaType, messageBatchType)
		return in, false
	}
	if r.ContentLength > a.opts.MaxBatchBody {
		httpapi.Fail(w, http.StatusRequestEntityTooLarge, httpapi.MessageTooLarge)
		return in, false
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		httpapi.Fail(w, http.StatusBadRequest, httpapi.MessageQuery)
		return in, false
	}
	p := &params{values: values}
	in.dryRun = p.dryRun()
	for _, o := range in.options.named() {
		switch *o.value = p.text(o.name); {
		case *o.value != "" && in.format == BatchJSON:
			p.problems.add(o.name, "belongs into the body")
		case in.format != BatchJSON && len(values[o.name]) <= 1:
			o.check(&p.problems)
		}
	}
	p.knownOnly()
	if len(p.problems) > 0 {
		p.problems.write(w)
		return in, false
	}
	in.wait = preferredWait(r.Header)
	return in, true
}

// maxUnknown bounds the parameters and members that are refused by name.
const maxUnknown = 16

// knownOnly refuses parameters that a submission does not have: one that is mistyped would be passed over, and change what is paid, or when.
func (p *params) knownOnly() {
	options, unknown := new(BatchOptions), 0
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if name == "dry_run" || options.has(name) {
			continue
		}
		if unknown++; unknown <= maxUnknown {
			p.problems.add(name, "is not a parameter of a batch")
		}
	}
}

// has tells whether an option has that name.
func (o *BatchOptions) has(name string) bool {
	return slices.ContainsFunc(o.named(), func(one namedOption) bool { return one.name == name })
}

// dryRun tells whether nothing is to be kept.
func (p *params) dryRun() bool {
	switch p.text("dry_run") {
	case "", "false":
		return false
	case "true":
		return true
	}
	p.problems.add("dry_run", `must be "true" or "false"`)
	return false
}

// namedOption is an option and its rule.
type namedOption struct {
	name     string
	value    *string
	required bool
	fault    rule
}

// named lists the options in the document's order.
func (o *BatchOptions) named() []namedOption {
	return []namedOption{
		{"batch_ref", &o.BatchRef, true, referenceFault},
		{"mode", &o.Mode, false, either(string(batch.Partial), string(batch.Atomic))},
		{"approval", &o.Approval, false, either(string(batch.NoApproval), string(batch.ApprovalRequired))},
		{"on_insufficient_balance", &o.OnInsufficientBalance, false, either(string(batch.RefuseShort), string(batch.QueueShort))},
		{"schedule_at", &o.ScheduleAt, false, timeFault},
	}
}

// either is the rule of options that have two values.
func either(one, other string) rule {
	return func(s string) string {
		if s != one && s != other {
			return `must be "` + one + `" or "` + other + `"`
		}
		return ""
	}
}

// timeFault allows RFC 3339.
func timeFault(s string) string {
	if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
		return "must be a time with its zone, such as 2026-04-01T09:30:00+05:30 (in a query, + is written %2B)"
	}
	return ""
}

func (o namedOption) check(p *problems) {
	switch {
	case *o.value != "":
		if fault := o.fault(*o.value); fault != "" {
			p.add(o.name, fault)
		}
	case o.required:
		p.add(o.name, "is required")
	}
}

// complete puts the defaults where nothing was given, and the time into the one form that the API writes. It returns that time, zero for
// none.
func (o *BatchOptions) complete() time.Time {
	o.Mode = cmp.Or(o.Mode, string(batch.Partial))
	o.Approval = cmp.Or(o.Approval, string(batch.NoApproval))
	o.OnInsufficientBalance = cmp.Or(o.OnInsufficientBalance, string(batch.RefuseShort))
	at, err := time.Parse(time.RFC3339Nano, o.ScheduleAt)
	if err != nil { // there is none: see timeFault
		o.ScheduleAt = ""
		return time.Time{}
	}
	at = at.UTC().Truncate(time.Microsecond)
	o.ScheduleAt = at.Format(httpapi.TimeLayout)
	return at
}

// scheduleFault says what is wrong with the time of a batch that is to be made now.
func scheduleFault(at, now time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case !at.After(now):
		return "must be in the future"
	case at.After(now.Add(farthest)):
		return "must not be more than 90 days ahead"
	}
	return ""
}

// terms are what the batch is submitted under. Unlike the options they follow from the merchant's rule and the role of the key, too; so they are
// no part of its digest: a repeat of the request is the same batch when those have changed.
func (d *batchDraft) terms(c *caller) batch.Terms {
	rule := c.merchant.Approval
	t := batch.Terms{Approval: batch.NoApproval, Rule: rule.Version, ScheduleAt: d.at, RetryOf: d.retryOf}
	t.Checkers = rule.Checkers(d.amount.Add(d.commission))
	if d.options.Approval == string(batch.ApprovalRequired) || c.key.Role == merchant.Maker {
		t.Checkers = max(t.Checkers, 1)
	}
	if t.Checkers > 0 {
		t.Approval = batch.ApprovalRequired
	}
	if d.options.Mode == string(batch.Atomic) {
		t.Mode = batch.Atomic
	}
	if d.options.OnInsufficientBalance == string(batch.QueueShort) {
		t.Shortage = batch.QueueShort
	}
	return t
}
