package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A disk that is full must be really full: a small file system of the test's own, which the rest of the machine
// does not see. It is mounted in a mount namespace in which the test runs itself again, as root or, where users may make
// namespaces, as anyone. Where neither is allowed, as in some containers, /dev/shm serves if it is small.
const (
	diskBytes   = 64 << 20
	sharedBytes = 256 << 20 // the largest /dev/shm that is filled
	diskVar     = "LEDGER_TEST_IN_NAMESPACE"
	notMounted  = "nothing may be mounted in the namespace"
)

// TestFullDisk: a server on SQLite whose disk is full answers 503, writes nothing by halves, says why, and works again when
// there is space.
func TestFullDisk(t *testing.T) {
	if os.Getenv(diskVar) != "" {
		dir := t.TempDir()
		if err := mountSmall(dir); err != nil {
			t.Fatalf("%s: %v", notMounted, err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		fullDisk(t, dir)
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), diskVar+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		if !strings.Contains(string(out), "--- PASS: TestFullDisk") {
			t.Errorf("the test did not run in its namespace:\n%s", out)
		}
	case errors.As(err, &exit) && !strings.Contains(string(out), notMounted):
		t.Errorf("in a namespace with a disk of %d bytes: %v\n%s", diskBytes, err, out)
	default:
		t.Logf("no disk in a namespace of its own: %v\n%s", err, out)
		fullDisk(t, smallShared(t))
	}
}

// mountSmall mounts a small file system, for this namespace only.
func mountSmall(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
		return fmt.Errorf("mounting a file system of %d bytes: %w", diskBytes, err)
	}
	return nil
}

// smallShared is a folder on /dev/shm, where that is small enough to be filled.
func smallShared(t *testing.T) string {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs("/dev/shm", &fs); err != nil {
		t.Fatalf("no file system to fill: %v", err)
	}
	if size := int64(fs.Blocks) * fs.Bsize; size > sharedBytes {
		t.Fatalf("no file system to fill: namespaces are not allowed here, and /dev/shm has %d bytes (at most %d)", size, sharedBytes)
	}
	dir, err := os.MkdirTemp("/dev/shm", "ledger-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all space of a file system, to the last byte.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func fullDisk(t *testing.T, dir string) {
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start("--gateway-wait", "0s", "--rate-limit", "1000000")
	m := w.merchant()
	w.fund(m, "9000000.00")
	l := w.load(m, 4, "D")
	ballast := filepath.Join(dir, "ballast")
	for round := range 2 {
		l.more(20, "before the disk was full")
		fill(t, ballast)
		// What the files hold already may be used once more: so the disk is filled again until nothing gets through.
		wasAnswered, wasRefused := -1, 0
		w.eventually(20*time.Second, "payouts are refused", func() bool {
			fill(t, ballast)
			answered, refused, _ := l.counts()
			full := answered == wasAnswered && refused > wasRefused
			wasAnswered, wasRefused = answered, refused
			return full
		})
		if status, o := w.call(m, http.MethodPost, "/api/v1/payin/create",
			fmt.Sprintf(`{"order_id":"FULL-%d","amount":500,"customer_phone":"9876543210","customer_name":"Asha Rao"}`, round)); !isUnavailable(status, o) {
			t.Errorf("a payin on a full disk: %d %v", status, o)
		}
		if status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", ""); status != http.StatusOK && !isUnavailable(status, o) {
			t.Errorf("the balance on a full disk: %d %v", status, o)
		}
		if !strings.Contains(w.stderr.String(), "the disk is full") {
			t.Error("the log does not say that the disk is full")
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		l.more(20, "after there was space again")
	}
	l.stop()
	if _, refused, lost := l.counts(); refused == 0 || lost > 0 {
		t.Errorf("%d payouts were refused, %d not answered", refused, lost)
	}
	if !w.alive() {
		t.Error("the server did not survive")
	}
	l.wantStored()
	l.wantRefusedAbsent()
	if status, o := w.call(m, http.MethodPost, "/api/v1/payin/create",
		`{"order_id":"FULL-0","amount":500,"customer_phone":"9876543210","customer_name":"Asha Rao"}`); status != http.StatusCreated {
		t.Errorf("the payin that was refused, again: %d %v", status, o)
	}
	w.settled(m)
	w.stop()
}
