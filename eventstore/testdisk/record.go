package testdisk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Record puts down from now on what SQLite, in this process, does to the files under the folder root, as far as it opens them from
// now on. stop ends that for files that are opened afterwards.
func Record(root string, journal *Journal) (stop func(), err error) {
	s, err := installed()
	if err != nil {
		return nil, err
	}
	root, err = filepath.EvalSymlinks(root) // as SQLite names files
	if err != nil {
		return nil, fmt.Errorf("record a disk: %w", err)
	}
	r := &recorder{root + string(filepath.Separator), journal}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recorders[r] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.recorders, r)
	}, nil
}

// recorder is a folder whose files are recorded.
type recorder struct {
	root    string
	journal *Journal
}

// shim stands between SQLite and the operating system: it is the default VFS, and hands everything on to the one that was the default before.
type shim struct {
	original uintptr

	mu        sync.Mutex
	recorders map[*recorder]bool
	files     map[uintptr]*file   // that are open and recorded, by SQLite's handle
	methods   map[uintptr]uintptr // ours, by those that they replace
}

// file is a file that is open.
type file struct {
	*recorder
	name    string
	methods uintptr // the original ones
	syncDir bool    // its first sync is one of the folder, too: a journal or a WAL. Under shim.mu
}

// installed is the process's one shim, for SQLite has one list of VFSs.
var installed = sync.OnceValues(install)

// registered is the shim that installed has made, for the functions that SQLite calls.
var registered atomic.Pointer[shim]

func install() (*shim, error) {
	tls := libc.NewTLS()
	defer tls.Close()
	original := sqlite3.Xsqlite3_vfs_find(tls, 0)
	if original == 0 {
		return nil, errors.New("SQLite has no VFS")
	}
	name, err := libc.CString("recorded")
	if err != nil {
		return nil, err
	}
	ours := lasting(tls, *at[sqlite3.Tsqlite3_vfs](original))
	if ours == 0 {
		return nil, errors.New("there is no memory for a VFS")
	}
	vfs := at[sqlite3.Tsqlite3_vfs](ours)
	vfs.FzName, vfs.FxOpen, vfs.FxDelete = name, pointer(openFile(shimOpen)), pointer(deleteFile(shimDelete))
	registered.Store(&shim{original: original, recorders: map[*recorder]bool{}, files: map[uintptr]*file{}, methods: map[uintptr]uintptr{}})
	if rc := sqlite3.Xsqlite3_vfs_register(tls, ours, 1); rc != sqlite3.SQLITE_OK {
		return nil, fmt.Errorf("SQLite does not take the VFS: code %d", rc)
	}
	return registered.Load(), nil
}

// lasting puts a value where SQLite may keep its address for as long as the process lives: outside of Go's memory. 0 is that there is none left.
func lasting[T any](tls *libc.TLS, v T) uintptr {
	address := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(v)))
	if address != 0 {
		*at[T](address) = v
	}
	return address
}

