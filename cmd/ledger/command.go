package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/tail"
	"github.com/khata-ledger/khata/eventstore/transfer"
	"github.com/khata-ledger/khata/projections"
)

// This file holds what the commands share: they open the stores, work beside a server that may be running, print one
// JSON object, and close.

// Bounds of a command.
const (
	closeWithin  = 30 * time.Second // for what is being committed when a command ends
	reachWithin  = time.Minute      // for views that a command has to bring up to date itself
	tailInterval = 250 * time.Millisecond
)

// answer prints a command's answer, one JSON object on a line.
func (t *terminal) answer(v any) error {
	enc := json.NewEncoder(t.out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	return nil
}

// logger logs warnings and worse to stderr.
func (t *terminal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// progress draws a bar when stderr is a terminal. finish ends it.
func (t *terminal) progress(what string) (tell transfer.Progress, finish func() error) {
	if f, ok := t.err.(*os.File); !ok || !isatty.IsTerminal(f.Fd()) {
		return nil, func() error { return nil }
	}
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(t.err), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	var drawn error
	return func(done, total int64) {
		bar.ChangeMax64(total)
		drawn = errors.Join(drawn, bar.Set64(done))
	}, func() error { return errors.Join(drawn, bar.Finish()) }
}

// reading runs f with the stores open, for a command that seals nothing.
func reading(ctx context.Context, flags *storeFlags, f func(*stores) error) error {
	s, err := flags.openToRead(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

// deciding runs f with the stores and a ledger of this process open. A server may run on the same stores.
func deciding(ctx context.Context, flags *storeFlags, t *terminal, f func(*stores, *ledger.Ledger) error) error {
	s, l, closeAll, err := openLedger(ctx, flags, t)
	if err != nil {
		return err
	}
	return errors.Join(f(s, l), closeAll())
}

// openLedger opens the stores and a ledger on them, in this process.
func openLedger(ctx context.Context, flags *storeFlags, t *terminal) (*stores, *ledger.Ledger, func() error, error) {
	s, err := flags.open(ctx, true)
	if err != nil {
		return nil, nil, nil, err
	}
	l, err := ledger.Open(ctx, s.log, s.vault, s.tail(t), ledger.Options{Logger: t.logger()})
	if err != nil {
		return nil, nil, nil, errors.Join(err, s.Close())
	}
	closeAll := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
		defer cancel()
		return errors.Join(l.Close(ctx), s.Close())
	}
	return s, l, closeAll, nil
}

func (s *stores) tail(t *terminal) *tail.Tail {
	return tail.New(s.log, s.info.Partitions, tailInterval, t.logger())
}

// openViews makes the views readable. Where no server keeps them up to date, reads do that themselves.
func (s *stores) openViews(ctx context.Context, t *terminal) (*projections.Views, error) {
	err := s.openViewsDatabase(ctx, false)
	if errors.Is(err, fs.ErrNotExist) {
		err = s.openViewsDatabase(ctx, true)
	}
	if errors.Is(err, projections.ErrDamaged) {
		err = fmt.Errorf("%w; start the server again, or run `ledger rebuild` while none runs", err)
	}
	if err != nil {
		return nil, err
	}
	return s.viewsOn(ctx, t)
}

// viewsOn gives the views in the database that is open.
func (s *stores) viewsOn(ctx context.Context, t *terminal) (*projections.Views, error) {
	return projections.Open(ctx, s.views, projections.Dialect(s.dialect), s.log, s.tail(t),
		projections.Options{ReachWithin: reachWithin, Logger: t.logger()})
}

// actorFlag says who acts.
type actorFlag struct {
	Actor string `help:"Who does this; the name stays in the log for ever. Without it, cli: and the name of the user." placeholder:"NAME"`
}

func (a actorFlag) who() (string, error) {
	if a.Actor == "" {
		return osUser(), nil
	}
	return a.Actor, checkText("--actor", a.Actor, maxActor)
}

// reasonFlag says why.
type reasonFlag struct {
	Reason string `required:"" help:"Why; it stays in the log for ever." placeholder:"TEXT"`
}

func (r reasonFlag) why() (string, error) {
	return r.Reason, checkText("--reason", r.Reason, maxReason)
}

// Lengths of texts, in bytes.
const (
	maxActor  = 90 // two of them are kept with a resolution
	maxReason = 500
)

// osUser is who runs the command, as an actor.
func osUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return "cli:" + u.Username
	}
	return "cli:uid-" + strconv.Itoa(os.Getuid())
}

// checkText holds a text that people write against what the log can keep.
func checkText(name, s string, limit int) error {
	switch {
	case strings.TrimSpace(s) == "":
		return usagef("%s must not be empty", name)
	case len(s) > limit:
		return usagef("%s has %d bytes, the most is %d", name, len(s), limit)
	case !eventstore.ValidText(s) || strings.ContainsAny(s, "\r\n"):
		return usagef("%s must be one line of text", name)
	}
	return nil
}

// origin is what is kept with the records that a command causes. The arguments are sealed.
func origin(actor, command string, arguments any) (eventstore.Origin, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // it is a hint, and no reason to refuse the command
	}
	body, err := json.Marshal(struct {
		Command   string `json:"command"`
		Arguments any    `json:"arguments"`
		User      string `json:"user"`
		Host      string `json:"host"`
	}{command, arguments, osUser(), host})
	if err != nil {
		return eventstore.Origin{}, fmt.Errorf("the arguments of %s: %w", command, err)
	}
	return eventstore.Origin{
		Actor: actor, Evidence: []eventstore.Evidence{{MediaType: "application/vnd.khata-ledger.command+json", Body: body}},
	}, nil
}

// newID makes an id: the prefix and 16 random characters of a-z and 2-7.
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()[:16]) }

// present is the time that commands carry: what is decided never asks a clock.
func present() time.Time { return eventstore.Micros(time.Now()) }

// writeOut writes to a file, as writeWhole does, or to stdout without a name.
func (t *terminal) writeOut(path string, f func(io.Writer) error) error {
	if path == "" {
		return f(t.out)
	}
	return writeWhole(path, f)
}

// writeWhole writes a file that appears whole and durable, or not at all, and is its owner's only.
func writeWhole(path string, f func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	err = f(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("making the name of %s durable: %w", path, err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readBounded reads a file that the command line names.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if n > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return b.Bytes(), nil
}
