package kspay_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/adapters/httpapi/spectest"
)

// specification is openapi.yaml, compiled.
type specification struct{ *spectest.Spec }

var provoked sync.Map // "METHOD path status" that some test has provoked

var theSpec struct {
	once sync.Once
	spec *specification
}

// readSpec compiles the description once for all tests.
func readSpec(t testing.TB) *specification {
	t.Helper()
	theSpec.once.Do(func() { theSpec.spec = &specification{spectest.New(t, kspay.OpenAPI())} })
	if theSpec.spec == nil {
		t.Fatal("the description cannot be read; see the first test that tried")
	}
	return theSpec.spec
}

// route finds the documented path, of which the prefix may be left out; those without parameters go first.
func (s *specification) route(u *url.URL) string {
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/v1/") {
		path = "/v1" + path
	}
	if _, literal := s.Paths[path]; literal {
		return path
	}
	for documented, re := range s.Match {
		if strings.Contains(documented, "{") && re.MatchString(path) {
			return documented
		}
	}
	return ""
}

// check holds an answer against the description. Undocumented paths and methods are 404 and 405.
func (s *specification) check(t testing.TB, method string, u *url.URL, r reply) {
	t.Helper()
	if method == http.MethodHead || method == http.MethodOptions {
		return
	}
	path := s.route(u)
	if path == "" || s.Paths[path][method] == nil {
		if r.status != http.StatusNotFound && r.status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s is not documented and was answered %d", method, u, r.status)
		}
		return
	}
	status := fmt.Sprint(r.status)
	if !s.Paths[path][method][status] {
		t.Errorf("%s %s: status %s is not documented: %s", method, path, status, r.body)
		return
	}
	provoked.Store(method+" "+path+" "+status, true)
	response, pointer := s.At("/paths/" + spectest.Escape(path) + "/" + strings.ToLower(method) + "/responses/" + status)
	if got := r.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("%s %s %s: content type %q", method, path, status, got)
	}
	s.checkBody(t, method+" "+path, pointer+"/content/application~1json/schema", r)
	for name := range response.(map[string]any)["headers"].(map[string]any) {
		h, at := s.At(pointer + "/headers/" + spectest.Escape(name))
		value := r.header.Get(name)
		if value == "" {
			if h.(map[string]any)["required"] == true {
				t.Errorf("%s %s %s: no header %s", method, path, status, name)
			}
			continue
		}
		if err := s.Compile(t, at+"/schema").Validate(value); err != nil {
			t.Errorf("%s %s %s: header %s: %v", method, path, status, name, err)
		}
	}
}

func (s *specification) checkBody(t testing.TB, what, pointer string, r reply) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(r.body))
	if err != nil {
		t.Errorf("%s: %v in %s", what, err, r.body)
		return
	}
	if err := s.Compile(t, pointer).Validate(v); err != nil {
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
	return s.Compile(t, pointer).Validate(v) == nil
}
