package testdisk

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sectorBytes is what a disk writes at once.
const sectorBytes = 512

// Disk is a folder as a disk has it: what is certain, and what is not yet.
type Disk struct{ files map[string]*entry }

// entry is a name in the folder: the file that a process sees under it, and the one that the disk has. nil is none.
type entry struct{ live, stored *inode }

// inode is a file: what is synced, and what was done since then.
type inode struct {
	synced  []byte
	pending []Op
}

// Load is a disk that has the databases in a folder, all of them synced.
func Load(dir string) (*Disk, error) {
	d := &Disk{map[string]*entry{}}
	err := filepath.WalkDir(dir, func(path string, file fs.DirEntry, err error) error {
		if err != nil || file.IsDir() || !isDatabase(path) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		n := &inode{synced: text}
		d.files[name] = &entry{n, n}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load a disk: %w", err)
	}
	return d, nil
}

// isDatabase tells files that SQLite writes through its VFS; the shared memory of a WAL is not.
func isDatabase(path string) bool {
	return strings.HasSuffix(path, ".db") || strings.HasSuffix(path, ".db-wal") || strings.HasSuffix(path, ".db-journal")
}

// Do does the next operation of the journal.
func (d *Disk) Do(op Op) error {
	if op.Kind == Mark {
		return nil
	}
	e := d.files[op.Name]
	if e == nil {
		e = &entry{}
		d.files[op.Name] = e
	}
	if e.live == nil && op.Kind != Create && op.Kind != SyncDir {
		return fmt.Errorf("the journal has an operation of kind %d on %q, which is not there", op.Kind, op.Name)
	}
	switch op.Kind {
	case Create:
		if e.live == nil { // else it was made, and opened once more before anything was in it
			e.live = &inode{}
		}
	case Write, Truncate:
		e.live.pending = append(e.live.pending, op)
	case Sync:
		e.live.sync()
	case SyncDir:
		if e.live != nil {
			e.live.sync()
		}
		for name, other := range d.files {
			if filepath.Dir(name) == filepath.Dir(op.Name) {
				other.stored = other.live
			}
		}
	case Delete:
		e.live = nil
	default:
		return fmt.Errorf("the journal has an operation of kind %d", op.Kind)
	}
	return nil
}

func (n *inode) sync() {
	for _, op := range n.pending {
		n.synced = op.on(n.synced)
	}
	n.pending = nil
}

// on does a write or a truncation.
func (op Op) on(text []byte) []byte {
	end := int(op.Offset)
	if op.Kind == Write {
		end += len(op.Data)
	}
	if len(text) < end { // a hole is zeros
		text = append(text, make([]byte, end-len(text))...)
	}
	if op.Kind == Truncate {
		return text[:end]
	}
	copy(text[op.Offset:], op.Data)
	return text
}

// Crash writes into a folder what the disk may hold when the power fails now. The disk itself stays as it is.
func (d *Disk) Crash(dir string, random *rand.Rand) error {
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		e := d.files[name]
		n := e.stored
		if e.live != e.stored && random.IntN(2) == 0 {
			n = e.live
		}
		path := filepath.Join(dir, name)
		if n == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("write what a crash leaves: %w", err)
		}
		if err := os.WriteFile(path, n.left(random), 0o600); err != nil {
			return fmt.Errorf("write what a crash leaves: %w", err)
		}
		if strings.HasSuffix(name, ".db") && random.IntN(2) == 0 {
			if err := os.WriteFile(path+"-shm", garbage(random, 32<<10), 0o600); err != nil {
				return fmt.Errorf("write what a crash leaves: %w", err)
			}
		}
	}
	return nil
}

// left is what a file may hold after a power failure.
func (n *inode) left(random *rand.Rand) []byte {
	text := slices.Clone(n.synced)
	pending := n.pending
	switch random.IntN(4) {
	case 0: // nothing has reached the disk
		return text
	case 1: // everything
	case 2: // some, in order, and the last one of them torn
		if len(pending) == 0 {
			return text
		}
		pending = pending[:1+random.IntN(len(pending))]
		last := pending[len(pending)-1]
		last.Data = last.Data[:random.IntN(len(last.Data)+1)]
		pending = append(slices.Clone(pending[:len(pending)-1]), last)
	case 3: // in any order
		for _, op := range pending {
			text = op.torn(text, random)
		}
		return text
	}
	for _, op := range pending {
		text = op.on(text)
	}
	return text
}

// torn does some sectors of an operation, and leaves some as they were, and some as neither.
func (op Op) torn(text []byte, random *rand.Rand) []byte {
	if op.Kind == Truncate {
		if random.IntN(2) == 0 {
			return text
		}
		return op.on(text)
	}
	for from := 0; from < len(op.Data); {
		to := min(len(op.Data), from+sectorBytes-int((op.Offset+int64(from))%sectorBytes))
		piece := Op{Kind: Write, Offset: op.Offset + int64(from), Data: op.Data[from:to]}
		switch random.IntN(16) {
		case 0:
			piece.Data = garbage(random, to-from)
			text = piece.on(text)
		case 1, 2, 3, 4, 5, 6, 7:
			text = piece.on(text)
		}
		from = to
	}
	return text
}

func garbage(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}
