package kspay

import _ "embed"

//go:embed openapi.yaml
var openAPI []byte //nolint:gochecknoglobals // embedded, and given out as a copy

// OpenAPI is the description of the API, OpenAPI 3.1 in YAML.
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }
