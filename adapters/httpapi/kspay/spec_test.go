package kspay_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
)

// specification is openapi.yaml, compiled.
type specification struct {
	paths map[string]map[string]map[string]bool // path -> method -> status
	match map[string]*regexp.Regexp
	doc   any
	mu    sync.Mutex // guards comp
	comp  *jsonschema.Compiler
}

var provoked sync.Map // "METHOD path status" that some test has provoked

var theSpec struct {
	once sync.Once
	spec *specification
}

// readSpec compiles the description once for all tests.
func readSpec(t testing.TB) *specification {
	t.Helper()
	theSpec.once.Do(func() { theSpec.spec = newSpec(t) })
	if theSpec.spec == nil {
		t.Fatal("the description cannot be read; see the first test that tried")
	}
	return theSpec.spec
}

func newSpec(t testing.TB) *specification {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal(kspay.OpenAPI(), &doc); err != nil {
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
	s := &specification{paths: map[string]map[string]map[string]bool{}, match: map[string]*regexp.Regexp{}, doc: value, comp: jsonschema.NewCompiler()}
	s.comp.AssertFormat()
	if err := s.comp.AddResource("https://test.invalid/openapi.json", value); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc["paths"].(map[string]any) {
		s.match[path] = regexp.MustCompile("^" + regexp.MustCompile(`\\\{[^}]*\\\}`).ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
		s.paths[path] = map[string]map[string]bool{}
		for method, op := range methods.(map[string]any) {
			statuses := map[string]bool{}
			for status := range op.(map[string]any)["responses"].(map[string]any) {
				statuses[status] = true
			}
			s.paths[path][strings.ToUpper(method)] = statuses
		}
	}
	return s
}

// route finds the documented path, of which the prefix may be left out; those without parameters go first.
func (s *specification) route(u *url.URL) string {
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/v1/") {
		path = "/v1" + path
	}
	if _, literal := s.paths[path]; literal {
		return path
	}
	for documented, re := range s.match {
		if strings.Contains(documented, "{") && re.MatchString(path) {
			return documented
		}
	}
	return ""
}

// at follows one pointer through the document, and the $ref that it ends in.
func (s *specification) at(pointer string) (any, string) {
	v := s.doc
	for _, p := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		p = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
		v = v.(map[string]any)[p]
	}
	if m, ok := v.(map[string]any); ok {
		if ref, ok := m["$ref"].(string); ok && len(m) == 1 {
			return s.at(strings.TrimPrefix(ref, "#"))
		}
	}
	return v, pointer
}

func escape(p string) string { return strings.ReplaceAll(strings.ReplaceAll(p, "~", "~0"), "/", "~1") }

// check holds an answer against the description. Undocumented paths and methods are 404 and 405.
func (s *specification) check(t testing.TB, method string, u *url.URL, r reply) {
	t.Helper()
	if method == http.MethodHead || method == http.MethodOptions {
		return
	}
	path := s.route(u)
	if path == "" || s.paths[path][method] == nil {
		if r.status != http.StatusNotFound && r.status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s is not documented and was answered %d", method, u, r.status)
		}
		return
	}
	status := fmt.Sprint(r.status)
	if !s.paths[path][method][status] {
		t.Errorf("%s %s: status %s is not documented: %s", method, path, status, r.body)
		return
	}
	provoked.Store(method+" "+path+" "+status, true)
	response, pointer := s.at("/paths/" + escape(path) + "/" + strings.ToLower(method) + "/responses/" + status)
	if got := r.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("%s %s %s: content type %q", method, path, status, got)
	}
	s.checkBody(t, method+" "+path, pointer+"/content/application~1json/schema", r)
	for name := range response.(map[string]any)["headers"].(map[string]any) {
		h, at := s.at(pointer + "/headers/" + escape(name))
		value := r.header.Get(name)
		if value == "" {
			if h.(map[string]any)["required"] == true {
				t.Errorf("%s %s %s: no header %s", method, path, status, name)
			}
			continue
		}
		if err := s.compile(t, at+"/schema").Validate(value); err != nil {
			t.Errorf("%s %s %s: header %s: %v", method, path, status, name, err)
		}
	}
}

func (s *specification) compile(t testing.TB, pointer string) *jsonschema.Schema {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	schema, err := s.comp.Compile("https://test.invalid/openapi.json#" + pointer)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func (s *specification) checkBody(t testing.TB, what, pointer string, r reply) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(r.body))
	if err != nil {
		t.Errorf("%s: %v in %s", what, err, r.body)
		return
	}
	if err := s.compile(t, pointer).Validate(v); err != nil {
		t.Errorf("%s: the description does not describe %s: %v", what, r.body, err)
	}
}

// accepts reports whether a schema accepts a body.
func (s *specification) accepts(t testing.TB, pointer string, r reply) bool {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	return s.compile(t, pointer).Validate(v) == nil
}
