package sandbox

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Razorpay's official npm client takes the face for Razorpay. LEDGER_TEST_NPM=required makes the absence of Node or of the client (make
// razorpay-client installs it) a failure; otherwise it is told, and the face's own tests stand alone.
func TestOfficialRazorpayClient(t *testing.T) {
	t.Parallel()
	const project = "testdata/razorpay-client"
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(project, "node_modules", "razorpay", "package.json"))
	}
	if err != nil {
		if os.Getenv("LEDGER_TEST_NPM") == "required" {
			t.Fatalf("LEDGER_TEST_NPM=required, and Razorpay's client cannot be run: %v", err)
		}
		t.Logf("Razorpay's client is not installed (make razorpay-client does that): %v", err)
		return
	}
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Millisecond, false)
	cmd := exec.CommandContext(t.Context(), node, "client.mjs", b.server.URL+razorpayBase)
	cmd.Dir = project
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()} // and no proxy
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var saw struct {
		Version   string `json:"version"`
		KeyID     string `json:"key_id"`
		Orders    int    `json:"orders"`
		Collected int64  `json:"collected"`
		Refunded  int64  `json:"refunded"`
		Webhooks  int    `json:"webhooks"`
	}
	if err := json.Unmarshal(out, &saw); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// What the client has seen is what the face has really done.
	var truth razorpayTruth
	b.get(razorpayBase+"/truth?key_id="+saw.KeyID, &truth)
	collected, refunded := truth.sums()
	if saw.Version == "" || len(truth.Orders) != saw.Orders || collected != saw.Collected || refunded != saw.Refunded || saw.Webhooks < 13 {
		t.Errorf("the client saw %+v; really %d orders, %d collected, %d refunded", saw, len(truth.Orders), collected, refunded)
	}
}

// razorpayTruth is what GET /sandbox/razorpay/truth answers.
type razorpayTruth struct {
	Orders   []razorpayOrderEntity   `json:"orders"`
	Payments []razorpayPaymentEntity `json:"payments"`
	Refunds  []razorpayRefundEntity  `json:"refunds"`
}

func (r *razorpayTruth) sums() (collected, refunded int64) {
	for _, p := range r.Payments {
		if p.Captured {
			collected += p.Amount
		}
	}
	for _, f := range r.Refunds {
		refunded += f.Amount
	}
	return collected, refunded
}
