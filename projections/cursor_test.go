package projections

import (
	"encoding/base64"
	"testing"

	"github.com/khata-ledger/khata/eventstore"
)

// A cursor is what a list has given, to the byte, or it is refused: no other text reaches a query.
func FuzzCursors(f *testing.F) {
	for _, s := range []string{"", "1.2", "-1.9223372036854775807", "1.2 ", "01.2", "1.dsp_abc", "1.a b", "1.\x00", "1.\xff", "9223372036854775808.1"} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(s)))
	}
	f.Add("%%%")
	f.Add("MS4y\n")
	f.Fuzz(func(t *testing.T, s string) {
		if at, seq, err := parseCursor(s); err == nil {
			again, n, err := parseCursor(cursor(&paymentRow{createdAt: at, seq: seq}))
			if err != nil || again != at || n != seq {
				t.Errorf("%q is read as %d and %d, and that as %d and %d, %v", s, at, seq, again, n, err)
			}
		}
		if at, id, err := parseDisputeCursor(s); err == nil {
			again, other, err := parseDisputeCursor(disputeCursor(&disputeRow{respondBy: at, id: id}))
			if err != nil || again != at || other != id || !eventstore.ValidText(id) {
				t.Errorf("%q is read as %d and %q, and that as %d and %q, %v", s, at, id, again, other, err)
			}
		}
	})
}
