package vault_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/eventstore/vault"
)

func TestSignEqualsHMAC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "key")
		body := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body")
		mac := hmac.New(sha256.New, key)
		mac.Write(body)
		want := mac.Sum(nil)
		m := vault.NewMidstates(key)
		if got := vault.Sign(m, body); !hmac.Equal(got[:], want) {
			t.Fatalf("key of %d, body of %d bytes: %x, want %x", len(key), len(body), got, want)
		}
		if !vault.Verify(m, body, want) {
			t.Fatal("a right signature is refused")
		}
		want[rapid.IntRange(0, len(want)-1).Draw(t, "at")] ^= 1
		if vault.Verify(m, body, want) {
			t.Fatal("a wrong signature is accepted")
		}
	})
}

func TestSignAtBlockBoundaries(t *testing.T) {
	for _, n := range []int{0, 1, 55, 56, 63, 64, 65, 127, 128, 129, 1 << 16} {
		key, body := make([]byte, n), make([]byte, n)
		mac := hmac.New(sha256.New, key)
		mac.Write(body)
		if got := vault.Sign(vault.NewMidstates(key), body); !hmac.Equal(got[:], mac.Sum(nil)) {
			t.Errorf("%d bytes: %x", n, got)
		}
	}
}

func TestSignGoldenVector(t *testing.T) {
	// RFC 4231, test case 2.
	got := vault.Sign(vault.NewMidstates([]byte("Jefe")), []byte("what do ya want for nothing?"))
	if want := "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"; hex.EncodeToString(got[:]) != want {
		t.Errorf("%x, want %s", got, want)
	}
}

func TestMidstatesAreStorable(t *testing.T) {
	m := vault.NewMidstates([]byte("key"))
	back, err := vault.ParseMidstates(m[:])
	if err != nil || back != m {
		t.Fatalf("%v, same: %t", err, back == m)
	}
	if _, err := vault.ParseMidstates(m[:63]); !errors.Is(err, vault.ErrInvalid) {
		t.Fatalf("63 bytes: %v", err)
	}
	if s := fmt.Sprintf("%s %v %+v %#v", m, m, m, m); s != "[midstates] [midstates] [midstates] [midstates]" {
		t.Fatal("midstates are printed: " + s)
	}
}

func BenchmarkSign(b *testing.B) {
	m, body := vault.NewMidstates([]byte("key")), make([]byte, 270)
	b.ReportAllocs()
	for b.Loop() {
		vault.Sign(m, body)
	}
}
