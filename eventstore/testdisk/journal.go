package testdisk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Kind is what an entry of the journal tells of.
type Kind byte

// Kinds of entries.
const (
	Write    Kind = 1 + iota // Data at Offset
	Truncate                 // the file ends at Offset
	Sync                     // what was done to the file before is on the disk
	SyncDir                  // the same, and which files there are
	Create                   // an empty file
	Delete
	Mark // Data is a text of the test's own
)

// Op is an entry of the journal.
type Op struct {
	Kind   Kind
	Name   string // of the file, below the folder that is recorded
	Offset int64
	Data   []byte
}

// Of an entry in the journal: kind, length of the name, offset, length of the data; then name and data.
const headBytes = 1 + 2 + 8 + 4

// Journal is a journal that is written. It is safe for concurrent use, also by several processes.
type Journal struct{ file *os.File }

// Append opens a journal to write to it, and makes it when it is not there.
func Append(path string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal of a disk: %w", err)
	}
	return &Journal{file}, nil
}

// Mark puts a text behind all that has happened so far.
func (j *Journal) Mark(text string) error { return j.put(Op{Kind: Mark, Data: []byte(text)}) }

// Close closes the journal.
func (j *Journal) Close() error { return j.file.Close() }

func (j *Journal) put(op Op) error {
	if len(op.Name) > math.MaxUint16 || int64(len(op.Data)) > math.MaxUint32 {
		return fmt.Errorf("an entry of %d bytes about %q is too large", len(op.Data), op.Name)
	}
	b := make([]byte, 0, headBytes+len(op.Name)+len(op.Data))
	b = append(b, byte(op.Kind))
	b = binary.BigEndian.AppendUint16(b, uint16(len(op.Name)))
	b = binary.BigEndian.AppendUint64(b, uint64(op.Offset))
	b = binary.BigEndian.AppendUint32(b, uint32(len(op.Data)))
	b = append(append(b, op.Name...), op.Data...)
	_, err := j.file.Write(b)
	return err
}

// ReadJournal reads a journal. An entry that a kill has cut short ends it.
func ReadJournal(path string) ([]Op, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal of a disk: %w", err)
	}
	var ops []Op
	for len(text) > 0 {
		op, rest, err := parse(text)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return ops, nil
		}
		if err != nil {
			return nil, fmt.Errorf("entry %d of %s: %w", len(ops), path, err)
		}
		ops, text = append(ops, op), rest
	}
	return ops, nil
}

func parse(text []byte) (op Op, rest []byte, err error) {
	if len(text) < headBytes {
		return Op{}, nil, io.ErrUnexpectedEOF
	}
	op.Kind = Kind(text[0])
	if op.Kind < Write || op.Kind > Mark {
		return Op{}, nil, fmt.Errorf("kind %d", op.Kind)
	}
	name := int(binary.BigEndian.Uint16(text[1:]))
	op.Offset = int64(binary.BigEndian.Uint64(text[3:]))
	data := int(binary.BigEndian.Uint32(text[11:]))
	text = text[headBytes:]
	if len(text) < name+data {
		return Op{}, nil, io.ErrUnexpectedEOF
	}
	op.Name, op.Data = string(text[:name]), text[name:name+data]
	return op, text[name+data:], nil
}
