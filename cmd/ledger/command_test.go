package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// inProcess runs commands on a new store on SQLite, and returns the last answer.
func inProcess(t *testing.T) (flags storeFlags, do func(args ...string) (answer map[string]any, code int)) {
	t.Helper()
	dir := t.TempDir()
	flags = storeFlags{DB: "sqlite:" + filepath.Join(dir, "ledger.db"), MasterKeyFile: filepath.Join(dir, "master.key")}
	do = func(args ...string) (map[string]any, int) {
		var out, errw bytes.Buffer
		code := run(t.Context(), append(args, "--db", flags.DB, "--master-key-file", flags.MasterKeyFile), &out, &errw)
		answer := map[string]any{}
		if out.Len() > 0 {
			if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
				t.Errorf("ledger %v answered %q: %v", args, out.String(), err)
			}
		}
		if code != 0 {
			t.Logf("ledger %v: exit %d: %s", args, code, errw.String())
		}
		return answer, code
	}
	if _, code := do("migrate"); code != 0 {
		t.Fatal("no store")
	}
	return flags, do
}

func TestKeyCanSign(t *testing.T) {
	flags, do := inProcess(t)
	made, code := do("merchant", "create", "--name", "Shop")
	if code != 0 {
		t.Fatal("no merchant")
	}
	key, id := made["api_key"].(string), made["key_id"].(string)
	s, err := flags.open(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	secret, err := s.vault.Secret(t.Context(), webhook.SecretName(id))
	if err != nil {
		t.Fatal(err)
	}
	midstates, err := vault.ParseMidstates(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("body"))
	if got := vault.Sign(midstates, []byte("body")); !bytes.Equal(got[:], mac.Sum(nil)) {
		t.Error("what is stored signs otherwise than the key")
	}
	views, err := s.openViews(t.Context(), &terminal{io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := views.Reach(t.Context()); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(key))
	m, k, found, err := views.MerchantByKeyHash(t.Context(), hex.EncodeToString(hash[:]))
	if err != nil || !found || m.ID != made["merchant_id"] || k.ID != id {
		t.Errorf("the key's hash finds %v %v, %t, %v", m.ID, k.ID, found, err)
	}
}

// TestBesideAnotherProcess adjusts one wallet from many commands at once, beside a ledger that is open all the time.
func TestBesideAnotherProcess(t *testing.T) {
	flags, do := inProcess(t)
	made, _ := do("merchant", "create", "--name", "Shop")
	id, ok := made["merchant_id"].(string)
	if !ok {
		t.Fatal("no merchant")
	}
	quiet := &terminal{io.Discard, io.Discard}
	err := deciding(t.Context(), &flags, quiet, func(_ *stores, l *ledger.Ledger) error {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, code := do("wallet", "adjust", "--merchant", id, "--amount", "10.01", "--reason", "race"); code != 0 {
					t.Errorf("exit %d", code)
				}
			})
		}
		wg.Wait()
		w, err := l.Wallet(t.Context(), id, money.INR)
		if got := w.Available.Fixed(); err == nil && got != "80.08" {
			t.Errorf("the wallet has %s", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPlanOfTheHelpIsAPlan(t *testing.T) {
	help := (*merchantSetPlan)(nil).Help()
	plan, err := fee.ParsePlan([]byte(help[strings.Index(help, "{"):]))
	if err != nil {
		t.Fatal(err)
	}
	charge, err := plan.PayoutCharge(money.MustParse("30000", money.INR))
	if err != nil || charge.Commission.Fixed() != "11.80" {
		t.Errorf("a payout of 30000 costs %v, %v", charge.Commission, err)
	}
}

func TestParsePrefix(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7": "203.0.113.7/32", "::1": "::1/128", "::ffff:10.0.0.1": "10.0.0.1/32", "10.0.0.0/8": "10.0.0.0/8", "0.0.0.0/0": "0.0.0.0/0",
		"10.0.0.1/8": "", "": "", "shop.example": "", "fe80::1%eth0": "", "10.0.0.0/33": "", "10.0.0.0/8/8": "",
	} {
		p, err := parsePrefix(in)
		if (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("%q: %v, %v; want %q", in, p, err, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	var errw bytes.Buffer
	if code := run(t.Context(), []string{"merchant", "list", "--db", "sqlite:" + filepath.Join(t.TempDir(), "none.db")}, io.Discard, &errw); code != exitNo {
		t.Errorf("exit %d", code)
	}
	if got := errw.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "ledger: ") {
		t.Errorf("it said %q", got)
	}
}
