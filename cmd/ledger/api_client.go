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
	URL     string `name:"url" default:"http://127.0.0.1:8080" help:"The server."`
	KeyFile string `name:"key-file" help:"File that holds the merchant's key, in place of --api-key." placeholder:"FILE"`
	APIKey  string `name:"api-key" help:"Key of the merchant; better given by --key-file or as LEDGER_API_KEY than on the command line, where others can see it." placeholder:"KEY"`
}

// maxKeyFile bounds what is read of a file with a key, in bytes.
const maxKeyFile = 4 << 10

// key is the key to speak with: that of the file, if one is named.
func (a *apiFlags) key() (string, error) {
	key := a.APIKey
	if a.KeyFile != "" {
		text, err := readBounded(a.KeyFile, maxKeyFile)
		if err != nil {
			return "", usagef("--key-file: %v", err)
		}
		key = strings.TrimSpace(string(text))
	}
	switch {
	case key == "" && a.KeyFile != "":
		return "", usagef("--key-file: %s holds no key", a.KeyFile)
	case key == "":
		return "", usagef("whose payouts? give the merchant's key: --key-file FILE, LEDGER_API_KEY or --api-key KEY")
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", usagef("the merchant's key must be one word")
	}
	return key, nil
}

// apiWithin bounds one exchange: the upload of a large file among them.
const apiWithin = 10 * time.Minute

// maxAnswer bounds an answer that is read into memory.
const maxAnswer = 16 << 20

// send sends a request; its answer is the caller's to read and close.
func (a *apiFlags) send(ctx context.Context, method, path, mediaType string, body io.Reader) (*http.Response, error) {
	key, err := a.key()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(a.URL, "/")+path, body)
	if err != nil {
		return nil, usagef("--url: %v", err)
	}
	req.Header.Set("X-Api-Key", key)
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
type apiRefusal struct {
	text     string   // the message
	problems []string // one a line
}

func (e *apiRefusal) Error() string {
	return strings.Join(append([]string{e.text}, e.problems...), "\n  ")
}

// listed prints the problems of a refusal line by line, as people work through them; what it returns is left to be said. Other errors, and
// those of one problem, stay as they are.
func (t *terminal) listed(err error) error {
	var refused *apiRefusal
	if !errors.As(err, &refused) || len(refused.problems) < 2 {
		return err
	}
	complain(t.err, "%s\n", strings.Join(refused.problems, "\n"))
	return &apiRefusal{text: refused.text}
}

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
	refused := &apiRefusal{text: fmt.Sprintf("%s (%s)", answer.Message, resp.Status)}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode/100 == 5 {
		return errors.New(refused.text)
	}
	for _, field := range slices.Sorted(maps.Keys(answer.Errors)) {
		refused.problems = append(refused.problems, answer.Errors[field]...)
	}
	if answer.More > 0 {
		refused.problems = append(refused.problems, fmt.Sprintf("and %d more", answer.More))
	}
	return refused
}
