package proof

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/khata-ledger/khata/eventstore"
)

// originPrefix stands in front of the ledger's id.
const originPrefix = "khata-ledger/"

// timeLayout is how a checkpoint writes its time.
const timeLayout = "2006-01-02T15:04:05Z"

// MaxCheckpointBytes bounds a signed checkpoint: that of the most partitions has less.
const MaxCheckpointBytes = 100 << 10

// Origin names a ledger in its checkpoints and keys.
func Origin(ledger uuid.UUID) string { return originPrefix + ledger.String() }

// TreeHead is the tree of a partition at a moment.
type TreeHead struct {
	Size int64 // records
	Root eventstore.Hash
}

// Checkpoint is what a ledger signs: the trees of all its partitions.
type Checkpoint struct {
	Ledger uuid.UUID
	At     time.Time // UTC, seconds
	Trees  []TreeHead
}

// Text is what is signed.
func (c *Checkpoint) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", Origin(c.Ledger), c.At.UTC().Format(timeLayout))
	for p, t := range c.Trees {
		fmt.Fprintf(&b, "%d %d %s\n", p, t.Size, base64.StdEncoding.EncodeToString(t.Root[:]))
	}
	return b.String()
}

// LineError is a fault in a file.
type LineError struct {
	Line    int // from 1
	Problem string
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

func lineErrorf(line int, format string, args ...any) error {
	return &LineError{line, fmt.Sprintf(format, args...)}
}

// ParseCheckpoint reads what Text writes, and nothing else; a LineError says where it is not.
func ParseCheckpoint(text string) (Checkpoint, error) {
	var c Checkpoint
	if !strings.HasSuffix(text, "\n") {
		return c, lineErrorf(strings.Count(text, "\n")+1, "the checkpoint ends within a line")
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	id, ours := strings.CutPrefix(lines[0], originPrefix)
	var err error
	if c.Ledger, err = uuid.Parse(id); !ours || err != nil || c.Ledger.String() != id {
		return c, lineErrorf(1, "%.80q is no origin such as %s and a ledger's id", lines[0], originPrefix)
	}
	if len(lines) < 2 {
		return c, lineErrorf(2, "the checkpoint ends before its time")
	}
	if c.At, err = time.Parse(timeLayout, lines[1]); err != nil || c.At.Format(timeLayout) != lines[1] {
		return c, lineErrorf(2, "%.80q is no time such as 2026-03-31T18:00:00Z", lines[1])
	}
	if len(lines) < 3 {
		return c, lineErrorf(3, "the checkpoint ends before its first partition")
	}
	if len(lines)-2 > eventstore.MaxPartitions {
		return c, lineErrorf(eventstore.MaxPartitions+3, "more than %d partitions", eventstore.MaxPartitions)
	}
	for p, line := range lines[2:] {
		tree, err := parseTree(p, line)
		if err != nil {
			return c, lineErrorf(p+3, "%v", err)
		}
		c.Trees = append(c.Trees, tree)
	}
	return c, nil
}

func parseTree(partition int, line string) (TreeHead, error) {
	var t TreeHead
	fields := strings.Split(line, " ")
	if len(fields) != 3 {
		return t, fmt.Errorf("%.120q is not a partition, its size and its root", line)
	}
	if fields[0] != strconv.Itoa(partition) {
		return t, fmt.Errorf("partition %.20q where partition %d is due", fields[0], partition)
	}
	var err error
	if t.Size, err = strconv.ParseInt(fields[1], 10, 64); err != nil || t.Size < 0 || strconv.FormatInt(t.Size, 10) != fields[1] {
		return t, fmt.Errorf("%.40q is no number of records", fields[1])
	}
	root, err := decodeBase64(fields[2])
	if err != nil || len(root) != len(t.Root) {
		return t, fmt.Errorf("%.80q is no root: 32 bytes in base64", fields[2])
	}
	t.Root = eventstore.Hash(root)
	if t.Size == 0 && t.Root != EmptyRoot() {
		return t, errors.New("the root of an empty partition is not that of no records")
	}
	return t, nil
}

// signatureLine is how the line of a signature begins.
const signatureLine = "— "

// OpenCheckpoint reads a signed checkpoint and verifies its one signature. A LineError says where it cannot be read; else ErrUnsigned
// says why the signature does not hold.
func OpenCheckpoint(signed []byte, keys Keys) (Checkpoint, error) {
	c, err := ReadCheckpoint(signed)
	if err != nil {
		return c, err
	}
	n, err := note.Open(signed, note.VerifierList(keys.verifiers...))
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		return c, fmt.Errorf("%w: it is signed by another key than %s", ErrUnsigned, keys)
	case errors.As(err, &invalid):
		return c, fmt.Errorf("%w: the signature is not one of this text by the key %s+%08x", ErrUnsigned, invalid.Name, invalid.Hash)
	case err != nil:
		return c, fmt.Errorf("%w: %w", ErrUnsigned, err)
	case len(n.Sigs) != 1 || n.Sigs[0].Name != Origin(c.Ledger):
		return c, fmt.Errorf("%w: it is signed by %q, which is another ledger's key", ErrUnsigned, n.Sigs[0].Name)
	}
	return c, nil
}

// ErrUnsigned means that the signature of a checkpoint does not hold.
var ErrUnsigned = errors.New("the checkpoint's signature does not hold")

// ReadCheckpoint reads a signed checkpoint, whoever signed it. A LineError says where it is none.
func ReadCheckpoint(signed []byte) (Checkpoint, error) {
	if len(signed) > MaxCheckpointBytes {
		return Checkpoint{}, lineErrorf(1, "a checkpoint of %d bytes (at most %d)", len(signed), MaxCheckpointBytes)
	}
	text, signature, found := strings.Cut(string(signed), "\n\n")
	if !found {
		if _, err := ParseCheckpoint(string(signed)); err != nil {
			return Checkpoint{}, err
		}
		return Checkpoint{}, lineErrorf(bytes.Count(signed, []byte("\n"))+1, "the checkpoint ends before its signature")
	}
	c, err := ParseCheckpoint(text + "\n")
	if err != nil {
		return c, err
	}
	at := strings.Count(text, "\n") + 3
	line, rest, ended := strings.Cut(signature, "\n")
	name, code, two := strings.Cut(strings.TrimPrefix(line, signatureLine), " ")
	switch {
	case !ended:
		return c, lineErrorf(at, "the checkpoint ends within its signature")
	case rest != "":
		return c, lineErrorf(at+1, "there is something behind the signature")
	case !strings.HasPrefix(line, signatureLine) || !two || name == "":
		return c, lineErrorf(at, "%.80q is no signature", line)
	}
	if _, err := decodeBase64(code); err != nil {
		return c, lineErrorf(at, "the signature is not in base64")
	}
	return c, nil
}

// decodeBase64 reads the one way to write bytes; the library's own decoders pass over line ends.
func decodeBase64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err == nil && base64.StdEncoding.EncodeToString(b) != s {
		err = errors.New("it is not written as base64 is")
	}
	return b, err
}

// SplitCheckpoints takes a file of signed checkpoints, one behind the other, apart: each begins with its origin. The lines tell where.
func SplitCheckpoints(file []byte) (signed [][]byte, lines []int) {
	n := 1
	for line := range bytes.Lines(file) {
		if len(signed) == 0 || bytes.HasPrefix(line, []byte(originPrefix)) {
			signed, lines = append(signed, nil), append(lines, n)
		}
		last := &signed[len(signed)-1]
		*last = append(*last, line...)
		n++
	}
	return signed, lines
}

// Extends checks what two checkpoints alone can show: they are of one ledger, and the newer one is not behind the older one.
func (c *Checkpoint) Extends(older *Checkpoint) error {
	switch {
	case c.Ledger != older.Ledger:
		return fmt.Errorf("the checkpoints are of the ledgers %s and %s", older.Ledger, c.Ledger)
	case len(c.Trees) != len(older.Trees):
		return fmt.Errorf("the older checkpoint has %d partitions, the newer one %d", len(older.Trees), len(c.Trees))
	case c.At.Before(older.At):
		return fmt.Errorf("the newer checkpoint is of %s, before the older one, %s", c.At.Format(timeLayout), older.At.Format(timeLayout))
	}
	return nil
}
