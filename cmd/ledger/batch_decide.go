package main

import (
	"context"
	"net/url"
)

// pathOf is where something is asked of a batch.
func pathOf(id, doing string) string { return pathBatches + "/" + url.PathEscape(id) + "/" + doing }

// batchDecision is a decision about a batch.
type batchDecision struct {
	apiFlags
	ID   string `arg:"" help:"Batch."`
	JSON bool   `name:"json" help:"Print JSON for machines."`
}

// decide posts the decision, and prints the batch.
func (d *batchDecision) decide(ctx context.Context, t *terminal, doing string, body map[string]string) error {
	var b batchJSON
	if err := d.post(ctx, pathOf(d.ID, doing), body, &b); err != nil {
		return err
	}
	return b.print(t, d.JSON)
}

type batchApprove struct {
	batchDecision
	Note string `help:"Why, if you want to say; it stays in the log for ever." placeholder:"TEXT"`
}

// Run approves.
func (c *batchApprove) Run(ctx context.Context, t *terminal) error {
	body := map[string]string{}
	if c.Note != "" {
		if err := checkText("--note", c.Note, maxReason); err != nil {
			return err
		}
		body["note"] = c.Note
	}
	return c.decide(ctx, t, "approve", body)
}

type batchReject struct {
	batchDecision
	reasonFlag
}

// Run rejects.
func (c *batchReject) Run(ctx context.Context, t *terminal) error {
	reason, err := c.why()
	if err != nil {
		return err
	}
	return c.decide(ctx, t, "reject", map[string]string{"reason": reason})
}

type batchCancel struct {
	batchDecision
	reasonFlag
}

// Run cancels.
func (c *batchCancel) Run(ctx context.Context, t *terminal) error {
	reason, err := c.why()
	if err != nil {
		return err
	}
	return c.decide(ctx, t, "cancel", map[string]string{"reason": reason})
}

type batchRetry struct {
	apiFlags
	ending
	batchTerms
	ID     string `arg:"" help:"Batch."`
	Ref    string `help:"Reference of the new batch; without it, that of the old one with -retry behind it." placeholder:"REF"`
	DryRun bool   `help:"Check and price only; keep nothing."`
}

// Run submits the failed items again.
func (c *batchRetry) Run(ctx context.Context, t *terminal) error {
	if err := c.check(); err != nil {
		return err
	}
	body := c.options()
	if c.Ref != "" {
		body["batch_ref"] = c.Ref
	}
	path := pathOf(c.ID, "retry-failed")
	if c.DryRun {
		path += "?dry_run=true"
	}
	var b batchJSON
	if err := c.post(ctx, path, body, &b); err != nil {
		return t.listed(err)
	}
	if c.DryRun || !c.Watch {
		return b.print(t, c.JSON)
	}
	return c.end(ctx, t, &c.apiFlags, b.ID)
}
