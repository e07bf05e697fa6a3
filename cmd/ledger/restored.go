package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/khata-ledger/khata/adapters/bus"
	"github.com/khata-ledger/khata/eventstore/proof"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/migrations"
)

// checkSecrets refuses secrets that are empty where the log is not: they were lost, or are to be restored still. What is sealed in the log could not be
// read, and whoever sealed more would make keys which contradict those of the backup.
func (s *stores) checkSecrets(ctx context.Context) error {
	bound, err := s.bound(ctx)
	if err != nil || bound {
		return err
	}
	for p := range s.info.Partitions {
		head, err := s.log.Head(ctx, p)
		if err != nil {
			return err
		}
		if head.Seq > 0 {
			return errors.New("the log has records, and the secrets are empty: restore them by `ledger secrets import`; " +
				"if there is no backup of them, start once with --accept-lost-secrets: what was sealed can then never be read again")
		}
	}
	return nil
}

// acceptLostSecrets binds empty secrets to the master key, so that open takes them. A key that is lost with them is made anew, where the first start would make it.
func (f *storeFlags) acceptLostSecrets(ctx context.Context) error {
	loc, err := f.location()
	if err != nil {
		return err
	}
	keyFile, err := f.masterKeyFile(loc)
	if err != nil {
		return err
	}
	s, err := openDatabases(ctx, loc)
	if err != nil {
		return err
	}
	bound, err := s.bound(ctx)
	if err == nil {
		_, err = openVault(ctx, s.secrets, keyFile, !bound && s.dialect == migrations.SQLite)
	}
	return errors.Join(err, s.Close())
}

// checkNotRestored refuses a log that ends before what a consumer has already seen: an older copy of it was put back, and
// what was recorded since is lost. The bank may have paid payouts that this log does not know, and merchants that ask
// again would be paid again. A person has to look first.
//
// As told, it goes on. What was under way in the copy may have ended in what is lost, and its job with it: so the consumers that make jobs read the log from
// its beginning, as those of a store without work do. Callbacks have been queued once for each record that is there, and are not again: they go on behind
// the last of them. Here, before anything is recorded: a reader that went back to the head later would pass over what has come meanwhile.
func (s *server) checkNotRestored(ctx context.Context, c consumer) error {
	name := bus.Consumer(c.group, c.topic)
	for p := range s.stores.info.Partitions {
		seen, err := s.stores.work.Checkpoint(ctx, name, p)
		if err != nil {
			return err
		}
		head, err := s.stores.log.Head(ctx, p)
		if err != nil {
			return err
		}
		switch {
		case s.cfg.AcceptRestoredLog && seen > head.Seq:
			s.logger.Warn("the log ends before what was seen of it; going on as told", "consumer", name, "partition", p, "seen", seen, "log", head.Seq)
		case seen > head.Seq:
			return fmt.Errorf("the log ends at %d:%d, and %s has seen %d:%d: an older copy of the log was restored, and it lacks payments "+
				"that were made since; compare them with the bank's list, then start with --accept-restored-log", p, head.Seq, name, p, seen)
		}
		from := int64(0)
		if c.group == "callbacks" {
			from = min(seen, head.Seq)
		}
		if s.cfg.AcceptRestoredLog && seen > from {
			if err := s.stores.work.SetCheckpoint(ctx, name, p, seen, from); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNotRewound refuses a log that ends before what was signed of it last, which the secrets keep: as checkNotRestored does, where work was not kept.
func (s *server) checkNotRewound(ctx context.Context) error {
	switch _, err := s.stores.vault.Secret(ctx, lastCheckpointSecret); {
	case errors.Is(err, vault.ErrNotFound):
		return nil
	case err != nil && !errors.Is(err, vault.ErrTampered): // a store that is away for a moment is no reason to go without
		return fmt.Errorf("reading the last checkpoint signed: %w", err)
	}
	p := &prover{stores: s.stores}
	key, err := p.key(ctx)
	var last *proof.Checkpoint
	if err == nil {
		_, last, err = p.last(ctx, key)
	}
	if err != nil { // payments need not wait for it
		s.logger.Error("the last checkpoint signed cannot be read, so the log was not held against it", "error", err)
	}
	if last == nil {
		return nil
	}
	for n := range last.Trees {
		head, err := s.stores.log.Head(ctx, n)
		if err != nil {
			return err
		}
		switch signed := last.Trees[n].Size; {
		case signed <= head.Seq:
		case s.cfg.AcceptRestoredLog:
			s.logger.Warn("the log ends before what was signed of it; going on as told", "partition", n, "signed", signed, "log", head.Seq)
		default:
			return fmt.Errorf("the log ends at %d:%d, and a checkpoint of %s has signed %d:%d: an older copy of the log was restored, and it lacks payments "+
				"that were made since; compare them with the bank's list, then start with --accept-restored-log", n, head.Seq, last.At.Format(time.RFC3339), n, signed)
		}
	}
	return nil
}
