package ledger_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/domain/stored/golden"
)

// TestNothingSealedIsOverlooked: of every event that was ever stored with something sealed in it, VerifySealed opens it.
func TestNothingSealedIsOverlooked(t *testing.T) {
	t.Parallel()
	sealed := 0
	for stream, folder := range map[string]string{"wallet:x:INR": "wallet", "merchant:x": "merchant", "batch:x:y": "batch", "books:x": "books", "source:x": "reconcile"} {
		for _, g := range golden.Events(t, filepath.Join("..", "..", "domain", folder)) {
			fact, err := event.Decode(stream, g.Type, g.Schema, g.Data)
			if err != nil {
				t.Errorf("%s: %v", g.Name, err)
				continue
			}
			has := bytes.Contains(g.Data, []byte(`"sealed":`))
			if found := ledger.SealedIn(fact); has != (found > 0) {
				t.Errorf("%s: %d sealed texts are found", g.Name, found)
			}
			if has {
				sealed++
			}
		}
	}
	if sealed < 4 {
		t.Errorf("only %d events have something sealed", sealed)
	}
}
