package proof

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/khata-ledger/khata/eventstore"
)

// MaxStatementBytes bounds the text of a statement, and what is signed of it.
const MaxStatementBytes = 8 << 20

// SignStatement signs a text that is no checkpoint, as a note with one signature: the text, an empty line, the signature. Its first line says what
// it is, such as "khata-ledger/dispute-pack/1"; the text ends with a line feed and has no empty line. What could be read as a checkpoint is refused, so that
// neither passes for the other.
func (k *SigningKey) SignStatement(text string) ([]byte, error) {
	if err := checkStatement(text); err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(k.private)
	if err != nil {
		return nil, errors.New("the key of checkpoints cannot be read")
	}
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return nil, fmt.Errorf("signing a statement: %w", err)
	}
	return signed, nil
}

// OpenStatement reads what SignStatement gave and verifies its one signature by one of the keys. signer is the name of that key: the Origin of the
// ledger that it belongs to, which is for the caller to compare. ErrUnsigned says why the signature does not hold.
func OpenStatement(signed []byte, keys Keys) (text, signer string, err error) {
	text, code, found := strings.Cut(string(signed), "\n\n")
	text += "\n"
	if !found || len(signed) > MaxStatementBytes {
		return "", "", fmt.Errorf("%w: it has no signature behind an empty line", ErrUnsigned)
	}
	if err := checkStatement(text); err != nil {
		return "", "", err
	}
	// There is one way to write a signature: others would be the same text in other bytes.
	_, code, two := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(code, signatureLine), "\n"), " ")
	if _, err := decodeBase64(code); err != nil || !two || strings.Count(string(signed), "\n") != strings.Count(text, "\n")+2 {
		return "", "", fmt.Errorf("%w: behind the empty line there is not exactly one line with a signature", ErrUnsigned)
	}
	n, err := note.Open(signed, note.VerifierList(keys.verifiers...))
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		return "", "", fmt.Errorf("%w: it is signed by another key than %s", ErrUnsigned, keys)
	case errors.As(err, &invalid):
		return "", "", fmt.Errorf("%w: the signature is not one of this text by the key %s+%08x", ErrUnsigned, invalid.Name, invalid.Hash)
	case err != nil:
		return "", "", fmt.Errorf("%w: %w", ErrUnsigned, err)
	case len(n.Sigs) != 1 || n.Text != text:
		return "", "", fmt.Errorf("%w: it is not one signature of one text", ErrUnsigned)
	}
	return text, n.Sigs[0].Name, nil
}

func checkStatement(text string) error {
	first, _, _ := strings.Cut(text, "\n")
	_, err := uuid.Parse(strings.TrimPrefix(first, originPrefix))
	switch {
	case len(text) > MaxStatementBytes:
		return fmt.Errorf("a statement of %d bytes (at most %d)", len(text), MaxStatementBytes)
	case !strings.HasPrefix(first, originPrefix) || err == nil:
		return fmt.Errorf("a statement begins with what it is, such as %sdispute-pack/1, not with %.80q", originPrefix, first)
	case !strings.HasSuffix(text, "\n") || strings.Contains(text, "\n\n"):
		return errors.New("a statement ends with a line feed, and has no empty line")
	}
	return nil
}

// OpenInclusion verifies an inclusion proof as Verify does, and returns what it proves where all of it holds: the checkpoint, as it was signed and read,
// and the records with their hashes, in the order of the file.
func OpenInclusion(file []byte, keys Keys) (signed string, c Checkpoint, records []eventstore.Record, v Verdict) {
	if v = Verify(file, keys); !v.Holds || v.Kind != "inclusion" {
		return "", c, nil, v
	}
	var f inclusionFile
	err := decode(file, &f)
	if err == nil {
		c, err = ReadCheckpoint([]byte(f.Checkpoint))
	}
	for i := range f.Records {
		r, failed := f.Records[i].check(&c)
		err = errors.Join(err, failed)
		records = append(records, r)
	}
	if err != nil { // Verify has just read the same
		v.fault("", err)
		v.Holds = false
	}
	return f.Checkpoint, c, records, v
}
