package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/projections"
)

// Names in the secrets.
const (
	signingKeySecret     = "proof/signing-key"
	lastCheckpointSecret = vault.MovingPrefix + "proof/last-checkpoint"
)

// Bounds of a proof.
const (
	signTries      = 5        // while others sign too
	maxProvenBytes = 64 << 20 // of the records in one inclusion proof
	maxProven      = 10_000   // records in one inclusion proof
)

// prover makes checkpoints and proofs.
type prover struct {
	stores  *stores
	views   *projections.Views
	fromLog bool // compute the trees from the log alone, without the view
}

// key is the ledger's key of checkpoints; it is made when there is none.
func (p *prover) key(ctx context.Context) (*proof.SigningKey, error) {
	secret, err := p.stores.vault.Secret(ctx, signingKeySecret)
	if errors.Is(err, vault.ErrNotFound) {
		err = p.stores.vault.ChangeSecret(ctx, signingKeySecret, func(old []byte) ([]byte, error) {
			secret = old
			if secret != nil { // another process was faster
				return old, nil
			}
			key, err := proof.NewSigningKey(p.stores.info.LedgerID)
			if err != nil {
				return nil, err
			}
			secret, err = key.Secret()
			return secret, err
		})
	}
	if err != nil {
		return nil, err
	}
	return proof.ParseSigningKey(p.stores.info.LedgerID, secret)
}

// rotate makes the next key. The checkpoint that the old one signed last stays where it is; it is not held against the new key's first.
func (p *prover) rotate(ctx context.Context) (next *proof.SigningKey, err error) {
	err = p.stores.vault.ChangeSecret(ctx, signingKeySecret, func(old []byte) ([]byte, error) {
		key, err := proof.ParseSigningKey(p.stores.info.LedgerID, old)
		if err != nil {
			return nil, err
		}
		if next, err = key.Next(); err != nil {
			return nil, err
		}
		return next.Secret()
	})
	return next, err
}

// errSigned: another process has signed meanwhile.
var errSigned = errors.New("another process signs checkpoints all the time")

// checkpoint signs what the log is now, and keeps that as the last one signed. It refuses a log that is not an extension of the one before.
func (p *prover) checkpoint(ctx context.Context) ([]byte, error) {
	key, err := p.key(ctx)
	if err != nil {
		return nil, err
	}
	for range signTries {
		last, before, err := p.last(ctx, key)
		if err != nil {
			return nil, err
		}
		c, err := p.now(ctx)
		if err != nil {
			return nil, err
		}
		if before != nil {
			if c.At.Before(before.At) { // the clock went back
				c.At = before.At
			}
			if err := p.extends(ctx, before, &c); err != nil {
				return nil, fmt.Errorf("the log is not signed, for it is no extension of what was signed on %s: %w", before.At.Format(time.RFC3339), err)
			}
		}
		signed, err := key.Sign(&c)
		if err != nil {
			return nil, err
		}
		err = p.stores.vault.ChangeSecret(ctx, lastCheckpointSecret, func(old []byte) ([]byte, error) {
			if !bytes.Equal(old, last) {
				return nil, errSigned
			}
			return signed, nil
		})
		if !errors.Is(err, errSigned) {
			return signed, err
		}
	}
	return nil, errSigned
}

