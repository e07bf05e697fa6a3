package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// batchState is a batch as the API shows it, of five items of 1000; changed are members that are other than usual.
func batchState(status, counts string, changed ...string) string {
	members := `"batch_id":"bat_1","batch_ref":"R","count":5,"total_amount":5000.00,"commission":50.00,"sums":{"pending":5000.00,"queued":2000.00},"reason":null,` +
		`"mode":"partial","approval":"none","approvals":{"needed":0,"given":0,"by":[]},"on_insufficient_balance":"reject","schedule_at":null,"retry_of":null,"stopped_by":null`
	for i := 0; i < len(changed); i += 2 {
		members = strings.Replace(members, changed[i], changed[i+1], 1)
	}
	return `{"success":true,"data":{"status":"` + status + `","counts":{` + counts + `},` + members + `}}`
}

// batchAPI answers with one state of a batch after the other, the last one again and again, and notes what it is asked.
func batchAPI(t *testing.T, states ...string) (asked *[]string, client func(args ...string) (out, remarks string, code int)) {
	asked = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*asked = append(*asked, fmt.Sprint(r.Method, " ", strings.TrimPrefix(r.URL.RequestURI(), pathBatches), " ", string(body)))
		io.WriteString(w, states[min(len(*asked), len(states))-1])
	}))
	t.Cleanup(server.Close)
	return asked, func(args ...string) (string, string, int) {
		return runBatch(t, append(args, "--url", server.URL, "--api-key", "k")...)
	}
}

func runBatch(t *testing.T, args ...string) (out, remarks string, code int) {
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"batch"}, args...), &o, &e)
	return o.String(), e.String(), code
}

// The key is that of the file, if one is named. Without one, with a bad one or with a bad address nothing is asked, and nobody waits.
func TestKeyOfClient(t *testing.T) {
	var keys []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("X-Api-Key"))
		io.WriteString(w, batchState("completed", `"success":5`))
	}))
	t.Cleanup(server.Close)
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	status := []string{"status", "bat_1", "--watch", "--url", server.URL}
	for _, c := range []struct {
		flags []string
		want  string
	}{{[]string{"--key-file", file("key", "klyro_a\n")}, "klyro_a"}, {[]string{"--api-key", "klyro_b"}, "klyro_b"}} {
		if _, remarks, code := runBatch(t, append(status, c.flags...)...); code != 0 || len(keys) == 0 || keys[len(keys)-1] != c.want {
			t.Errorf("%v: %d, keys %q: %s", c.flags, code, keys, remarks)
		}
	}
	keys = nil
	for _, flags := range [][]string{
		nil, {"--key-file", file("blank", "\n")}, {"--key-file", file("two", "a b")}, {"--key-file", t.TempDir()}, {"--key-file", "absent"}, {"--api-key", "k", "--url", "::"},
	} {
		if _, remarks, code := runBatch(t, append(status, flags...)...); code != exitUsage || len(keys) > 0 {
			t.Errorf("%v: %d, keys %q: %s", flags, code, keys, remarks)
		}
	}
}

// Results are written as they come, to a file only when they came whole.
func TestBatchResultsAreWritten(t *testing.T) {
	cut := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != pathBatches+"/bat_1/results" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, "as "+r.URL.Query().Get("format"))
		if cut {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "out.xlsx")
	results := func(args ...string) (string, int) {
		out, _, code := runBatch(t, append([]string{"results", "--url", server.URL, "--api-key", "k"}, args...)...)
		return out, code
	}
	if out, code := results("bat_1"); code != 0 || out != "as csv" {
		t.Errorf("%d %q", code, out)
	}
	if out, code := results("bat_1", "--format", "pdf"); code != exitUsage || out != "" {
		t.Errorf("%d %q", code, out)
	}
	if out, code := results("bat_2", "-o", file); code != exitNo || out != "" {
		t.Errorf("%d %q", code, out)
	}
	cut = true
	if _, code := results("bat_1", "-o", file); code != exitNo {
		t.Errorf("cut off: %d", code)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a part of the results is there: %v", err)
	}
	cut = false
	if out, code := results("bat_1", "--format", "xlsx", "-o", file); code != 0 || out != "" {
		t.Errorf("%d %q", code, out)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "as xlsx" {
		t.Errorf("%q, %v", text, err)
	}
}

