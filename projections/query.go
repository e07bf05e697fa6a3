package projections

import (
	"context"
	"errors"
	"fmt"
)

// tries bounds how often a read looks for the generation that serves, when switches overtake it.
const tries = 5

// query reads rows of a table. clause is what follows FROM and the table's name. ErrBehind when the projection does not serve.
func query[R any](ctx context.Context, v *Views, p projection, t *table[R], clause string, args ...any) ([]R, error) {
	var found []R
	err := v.serving(ctx, p, func(generation int64) error {
		rows, err := v.db.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s %s", t.list(), t.in(generation), clause), args...)
		if err != nil {
			return explain(err)
		}
		found, err = t.collect(rows)
		return err
	})
	return found, err
}

// number reads one whole number from a table.
func number[R any](ctx context.Context, v *Views, p projection, t *table[R], what, clause string, args ...any) (int64, error) {
	var n int64
	err := v.serving(ctx, p, func(generation int64) error {
		row := v.db.QueryRowContext(ctx, fmt.Sprintf("SELECT %s FROM %s %s", what, t.in(generation), clause), args...)
		return explain(row.Scan(&n))
	})
	return n, err
}

// serving calls read with the generation of a projection that serves; again, when that was dropped in between.
func (v *Views) serving(ctx context.Context, p projection, read func(generation int64) error) error {
	for try := 1; ; try++ {
		at, _ := v.standing()
		generation, usable := at.usable(p)
		if !usable {
			at, err := v.refresh(ctx)
			if err != nil {
				return err
			}
			if generation, usable = at.usable(p); !usable {
				return fmt.Errorf("%w: %s is being built", ErrBehind, p.name())
			}
		}
		err := read(generation)
		if !errors.Is(err, errNoTable) || try == tries {
			if err != nil {
				return fmt.Errorf("read the view %s: %w", p.name(), err)
			}
			return nil
		}
		if _, err := v.refresh(ctx); err != nil {
			return err
		}
	}
}
