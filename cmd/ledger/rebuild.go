package main

import (
	"context"
	"errors"
	"slices"

	"github.com/khata-ledger/khata/projections"
)

// rebuildCommand is `ledger rebuild`.
type rebuildCommand struct {
	storeFlags
	Projections []string `arg:"" optional:"" name:"projection" help:"Which; all projections unless named. The name index stands for what finds the log's records by key, stream and subject."`
}

// rebuilt is its answer.
type rebuilt struct {
	Rebuilt []string `json:"rebuilt"`
	Records int64    `json:"records"` // in the log
}

// theIndex names what is no projection, and can be made anew from the log all the same.
const theIndex = "index"

// indexed is a log whose index can be made anew.
type indexed interface {
	RenewIndex(ctx context.Context) error
}

// Run builds the views anew beside the serving ones, then switches.
func (c *rebuildCommand) Run(ctx context.Context, t *terminal) error {
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		if slices.Contains(c.Projections, theIndex) {
			if len(c.Projections) > 1 {
				return usagef("%s is rebuilt by itself", theIndex)
			}
			if err := s.log.(indexed).RenewIndex(ctx); err != nil {
				return err
			}
			return answerRebuilt(ctx, s, t, c.Projections)
		}
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
		return answerRebuilt(ctx, s, t, names)
	})
}

func answerRebuilt(ctx context.Context, s *stores, t *terminal, names []string) error {
	var records int64
	for p := range s.info.Partitions {
		head, err := s.log.Head(ctx, p)
		if err != nil {
			return err
		}
		records += head.Seq
	}
	return t.answer(rebuilt{names, records})
}
