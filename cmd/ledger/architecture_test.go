package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestImportsPointInward holds the layout of docs/architecture.md: domain knows nothing of technology, eventstore nothing
// of money, adapters nothing of each other, and only this package joins them.
func TestImportsPointInward(t *testing.T) {
	const module = "github.com/khata-ledger/khata/"
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); rel != "." && (strings.HasPrefix(name, ".") || name == "bin" || name == "data") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		files++
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(rel))
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			to, ours := strings.CutPrefix(imported, module)
			if why := forbidden(from, to, imported, ours, strings.HasSuffix(path, "_test.go")); why != "" {
				t.Errorf("%s imports %s: %s", rel, imported, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("only %d Go files found: this test looks in the wrong place", files)
	}
}

// forbidden says why a package may not import another; "" when it may.
func forbidden(from, to, path string, ours, test bool) string {
	layer, _, _ := strings.Cut(from, "/")
	toLayer, _, _ := strings.Cut(to, "/")
	switch {
	case !ours:
		std := !strings.Contains(strings.SplitN(path, "/", 2)[0], ".")
		if layer == "domain" && !test && !std && path != "github.com/shopspring/decimal" && path != "github.com/google/uuid" {
			return "the domain stands on the standard library, decimal and uuid alone"
		}
		return ""
	case layer == "cmd":
		return ""
	case toLayer == "cmd":
		return "nothing imports the wiring"
	case layer == "domain" && toLayer != "domain":
		return "the domain knows nothing of the rest"
	case layer == "eventstore" && toLayer != "eventstore" && toLayer != "migrations":
		return "the log knows records, not money"
	case layer == "migrations" && toLayer != "eventstore" && toLayer != "migrations":
		return "schemas know the log alone"
	case layer == "projections" && toLayer == "adapters":
		return "projections know the domain and the log"
	case layer == "adapters" && toLayer == "adapters":
		return adapters(from, to)
	}
	return ""
}

// adapters may import themselves, their parents and their own sub-packages, not each other. adapters/sheet is for all of them: it writes
// cells of CSV and XLSX, knows nothing of what they mean, and has neither state nor a technology of its own to hide.
func adapters(from, to string) string {
	name := func(p string) string { return strings.SplitN(p, "/", 3)[1] }
	if name(from) == name(to) || to == "adapters/sheet" {
		return ""
	}
	return "adapters do not import each other"
}
