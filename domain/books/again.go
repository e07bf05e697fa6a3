package books

import (
	"bytes"
	"fmt"
	"time"
)

// Again refuses an event that the command which it names would not cause, decided anew on what came before it: one that nobody has decided.
// At is its value date.
func (b *Books) Again(e Event, at time.Time) error {
	var c Command
	switch e := e.(type) {
	case *Closed:
		c = Close{Period: e.Period, Trial: e.Trial, Changes: b.Changes, Actor: e.Actor, At: at}
	case *ReopenRequested:
		c = RequestReopen{Name: e.Name, Reason: e.Reason, Actor: e.Actor, At: at}
	case *Reopened:
		c = ApproveReopen{Name: e.Name, Actor: e.Actor, At: at}
	case *Adjusted:
		c = Adjust{About: e.About, Debit: e.Debit, Credit: e.Credit, Amount: e.Amount, Reason: e.Reason, Maker: e.Maker, Checker: e.Checker, At: at}
	}
	events, err := Decide(b, c)
	if err != nil {
		return fmt.Errorf("nobody can have decided it: %w", err)
	}
	if len(events) != 1 {
		return fmt.Errorf("nobody can have decided it: it changes nothing")
	}
	want, err := Encode(events[0])
	if err != nil {
		return err
	}
	got, err := Encode(e)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("nobody can have decided it: it would be %s", want)
	}
	return err
}
