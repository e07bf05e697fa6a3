package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/khata-ledger/khata/eventstore/vault"
)

// secretsCommand is `ledger secrets`.
type secretsCommand struct {
	Export       secretsExport `cmd:"" help:"Write the wrapped keys and secrets: the backup without which the log's sealed data cannot be opened."`
	Import       secretsImport `cmd:"" help:"Add what an export holds; all of it or nothing."`
	RotateMaster secretsRotate `cmd:"" help:"Give the secrets a new master key."`
	Erase        secretsErase  `cmd:"" help:"Make a merchant's personal data of past months unreadable for ever."`
}

type secretsExport struct {
	storeFlags
	Output string `short:"o" help:"File to write; it appears whole or not at all. Without it, stdout." placeholder:"FILE"`
}

// secretsCount is what an export or import did.
type secretsCount struct {
	File string `json:"file,omitempty"`
	vault.Count
}

// Run exports. Everything stays wrapped by the master key.
func (c *secretsExport) Run(ctx context.Context, t *terminal) error {
	return c.withVault(ctx, func(s *stores) error {
		var n vault.Count
		err := t.writeOut(c.Output, func(w io.Writer) (err error) {
			n, err = s.vault.Export(ctx, w)
			return err
		})
		if err != nil {
			return err
		}
		if c.Output == "" {
			_, err := fmt.Fprintf(t.err, "%d keys and %d secrets exported\n", n.Keys, n.Secrets)
			return err
		}
		return t.answer(secretsCount{c.Output, n})
	})
}

// withVault runs f with the stores open, the vault among them.
func (f *storeFlags) withVault(ctx context.Context, run func(*stores) error) error {
	s, err := f.open(ctx, false)
	if err != nil {
		return err
	}
	return errors.Join(run(s), s.Close())
}

type secretsImport struct {
	storeFlags
	File string `arg:"" optional:"" help:"The export; without it, stdin."`
}

// Run imports.
func (c *secretsImport) Run(ctx context.Context, t *terminal) error {
	var in io.Reader = os.Stdin
	if c.File != "" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	loc, err := c.location()
	if err != nil {
		return err
	}
	keyFile, err := c.masterKeyFile(loc)
	if err != nil {
		return err
	}
	s, err := openDatabases(ctx, loc)
	if err != nil {
		return err
	}
	n, err := s.importSecrets(ctx, keyFile, in)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	return t.answer(secretsCount{"", n})
}

// importSecrets imports. Opening a vault binds a new store to the master key; if the import then fails, perhaps since that
// is another key than the export's, the binding is undone, so that the right key can be tried.
func (s *stores) importSecrets(ctx context.Context, keyFile string, in io.Reader) (vault.Count, error) {
	bound, err := s.bound(ctx)
	if err != nil {
		return vault.Count{}, err
	}
	v, err := openVault(ctx, s.secrets, keyFile, false)
	if err != nil {
		return vault.Count{}, err
	}
	n, err := v.Import(ctx, in)
	if err != nil && !bound {
		_, undo := s.secrets.ExecContext(ctx, `DELETE FROM master WHERE NOT EXISTS (SELECT 1 FROM data_keys) AND NOT EXISTS (SELECT 1 FROM named_secrets)`)
		err = errors.Join(err, undo)
	}
	return n, err
}

type secretsRotate struct {
	storeFlags
	NewMasterKeyFile string `help:"File that holds the new key: 64 hexadecimal characters. Without it, a random one is made." placeholder:"FILE"`
}

// Help explains what happens in which order.
func (*secretsRotate) Help() string {
	return `The order is such that a kill at any moment loses nothing, and running the command again completes it:

  1. the new key is written to the master key file's name with .next, and made durable;
  2. everything in the secrets is wrapped anew with it, in one transaction;
  3. the .next file takes the place of the master key file.

A running server goes on: it reads the master key file again when the old key is refused. A backup of the secrets that was
made before needs the old key: keep it as long as that backup, or make a new backup and destroy both.`
}

// rotated is the answer of `secrets rotate-master`.
type rotated struct {
	Rotated       bool   `json:"rotated"`
	MasterKeyFile string `json:"master_key_file"` // which holds the new key
}

// Run rotates the master key.
func (c *secretsRotate) Run(ctx context.Context, t *terminal) (err error) {
	loc, err := c.location()
	if err != nil {
		return err
	}
	keyFile, err := c.masterKeyFile(loc)
	if err != nil {
		return err
	}
	s, err := openDatabases(ctx, loc)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if c.NewMasterKeyFile != "" {
		done, err := stageMaster(c.NewMasterKeyFile, keyFile)
		if err != nil {
			return err
		}
		if done { // by an earlier call: then there is only the proof that the key opens the secrets
			if _, err := openVault(ctx, s.secrets, keyFile, false); err != nil {
				return err
			}
			return t.answer(rotated{true, keyFile})
		}
	}
	if err := vault.RotateMasterFile(ctx, s.secrets, keyFile); err != nil {
		return err
	}
	return t.answer(rotated{true, keyFile})
}

// stageMaster puts the key of newFile where RotateMasterFile looks for the next one; done when it is the master key already.
// A key that an earlier rotation left there may be in use, so it is never replaced by another.
func stageMaster(newFile, keyFile string) (done bool, err error) {
	next, err := vault.LoadMaster(newFile)
	if err != nil {
		return false, err
	}
	current, err := vault.LoadMaster(keyFile)
	if err != nil || current == next {
		return current == next, err
	}
	staged, err := vault.LoadMaster(keyFile + ".next")
	switch {
	case err == nil && staged == next:
		return false, nil
	case err == nil:
		return false, fmt.Errorf("%s.next holds another key: an earlier rotation was cut short; "+
			"complete it first by running the command without --new-master-key-file", keyFile)
	case !errors.Is(err, os.ErrNotExist):
		return false, err
	}
	text, err := readBounded(newFile, 1<<10)
	if err != nil {
		return false, err
	}
	return false, writeWhole(keyFile+".next", func(w io.Writer) error {
		_, err := w.Write(append(bytes.TrimSpace(text), '\n'))
		return err
	})
}
