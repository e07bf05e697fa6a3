package batchfile

import (
	"time"
)

// What Options.Mode may be.
const (
	ModePartial = "partial" // each item is accepted or refused by itself
	ModeAtomic  = "atomic"  // all are held or none is
)

// What Options.Approval may be.
const (
	ApprovalNone     = "none"
	ApprovalRequired = "required"
)

// What Options.OnInsufficientBalance may be.
const (
	BalanceReject = "reject"
	BalanceQueue  = "queue"
)

// Options are what a batch says beside its items. "" and the zero time are what was not given.
type Options struct {
	BatchRef              string // as given: its shape is for the caller to check
	Mode                  string
	Approval              string
	OnInsufficientBalance string
	ScheduleAt            time.Time // UTC
}

// Set sets an option by its name, as a query or a JSON body gives it. "" leaves it as it is. It returns a FieldError for a name or a
// value that is not known.
func (o *Options) Set(name, value string) error {
	switch name {
	case "batch_ref":
		if value != "" {
			o.BatchRef = value
		}
		return nil
	case "mode":
		return choose(&o.Mode, name, value, ModePartial, ModeAtomic)
	case "approval":
		return choose(&o.Approval, name, value, ApprovalNone, ApprovalRequired)
	case "on_insufficient_balance":
		return choose(&o.OnInsufficientBalance, name, value, BalanceReject, BalanceQueue)
	case "schedule_at":
		if value == "" {
			return nil
		}
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return FieldError{name, "must be a time with its zone, such as 2026-04-01T09:30:00+05:30"}
		}
		o.ScheduleAt = t.UTC()
		return nil
	}
	return FieldError{name, "is not an option of a batch"}
}

func choose(to *string, name, value, one, other string) error {
	switch value {
	case "":
		return nil
	case one, other:
		*to = value
		return nil
	}
	return FieldError{name, `must be "` + one + `" or "` + other + `"`}
}
