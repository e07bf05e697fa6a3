package projections

// Positions returns the position up to which the serving views contain each partition, and a channel that is closed when this
// process knows of more. Zeroes while nothing serves.
func (v *Views) Positions() (seqs []int64, changed <-chan struct{}) {
	at, changed := v.standing()
	seqs = make([]int64, v.info.Partitions)
	if at.ready() {
		for p := range at.marks {
			seqs[p] = at.marks[p].seq
		}
	}
	return seqs, changed
}
