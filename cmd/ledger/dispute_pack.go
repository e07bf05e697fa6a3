package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/khata-ledger/khata/adapters/pack"
	"github.com/khata-ledger/khata/adapters/webhook"
)

// disputePack makes a dispute pack.
type disputePack struct {
	storeFlags
	actorFlag
	Transaction string `arg:"" help:"A payin or a payout."`
	Output      string `short:"o" required:"" help:"File to write; it appears whole or not at all." placeholder:"FILE"`
	Unmasked    bool   `help:"Show personal data as it is. Takes --reason and --actor."`
	Reason      string `help:"Why; it stays in the log for ever." placeholder:"TEXT"`
}

// Help says what a pack is.
func (*disputePack) Help() string {
	return `The pack has the payment's whole story with proof: timeline, requests, the gateway's messages, callbacks, postings, what people
decided, the records as hashed with their inclusion proofs, and the signed checkpoint that they lead to. Whoever has the public key
(ledger proof key) checks it without this ledger: ledger dispute verify.

Sealed data is opened for it. That is an event in the log (merchant.data_opened), which the edit log shows, and part of the pack.`
}

// packed is the answer.
type packed struct {
	Transaction string    `json:"transaction_id"`
	File        string    `json:"file"`
	Bytes       int       `json:"bytes"`
	SHA256      string    `json:"sha256"`
	Files       int       `json:"files"`
	Records     int       `json:"records"`
	Messages    int       `json:"messages"`
	Masked      bool      `json:"personal_data_masked"`
	Opened      string    `json:"opened_at"` // position of the event that says so
	Checkpoint  time.Time `json:"checkpoint_at"`
}

func (c *disputePack) opening() (opening, error) {
	o := opening{reason: c.Reason, unmasked: c.Unmasked}
	if c.Unmasked && (c.Reason == "" || c.Actor == "") {
		return o, usagef("--unmasked needs --reason and --actor: who sees personal data, and why, stays in the log")
	}
	if c.Reason != "" {
		if err := checkText("--reason", c.Reason, maxReason); err != nil {
			return o, err
		}
	}
	var err error
	o.actor, err = c.who()
	return o, err
}

// Run makes the pack, beside a server that may be running.
func (c *disputePack) Run(ctx context.Context, t *terminal) (err error) {
	o, err := c.opening()
	if err != nil {
		return err
	}
	from, err := origin(o.actor, "dispute pack", map[string]any{"transaction": c.Transaction, "unmasked": c.Unmasked, "reason": c.Reason})
	if err != nil {
		return err
	}
	s, l, closeAll, err := openLedger(ctx, &c.storeFlags, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	views, err := s.openViews(ctx, t)
	if err != nil {
		return err
	}
	p := &packer{prover: &prover{stores: s, views: views}, ledger: l, callbacks: webhook.NewStore(s.workDB, s.workQuick)}
	var zip []byte
	var made pack.Receipt
	if err := writeWhole(c.Output, func(w io.Writer) (err error) { // nothing is opened for a file that cannot be written
		if zip, made, err = p.pack(ctx, c.Transaction, o, from); err != nil {
			return err
		}
		_, err = w.Write(zip)
		return err
	}); err != nil {
		return err
	}
	return t.answer(receipt(c.Transaction, c.Output, zip, made))
}

func receipt(transaction, path string, zip []byte, made pack.Receipt) packed {
	sum := sha256.Sum256(zip)
	return packed{
		Transaction: transaction, File: path, Bytes: len(zip), SHA256: hex.EncodeToString(sum[:]), Files: made.Files, Records: made.Records,
		Messages: made.Messages, Masked: made.Masked, Opened: made.Opened.String(), Checkpoint: made.CheckpointAt,
	}
}
