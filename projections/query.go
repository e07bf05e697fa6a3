package projections

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// tries bounds how often a read looks for the generation that serves, when switches overtake it.
const tries = 5

// generationMark stands, in a clause, for the generation of the projection that serves.
const generationMark = "{generation}"

// query reads rows of a table. clause is what follows FROM and the table's name. ErrBehind when the projection does not serve.
func query[R any](ctx context.Context, v *Views, p projection, t *table[R], clause string, args ...any) ([]R, error) {
	var found []R
	err := v.serving(ctx, p, func(generation int64) error {
		rows, err := v.db.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s %s", t.list(), t.in(generation), of(clause, generation)), args...)
		if err != nil {
			return explain(err)
		}
		found, err = t.collect(rows)
		return err
	})
	return found, err
}

func of(clause string, generation int64) string {
	return strings.ReplaceAll(clause, generationMark, strconv.FormatInt(generation, 10))
}

// number reads one whole number. clause is what follows FROM.
func number(ctx context.Context, v *Views, p projection, what, clause string, args ...any) (int64, error) {
	var n int64
	err := v.serving(ctx, p, func(generation int64) error {
		row := v.db.QueryRowContext(ctx, fmt.Sprintf("SELECT %s FROM %s", what, of(clause, generation)), args...)
		return explain(row.Scan(&n))
	})
	return n, err
}

// serving calls read with the generation of a projection that serves; again, when that was dropped in between.
func (v *Views) serving(ctx context.Context, p projection, read func(generation int64) error) error {
	return v.servingAll(ctx, []projection{p}, func(generations []int64) error { return read(generations[0]) })
}

// servingAll is serving for a read of several projections.
func (v *Views) servingAll(ctx context.Context, ps []projection, read func(generations []int64) error) error {
	for try := 1; ; try++ {
		at, _ := v.standing()
		generations, missing := at.generations(ps)
		if missing != nil {
			at, err := v.refresh(ctx)
			if err != nil {
				return err
			}
			if generations, missing = at.generations(ps); missing != nil {
				return fmt.Errorf("%w: %s is being built", ErrBehind, missing.name())
			}
		}
		err := read(generations)
		if !errors.Is(err, errNoTable) || try == tries {
			if err != nil {
				return fmt.Errorf("read the view %s: %w", ps[0].name(), err)
			}
			return nil
		}
		if _, err := v.refresh(ctx); err != nil {
			return err
		}
	}
}