// What is wrong with a file is told line by line.
func TestProblemsOfFileStandOnTheirLines(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		io.WriteString(w, `{"success":false,"message":"Validation failed","data":null,"errors":{"items":["item 1, line 2: a","item 2, line 3: b"]},"problems":[],"more":7}`)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	const want = "item 1, line 2: a\nitem 2, line 3: b\nand 7 more\nledger: Validation failed (422 Unprocessable Entity)\n"
	for _, args := range [][]string{{"submit", file}, {"retry-failed", "bat_1"}} {
		if out, remarks, code := runBatch(t, append(args, "--url", server.URL, "--api-key", "k")...); code != exitNo || out != "" || remarks != want {
			t.Errorf("%v: %d %q %q", args, code, out, remarks)
		}
	}
}

// What is asked of the API is what the command says.
func TestBatchCommands(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sheet, body := file("a.csv"), file("a.json")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"submit", sheet, "--ref", "R"}, "POST ?batch_ref=R x"},
		{[]string{"submit", sheet, "--ref", "R", "--mode", "partial"}, "POST ?batch_ref=R&mode=partial x"},
		{
			[]string{"submit", sheet, "--ref", "R", "--mode", "atomic", "--approval", "required", "--queue", "--schedule-at", "2026-04-01T09:30:00+05:30", "--dry-run"},
			"POST ?approval=required&batch_ref=R&dry_run=true&mode=atomic&on_insufficient_balance=queue&schedule_at=2026-04-01T09%3A30%3A00%2B05%3A30 x",
		},
		{[]string{"submit", "--approval", sheet, "--ref", "R"}, "POST ?approval=required&batch_ref=R x"},
		{[]string{"submit", sheet, "--ref", "R", "--approval=none"}, "POST ?approval=none&batch_ref=R x"},
		{[]string{"submit", sheet, "--ref", "R", "--approval"}, "POST ?approval=required&batch_ref=R x"},
		{[]string{"submit", body}, "POST ? x"},
		{[]string{"status", "bat_1"}, "GET /bat_1 "},
		{[]string{"approve", "bat_1"}, "POST /bat_1/approve {}"},
		{[]string{"approve", "bat_1", "--note", "fine"}, `POST /bat_1/approve {"note":"fine"}`},
		{[]string{"reject", "bat_1", "--reason", "no"}, `POST /bat_1/reject {"reason":"no"}`},
		{[]string{"cancel", "a/b", "--reason", "no"}, `POST /a%2Fb/cancel {"reason":"no"}`},
		{[]string{"retry-failed", "bat_1"}, "POST /bat_1/retry-failed {}"},
		{[]string{"retry-failed", "bat_1", "--ref", "R-2", "--queue", "--dry-run"}, `POST /bat_1/retry-failed?dry_run=true {"batch_ref":"R-2","on_insufficient_balance":"queue"}`},
	} {
		asked, client := batchAPI(t, batchState("processing", `"pending":5`))
		out, remarks, code := client(append(c.args, "--json")...)
		if code != 0 || len(*asked) != 1 || (*asked)[0] != c.want || !strings.Contains(out, `"batch_id":"bat_1"`) {
			t.Errorf("%v: %d, asked %q, want %q\n%s%s", c.args, code, *asked, c.want, out, remarks)
		}
	}
	asked, client := batchAPI(t, "")
	for _, wrong := range [][]string{
		{"submit", body, "--mode", "atomic"}, {"submit", body, "--queue"}, {"submit", sheet, "--mode", "both"}, {"submit", sheet, "--approval", "two"}, {"submit", sheet, "--approval=two"},
		{"reject", "bat_1"}, {"reject", "bat_1", "--reason", " "}, {"approve", "bat_1", "--note", strings.Repeat("x", 501)}, {"retry-failed", "bat_1", "--failures", "f.csv"},
	} {
		if _, remarks, code := client(wrong...); code != exitUsage || len(*asked) != 0 {
			t.Errorf("%v: %d, asked %q: %s", wrong, code, *asked, remarks)
		}
	}
}

