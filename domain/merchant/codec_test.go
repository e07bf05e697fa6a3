package merchant

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// golden is one stored event as some version has written it. These files are kept for ever and never written anew:
// testdata/events/<type>.v<schema>[.<case>].json.
type golden struct {
	name, typ string
	schema    int
	data      []byte
}

func goldens(t testing.TB) []golden {
	t.Helper()
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var all []golden
	for _, f := range files {
		parts := strings.Split(filepath.Base(f), ".")
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := strconv.Atoi(strings.TrimPrefix(parts[2], "v"))
		if err != nil {
			t.Fatal(f, err)
		}
		all = append(all, golden{name: filepath.Base(f), typ: parts[0] + "." + parts[1], schema: schema, data: data})
	}
	return all
}

func TestGoldens(t *testing.T) {
	covered := map[string]map[string]bool{} // type -> fields seen
	for _, g := range goldens(t) {
		e, err := Decode(g.typ, g.schema, g.data)
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
			continue
		}
		again, err := Encode(e)
		if err != nil || string(again) != string(g.data) {
			t.Errorf("%s is written as\n%s (%v), stored was\n%s", g.name, again, err, g.data)
		}
		if e.Type() != g.typ || e.Schema() != g.schema {
			t.Errorf("%s: decodes as %s, version %d", g.name, e.Type(), e.Schema())
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(g.data, &fields); err != nil {
			t.Fatal(err)
		}
		if covered[g.typ] == nil {
			covered[g.typ] = map[string]bool{}
		}
		for f := range fields {
			covered[g.typ][f] = true
		}
	}
	for _, typ := range Types() {
		e := blank(typ, 1)
		if e == nil || e.Type() != typ {
			t.Errorf("Decode does not know %s", typ)
			continue
		}
		for _, f := range reflect.VisibleFields(reflect.TypeOf(e).Elem()) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "" && !covered[typ][name] {
				t.Errorf("no golden of %s has field %q", typ, name)
			}
		}
	}
}

// TestTypesAreAll finds every event in the source, so that none can be forgotten in Types, Decode and the goldens.
func TestTypesAreAll(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "Type" && fn.Recv != nil {
				name, err := strconv.Unquote(fn.Body.List[0].(*ast.ReturnStmt).Results[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, name)
			}
		}
	}
	listed := Types()
	slices.Sort(found)
	slices.Sort(listed)
	if !slices.Equal(found, listed) {
		t.Errorf("events in the source\n%q\nTypes\n%q", found, listed)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		name, typ string
		schema    int
		data      string
		says      string
		unknown   bool
	}{
		{"an unknown type", "merchant.dreamt", 1, `{}`, `"merchant.dreamt"`, true},
		{"a newer version", "merchant.created", 2, `{}`, `"merchant.created", version 2`, true},
		{"a field too many", "merchant.resumed", 1, `{"merchant":"m","bonus":1}`, "bonus", false},
		{"nobody", "merchant.resumed", 1, `{"reason":"r"}`, "nobody", false},
		{"two events", "merchant.resumed", 1, `{"merchant":"m"}{}`, "behind", false},
		{"half an event", "merchant.resumed", 1, `{"merchant"`, "unexpected EOF", false},
		{"no range", "merchant.ip_allowed", 1, `{"merchant":"m","prefix":"10.0.0.1"}`, "10.0.0.1", false},
	} {
		e, err := Decode(c.typ, c.schema, []byte(c.data))
		if err == nil || e != nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, ErrUnknownType) != c.unknown {
			t.Errorf("%s: %v %v, want an error that says %s", c.name, e, err, c.says)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.typ, g.schema, g.data)
	}
	f.Fuzz(func(t *testing.T, typ string, schema int, data []byte) {
		e, err := Decode(typ, schema, data)
		if err != nil {
			return
		}
		first, err := Encode(e)
		if err != nil {
			return // a year beyond 9999, a range of nothing: decoded, but nothing that was ever written
		}
		again, err := Decode(e.Type(), e.Schema(), first)
		if err != nil {
			t.Fatalf("%s cannot be read again: %v", first, err)
		}
		second, err := Encode(again)
		if err != nil || string(second) != string(first) {
			t.Fatalf("%s becomes %s (%v)", first, second, err)
		}
		new(Merchant).Evolve(e)
		new(Operator).Evolve(e)
	})
}
