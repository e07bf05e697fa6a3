package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// publishFlags let a server sign checkpoints at an interval, and bring them out of its own hands.
type publishFlags struct {
	CheckpointEvery time.Duration `default:"1h" help:"How often a checkpoint of the log is signed and published."`
	CheckpointTo    string        `help:"Where checkpoints go: a file, to which they are appended, or an https URL, to which they are posted. Without it, none are made." placeholder:"FILE|URL"`
}

// Bounds of publishing.
const (
	publishWithin   = 30 * time.Second // one attempt
	publishFirst    = 5 * time.Second  // before the second attempt; doubled for each further one
	publishLast     = 5 * time.Minute
	minPublishEvery = time.Second
)

func (f *publishFlags) check() error {
	if f.CheckpointEvery < minPublishEvery {
		return fmt.Errorf("--checkpoint-every must be at least %s", minPublishEvery)
	}
	if scheme, _, found := strings.Cut(f.CheckpointTo, "://"); found {
		u, err := url.Parse(f.CheckpointTo)
		if err != nil || scheme != "https" || u.Host == "" {
			return errors.New("--checkpoint-to must be a file or an https URL")
		}
	}
	return nil
}

// outlet is where checkpoints go.
func (f *publishFlags) outlet(client *http.Client) (deliver func(context.Context, []byte) error, name string) {
	if u, err := url.Parse(f.CheckpointTo); err == nil && u.Scheme == "https" {
		return func(ctx context.Context, signed []byte) error {
			return postCheckpoint(ctx, client, f.CheckpointTo, signed)
		}, u.Redacted()
	}
	return func(_ context.Context, signed []byte) error { return appendCheckpoint(f.CheckpointTo, signed) }, f.CheckpointTo
}

// publisher makes a checkpoint at an interval and delivers it. Of those that could not be delivered it holds the newest alone: that proves
// all that the others would.
type publisher struct {
	make    func(context.Context) ([]byte, error)
	deliver func(context.Context, []byte) error
	every   time.Duration
	to      string // for the log
	logger  *slog.Logger
}

// publisher is the server's; nil when checkpoints go nowhere.
func (s *server) publisher() *publisher {
	if s.cfg.CheckpointTo == "" {
		return nil
	}
	client := &http.Client{
		Timeout:       publishWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	p := &prover{stores: s.stores, views: s.views}
	deliver, name := s.cfg.outlet(client)
	return &publisher{make: p.checkpoint, deliver: deliver, every: s.cfg.CheckpointEvery, to: name, logger: s.logger}
}

// Run publishes until ctx ends. What fails is logged and tried again; nothing waits for it.
func (p *publisher) Run(ctx context.Context) error {
	for {
		due := time.Now().Add(p.every)
		wait := publishFirst
		var signed []byte
		for time.Now().Before(due) {
			err := p.attempt(ctx, &signed)
			if err == nil {
				p.logger.Info("a checkpoint was published", "to", p.to)
				break
			}
			if ctx.Err() != nil {
				break
			}
			p.logger.Error("a checkpoint was not published; trying again", "to", p.to, "error", err)
			if !slept(ctx, min(wait, time.Until(due))) {
				break
			}
			wait = min(2*wait, publishLast)
		}
		if !slept(ctx, time.Until(due)) {
			return nil
		}
	}
}

// attempt makes a checkpoint unless there is one that waits, and delivers it.
func (p *publisher) attempt(ctx context.Context, signed *[]byte) error {
	ctx, cancel := context.WithTimeout(ctx, publishWithin)
	defer cancel()
	if *signed == nil {
		made, err := p.make(ctx)
		if err != nil {
			return err
		}
		*signed = made
	}
	return p.deliver(ctx, *signed)
}

// slept waits; false when ctx ended first.
func slept(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func postCheckpoint(ctx context.Context, client *http.Client, to string, signed []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(signed))
	if err != nil {
		return errors.New("posting a checkpoint: the URL cannot be used")
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := client.Do(request)
	if err != nil {
		var detail *url.Error // it has the whole URL, perhaps with a password
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return fmt.Errorf("posting a checkpoint: %w", err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	if response.StatusCode/100 != 2 {
		return errors.Join(fmt.Errorf("posting a checkpoint: the answer is %s", response.Status), response.Body.Close())
	}
	return errors.Join(err, response.Body.Close())
}

// appendCheckpoint appends a checkpoint, durably and whole: what could be written in part only is taken back. A line that a crash has cut
// short is ended first, so that nothing runs into it.
func appendCheckpoint(path string, signed []byte) (err error) {
	_, failed := os.Stat(path)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size > 0 {
		last := make([]byte, 1)
		if _, err := file.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			signed = append([]byte("\n"), signed...)
		}
	}
	if _, err := file.Write(signed); err != nil {
		return errors.Join(err, file.Truncate(size))
	}
	if err := file.Sync(); err != nil || failed == nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("making the name of %s durable: %w", path, err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}
