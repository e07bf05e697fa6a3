package vault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/khata-ledger/khata/eventstore/vault"
)

func TestMasterFileIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "data", "master.key")
	keys := make([]vault.Key, 16)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := vault.LoadOrCreateMaster(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = k
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] || k == (vault.Key{}) {
			t.Fatal("processes that start at once have different keys")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 65 {
		t.Fatalf("%v, mode %v, size %d", err, info.Mode(), info.Size())
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Fatalf("%v: %d files left, not the key alone", err, len(left))
	}
	again, err := vault.LoadMaster(path)
	if err != nil || again != keys[0] {
		t.Fatalf("read back: %v", err)
	}
}

func TestLoadMasterRefuses(t *testing.T) {
	good := strings.Repeat("0a", 32)
	for name, c := range map[string]struct{ text, message string }{
		"empty":     {"", "is 0 characters"},
		"short":     {good[2:], "is 62 characters"},
		"long":      {good + "00", "is 66 characters"},
		"not hex":   {good[1:] + "g", "has others"},
		"two lines": {good[:32] + "\n" + good[32:], "is 65 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "master.key")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := vault.LoadOrCreateMaster(path)
			if err == nil || !strings.Contains(err.Error(), c.message) || !strings.Contains(err.Error(), path) {
				t.Fatalf("%v", err)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != c.text {
				t.Fatalf("the file was changed to %q, %v", after, err)
			}
		})
	}
	if _, err := vault.LoadMaster(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
}

func TestLoadMasterTakesWhiteSpaceAndOpenFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	if err := os.WriteFile(path, []byte("  "+strings.Repeat("0A", 32)+"\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	k, err := vault.LoadMaster(path)
	if err != nil || k[0] != 10 || k[31] != 10 {
		t.Fatalf("%v", err)
	}
}

func TestMasterKeyIsNotPrinted(t *testing.T) {
	k := vault.NewKey()
	const hidden = "[master key]"
	if s := fmt.Sprintf("%s|%v|%+v|%#v|%v", k, k, k, k, k.LogValue()); s != strings.Repeat(hidden+"|", 4)+hidden {
		t.Fatal("the key is printed: " + s)
	}
	if b, err := json.Marshal(map[string]any{"key": k}); err == nil {
		t.Fatalf("the key is marshalled: %s", b)
	}
}
