package proof_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/eventstore/proof"
)

const statement = "khata-ledger/test/1\nledger x\nfile y\n"

func TestStatements(t *testing.T) {
	key := mustKey(t)
	signed, err := key.SignStatement(statement)
	if err != nil {
		t.Fatal(err)
	}
	text, signer, err := proof.OpenStatement(signed, mustKeys(t, key))
	if err != nil || text != statement || signer != proof.Origin(ledgerID) {
		t.Fatalf("%q by %q, %v", text, signer, err)
	}
	if _, _, err := proof.OpenStatement(signed, mustKeys(t, mustKey(t))); !errors.Is(err, proof.ErrUnsigned) || !strings.Contains(err.Error(), "another key") {
		t.Errorf("by another key: %v", err)
	}
	for at := range signed { // it is small: every bit
		for bit := range 8 {
			wrong := bytes.Clone(signed)
			wrong[at] ^= 1 << bit
			if _, _, err := proof.OpenStatement(wrong, mustKeys(t, key)); err == nil {
				t.Fatalf("with bit %d of byte %d (%q) flipped it holds", bit, at, signed[at])
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		if _, _, err := proof.OpenStatement(signed[:rapid.IntRange(0, len(signed)-1).Draw(t, "cut")], mustKeys(t, key)); !errors.Is(err, proof.ErrUnsigned) && err == nil {
			t.Fatal("cut short it holds")
		}
	})
	twice := append(bytes.Clone(signed), signed[len(statement)+1:]...)
	if _, _, err := proof.OpenStatement(twice, mustKeys(t, key)); !errors.Is(err, proof.ErrUnsigned) {
		t.Errorf("with two signatures: %v", err)
	}
}

// TestAStatementIsNoCheckpoint: what is signed as the one never passes for the other.
func TestAStatementIsNoCheckpoint(t *testing.T) {
	key := mustKey(t)
	checkpoint := sign(t, key, noon, []*chain{newChain(0, 3, 0)}, 3)
	text, _, _ := strings.Cut(string(checkpoint), "\n\n")
	for _, wrong := range []string{text + "\n", "", "\n", "x\n", "khata-ledger/x", "khata-ledger/x\n\ny\n", strings.ToUpper(text) + "\n"} {
		if _, err := key.SignStatement(wrong); err == nil {
			t.Errorf("%q is signed", wrong)
		}
	}
	if _, _, err := proof.OpenStatement(checkpoint, mustKeys(t, key)); err == nil {
		t.Error("a checkpoint is opened as a statement")
	}
	signed, err := key.SignStatement(statement)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.OpenCheckpoint(signed, mustKeys(t, key)); err == nil {
		t.Error("a statement is opened as a checkpoint")
	}
}

func TestOpenInclusion(t *testing.T) {
	key := mustKey(t)
	c := newChain(0, 20, 0)
	signed := sign(t, key, noon, []*chain{c}, 20)
	file, err := include(t, signed, c, 20, 3, 7)
	if err != nil {
		t.Fatal(err)
	}
	got, at, records, v := proof.OpenInclusion(file, mustKeys(t, key))
	if !v.Holds || got != string(signed) || at.Trees[0].Size != 20 || len(records) != 2 || records[1].Hash != c.records[6].Hash || string(records[0].Data) != string(c.records[2].Data) {
		t.Errorf("%+v: %+v, %d records", v, at, len(records))
	}
	if _, _, records, v := proof.OpenInclusion(file, mustKeys(t, mustKey(t))); v.Holds || records != nil {
		t.Errorf("by another key: %+v", v)
	}
	if _, _, records, v := proof.OpenInclusion(signed, mustKeys(t, key)); v.Kind != "checkpoint" || records != nil {
		t.Errorf("a checkpoint: %+v", v)
	}
}
