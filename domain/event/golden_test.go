package event_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/domain/stored"
	"github.com/khata-ledger/khata/domain/stored/golden"
)

// streams are the kinds of streams, each with the package that its events are of.
var streams = map[string]string{
	"wallet:mer_a:INR": "wallet", "merchant:mer_a": "merchant", "operator:opr_a": "merchant", "batch:mer_a:bat_a": "batch", "books:general": "books",
	"source:bank": "reconcile",
}

// maxSchema is beyond every version that there may be.
const maxSchema = 20

// TestEveryStoredVersionHasAGolden: no event can be stored, in any version that is read, of which there is no golden file; and no golden
// file is of an event that cannot be read any more. A new event, or a new version of one, fails here until its file is there.
func TestEveryStoredVersionHasAGolden(t *testing.T) {
	kinds := map[string]string{} // package -> a stream of its events
	for stream, folder := range streams {
		kinds[folder] = max(kinds[folder], stream)
	}
	for folder, stream := range kinds {
		kept, goldens := map[string][]int{}, golden.Events(t, filepath.Join("..", folder)) // type -> versions
		for _, g := range goldens {
			kept[g.Type] = append(kept[g.Type], g.Schema)
			if _, err := event.Decode(stream, g.Type, g.Schema, g.Data); err != nil {
				t.Errorf("%s of %s cannot be read: %v", g.Name, folder, err)
			}
		}
		types := golden.Types(t, filepath.Join("..", folder))
		for _, typ := range types {
			versions := 0
			for schema := 1; schema <= maxSchema; schema++ {
				// A version that is not known is refused before its body is looked at; one that is known has no body of this kind.
				if _, err := event.Decode(stream, typ, schema, []byte("[")); err == nil || !errors.Is(err, stored.ErrUnknownType) {
					versions++
					if !slices.Contains(kept[typ], schema) {
						t.Errorf("%s/testdata/events has no %s.v%d.json", folder, typ, schema)
					}
				}
			}
			if versions == 0 {
				t.Errorf("no version of %s can be read", typ)
			}
		}
		for typ := range kept {
			if !slices.Contains(types, typ) {
				t.Errorf("there is a golden of %s, which nothing in %s is called", typ, folder)
			}
		}
		t.Logf("%s: %d types, %d goldens", folder, len(types), len(goldens))
	}
}
