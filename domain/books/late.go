package books

import (
	"sort"
	"time"
)

// Closings are the closes that stand, in their order. Each ends behind the one before, and no mark of it is before one of those.
type Closings []Closing

// Posted is the date on which a record counts by value: its value date, unless it is late. What was recorded behind the marks of closes counts
// no earlier than at the end of the last one of those. The close is nil for a record that is not late.
func (cs Closings) Posted(value time.Time, at Mark) (time.Time, *Closing) {
	n := sort.Search(len(cs), func(i int) bool { return cs[i].Marks[at.Partition].Seq >= at.Seq })
	if n == 0 || !value.Before(cs[n-1].To) {
		return value, nil
	}
	return cs[n-1].To, &cs[n-1]
}

// Freezing is the close that says which records count before a moment, by value: of those with a value date before it, the ones up to its
// marks. Nil when no close that stands ends at the moment or behind it: then all of them count.
func (cs Closings) Freezing(before time.Time) *Closing {
	n := sort.Search(len(cs), func(i int) bool { return !cs[i].To.Before(before) })
	if n == len(cs) {
		return nil
	}
	return &cs[n]
}
