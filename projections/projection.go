package projections

import (
	"context"
	"fmt"
	"slices"
)

// projection derives tables from facts.
//
// version changes whenever the same log gives other rows: then the projection is built again. shape changes whenever its
// tables do: then the old generation can neither be read nor written by this program, and does not serve meanwhile.
type projection interface {
	name() string
	version() int64
	shape() int64
	schemas() []*schema
	// apply writes what a batch of one partition changes, in few statements. What it keeps in known, it need not load again.
	apply(ctx context.Context, w *writer, known *cache, generation int64, facts []fact) error
}

// completed is a projection of which apply leaves out, while a lane is being filled, what complete derives from the rest at once.
type completed interface {
	complete(ctx context.Context, w *writer, generation int64) error
}

// all are the projections. The order is that in which their rows are written.
func all() []projection {
	return []projection{balances{}, payments{}, journal{}, suspense{}, disputes{}, merchants{}, batches{}, periods{}, proofs{}}
}

// named picks projections; without names, all.
func named(names []string) ([]projection, error) {
	if len(names) == 0 {
		return all(), nil
	}
	var picked []projection
	for _, name := range names {
		i := slices.IndexFunc(all(), func(p projection) bool { return p.name() == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: %q (there are %v)", ErrUnknownProjection, name, Names())
		}
		picked = append(picked, all()[i])
	}
	return picked, nil
}
