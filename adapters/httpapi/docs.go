package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
)

//go:embed docs.html
var docsTemplate string

//go:embed docs.css
var docsStyle string

// Reference is a page of documentation: its name, its path, and the path of the description that it is made from.
type Reference struct{ Name, Page, Spec string }

// Docs makes the API reference from an OpenAPI description in YAML: one HTML page with no script and nothing from elsewhere, but links to
// other references. It is rendered once, here.
func Docs(spec []byte, at Reference, others ...Reference) (http.Handler, error) {
	reference, err := newReference(spec)
	if err != nil {
		return nil, fmt.Errorf("reading the API description: %w", err)
	}
	reference.At, reference.Others = at, others
	t, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return nil, fmt.Errorf("parsing the template of the documentation: %w", err)
	}
	reference.Style = template.CSS(docsStyle) //nolint:gosec // our own file
	var page bytes.Buffer
	if err := t.Execute(&page, reference); err != nil {
		return nil, fmt.Errorf("rendering the documentation: %w", err)
	}
	sum := sha256.Sum256([]byte(docsStyle))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return static("text/html; charset=utf-8", page.Bytes(), policy), nil
}

// Spec serves an OpenAPI description.
func Spec(spec []byte) http.Handler {
	return static("application/yaml; charset=utf-8", spec, "default-src 'none'; frame-ancestors 'none'")
}

func static(kind string, body []byte, policy string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "public, max-age=300")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(body) //nolint:errcheck // the client is gone; see Write
	})
}
