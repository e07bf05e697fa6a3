// Package spectest reads the OpenAPI description of a dialect, for the tests that hold its answers against it.
package spectest

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// address is what the schemas of a description refer to each other by; nothing is loaded from it.
const address = "https://test.invalid/openapi.json"

// Spec is a description, compiled. It is safe for concurrent use.
type Spec struct {
	Paths map[string]map[string]map[string]bool // path -> method -> status
	Match map[string]*regexp.Regexp             // what a path stands for, with its parameters

	Doc  any        // the description, decoded
	mu   sync.Mutex // guards comp
	comp *jsonschema.Compiler
}

// New reads a description in YAML.
func New(t testing.TB, openapi []byte) *Spec {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal(openapi, &doc); err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	s := &Spec{Paths: map[string]map[string]map[string]bool{}, Match: map[string]*regexp.Regexp{}, Doc: value, comp: jsonschema.NewCompiler()}
	s.comp.AssertFormat()
	if err := s.comp.AddResource(address, value); err != nil {
		t.Fatal(err)
	}
	parameter := regexp.MustCompile(`\\\{[^}]*\\\}`)
	for path, methods := range doc["paths"].(map[string]any) {
		s.Match[path] = regexp.MustCompile("^" + parameter.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
		s.Paths[path] = map[string]map[string]bool{}
		for method, op := range methods.(map[string]any) {
			statuses := map[string]bool{}
			for status := range op.(map[string]any)["responses"].(map[string]any) {
				statuses[status] = true
			}
			s.Paths[path][strings.ToUpper(method)] = statuses
		}
	}
	return s
}

// At follows one pointer through the document, and the $ref that it ends in.
func (s *Spec) At(pointer string) (any, string) {
	v := s.Doc
	for p := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		p = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
		v = v.(map[string]any)[p]
	}
	if m, ok := v.(map[string]any); ok {
		if ref, ok := m["$ref"].(string); ok && len(m) == 1 {
			return s.At(strings.TrimPrefix(ref, "#"))
		}
	}
	return v, pointer
}

// Escape writes a name as a part of a pointer (RFC 6901).
func Escape(p string) string { return strings.ReplaceAll(strings.ReplaceAll(p, "~", "~0"), "/", "~1") }

// Compile compiles the schema at a pointer.
func (s *Spec) Compile(t testing.TB, pointer string) *jsonschema.Schema {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	schema, err := s.comp.Compile(address + "#" + pointer)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}
