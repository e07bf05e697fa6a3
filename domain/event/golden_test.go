package event_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/domain/wallet"
)

// streams are the kinds of streams, each with the package that its events are of.
var streams = map[string]string{
	"wallet:mer_a:INR": "wallet", "merchant:mer_a": "merchant", "operator:opr_a": "merchant", "batch:mer_a:bat_a": "batch", "books:general": "books",
	"source:bank": "reconcile",
}

// maxSchema is beyond every version that there may be.
const maxSchema = 20

// written are the types of events that a package's source has: what its methods Type return.
func written(t *testing.T, folder string) (types []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, path), nil, 0)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Name.Name != "Type" || fn.Recv == nil {
				continue
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					name, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Error(err)
					}
					if strings.Contains(name, ".") { // else it is the type of something else
						types = append(types, name)
					}
				}
				return true
			})
		}
		return nil
	})
	if err != nil || len(types) == 0 {
		t.Fatalf("%s: %q, %v", folder, types, err)
	}
	return types
}

// TestEveryStoredVersionHasAGolden: no event can be stored, in any version that is read, of which there is no golden file; and no golden
// file is of an event that cannot be read any more. A new event, or a new version of one, fails here until its file is there.
func TestEveryStoredVersionHasAGolden(t *testing.T) {
	kinds := map[string]string{} // package -> a stream of its events
	for stream, folder := range streams {
		kinds[folder] = max(kinds[folder], stream)
	}
	for folder, stream := range kinds {
		golden := map[string][]int{} // type -> versions
		files, err := filepath.Glob(filepath.Join("..", folder, "testdata", "events", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			parts := strings.Split(filepath.Base(file), ".")
			schema, err := strconv.Atoi(strings.TrimPrefix(parts[2], "v"))
			if err != nil {
				t.Fatal(file, err)
			}
			typ := parts[0] + "." + parts[1]
			golden[typ] = append(golden[typ], schema)
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := event.Decode(stream, typ, schema, data); err != nil {
				t.Errorf("%s cannot be read: %v", file, err)
			}
		}
		types := written(t, filepath.Join("..", folder))
		for _, typ := range types {
			versions := 0
			for schema := 1; schema <= maxSchema; schema++ {
				// A version that is not known is refused before its body is looked at; one that is known has no body of this kind.
				if _, err := event.Decode(stream, typ, schema, []byte("[")); err == nil || !unknown(err) {
					versions++
					if !slices.Contains(golden[typ], schema) {
						t.Errorf("%s/testdata/events has no %s.v%d.json", folder, typ, schema)
					}
				}
			}
			if versions == 0 {
				t.Errorf("no version of %s can be read", typ)
			}
		}
		for typ := range golden {
			if !slices.Contains(types, typ) {
				t.Errorf("there is a golden of %s, which nothing in %s is called", typ, folder)
			}
		}
		t.Logf("%s: %d types, %d goldens", folder, len(types), len(files))
	}
}

// unknown tells whether an event was refused for its type or version.
func unknown(err error) bool {
	return errors.Is(err, wallet.ErrUnknownType) || errors.Is(err, merchant.ErrUnknownType) || errors.Is(err, batch.ErrUnknownType) ||
		errors.Is(err, books.ErrUnknownType) || errors.Is(err, reconcile.ErrUnknownType)
}
