package vault

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// Key is a master key: 256 bits. It prints as a placeholder, so that no log can show it.
type Key [32]byte

// NewKey makes a random key.
func NewKey() Key {
	var k Key
	rand.Read(k[:]) // never fails
	return k
}

// ParseKey reads 64 hexadecimal characters, white space around them aside. The error does not repeat the text.
func ParseKey(text []byte) (Key, error) {
	text = bytes.TrimSpace(text)
	var k Key
	if len(text) != hex.EncodedLen(len(k)) {
		return Key{}, fmt.Errorf("a master key is %d hexadecimal characters, this is %d characters", hex.EncodedLen(len(k)), len(text))
	}
	if _, err := hex.Decode(k[:], text); err != nil {
		return Key{}, fmt.Errorf("a master key is %d hexadecimal characters, this has others", hex.EncodedLen(len(k)))
	}
	return k, nil
}

// String hides the key.
func (Key) String() string { return "[master key]" }

// GoString hides the key.
func (Key) GoString() string { return "[master key]" }

// LogValue hides the key.
func (Key) LogValue() slog.Value { return slog.StringValue("[master key]") }

// MarshalText refuses: a key must not get into a file by accident.
func (Key) MarshalText() ([]byte, error) {
	return nil, errors.New("a master key is not written in clear")
}

// derive gives a key of its own to each use of the master key.
func (k Key) derive(use string) []byte { return derive(k[:], use) }

// derive gives a key of its own to each use of a key.
func derive(key []byte, use string) []byte {
	b, err := hkdf.Key(sha256.New, key, nil, "khata-ledger/vault/"+use+"/1", 32)
	if err != nil {
		panic("vault: hkdf refuses 32 bytes: " + err.Error())
	}
	return b
}

// LoadMaster reads the master key from a file of 64 hexadecimal characters. A file that others may read is used, with
// a warning in the log. A file that does not exist gives fs.ErrNotExist.
func LoadMaster(path string) (Key, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return Key{}, fmt.Errorf("master key: %w", err)
	}
	k, err := ParseKey(text)
	if err != nil {
		return Key{}, fmt.Errorf("master key file %s: %w", path, err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		slog.Warn("the master key file can be read by others; run chmod 600 on it", "file", path, "mode", info.Mode().Perm().String())
	}
	return k, nil
}

// LoadOrCreateMaster is LoadMaster, and makes the file, mode 0600, with a new random key if there is none. The file
// appears whole or not at all, and of several processes that start at once one makes it and all use it.
func LoadOrCreateMaster(path string) (Key, error) {
	k, err := LoadMaster(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := createMaster(path, NewKey()); err != nil && !errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("master key: %w", err)
	}
	return LoadMaster(path)
}

// createMaster writes the key beside path, durably, then links it into place; fs.ErrExist if something is there already.
func createMaster(path string, k Key) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".master-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	_, err = tmp.WriteString(hex.EncodeToString(k[:]) + "\n")
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new name in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // of the operator's file
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