// What SQLite calls, as its translation to Go has it.
type (
	openFile     func(tls *libc.TLS, vfs, name, handle uintptr, flags int32, outFlags uintptr) int32
	deleteFile   func(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32
	closeFile    func(tls *libc.TLS, handle uintptr) int32
	writeFile    func(tls *libc.TLS, handle, data uintptr, n int32, offset int64) int32
	truncateFile func(tls *libc.TLS, handle uintptr, size int64) int32
	syncFile     func(tls *libc.TLS, handle uintptr, flags int32) int32
)

// at is what is at an address outside of Go's memory.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// pointer is the address of a function as SQLite's translation keeps it; function turns it back.
func pointer[F any](f F) uintptr        { return *(*uintptr)(unsafe.Pointer(&f)) }
func function[F any](address uintptr) F { return *(*F)(unsafe.Pointer(&address)) }

// find is the recorder of a file, and the file's name under its folder.
func (s *shim) find(path string) (r *recorder, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.recorders {
		if name, ok := strings.CutPrefix(path, r.root); ok {
			return r, name
		}
	}
	return nil, ""
}

// of is an open file.
func (s *shim) of(handle uintptr) *file {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[handle]
}

// Files whose creation SQLite makes durable with their first sync.
const journals = sqlite3.SQLITE_OPEN_WAL | sqlite3.SQLITE_OPEN_MAIN_JOURNAL | sqlite3.SQLITE_OPEN_SUPER_JOURNAL

func shimOpen(tls *libc.TLS, _, name, handle uintptr, flags int32, outFlags uintptr) int32 {
	s := registered.Load()
	open := function[openFile](at[sqlite3.Tsqlite3_vfs](s.original).FxOpen)
	if name == 0 { // a temporary file: of no value after a crash
		return open(tls, s.original, name, handle, flags, outFlags)
	}
	path := libc.GoString(name)
	r, short := s.find(path)
	if r == nil {
		return open(tls, s.original, name, handle, flags, outFlags)
	}
	before, statErr := os.Stat(path)
	if rc := open(tls, s.original, name, handle, flags, outFlags); rc != sqlite3.SQLITE_OK {
		return rc
	}
	if statErr != nil || before.Size() == 0 { // or made a moment ago by others than SQLite, which is the same
		if err := r.journal.put(Op{Kind: Create, Name: short}); err != nil {
			return sqlite3.SQLITE_CANTOPEN
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	methods := &at[sqlite3.Tsqlite3_file](handle).FpMethods
	ours := s.methods[*methods]
	if ours == 0 {
		if ours = lasting(tls, *at[sqlite3.Tsqlite3_io_methods](*methods)); ours == 0 {
			function[closeFile](at[sqlite3.Tsqlite3_io_methods](*methods).FxClose)(tls, handle)
			*methods = 0
			return sqlite3.SQLITE_NOMEM
		}
		m := at[sqlite3.Tsqlite3_io_methods](ours)
		m.FxClose, m.FxWrite = pointer(closeFile(shimClose)), pointer(writeFile(shimWrite))
		m.FxTruncate, m.FxSync = pointer(truncateFile(shimTruncate)), pointer(syncFile(shimSync))
		s.methods[*methods] = ours
	}
	s.files[handle] = &file{r, short, *methods, flags&sqlite3.SQLITE_OPEN_CREATE != 0 && flags&journals != 0}
	*methods = ours
	return sqlite3.SQLITE_OK
}

func shimDelete(tls *libc.TLS, _, name uintptr, syncDir int32) int32 {
	s := registered.Load()
	rc := function[deleteFile](at[sqlite3.Tsqlite3_vfs](s.original).FxDelete)(tls, s.original, name, syncDir)
	r, short := s.find(libc.GoString(name))
	if r == nil || rc != sqlite3.SQLITE_OK {
		return rc
	}
	err := r.journal.put(Op{Kind: Delete, Name: short})
	if err == nil && syncDir != 0 {
		err = r.journal.put(Op{Kind: SyncDir, Name: short})
	}
	if err != nil {
		return sqlite3.SQLITE_IOERR_DELETE
	}
	return rc
}

func shimClose(tls *libc.TLS, handle uintptr) int32 {
	s := registered.Load()
	s.mu.Lock()
	f := s.files[handle]
	delete(s.files, handle)
	s.mu.Unlock()
	at[sqlite3.Tsqlite3_file](handle).FpMethods = f.methods
	return function[closeFile](at[sqlite3.Tsqlite3_io_methods](f.methods).FxClose)(tls, handle)
}

func shimWrite(tls *libc.TLS, handle, data uintptr, n int32, offset int64) int32 {
	f := registered.Load().of(handle)
	if err := f.journal.put(Op{Kind: Write, Name: f.name, Offset: offset, Data: unsafe.Slice(at[byte](data), int(n))}); err != nil {
		return sqlite3.SQLITE_IOERR_WRITE
	}
	return function[writeFile](at[sqlite3.Tsqlite3_io_methods](f.methods).FxWrite)(tls, handle, data, n, offset)
}

func shimTruncate(tls *libc.TLS, handle uintptr, size int64) int32 {
	f := registered.Load().of(handle)
	if err := f.journal.put(Op{Kind: Truncate, Name: f.name, Offset: size}); err != nil {
		return sqlite3.SQLITE_IOERR_TRUNCATE
	}
	return function[truncateFile](at[sqlite3.Tsqlite3_io_methods](f.methods).FxTruncate)(tls, handle, size)
}

func shimSync(_ *libc.TLS, handle uintptr, _ int32) int32 {
	s := registered.Load()
	s.mu.Lock()
	f := s.files[handle]
	kind := Sync
	if f.syncDir {
		kind, f.syncDir = SyncDir, false
	}
	s.mu.Unlock()
	if err := f.journal.put(Op{Kind: kind, Name: f.name}); err != nil {
		return sqlite3.SQLITE_IOERR_FSYNC
	}
	return sqlite3.SQLITE_OK
}
