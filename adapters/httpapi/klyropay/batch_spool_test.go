package klyropay

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/khata-ledger/khata/domain/money"
)

func newTestSpool(t *testing.T) *spool {
	s, err := newSpool(t.TempDir(), money.INR)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"Rahul Sharma", "", "आशा वर्मा"} {
		if err := s.add(&BatchEntry{BeneficiaryName: name, AccountNo: "00123", Amount: money.FromMinor(1<<62, money.INR), PartnerRequestID: name}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestSpool(t *testing.T) {
	s := newTestSpool(t)
	for range 2 { // it can be gone through again
		var names []string
		for p, err := range s.payouts("B") {
			if err != nil {
				t.Fatal(err)
			}
			if p.To.AccountNo != "00123" || !p.Amount.Equal(money.FromMinor(1<<62, money.INR)) || p.RequestID == "" {
				t.Errorf("item %+v", p)
			}
			names = append(names, p.To.Name)
			if len(names) == 1 && p.RequestID != "Rahul Sharma" {
				t.Errorf("item %+v", p)
			}
		}
		if len(names) != 3 || names[2] != "आशा वर्मा" {
			t.Errorf("items %q", names)
		}
	}
	for range s.payouts("B") {
		break
	}
}

// What stands in the file can be read by nobody else.
func TestSpoolIsEnciphered(t *testing.T) {
	s := newTestSpool(t)
	if err := s.rewind(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(s.file)
	if err != nil || len(b) < 60 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if bytes.Contains(b, []byte("Rahul")) || bytes.Contains(b, []byte("00123")) {
		t.Errorf("the file is %q", b)
	}
}

// A file that is not what was written is a fault, not another batch.
func TestSpoolDamaged(t *testing.T) {
	for name, damage := range map[string]func(s *spool) error{
		"cut":     func(s *spool) error { return s.file.Truncate(40) },
		"empty":   func(s *spool) error { return s.file.Truncate(0) },
		"altered": func(s *spool) error { return swap(s, 20) },
		"longer":  func(s *spool) error { return swap(s, 0) },
	} {
		s := newTestSpool(t)
		if err := s.rewind(); err != nil {
			t.Fatal(err)
		}
		if err := damage(s); err != nil {
			t.Fatal(err)
		}
		var fault error
		for _, err := range s.payouts("B") {
			fault = err
		}
		var own *spoolError
		if !errors.As(fault, &own) {
			t.Errorf("%s: %v", name, fault)
		}
	}
}

// Items that differ have different references, whichever batch they are of.
func TestItemReferences(t *testing.T) {
	seen := map[string]bool{}
	for _, ref := range []string{"A", "A-1", "A-11", "", "A\x01"} {
		for index := 1; index <= 200; index++ {
			seen[itemReference(ref, index)] = true
		}
	}
	if len(seen) != 1000 {
		t.Errorf("%d references of 1000 items", len(seen))
	}
}

// Each id leads to another one, and what only looks like a number is none.
func TestRetryReferences(t *testing.T) {
	for id, want := range map[string]string{
		"X": "X-r1", "X-r1": "X-r2", "X-r9": "X-r10", "X-r1-r9": "X-r1-r10", "-r7": "-r8", "X-r": "X-r-r1", "X-r0": "X-r0-r1", "X-r01": "X-r01-r1", "X-r+1": "X-r+1-r1",
		"X-r-1": "X-r-1-r1", "X-r1x": "X-r1x-r1", "X-R1": "X-R1-r1", "X-r999999": "X-r1000000", "X-r1000000": "X-r1000000-r1", "X-r99999999999999999999": "X-r99999999999999999999-r1",
	} {
		if got := retryReference(id); got != want {
			t.Errorf("%s is tried again as %s, not %s", id, got, want)
		}
	}
}

// A retry is no other batch that happens to have its items.
func TestDigestOfARetry(t *testing.T) {
	s := newTestSpool(t)
	seen := map[string]bool{s.sum(BatchOptions{}, ""): true, s.sum(BatchOptions{}, "bat_1"): true, s.sum(BatchOptions{}, "bat_2"): true, s.sum(BatchOptions{Mode: "atomic"}, ""): true}
	if len(seen) != 4 {
		t.Errorf("%d digests", len(seen))
	}
}

// swap changes a byte of the file.
func swap(s *spool, at int64) error {
	var b [1]byte
	if _, err := s.file.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 0x81
	_, err := s.file.WriteAt(b[:], at)
	return err
}
