package main

import "testing"

// TestTamperedNowhere: what is put in at position 0, where no record can be, is named like anything else, hides nothing behind it, and keeps verify from nothing.
func TestTamperedNowhere(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		m := used(t, w)
		d := unguarded(w)
		d.change(d.evidence, "INSERT INTO evidence SELECT partition, 0, n, media_type, body FROM evidence WHERE partition = {p} AND seq = {n} AND n = 0")
		d.wantNamed("a message of no record", 0)
		d.change(d.evidence, "DELETE FROM evidence WHERE seq = 0")
		d.keepState(m)
		d.change(0, "UPDATE snapshots SET seq = 0")
		w.verify() // nobody believes it
		d.change(d.evidence, "INSERT INTO evidence SELECT partition, seq, n + 50, media_type, body FROM evidence WHERE partition = {p} AND seq = {n} AND n = 0")
		d.wantNamed("a message of no record", d.evidence)
	})
}
