package main

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/khata-ledger/khata/adapters/batchfile"
)

// batchCommand is for people who pay with files. It speaks to a server over its API, with a merchant's key, from anywhere.
type batchCommand struct {
	Submit   batchSubmit   `cmd:"" help:"Submit a file of payouts: .csv, .json or .ndjson."`
	Status   batchStatus   `cmd:"" help:"Show a batch; with --watch until it has ended."`
	Approve  batchApprove  `cmd:"" help:"Approve a batch that another key has submitted."`
	Reject   batchReject   `cmd:"" help:"Reject a batch that waits for approval: nothing of it is paid."`
	Cancel   batchCancel   `cmd:"" help:"Stop a batch: what is not paid yet never will be."`
	Retry    batchRetry    `cmd:"" name:"retry-failed" help:"Submit those items of a batch again that definitely failed."`
	Results  batchSheet    `cmd:"" help:"Write all items of a batch with what became of them, as CSV or XLSX."`
	Template batchTemplate `cmd:"" help:"Print a CSV to fill in."`
}

// ending is what is done when a batch is watched to its end.
type ending struct {
	Watch    bool   `help:"Wait for the end, with a progress bar, then print a summary."`
	Failures string `help:"With --watch: write the items that were not paid to this CSV." placeholder:"FILE"`
	JSON     bool   `name:"json" help:"Print JSON for machines."`
}

func (e ending) check() error {
	if e.Failures != "" && !e.Watch {
		return usagef("--failures needs --watch")
	}
	return nil
}

// batchTerms are what a batch is submitted under.
type batchTerms struct {
	Mode       string       `enum:",partial,atomic" default:"" help:"partial: each item is paid or refused by itself (that is usual). atomic: all are, or none is." placeholder:"MODE"`
	Approval   approvalFlag `enum:",none,required" default:"" help:"Another key must approve it; --approval=none is what is usual. Your rule may ask for more in any case."`
	Queue      bool         `env:"-" help:"What the balance does not cover waits, instead of being refused."`
	ScheduleAt string       `help:"When it begins, such as 2026-04-01T09:30:00+05:30; without it, at once." placeholder:"TIME"`
}

// approvalFlag is the value of --approval. The flag alone stands for required; it takes a value, too.
type approvalFlag string

// Decode reads the value, if there is one.
func (a *approvalFlag) Decode(c *kong.DecodeContext) error {
	next := c.Scan.Peek()
	if next.Type == kong.FlagValueToken || next.Value == batchfile.ApprovalRequired || next.Value == batchfile.ApprovalNone {
		return c.Scan.PopValueInto("approval", (*string)(a))
	}
	*a = batchfile.ApprovalRequired
	return nil
}

// IsBool says that the flag can stand alone.
func (*approvalFlag) IsBool() bool { return true }

