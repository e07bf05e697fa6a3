package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// whereRightsCount is a world on SQLite whose programs run as somebody whom the rights of files hold back: not as root.
func whereRightsCount(t *testing.T) *world {
	t.Helper()
	if os.Getuid() != 0 {
		return storeIn(t)
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(nobody.Gid, 10, 32)
	dir, err := os.MkdirTemp("/tmp", "ledger-rights-")
	if err != nil || uidErr != nil || gidErr != nil {
		t.Fatal(err, uidErr, gidErr)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	program := filepath.Join(dir, "ledger")
	copyProgram(t, binary(t), program)
	store := filepath.Join(dir, "store")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // its user must come to the program
		t.Fatal(err)
	}
	w := newWorld(t, store, "sqlite:"+filepath.Join(store, "ledger.db"))
	w.writeKey()
	for _, path := range []string{store, w.keyFile()} {
		if err := os.Chown(path, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	w.other = func(cmd *exec.Cmd) {
		cmd.Path = program
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return w
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755) //nolint:gosec // a program
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReadOnlyFiles: a file of the store, or its folder, is read-only. A start says which one and why, in one line, and works again when it is mended. A server that runs
// is not hurt: what it has answered is there.
func TestReadOnlyFiles(t *testing.T) {
	t.Parallel()
	w := whereRightsCount(t)
	flags := []string{"--gateway-wait", "0s", "--rate-limit", "1000000"}
	w.start(flags...)
	m := w.merchant()
	w.fund(m, "9000000.00")
	l := w.load(m, 4, "F")
	l.more(10, "before")
	files := []string{"ledger.db", "ledger-work.db", "ledger-secrets.db", "ledger-views.db", "sandbox.db", ""}
	rights := func(file string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(filepath.Join(w.dir, file), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		own := os.FileMode(0o600)
		if file == "" {
			own = 0o700
		}
		rights(file, own&^0o222)
		l.more(5, "while "+file+" is read-only")
		if status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", ""); status != http.StatusOK && !isUnavailable(status, o) {
			t.Errorf("the balance while %q is read-only: %d %v", file, status, o)
		}
		rights(file, own)
	}
	l.stop()
	if _, _, lost := l.counts(); lost > 0 {
		t.Errorf("%d payouts were not answered", lost)
	}
	l.wantStored()
	w.settled(m)
	w.stop()
	for _, file := range files {
		own := os.FileMode(0o600)
		if file == "" {
			own = 0o700
		}
		rights(file, own&^0o222)
		cmd := w.program(t.Context(), append([]string{"serve", "--listen", freeAddress(t), "--db", w.db, "--master-key-file", w.keyFile(), "--sandbox"}, flags...)...)
		out, err := cmd.CombinedOutput()
		text := string(out)
		name := filepath.Join(w.dir, file)
		if err == nil || cmd.ProcessState.ExitCode() != exitNo || strings.Count(text, "\n") != 1 || !strings.Contains(text, name) ||
			!strings.Contains(text, "permission denied") && !strings.Contains(text, "read-only") {
			t.Errorf("%q is read-only: %v, %q", file, err, text)
		}
		rights(file, own)
	}
	w.start(flags...)
	w.settled(m)
	w.stop()
}

// TestDiskRefusesWrites: every write to a file fails, under load and between two instructions, as on a disk that reports errors or that the system has made read-only
// because of them: the limit of the process's files is set to nothing. A commit may fail in its middle. The server refuses, says why, and goes
// on by itself when the disk does.
func TestDiskRefusesWrites(t *testing.T) {
	t.Parallel()
	w := storeIn(t)
	w.start("--gateway-wait", "0s", "--rate-limit", "1000000")
	m := w.merchant()
	w.fund(m, "9000000.00")
	l := w.load(m, 4, "E")
	for range max(3, killRounds(t)/5) {
		l.more(20, "before")
		_, before, _ := l.counts()
		limitFiles(t, w.server.Process.Pid, 0)
		w.eventually(20*time.Second, "payouts are refused", func() bool {
			_, refused, _ := l.counts()
			return refused > before+3
		})
		if status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", ""); status != http.StatusOK && !isUnavailable(status, o) {
			t.Errorf("the balance where nothing is written: %d %v", status, o)
		}
		limitFiles(t, w.server.Process.Pid, ^uint64(0))
	}
	l.more(20, "in the end")
	l.stop()
	if _, _, lost := l.counts(); lost > 0 {
		t.Errorf("%d payouts were not answered", lost)
	}
	if !strings.Contains(w.stderr.String(), "the disk reports an error") {
		t.Error("the log does not say that the disk reports an error")
	}
	if !w.alive() {
		t.Error("the server did not survive")
	}
	l.wantStored()
	l.wantRefusedAbsent()
	w.settled(m)
	w.stop()
}

// limitFiles limits how large files a process may write.
func limitFiles(t *testing.T, pid int, limit uint64) {
	t.Helper()
	wanted := syscall.Rlimit{Cur: limit, Max: ^uint64(0)}
	_, _, failed := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&wanted)), 0, 0, 0) //nolint:gosec // the system call takes a pointer
	if failed != 0 {
		t.Fatalf("limiting the files of process %d to %d bytes: %v", pid, limit, failed)
	}
}
