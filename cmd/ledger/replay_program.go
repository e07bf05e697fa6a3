package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/eventstore"
)

// Bounds of another program's replay.
const (
	programWithin = 15 * time.Minute
	programStderr = 4 << 10 // bytes that are kept of what it complains about
	shownValue    = 200     // bytes of a value that differs
)

// programComparison is how another program's replay compares with this one's.
type programComparison struct {
	Subject    string             `json:"subject"`
	Program    string             `json:"program"`
	UpTo       string             `json:"up_to,omitempty"` // the last line's position
	Lines      int64              `json:"lines"`           // compared
	Difference *programDifference `json:"difference,omitempty"`
	Untold     []string           `json:"untold,omitempty"` // fields of lines that only one of the two tells: these are not compared
}

// programDifference is the first one. Where one program has no such line, Field is "" and it tells nothing.
type programDifference struct {
	Line     int64  `json:"line"` // from 1
	Position string `json:"position"`
	Type     string `json:"type"`
	Field    string `json:"field,omitempty"` // path: after.balance
	This     string `json:"this,omitempty"`
	Other    string `json:"other,omitempty"`
}

// diffProgram replays the subject with another program too, line by line beside this one, up to where the log is now. What it prints must be what this
// one prints for --json. It opens the store as every command does: a replay appends nothing.
func (c *replayCommand) diffProgram(ctx context.Context, t *terminal, s *stores, l *ledger.Ledger) error {
	heads := make([]int64, s.info.Partitions) // what comes later, only one of the two might see
	for p := range heads {
		head, err := s.log.Head(ctx, p)
		if err != nil {
			return fmt.Errorf("reading the head of partition %d: %w", p, err)
		}
		heads[p] = head.Seq
	}
	limited := func(at eventstore.Position, recorded time.Time) (bool, error) {
		in, err := c.Until.within(c.Subject, at, recorded)
		return in && at.Partition < len(heads) && at.Seq <= heads[at.Partition], err
	}
	other, err := c.startProgram(ctx)
	if err != nil {
		return err
	}
	compared := programComparison{Subject: c.Subject, Program: c.Diff.program}
	err = compared.run(ctx, l, other, limited)
	err = errors.Join(err, other.stop())
	if err != nil {
		return err
	}
	if c.JSON {
		err = t.answer(compared)
	} else {
		err = compared.tell(t.out)
	}
	if err == nil && compared.Difference != nil {
		err = errNo
	}
	return err
}

// errDiffers ends a comparison at its first difference.
var errDiffers = errors.New("the replays differ")

func (p *programComparison) run(ctx context.Context, l *ledger.Ledger, other *program, limited func(eventstore.Position, time.Time) (bool, error)) error {
	untold := map[string]bool{}
	err := l.Timeline(ctx, p.Subject, func(m ledger.Moment) error {
		at, err := eventstore.ParsePosition(m.Position)
		if err != nil {
			return err
		}
		if in, err := limited(at, m.RecordedAt); err != nil || !in {
			return errors.Join(err, errUntil)
		}
		theirs, err := other.next(limited)
		if err != nil {
			return err
		}
		p.Lines++
		p.UpTo = m.Position
		if p.Difference, err = compareLines(&m, theirs, untold); err != nil {
			return err
		}
		if p.Difference != nil {
			p.Difference.Line = p.Lines
			return errDiffers
		}
		return nil
	})
	p.Untold = slices.Sorted(maps.Keys(untold))
	switch {
	case errors.Is(err, errDiffers):
		return nil
	case err != nil && !errors.Is(err, errUntil):
		return err
	}
	more, err := other.next(limited)
	if err == nil && more != nil {
		p.Difference = &programDifference{Line: p.Lines + 1, Position: more.text("position"), Type: more.text("type"), This: "no such line", Other: "a line"}
	}
	return err
}

// line is one of a replay's lines, by field.
type line map[string]any

func (l line) text(field string) string {
	s, _ := l[field].(string) // a field of another kind is shown as none
	return s
}

// compareLines finds the first field, by name, that differs; nil when none does. A field that only one of the programs tells goes to untold.
func compareLines(m *ledger.Moment, theirs line, untold map[string]bool) (*programDifference, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	ours, err := parseLine(json.NewDecoder(bytes.NewReader(text)))
	if err != nil {
		return nil, err
	}
	d := &programDifference{Position: m.Position, Type: m.Type}
	if theirs == nil {
		d.This, d.Other = "a line", "no such line"
		return d, nil
	}
	if theirs.text("position") != m.Position { // another event: its other fields differ because of that
		d.Field, d.This, d.Other = "position", m.Position, theirs.text("position")
		return d, nil
	}
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		if _, told := theirs[name]; !told {
			untold[name] = true
			continue
		}
		if d.Field, d.This, d.Other = firstDifference(name, ours[name], theirs[name]); d.Field != "" {
			return d, nil
		}
	}
	for name := range theirs {
		if _, told := ours[name]; !told {
			untold[name] = true
		}
	}
	return nil, nil
}

// firstDifference walks two values in step, and returns the path of the first place in which they differ, with what is there; "" for none.
func firstDifference(path string, ours, theirs any) (field, this, other string) {
	a, isObject := ours.(map[string]any)
	b, isToo := theirs.(map[string]any)
	if isObject && isToo {
		names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if field, this, other = firstDifference(path+"."+name, a[name], b[name]); field != "" {
				return field, this, other
			}
		}
		return "", "", ""
	}
	this, other = shownJSON(ours), shownJSON(theirs)
	if this == other {
		return "", "", ""
	}
	return path, cutShort(this), cutShort(other)
}