// options are those that were given, by the API's names.
func (b batchTerms) options() map[string]string {
	all := map[string]string{"mode": b.Mode, "approval": string(b.Approval), "schedule_at": b.ScheduleAt}
	if b.Queue {
		all["on_insufficient_balance"] = batchfile.BalanceQueue
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

type batchSubmit struct {
	apiFlags
	ending
	batchTerms
	File   string `arg:"" type:"existingfile" help:"File of payouts."`
	Ref    string `help:"The batch's reference: the same one with the same content is never paid twice. Without it, made of the file's name and content; a JSON file holds its own." placeholder:"REF"`
	DryRun bool   `help:"Check and price only; keep nothing."`
}

// Run submits.
func (c *batchSubmit) Run(ctx context.Context, t *terminal) error {
	if err := c.check(); err != nil {
		return err
	}
	mediaType, query, err := c.form()
	if err != nil {
		return err
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	var b batchJSON
	if err := c.call(ctx, http.MethodPost, pathBatches+"?"+query.Encode(), mediaType, f, &b); err != nil {
		return t.listed(err)
	}
	if c.DryRun || !c.Watch {
		return b.print(t, c.JSON)
	}
	return c.end(ctx, t, &c.apiFlags, b.ID)
}

// form is the content type and the options of the file.
func (c *batchSubmit) form() (mediaType string, query url.Values, err error) {
	query = url.Values{}
	if c.DryRun {
		query.Set("dry_run", "true")
	}
	switch ext := strings.ToLower(filepath.Ext(c.File)); ext {
	case ".json":
		if c.Ref != "" || len(c.options()) > 0 {
			return "", nil, usagef("--ref, --mode, --approval, --queue, --schedule-at: a JSON file says its batch_ref and its options itself")
		}
		return "application/json", query, nil
	case ".csv":
		mediaType = "text/csv"
	case ".ndjson", ".jsonl":
		mediaType = "application/x-ndjson"
	default:
		return "", nil, usagef("%s: it must be a .csv, .json or .ndjson file", c.File)
	}
	ref := c.Ref
	if ref == "" {
		if ref, err = refOf(c.File); err != nil {
			return "", nil, err
		}
	}
	query.Set("batch_ref", ref)
	for name, value := range c.options() {
		query.Set(name, value)
	}
	return mediaType, query, nil
}

// refOf makes a batch_ref that another content never has.
func refOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", file, err)
	}
	name := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '/' {
			return '-'
		}
		return r
	}, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	return name[:min(len(name), 60)] + "-" + hex.EncodeToString(h.Sum(nil))[:16], nil
}

type batchStatus struct {
	apiFlags
	ending
	ID string `arg:"" help:"Batch."`
}

// Run shows.
func (c *batchStatus) Run(ctx context.Context, t *terminal) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Watch {
		return c.end(ctx, t, &c.apiFlags, c.ID)
	}
	b, err := c.batch(ctx, c.ID)
	if err != nil {
		return err
	}
	return b.print(t, c.JSON)
}

// unpaid are the statuses of items whose beneficiary has no money.
func unpaid(status string) bool {
	return slices.Contains([]string{"failed", "refunded", "rejected", "cancelled"}, status)
}

// failures writes the results of the items that were not paid.
func (a *apiFlags) failures(ctx context.Context, id string, w io.Writer) error {
	resp, err := a.results(ctx, id, "csv")
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read is checked
	in, out := csv.NewReader(resp.Body), csv.NewWriter(w)
	in.ReuseRecord = true
	status := -1
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the results of %s: %w", id, err)
		}
		switch {
		case status < 0:
			if status = slices.Index(row, "status"); status < 0 {
				return fmt.Errorf("the results of %s have no status", id)
			}
		case !unpaid(row[status]):
			continue
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

type batchSheet struct {
	apiFlags
	ID     string `arg:"" help:"Batch."`
	Format string `enum:"csv,xlsx" default:"csv" help:"csv or xlsx." placeholder:"FORMAT"`
	Output string `short:"o" help:"File to write; it appears whole or not at all. Without it, stdout." placeholder:"FILE"`
}

// Run writes the results. An answer that breaks off is an error: what is there is not all.
func (c *batchSheet) Run(ctx context.Context, t *terminal) error {
	resp, err := c.results(ctx, c.ID, c.Format)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read is checked
	return t.writeOut(c.Output, func(w io.Writer) error {
		if _, err := io.Copy(w, resp.Body); err != nil {
			return fmt.Errorf("reading the results of %s: %w", c.ID, err)
		}
		return nil
	})
}

// results asks for the results of a batch; the body is the caller's to read and close.
func (a *apiFlags) results(ctx context.Context, id, format string) (*http.Response, error) {
	resp, err := a.send(ctx, http.MethodGet, pathOf(id, "results")+"?format="+format, "", nil)
	if err != nil || resp.StatusCode == http.StatusOK {
		return resp, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	return nil, apiError(resp)
}

type batchTemplate struct{}

// Run prints the template.
func (batchTemplate) Run(t *terminal) error { return batchfile.WriteTemplate(t.out) }
