package webhook

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// The document's own sample verifiers, run for real, must accept what we send. LEDGER_TEST_NODE=required (or LEDGER_TEST_PHP)
// makes the absence of the platform a failure; otherwise it is told, and the Go ports of what the platforms re-encode stand in
// for them: TestGoldenVectors and TestStableBodyIsAFixedPoint.

// nodeVerifier starts Node's sample, if Node is there, and returns the address that it listens at.
func nodeVerifier(t *testing.T) (string, bool) {
	t.Helper()
	program, ok := find(t, "node", "LEDGER_TEST_NODE")
	if !ok {
		return "", false
	}
	cmd := exec.CommandContext(t.Context(), program, "testdata/verify.js")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, cmd)
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port), true
}

// phpVerifier does the same with PHP's.
func phpVerifier(t *testing.T) (string, bool) {
	t.Helper()
	program, ok := find(t, "php", "LEDGER_TEST_PHP")
	if !ok {
		return "", false
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-S", address, "testdata/verify.php") //nolint:gosec // both are the test's own
	start(t, cmd)
	for { // until it listens; a server that never does runs into the test's own limit
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return "http://" + address, true
}

func find(t *testing.T, name, env string) (string, bool) {
	t.Helper()
	program, err := exec.LookPath(name)
	if err == nil {
		return program, true
	}
	if os.Getenv(env) == "required" {
		t.Fatalf("%s=required, and %s is not installed", env, name)
	}
	t.Logf("%s is not installed: its sample verifier is represented by the Go port of what %s re-encodes", name, name)
	return "", false
}

// start runs a server until the test ends. It is stopped by the end of its input, or killed with the test's context.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() //nolint:errcheck // it may be gone already
		cmd.Wait() //nolint:errcheck // it ends by being killed
	})
}

func TestNodeSampleVerifier(t *testing.T) {
	if base, ok := nodeVerifier(t); ok {
		acceptsOurs(t, base, merchant.Node)
	}
	portAcceptsOurs(t, merchant.Node)
}

func TestPHPSampleVerifier(t *testing.T) {
	if base, ok := phpVerifier(t); ok {
		acceptsOurs(t, base, merchant.PHP)
	}
	portAcceptsOurs(t, merchant.PHP)
}

// acceptsOurs sends callbacks to a sample verifier: those of the document, one about a batch, and random ones, in the stable form and in the platform's
// own dialect; and ones that were tampered with.
func acceptsOurs(t *testing.T, base string, platform merchant.Dialect) {
	t.Helper()
	keys := []vault.Midstates{vault.NewMidstates([]byte(documentKey))}
	payin, payout := samplePayin(), samplePayout()
	send := func(body []byte, d merchant.Dialect) int {
		h, err := headers(&Delivery{ID: "cb_1", Dialect: d, Body: body}, keys, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return call(t, base, h, body, nil)
	}
	done := sampleBatch()
	for _, body := range [][]byte{
		buildBody(at("2024-04-30T10:05:00Z"), &payin, wallet.Success, merchant.Stable),
		buildBody(at("2024-04-30T10:05:00Z"), &payout, wallet.Success, merchant.Stable),
		buildBatchBody(at("2024-04-30T10:05:00Z"), &done, merchant.Stable),
	} {
		equal(t, "a sample", send(body, merchant.Stable), http.StatusOK)
		h, err := headers(&Delivery{ID: "cb_1", Dialect: merchant.Stable, Body: body}, keys, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "a tampered one", call(t, base, h, bytes.Replace(body, []byte("10"), []byte("11"), 1), nil), http.StatusUnauthorized)
	}
	rapid.Check(t, func(r *rapid.T) {
		write := anyBody(r)
		for _, d := range []merchant.Dialect{merchant.Stable, platform} {
			body := write(d)
			var real bytes.Buffer
			equal(r, "re-encoding", call(t, base+"/reencode", nil, body, &real), http.StatusOK)
			port, err := signedBytes(platform, body)
			if err != nil {
				r.Fatal(err)
			}
			equal(r, "the Go port, in dialect "+string(d), string(port), real.String())
			if code := send(body, d); code != http.StatusOK {
				r.Fatalf("the sample answers %d to %s", code, body)
			}
		}
	})
}

func portAcceptsOurs(t *testing.T, platform merchant.Dialect) {
	t.Helper()
	key := vault.NewMidstates([]byte(documentKey))
	rapid.Check(t, func(r *rapid.T) {
		write := anyBody(r)
		for _, d := range []merchant.Dialect{merchant.Stable, platform} {
			body := write(d)
			h, err := headers(&Delivery{ID: "cb_1", Dialect: d, Body: body}, []vault.Midstates{key}, time.Now())
			if err != nil {
				r.Fatal(err)
			}
			seen, err := signedBytes(platform, body)
			if err != nil {
				r.Fatal(err)
			}
			equal(r, "signature", sent(h, "X-KlyroPay-Signature"), fmt.Sprintf("%x", vault.Sign(key, seen)))
		}
	})
}

func call(t *testing.T, target string, h http.Header, body []byte, answer io.Writer) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if h != nil {
		req.Header = h
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end below
	if answer == nil {
		answer = io.Discard
	}
	if _, err := io.Copy(answer, res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}
