package main

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/khata-ledger/khata/adapters/batchfile"
)

// batchCommand is for people who pay with files. It speaks to a server over its API, with a merchant's key, from anywhere.
type batchCommand struct {
	Submit   batchSubmit   `cmd:"" help:"Submit a file of payouts: .csv, .json or .ndjson."`
	Status   batchStatus   `cmd:"" help:"Show a batch; with --watch until it has ended."`
	Cancel   batchCancel   `cmd:"" help:"Stop a batch: what is not paid yet never will be."`
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

type batchSubmit struct {
	apiFlags
	ending
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
		return err
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
		if c.Ref != "" {
			return "", nil, usagef("--ref: a JSON file says its batch_ref itself")
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

// Gaps between two looks at a batch.
const (
	firstLook = 200 * time.Millisecond
	lastLook  = 3 * time.Second
)

// end waits for the end of a batch, prints a summary, and writes what was not paid.
func (e ending) end(ctx context.Context, t *terminal, api *apiFlags, id string) error {
	tell, finish := t.progress("paying")
	var b batchJSON
	for gap := firstLook; ; gap = min(2*gap, lastLook) {
		seen, err := api.batch(ctx, id)
		var refused *apiRefusal
		switch {
		case errors.As(err, &refused):
			return errors.Join(err, finish())
		case err != nil && ctx.Err() == nil: // the server may be starting again
			t.logger().Warn("the server cannot be asked; trying on", "error", err)
		case err == nil:
			if b = seen; tell != nil {
				tell(b.Total-b.Counts["pending"], b.Total)
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

// unpaid are the statuses of items whose beneficiary has no money.
func unpaid(status string) bool {
	return slices.Contains([]string{"failed", "refunded", "rejected", "cancelled"}, status)
}

// failures writes the results of the items that were not paid.
func (a *apiFlags) failures(ctx context.Context, id string, w io.Writer) error {
	resp, err := a.send(ctx, http.MethodGet, pathBatches+"/"+url.PathEscape(id)+"/results?format=csv", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read is checked
	if resp.StatusCode != http.StatusOK {
		return apiError(resp)
	}
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

type batchCancel struct {
	apiFlags
	reasonFlag
	ID string `arg:"" help:"Batch."`
}

// Run cancels.
func (c *batchCancel) Run(ctx context.Context, t *terminal) error {
	reason, err := c.why()
	if err != nil {
		return err
	}
	var b batchJSON
	if err := c.post(ctx, pathBatches+"/"+url.PathEscape(c.ID)+"/cancel", map[string]string{"reason": reason}, &b); err != nil {
		return err
	}
	return b.print(t, true)
}

type batchTemplate struct{}

// Run prints the template.
func (batchTemplate) Run(t *terminal) error { return batchfile.WriteTemplate(t.out) }

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
}

// ended tells whether every item has its outcome.
func (b *batchJSON) ended() bool {
	return b.Status == "completed" || b.Status == "rejected" || b.Status == "cancelled" && b.Counts["pending"] == 0
}

func (a *apiFlags) batch(ctx context.Context, id string) (b batchJSON, err error) {
	return b, a.call(ctx, http.MethodGet, pathBatches+"/"+url.PathEscape(id), "", nil, &b)
}

// print shows a batch as a table, or as JSON.
func (b *batchJSON) print(t *terminal, asJSON bool) error {
	if asJSON {
		return t.answer(b)
	}
	if b.ID != "" {
		if _, err := fmt.Fprintf(t.out, "%s  %s  %s\n", b.ID, b.Ref, b.Status); err != nil {
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
