package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
)

// pathBatches is where batches are.
const pathBatches = klyropay.PathBatches

// apiFlags say which server is spoken to, and as whom.
type apiFlags struct {
	URL    string `name:"url" default:"http://127.0.0.1:8080" help:"The server."`
	APIKey string `name:"api-key" required:"" help:"Key of the merchant; better given as LEDGER_API_KEY than on the command line, where others can see it." placeholder:"KEY"`
}

// apiWithin bounds one exchange: the upload of a large file among them.
const apiWithin = 10 * time.Minute

// maxAnswer bounds an answer that is read into memory.
const maxAnswer = 16 << 20

// send sends a request; its answer is the caller's to read and close.
func (a *apiFlags) send(ctx context.Context, method, path, mediaType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(a.URL, "/")+path, body)
	if err != nil {
		return nil, usagef("--url: %v", err)
	}
	req.Header.Set("X-Api-Key", a.APIKey)
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := (&http.Client{Timeout: apiWithin}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	return resp, nil
}

// call sends a request and reads the data of its answer.
func (a *apiFlags) call(ctx context.Context, method, path, mediaType string, body io.Reader, data any) error {
	resp, err := a.send(ctx, method, path, mediaType, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read is checked
	if resp.StatusCode/100 != 2 {
		return apiError(resp)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	if err := json.Unmarshal(text, &struct {
		Data any `json:"data"`
	}{data}); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	return nil
}

// post sends JSON.
func (a *apiFlags) post(ctx context.Context, path string, body, data any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return a.call(ctx, http.MethodPost, path, "application/json", bytes.NewReader(text), data)
}

// apiRefusal is an answer of the server that asking again does not change.
type apiRefusal struct{ text string }

func (e *apiRefusal) Error() string { return e.text }

// apiError is what the server answers as people read it: the message, and what is wrong with which line. It is an *apiRefusal when the
// server does not want to be asked again.
func apiError(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	var answer struct {
		Message string              `json:"message"`
		Errors  map[string][]string `json:"errors"`
		More    int                 `json:"more"`
	}
	if json.Unmarshal(text, &answer) != nil || answer.Message == "" {
		answer.Message = "the server answers without a reason"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)", answer.Message, resp.Status)
	for _, field := range slices.Sorted(maps.Keys(answer.Errors)) {
		for _, problem := range answer.Errors[field] {
			b.WriteString("\n  " + problem)
		}
	}
	if answer.More > 0 {
		fmt.Fprintf(&b, "\n  and %d more", answer.More)
	}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode/100 == 5 {
		return errors.New(b.String())
	}
	return &apiRefusal{b.String()}
}
