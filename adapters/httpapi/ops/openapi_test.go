package ops_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
)

// described are the roles of each operation of the description, by "METHOD path".
func described(t *testing.T) map[string][]string {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Roles       []string       `yaml:"x-roles"`
			ID          string         `yaml:"operationId"`
			Description string         `yaml:"description"`
			Parameters  []any          `yaml:"parameters"`
			Responses   map[string]any `yaml:"responses"`
		} `yaml:"paths"`
	}
	if err := yaml.Unmarshal(ops.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	all, ids := map[string][]string{}, map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			name := strings.ToUpper(method) + " " + path
			all[name] = op.Roles
			if ids[op.ID] || op.ID == "" || op.Description == "" {
				t.Errorf("%s: operationId %q, description %q", name, op.ID, op.Description)
			}
			ids[op.ID] = true
			for _, status := range []string{"200", "401", "403", "429", "503"} {
				if op.Responses[status] == nil {
					t.Errorf("%s: what %s means is not said", name, status)
				}
			}
			if inPath := strings.Count(path, "{"); len(op.Parameters) < inPath {
				t.Errorf("%s: %d parameters", name, len(op.Parameters))
			}
		}
	}
	return all
}

// Every route is described, and nothing else; and those roles may that the description says.
func TestEveryRouteIsDescribed(t *testing.T) {
	rt := httpapi.NewRouter()
	ops.New(ops.Ports{}, ops.Options{}).Register(rt)
	var routes []string
	for method, pattern := range rt.Routes() {
		routes = append(routes, method+" "+pattern)
	}
	slices.Sort(routes)
	all := described(t)
	if names := slices.Sorted(maps.Keys(all)); !slices.Equal(names, routes) {
		t.Fatalf("described are\n%s\nand there are\n%s", strings.Join(names, "\n"), strings.Join(routes, "\n"))
	}
	ask := exporting(&press{}, ops.Options{})
	for _, route := range routes {
		method, pattern, _ := strings.Cut(route, " ")
		path := regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(pattern, "txn_1")
		for _, role := range []string{"owner", "maker", "checker", "auditor", "support"} {
			may := slices.Contains(all[route], role)
			if w := ask(method, path, role, ""); (w.Code != http.StatusForbidden) != may || w.Code == http.StatusMethodNotAllowed {
				t.Errorf("%s as %s: %d, by the description %v", route, role, w.Code, fmt.Sprint(all[route]))
			}
		}
	}
}

func TestDocsOfOperators(t *testing.T) {
	if _, err := httpapi.Docs(ops.OpenAPI(), httpapi.Reference{}); err != nil {
		t.Error(err)
	}
}
