package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/khata-ledger/khata/adapters/bankfile"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/reconciling"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/projections"
)

// newReconciling is reconciliation on a ledger and its views.
func newReconciling(s *stores, l *ledger.Ledger, views *projections.Views, zone *time.Location) *reconciling.Service {
	return reconciling.New(l, poster{l}, views, s.vault, reconciling.Options{Zone: zone})
}

// poster posts what settles breaks, once for each.
type poster struct{ ledger *ledger.Ledger }

// AdjustBooks moves an amount between accounts that are nobody's wallet. The id that it is about is its dedupe key.
func (p poster) AdjustBooks(ctx context.Context, c books.Adjust, o eventstore.Origin) (eventstore.Position, error) {
	res, err := p.ledger.SubmitBooks(ctx, c, o)
	return posted(res.First, err)
}

// AdjustWallet adjusts a wallet. The adjustment's id is its dedupe key.
func (p poster) AdjustWallet(ctx context.Context, c wallet.AdjustWallet, o eventstore.Origin) (eventstore.Position, error) {
	o.IdempotencyKey = "settlement:" + c.Payment
	res, err := p.ledger.Submit(ctx, c, o)
	return posted(res.First, err)
}

// posted takes what was posted before for posted.
func posted(at eventstore.Position, err error) (eventstore.Position, error) {
	var taken *executor.DuplicateError
	if errors.As(err, &taken) {
		return taken.Position, nil
	}
	return at, err
}

// KnowMerchant tells that there is a merchant.
func (p poster) KnowMerchant(ctx context.Context, id string) error {
	_, err := p.ledger.Merchant(ctx, id)
	return err
}

// bankFile is a file to be taken in, and how it is to be read.
type bankFile struct {
	name     string
	format   bankfile.Format // "": found out
	mapping  []byte          // "": none
	account  string          // "": as the file says
	currency money.Currency  // "": as the file says
	body     io.Reader
}

// read reads a file whole. What is wrong with it is domain.Invalid, and names the line.
func (f *bankFile) read(zone *time.Location) (reconciling.File, error) {
	opts := bankfile.Options{Account: f.account, Currency: f.currency, Zone: zone, Limits: bankfile.Limits{Lines: reconcile.MaxLines}}
	if len(f.mapping) > 0 {
		m, err := bankfile.ParseMapping(f.mapping)
		if err != nil {
			return reconciling.File{}, domain.InvalidField("map", err.Error())
		}
		opts.Mapping = m
	}
	sum := sha256.New()
	body := io.TeeReader(f.body, sum)
	st, err := bankfile.Read(body, f.format, opts)
	if err == nil {
		_, err = io.Copy(io.Discard, body) // so that all of it is in the sum
	}
	var wrong *bankfile.Error
	if errors.As(err, &wrong) {
		return reconciling.File{}, domain.InvalidField("file", fmt.Sprintf("%s: %v", f.name, wrong))
	}
	if err != nil {
		return reconciling.File{}, err
	}
	format := f.format
	if format == "" {
		format = "detected"
	}
	return reconciling.File{SHA256: hex.EncodeToString(sum.Sum(nil)), Format: string(format), Name: f.name, Statement: &st}, nil
}

// reconcileDesk gives reconciliation the shape of the operator API.
type reconcileDesk struct {
	service *reconciling.Service
	zone    *time.Location
}

// ReconcileSources lists the sources, or the one.
func (d reconcileDesk) ReconcileSources(ctx context.Context, name string) (any, error) {
	all, err := d.service.Sources(ctx, name)
	if err == nil && name != "" {
		return sourceAnswer{all[0]}, nil
	}
	return sourceList{all}, err
}

// sourceList, sourceAnswer, breakAnswer and importAnswer name what is answered.
type (
	sourceList struct {
		Sources []reconciling.SourceInfo `json:"sources"`
	}
	sourceAnswer struct {
		Source reconciling.SourceInfo `json:"source"`
	}
	breakAnswer struct {
		Break reconciling.Break `json:"break"`
	}
	importAnswer struct {
		Import reconciling.Imported `json:"import"`
	}
)

// DeclareSource makes a source, or gives it other terms.
func (d reconcileDesk) DeclareSource(ctx context.Context, name string, c money.Currency, t reconcile.Terms, o eventstore.Origin) (any, error) {
	if _, err := d.service.Declare(ctx, name, c, t, o); err != nil {
		return nil, err
	}
	return d.ReconcileSources(ctx, name)
}

// ImportFile takes in a file.
func (d reconcileDesk) ImportFile(ctx context.Context, f ops.ReconcileFile, o eventstore.Origin) (any, error) {
	known, err := d.service.Sources(ctx, f.Source)
	if err != nil {
		return nil, err
	}
	in := bankFile{
		name: f.Name, format: bankfile.Format(f.Format), mapping: f.Mapping, account: known[0].Account, currency: known[0].Currency, body: f.Body,
	}
	file, err := in.read(d.zone)
	if err != nil {
		return nil, err
	}
	done, err := d.service.Import(ctx, f.Source, file, o, nil)
	return importAnswer{done}, err
}

// Reconcile runs the passes.
func (d reconcileDesk) Reconcile(ctx context.Context, q ops.ReconcileQuery, o eventstore.Origin) (any, error) {
	found, err := d.service.Reconcile(ctx, q.Source, reconciling.RunOptions{Upto: q.Upto, Grace: q.Grace}, o, nil)
	return ran{found}, err
}

// Breaks lists what does not agree.
func (d reconcileDesk) Breaks(ctx context.Context, q ops.BreakQuery) (any, error) {
	found, err := d.service.List(ctx, reconciling.BreakFilter{
		Source: q.Source, Kind: q.Kind, OlderThan: q.OlderThan, Owner: q.Owner, Ended: q.Ended, After: q.After, Limit: q.Limit,
	})
	return breaks{found}, err
}

// Break does what an operator wants done about a break.
func (d reconcileDesk) Break(ctx context.Context, q ops.BreakDecision, o eventstore.Origin) (any, error) {
	var b reconciling.Break
	var err error
	switch q.Act {
	case "show":
		b, err = d.service.Break(ctx, q.ID)
	case "narration":
		b, err = d.service.Narration(ctx, q.ID, q.Way.Reason, o)
	case "assign":
		b, err = d.service.Assign(ctx, q.ID, q.Owner, o)
	case "settle":
		b, err = d.service.Propose(ctx, q.ID, q.Way, o)
	case "approve":
		b, err = d.service.Approve(ctx, q.ID, q.Proposal, o)
	case "reject":
		b, err = d.service.Reject(ctx, q.ID, q.Way.Reason, o)
	default:
		err = fmt.Errorf("a break cannot be asked to %q", q.Act)
	}
	return breakAnswer{b}, err
}

// TieBalances compares the balances of books and banks. The views are compared with a replay by the command line alone: that takes long.
func (d reconcileDesk) TieBalances(ctx context.Context, name string) (any, error) {
	found, err := d.service.Tie(ctx, name)
	ok := err == nil
	for i := range found {
		ok = ok && found[i].Ties
	}
	return tied{OK: ok, Sources: found, Views: []viewTied{}}, err
}