// A setting of the server in the environment is no option of a batch.
func TestQueueOfTheServerIsNoOption(t *testing.T) {
	t.Setenv("LEDGER_QUEUE", "8192")
	asked, client := batchAPI(t, batchState("processing", `"pending":5`))
	if _, remarks, code := client("retry-failed", "bat_1"); code != 0 || (*asked)[0] != "POST /bat_1/retry-failed {}" {
		t.Errorf("%d, asked %q: %s", code, *asked, remarks)
	}
}

func TestBatchIsShown(t *testing.T) {
	for _, c := range []struct{ state, want string }{
		{batchState("processing", `"pending":3,"queued":2`), "bat_1  R  processing\n2 queued: they wait for the wallet to be funded\n"},
		{
			batchState("awaiting_approval", `"pending":5`, `"approvals":{"needed":0,"given":0,"by":[]}`, `"approvals":{"needed":2,"given":1,"by":["key:key_1"]}`),
			"bat_1  R  awaiting_approval\napprovals: 1 of 2 key:key_1\n",
		},
		{
			batchState("rejected", `"rejected":5`, "partial", "atomic", `"reason":null`, `"reason":"too little"`, `"stopped_by":null`, `"stopped_by":{"index":4,"reason":"too little"}`),
			"bat_1  R  rejected\natomic: all of it is paid, or nothing\nstopped by item 4: too little\n",
		},
		{
			batchState("cancelled", `"cancelled":5`, `"reason":null`, `"reason":"wrong"`, `"retry_of":null`, `"retry_of":"bat_0"`, `"schedule_at":null`, `"schedule_at":"2026-04-01T04:00:00.000000Z"`),
			"bat_1  R  cancelled\nretry of bat_0\nscheduled for 2026-04-01T04:00:00.000000Z\nreason: wrong\n",
		},
	} {
		_, client := batchAPI(t, c.state)
		if out, remarks, code := client("status", "bat_1"); code != 0 || !strings.HasPrefix(out, c.want+"        ") {
			t.Errorf("%d: %q%s, want %q", code, out, remarks, c.want)
		}
	}
	_, client := batchAPI(t, batchState("processing", `"queued":5`))
	if out, _, _ := client("status", "bat_1", "--json"); !strings.Contains(out, `"mode":"partial","approval":"none","approvals":{"needed":0,"given":0,"by":[]},"on_insufficient_balance":"reject"}`) {
		t.Error(out)
	}
}

// Who watches is told what a batch waits for, once each, and goes on waiting.
func TestWatchedBatchSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	const none, two = `"approvals":{"needed":0,"given":0,"by":[]}`, `"approvals":{"needed":1,"given":0,"by":[]}`
	asked, client := batchAPI(t, batchState("awaiting_approval", `"pending":5`, none, two), batchState("awaiting_approval", `"pending":5`, none, two),
		batchState("processing", `"success":3,"queued":2`), batchState("completed", `"success":5`))
	out, remarks, code := client("status", "bat_1", "--watch")
	const want = "batch bat_1: awaits approval: 0 of 1 given\nbatch bat_1: 2 queued: they wait for the wallet to be funded\n"
	if code != 0 || len(*asked) != 4 || remarks != want || !strings.Contains(out, "completed") {
		t.Errorf("%d, asked %d times: %q, want %q\n%s", code, len(*asked), remarks, want, out)
	}
}