// last is the last checkpoint signed, as it is kept, and opened where it is this key's.
func (p *prover) last(ctx context.Context, key *proof.SigningKey) ([]byte, *proof.Checkpoint, error) {
	signed, err := p.stores.vault.Secret(ctx, lastCheckpointSecret)
	if errors.Is(err, vault.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	keys, err := proof.ParseKeys(key.String())
	if err != nil {
		return nil, nil, err
	}
	c, err := proof.OpenCheckpoint(signed, keys)
	if errors.Is(err, proof.ErrUnsigned) { // a former key's: see rotate
		return signed, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the last checkpoint signed: %w", err)
	}
	return signed, &c, nil
}

// now is what the log is, as far as its heads were when it was called.
func (p *prover) now(ctx context.Context) (proof.Checkpoint, error) {
	c := proof.Checkpoint{Ledger: p.stores.info.LedgerID, At: time.Now().UTC().Truncate(time.Second)}
	for n := range p.stores.info.Partitions {
		head, err := p.stores.log.Head(ctx, n)
		if err != nil {
			return c, err
		}
		c.Trees = append(c.Trees, proof.TreeHead{Size: head.Seq})
	}
	if err := p.reach(ctx); err != nil {
		return c, err
	}
	for n := range c.Trees {
		tree, err := p.tree(n, c.Trees[n].Size)
		if err != nil {
			return c, err
		}
		if c.Trees[n].Root, err = tree.Root(ctx); err != nil {
			return c, fmt.Errorf("the tree of partition %d: %w", n, err)
		}
	}
	return c, nil
}

// reach brings the view to where the log is, if it is read.
func (p *prover) reach(ctx context.Context) error {
	if p.fromLog {
		return nil
	}
	return p.views.Reach(ctx)
}

func (p *prover) tree(partition int, size int64) (*proof.Tree, error) {
	if p.fromLog {
		log, able := p.stores.log.(proof.Hashes)
		if !able {
			return nil, errors.New("this log cannot read the hashes of records alone")
		}
		return proof.NewTree(proof.FromLog(log, partition), size), nil
	}
	source, err := p.views.Tree(partition)
	if err != nil {
		return nil, err
	}
	return proof.NewTree(source, size), nil
}

// paths are those from an older checkpoint to a newer one. A partition that is shorter has none.
func (p *prover) paths(ctx context.Context, older, newer *proof.Checkpoint) ([][]eventstore.Hash, error) {
	if err := newer.Extends(older); err != nil {
		return nil, err
	}
	paths := make([][]eventstore.Hash, len(newer.Trees))
	for n := range paths {
		if older.Trees[n].Size > newer.Trees[n].Size {
			continue
		}
		tree, err := p.tree(n, newer.Trees[n].Size)
		if err != nil {
			return nil, err
		}
		if paths[n], err = tree.Consistency(ctx, older.Trees[n].Size); err != nil {
			return nil, fmt.Errorf("the tree of partition %d: %w", n, err)
		}
	}
	return paths, nil
}

func (p *prover) extends(ctx context.Context, older, newer *proof.Checkpoint) error {
	paths, err := p.paths(ctx, older, newer)
	if err != nil {
		return err
	}
	return proof.CheckExtension(older, newer, paths)
}

// consistency proves that newer, or a checkpoint that is signed now where that is nil, extends older. Both are checked against the log: an older
// one that it does not extend is an error that names the partition.
func (p *prover) consistency(ctx context.Context, older, newer []byte) ([]byte, error) {
	a, err := p.read(older)
	if err != nil {
		return nil, fmt.Errorf("the older checkpoint: %w", err)
	}
	if newer == nil {
		if err := p.holds(ctx, &a); err != nil {
			return nil, err
		}
		if newer, err = p.checkpoint(ctx); err != nil {
			return nil, err
		}
	} else if err := p.reach(ctx); err != nil {
		return nil, err
	}
	b, err := p.read(newer)
	if err != nil {
		return nil, fmt.Errorf("the newer checkpoint: %w", err)
	}
	if err := p.covered(ctx, &b); err != nil {
		return nil, err
	}
	paths, err := p.paths(ctx, &a, &b)
	if err != nil {
		return nil, err
	}
	return proof.Consistency(older, newer, paths)
}

// read reads a checkpoint of this ledger.
func (p *prover) read(signed []byte) (proof.Checkpoint, error) {
	c, err := proof.ReadCheckpoint(signed)
	switch {
	case err != nil:
		return c, err
	case c.Ledger != p.stores.info.LedgerID:
		return c, fmt.Errorf("it is of ledger %s, this is ledger %s", c.Ledger, p.stores.info.LedgerID)
	case len(c.Trees) != p.stores.info.Partitions:
		return c, fmt.Errorf("it has %d partitions, the ledger has %d", len(c.Trees), p.stores.info.Partitions)
	}
	return c, nil
}

// holds holds the log as it is now against a checkpoint.
func (p *prover) holds(ctx context.Context, c *proof.Checkpoint) error {
	now, err := p.now(ctx)
	if err != nil {
		return err
	}
	now.At = c.At // only the trees are compared
	if err := p.extends(ctx, c, &now); err != nil {
		return fmt.Errorf("the log is no extension of the checkpoint of %s: %w", c.At.Format(time.RFC3339), err)
	}
	return nil
}

// covered refuses a checkpoint that has more records than the log.
func (p *prover) covered(ctx context.Context, c *proof.Checkpoint) error {
	for n, tree := range c.Trees {
		head, err := p.stores.log.Head(ctx, n)
		if err != nil {
			return err
		}
		if tree.Size > head.Seq {
			return &proof.PartitionError{Partition: n, Problem: fmt.Sprintf("the checkpoint has %d records, the log %d: records were removed", tree.Size, head.Seq)}
		}
	}
	return nil
}
