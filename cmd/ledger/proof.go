package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/khata-ledger/khata/eventstore/proof"
)

// proofCommand is `ledger proof`: what lets others check the log without trusting who keeps it.
type proofCommand struct {
	Key         proofKey         `cmd:"" help:"Print the public key that checkpoints are verified with."`
	Checkpoint  proofCheckpoint  `cmd:"" help:"Sign what the log is now."`
	Include     proofInclude     `cmd:"" help:"Prove that records are in the log, with their content."`
	Consistency proofConsistency `cmd:"" help:"Prove that the log only appends to what an older checkpoint says."`
	Verify      proofVerify      `cmd:"" help:"Verify a checkpoint or a proof, with the public key alone."`
}

// outputFlag is where a proof goes.
type outputFlag struct {
	Output string `short:"o" help:"File to write; it appears whole or not at all. Without it, stdout." placeholder:"FILE"`
}

func (f outputFlag) write(t *terminal, b []byte) error {
	return t.writeOut(f.Output, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

type proofKey struct {
	storeFlags
	Rotate bool `help:"Make a new key first. Checkpoints begin anew with it: the first one is not held against the last of the old key."`
}

// Help says what a rotation means.
func (*proofKey) Help() string {
	return `The key is made when it is first needed, and kept in the secrets, sealed by the master key.

Each checkpoint is signed only if the log extends the last one that was signed. After a restore of an older copy of the log that
cannot be so: a new key is the one way on, and nobody who holds the old public key can overlook it. Give out the new public key;
keep the old one for what it has signed. A file of public keys may have both, each on its line.`
}

// Run prints the key.
func (c *proofKey) Run(ctx context.Context, t *terminal) error {
	return c.withVault(ctx, func(s *stores) error {
		p := &prover{stores: s}
		key, err := p.key(ctx)
		if err == nil && c.Rotate {
			key, err = p.rotate(ctx)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(t.out, key)
		return err
	})
}

// fromLogFlag does without what is stored of the trees.
type fromLogFlag struct {
	FromLog bool `help:"Compute the trees from the log alone, without the view: every record's hash is read."`
}

type proofCheckpoint struct {
	storeFlags
	outputFlag
	fromLogFlag
}

// Run signs.
func (c *proofCheckpoint) Run(ctx context.Context, t *terminal) error {
	return proving(ctx, &c.storeFlags, t, true, func(p *prover) error {
		p.fromLog = c.FromLog
		signed, err := p.checkpoint(ctx)
		if err != nil {
			return err
		}
		return c.write(t, signed)
	})
}

type proofInclude struct {
	storeFlags
	outputFlag
	Subject    string `arg:"" help:"A transaction, batch, merchant or operator id, a stream (wallet:mer_x:INR), or a position (partition:seq)."`
	Checkpoint string `help:"Prove it under this checkpoint, which others may hold already. Without it, under the last one signed if that covers the records, else under a new one." placeholder:"FILE"`
}

// Run proves.
func (c *proofInclude) Run(ctx context.Context, t *terminal) error {
	given, err := givenCheckpoint(c.Checkpoint)
	if err != nil {
		return err
	}
	return proving(ctx, &c.storeFlags, t, given == nil, func(p *prover) error {
		file, err := p.include(ctx, c.Subject, given)
		if err != nil {
			return err
		}
		return c.write(t, file)
	})
}

type proofConsistency struct {
	storeFlags
	outputFlag
	fromLogFlag
	Older string `arg:"" name:"old-checkpoint" help:"File with the older checkpoint; of several in it, the last one is taken."`
	Newer string `name:"checkpoint" help:"Prove it to this newer checkpoint, instead of one that is signed now." placeholder:"FILE"`
}

// Run proves, and ends with exit code 1 where the log is no extension.
func (c *proofConsistency) Run(ctx context.Context, t *terminal) error {
	older, err := givenCheckpoint(c.Older)
	if err != nil {
		return err
	}
	newer, err := givenCheckpoint(c.Newer)
	if err != nil {
		return err
	}
	return proving(ctx, &c.storeFlags, t, newer == nil, func(p *prover) error {
		p.fromLog = c.FromLog
		file, err := p.consistency(ctx, older, newer)
		if err != nil {
			return err
		}
		return c.write(t, file)
	})
}

type proofVerify struct {
	File      string `arg:"" help:"Checkpoints or a proof."`
	PublicKey string `required:"" help:"What ledger proof key printed, or a file of it; a file may have several keys, each on a line." placeholder:"FILE|KEY"`
	JSON      bool   `name:"json" help:"Print JSON for machines."`
}

// maxProofBytes bounds a file of proofs or checkpoints.
const maxProofBytes = 256 << 20

// Run verifies. It opens no store.
func (c *proofVerify) Run(t *terminal) error {
	keys, err := publicKeys(c.PublicKey)
	if err != nil {
		return err
	}
	file, err := readBounded(c.File, maxProofBytes)
	if err != nil {
		return err
	}
	v := proof.Verify(file, keys)
	if c.JSON {
		err = t.answer(v)
	} else {
		err = verdictTable(t.out, v)
	}
	if err == nil && !v.Holds {
		err = errNo
	}
	return err
}

func verdictTable(out io.Writer, v proof.Verdict) error {
	word := "VALID"
	if !v.Holds {
		word = "NOT VALID"
	}
	var b strings.Builder
	fmt.Fprintln(&b, strings.TrimSpace(word+" "+v.Kind))
	for _, f := range v.Faults {
		fmt.Fprintf(&b, "WRONG  %s: %s\n", f.Where, f.Problem)
	}
	for _, s := range v.Proves {
		fmt.Fprintln(&b, s)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// publicKeys reads --public-key.
func publicKeys(arg string) (proof.Keys, error) {
	keys, err := proof.ParseKeys(arg)
	if err == nil {
		return keys, nil
	}
	text, failed := readBounded(arg, 1<<20)
	switch {
	case errors.Is(failed, os.ErrNotExist) && strings.Contains(arg, "+"):
		return proof.Keys{}, usagef("--public-key: neither a public key nor a file")
	case failed != nil:
		return proof.Keys{}, usagef("--public-key: %v", failed)
	}
	if keys, err = proof.ParseKeys(string(text)); err != nil {
		return proof.Keys{}, usagef("--public-key %s: %v", arg, err)
	}
	return keys, nil
}

// givenCheckpoint is the last signed checkpoint in a file; nil without a file.
func givenCheckpoint(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	file, err := readBounded(path, maxProofBytes)
	if err != nil {
		return nil, err
	}
	last, err := lastCheckpoint(file)
	if err == nil && last == nil {
		return nil, fmt.Errorf("%s is empty", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return last, nil
}

// lastCheckpoint is the last of the checkpoints in a file; nil when it is empty. A proof.LineError names the line that is wrong.
func lastCheckpoint(file []byte) ([]byte, error) {
	all, lines := proof.SplitCheckpoints(file)
	if len(all) == 0 {
		return nil, nil
	}
	last := len(all) - 1
	var line *proof.LineError
	if _, err := proof.ReadCheckpoint(all[last]); errors.As(err, &line) {
		return nil, &proof.LineError{Line: line.Line + lines[last] - 1, Problem: line.Problem}
	}
	return all[last], nil
}

// proving runs f with the stores and the views open, and the vault where something may have to be signed.
func proving(ctx context.Context, flags *storeFlags, t *terminal, sign bool, f func(*prover) error) error {
	run := func(s *stores) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		return f(&prover{stores: s, views: views})
	}
	if sign {
		return flags.withVault(ctx, run)
	}
	return reading(ctx, flags, run)
}