// shownJSON is a value as JSON. Numbers stay as they are written: see parseLine.
func shownJSON(v any) string {
	if v == nil {
		return "nothing"
	}
	text, err := json.Marshal(v)
	if err != nil { // what was decoded from JSON can be encoded
		return err.Error()
	}
	return string(text)
}

func cutShort(s string) string {
	if len(s) <= shownValue {
		return s
	}
	return fmt.Sprintf("%.*s... (%d bytes)", shownValue, s, len(s))
}

func parseLine(d *json.Decoder) (line, error) {
	d.UseNumber()
	var l line
	err := d.Decode(&l)
	return l, err
}

// tell prints the comparison for people.
func (p *programComparison) tell(out io.Writer) error {
	var b strings.Builder
	if d := p.Difference; d == nil {
		fmt.Fprintf(&b, "%s up to %s: %d lines, all as %s replays them\n", p.Subject, orNone(p.UpTo), p.Lines, p.Program)
	} else {
		fmt.Fprintf(&b, "%s: line %d, %s %s, differs", p.Subject, d.Line, d.Position, d.Type)
		if d.Field != "" {
			fmt.Fprintf(&b, " in %s", d.Field)
		}
		fmt.Fprintf(&b, "\n  this program: %s\n  %s: %s\n", d.This, p.Program, d.Other)
	}
	if len(p.Untold) > 0 {
		fmt.Fprintf(&b, "not compared, since only one of the two tells it: %s\n", strings.Join(p.Untold, ", "))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// program is another program that replays.
type program struct {
	path   string
	cmd    *exec.Cmd
	cancel context.CancelFunc
	lines  *json.Decoder
	inside bool // of the list of events
	ended  bool // behind it
	stderr *firstBytes
	ctx    context.Context //nolint:containedctx // of the process: it says why that ended
}

func (c *replayCommand) startProgram(ctx context.Context) (*program, error) {
	within, cancel := context.WithTimeout(ctx, programWithin)
	command := exec.CommandContext(within, c.Diff.program, "replay", "--json", "--", c.Subject) //nolint:gosec // the program that the user names
	command.Env = c.programEnv()
	p := &program{path: c.Diff.program, cmd: command, cancel: cancel, stderr: &firstBytes{}, ctx: within}
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = closeWithin
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.lines = json.NewDecoder(out)
		err = p.cmd.Start()
	}
	if err == nil { // what the program has started may hold its end of the pipe longer than it lives
		context.AfterFunc(within, func() { _ = out.Close() }) //nolint:errcheck // it is read, and Wait may have been faster
	}
	if err != nil {
		cancel()
		return nil, usagef("--diff %s: %w", c.Diff.text, err)
	}
	return p, nil
}

// programEnv is the environment of the other program: it has the store's flags, since a password in arguments would be shown to everybody on the machine,
// and none that would have it replay something else than the whole subject.
func (c *replayCommand) programEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"LEDGER_DB", "LEDGER_MASTER_KEY_FILE", "LEDGER_DIFF", "LEDGER_UNTIL"}, name)
	})
	env = append(env, "LEDGER_DB="+c.DB)
	if c.MasterKeyFile != "" {
		env = append(env, "LEDGER_MASTER_KEY_FILE="+c.MasterKeyFile)
	}
	return env
}

// next is its next line that is within limits; nil when there is none.
func (p *program) next(limited func(eventstore.Position, time.Time) (bool, error)) (line, error) {
	if p.ended {
		return nil, nil
	}
	for !p.inside {
		token, err := p.lines.Token()
		if err != nil {
			return nil, p.failed(err)
		}
		p.inside = token == json.Delim('[')
	}
	if !p.lines.More() {
		p.ended = true
		if token, err := p.lines.Token(); err != nil || token != json.Delim(']') {
			return nil, p.failed(errors.Join(errors.New("the list of events is cut short"), err))
		}
		return nil, nil
	}
	l, err := parseLine(p.lines)
	if err != nil {
		return nil, p.failed(err)
	}
	at, err := eventstore.ParsePosition(l.text("position"))
	if err != nil {
		return nil, p.failed(err)
	}
	recorded, err := time.Parse(time.RFC3339Nano, l.text("recorded_at"))
	if err != nil {
		return nil, p.failed(err)
	}
	in, err := limited(at, recorded)
	if err != nil || !in {
		p.ended = true
		return nil, err
	}
	return l, nil
}

// failed explains why its output cannot be read.
func (p *program) failed(err error) error {
	ended := context.Cause(p.ctx)
	p.ended = true
	p.cancel()
	if wait := p.cmd.Wait(); wait != nil && ended == nil {
		err = fmt.Errorf("%w: %w", wait, err)
	}
	if errors.Is(ended, context.DeadlineExceeded) {
		err = fmt.Errorf("it took longer than %v", programWithin)
	}
	if said := strings.TrimSpace(p.stderr.String()); said != "" {
		err = fmt.Errorf("it says: %s", said)
	}
	return usagef("--diff %s: it does not replay as this program does: %w", p.path, err) // it is not the "no" of a difference
}

// stop ends it: what it may still have to say is not compared.
func (p *program) stop() error {
	p.cancel()
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) && !errors.Is(err, context.Canceled) && p.cmd.ProcessState == nil {
		return fmt.Errorf("ending %s: %w", p.path, err)
	}
	return nil
}

// firstBytes keeps the beginning of what is written to it.
type firstBytes struct{ bytes.Buffer }

func (b *firstBytes) Write(p []byte) (int, error) {
	if room := programStderr - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
