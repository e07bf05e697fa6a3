// Package golden is for tests: the events that some version has written, which every later one must read, and the types that a package's
// source has.
package golden

import (
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
)

// Event is one stored event. Its file is kept for ever and never written anew: testdata/events/<type>.v<schema>[.<case>].json.
type Event struct {
	Name, Type string // the file's name; the type as it is stored
	Schema     int
	Data       []byte
}

// Events reads the golden events of a package, whose folder is given.
func Events(t testing.TB, folder string) []Event {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "testdata", "events", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no golden events (%v)", folder, err)
	}
	all := make([]Event, len(files))
	for i, file := range files {
		name := filepath.Base(file)
		parts := strings.Split(name, ".")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(parts) < 4 {
			t.Fatalf("%s: want <type>.v<schema>[.<case>].json", file)
		}
		schema, err := strconv.Atoi(strings.TrimPrefix(parts[2], "v"))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[i] = Event{Name: name, Type: parts[0] + "." + parts[1], Schema: schema, Data: data}
	}
	return all
}

// Types are the types of events that a package's source has, in the order of their names: what its methods Type return.
func Types(t testing.TB, folder string) []string {
	t.Helper()
	var types []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, _ fs.DirEntry, err error) error {
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
						t.Errorf("%s: %v", path, err)
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
		t.Fatalf("%s: types of events %q, %v", folder, types, err)
	}
	slices.Sort(types)
	return types
}
