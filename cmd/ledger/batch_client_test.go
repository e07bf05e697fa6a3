package main

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// An answer 4xx that is no JSON (a proxy's 404 or 403 page) is a refusal, too: `batch status --watch` must not ask for ever.
func TestForeignRefusalEndsWatching(t *testing.T) {
	for _, code := range []int{http.StatusForbidden, http.StatusNotFound} {
		err := apiError(&http.Response{StatusCode: code, Status: http.StatusText(code), Body: io.NopCloser(strings.NewReader("<html>no</html>"))})
		var refused *apiRefusal
		if !errors.As(err, &refused) {
			t.Errorf("%d: %v is asked again, for ever", code, err)
		}
	}
}
