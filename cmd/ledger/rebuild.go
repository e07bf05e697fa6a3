package main

import (
	"context"
	"errors"

	"github.com/khata-ledger/khata/projections"
)

// rebuildCommand is `ledger rebuild`.
type rebuildCommand struct {
	storeFlags
	Projections []string `arg:"" optional:"" name:"projection" help:"Which; all of them unless named."`
}

// rebuilt is its answer.
type rebuilt struct {
	Rebuilt []string `json:"rebuilt"`
	Records int64    `json:"records"` // in the log
}

// Run builds the views anew beside the serving ones, then switches.
func (c *rebuildCommand) Run(ctx context.Context, t *terminal) error {
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		if err := s.openViewsDatabase(ctx, true); err != nil {
			return err
		}
		views, err := s.viewsOn(ctx, t)
		if err != nil {
			return err
		}
		bar, finish := t.progress("rebuild")
		err = views.Rebuild(ctx, c.Projections, bar)
		if errors.Is(err, projections.ErrUnknownProjection) {
			err = usagef("%v", err)
		}
		if err = errors.Join(err, finish()); err != nil {
			return err
		}
		names := c.Projections
		if len(names) == 0 {
			names = projections.Names()
		}
		var records int64
		for p := range s.info.Partitions {
			head, err := s.log.Head(ctx, p)
			if err != nil {
				return err
			}
			records += head.Seq
		}
		return t.answer(rebuilt{names, records})
	})
}
