package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// A disk that is full must be really full: a small file system of the test's own, which the rest of the machine
// does not see. It is mounted in a mount namespace in which the test runs itself again, as root or, where users may make
// namespaces, as anyone. Where neither is allowed, as in some containers, /dev/shm serves if it is small.
const (
	diskBytes    = 64 << 20
	clusterBytes = 192 << 20 // of PostgreSQL
	sharedBytes  = 256 << 20 // the largest /dev/shm that is filled
	diskVar      = "LEDGER_TEST_IN_NAMESPACE"
	notMounted   = "nothing may be mounted in the namespace"
	sysAdmin     = 21 // the capability to mount
)

// TestFullDisk: a server on SQLite whose disk is full answers 503, writes nothing by halves, says why, and works again when
// there is space.
func TestFullDisk(t *testing.T) { onSmallDisk(t, diskBytes, fullDisk) }

// TestFullDiskBeside: views, work and secrets are on a disk of their own, each in turn, and that is full while the log's is not. What is answered is stored, what
// cannot be done is refused or waits, and all of it is done when there is space.
func TestFullDiskBeside(t *testing.T) { onSmallDisk(t, diskBytes, fullBeside) }

// TestFullDiskPostgres: the disk of PostgreSQL is full.
func TestFullDiskPostgres(t *testing.T) { onSmallDisk(t, clusterBytes, fullPostgres) }

// onSmallDisk runs a test with a folder on a file system of its own, of so many bytes, which everybody may enter.
func onSmallDisk(t *testing.T, size int, run func(t *testing.T, dir string)) {
	if os.Getenv(diskVar) != "" {
		dir, err := os.MkdirTemp("/tmp", "ledger-disk-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		if err := mountSmall(dir, size); err != nil {
			t.Fatalf("%s: %v", notMounted, err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		run(t, dir)
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), diskVar+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{sysAdmin} // not root in there: PostgreSQL refuses to be that
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("the test did not run in its namespace:\n%s", out)
		}
	case errors.As(err, &exit) && !strings.Contains(string(out), notMounted):
		t.Errorf("in a namespace with a disk of %d bytes: %v\n%s", size, err, out)
	default:
		t.Logf("no disk in a namespace of its own: %v\n%s", err, out)
		sharedDisk.Lock() // one fills it at a time
		defer sharedDisk.Unlock()
		run(t, smallShared(t))
	}
}

// sharedDisk is for who fills /dev/shm.
var sharedDisk sync.Mutex

// mountSmall mounts a small file system, for this namespace only.
func mountSmall(dir string, size int) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=1777", size)); err != nil {
		return fmt.Errorf("mounting a file system of %d bytes: %w", size, err)
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
		w.exportsFail(dir)
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

// exportsFail checks that what is written to a file on a full disk fails, and leaves neither the file nor a part of it.
func (w *world) exportsFail(dir string) {
	w.t.Helper()
	folder := filepath.Join(dir, "exports")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		w.t.Fatal(err)
	}
	for _, args := range [][]string{{"log", "export"}, {"secrets", "export"}, {"audit", "journal", "--format", "hledger"}} {
		out, code := w.run(append(args, "-o", filepath.Join(folder, "export"))...)
		if code != exitNo || !strings.Contains(out, "no space left on device") && !strings.Contains(out, "disk is full") {
			w.t.Errorf("%v on a full disk: exit %d, %s", args, code, out)
		}
		if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
			w.t.Errorf("%v on a full disk left %v (%v)", args, left, err)
		}
	}
}

func fullBeside(t *testing.T, small string) {
	for _, area := range []string{"views", "work", "secrets"} {
		t.Run(area, func(t *testing.T) {
			w := storeIn(t)
			if err := os.Symlink(filepath.Join(small, area+".db"), filepath.Join(w.dir, "ledger-"+area+".db")); err != nil {
				t.Fatal(err)
			}
			w.start("--gateway-wait", "0s", "--rate-limit", "1000000")
			m := w.merchant()
			w.fund(m, "9000000.00")
			l := w.load(m, 4, "B")
			l.more(20, "before the disk was full")
			ballast := filepath.Join(small, "ballast")
			w.eventually(30*time.Second, "it is felt that the disk is full", func() bool {
				fill(t, ballast)
				if area == "secrets" { // nothing is written there for payouts
					out, code := w.run("merchant", "create", "--name", "Another", "--service", "payout")
					return code == exitNo && strings.Contains(out, "full")
				}
				return strings.Contains(w.stderr.String(), "disk is full")
			})
			if status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", ""); status != http.StatusOK && !isUnavailable(status, o) {
				t.Errorf("the balance: %d %v", status, o)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			w.eventually(30*time.Second, "it is ready again", func() bool { return w.readiness() == http.StatusOK })
			l.more(20, "after there was space again")
			l.stop()
			if _, _, lost := l.counts(); lost > 0 {
				t.Errorf("%d payouts were not answered", lost)
			}
			if !w.alive() {
				t.Error("the server did not survive")
			}
			l.wantStored()
			w.merchant() // secrets can be written again
			w.settled(m)
			w.stop()
		})
	}
}

func fullPostgres(t *testing.T, dir string) {
	t.Setenv("TMPDIR", dir)
	cluster, err := testpg.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	}()
	home, err := os.MkdirTemp("/tmp", "ledger-home-") // the server's own files are on another disk
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	}()
	w := newWorld(t, home, cluster.URL())
	w.start("--gateway-wait", "0s", "--rate-limit", "1000000", "--sandbox-file", filepath.Join(home, "sandbox.db"))
	m := w.merchant()
	w.fund(m, "9000000.00")
	l := w.load(m, 4, "P")
	l.more(20, "before the disk was full")
	ballast := filepath.Join(dir, "ballast")
	wasAnswered, wasRefused := -1, 0
	w.eventually(60*time.Second, "payouts are refused", func() bool {
		fill(t, ballast)
		answered, refused, _ := l.counts()
		full := answered == wasAnswered && refused > wasRefused
		wasAnswered, wasRefused = answered, refused
		return full
	})
	if status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", ""); status != http.StatusOK && !isUnavailable(status, o) {
		t.Errorf("the balance on a full disk: %d %v", status, o)
	}
	if !strings.Contains(w.stderr.String(), "disk is full") && !strings.Contains(w.stderr.String(), "No space left on device") {
		t.Error("the log does not say that the disk is full")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	w.eventually(30*time.Second, "it is ready again", func() bool { return w.readiness() == http.StatusOK })
	l.more(20, "after there was space again")
	l.stop()
	if _, refused, lost := l.counts(); refused == 0 || lost > 0 {
		t.Errorf("%d payouts were refused, %d not answered", refused, lost)
	}
	if !w.alive() {
		t.Error("the server did not survive")
	}
	l.wantStored()
	w.settled(m)
	w.stop()
}
