package testpg

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Cluster is a running private PostgreSQL.
type Cluster struct {
	dir      string // holds the data, the socket and the server's log
	durable  bool   // see StartDurable
	port     int
	password string
	lifeline *os.File // the watchdog holds the other end: when this closes, it stops and removes the cluster
	watchdog *exec.Cmd
	earlier  []watchdog // those of before a Restart
	ended    chan error // receives once, when the server has ended
	stopOnce sync.Once
	stopErr  error
}

// Start makes a cluster and starts it. It is stopped by Stop, or when this process ends.
//
// It trades durability for speed (fsync=off): it survives the death of any process, not of the machine.
func Start() (*Cluster, error) { return startWith(false) }

// StartDurable is Start with PostgreSQL's own settings: every commit is synced. It is for measuring.
func StartDurable() (*Cluster, error) { return startWith(true) }

func startWith(durable bool) (*Cluster, error) {
	c, err := start(durable)
	if err != nil {
		return nil, fmt.Errorf("start a PostgreSQL for the tests: %w", err)
	}
	return c, nil
}

func start(durable bool) (*Cluster, error) {
	bin, err := findPrograms()
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		c, err := startOn(bin, owner, durable)
		if err == nil || attempt == startAttempts {
			return c, err
		}
	}
}

// startAttempts: a port that was free may be taken before the server has it.
const startAttempts = 3

func startOn(bin string, owner owner, durable bool) (*Cluster, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	c := &Cluster{port: port, password: randomName(), durable: durable}
	if c.dir, err = privateFolder(owner); err != nil {
		return nil, err
	}
	if err := c.initialize(bin, owner); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	if err := c.run(bin, owner); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	if err := c.await(); err != nil {
		return nil, errors.Join(err, c.serverLog(), c.Stop())
	}
	return c, nil
}

// owner is the user that the server runs as; nil for the one who runs the tests.
type owner *syscall.Credential

// unprivileged finds a user to run the server as: PostgreSQL refuses root.
func unprivileged() (owner, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}

// privateFolder makes a folder that its owner alone may enter.
func privateFolder(owner owner) (string, error) {
	dir, err := os.MkdirTemp(parentFolder(owner), "ledger-pg-")
	if err != nil || owner == nil {
		return dir, err
	}
	return dir, os.Chown(dir, int(owner.Uid), int(owner.Gid))
}

// memoryFolder is a file system in memory on Linux, on which databases are made several times faster.
const memoryFolder = "/dev/shm"

// memoryNeeded is how much room must be free in memoryFolder; containers often have little.
const memoryNeeded = 4 << 30

// parentFolder is where the cluster's folder is made: in TMPDIR where it is set, else in memory where there is room.
// The owner must be able to reach it, which not every TMPDIR of root allows; /tmp does.
func parentFolder(owner owner) string {
	if os.Getenv("TMPDIR") == "" {
		var free syscall.Statfs_t
		if err := syscall.Statfs(memoryFolder, &free); err == nil && free.Bavail*uint64(free.Bsize) >= memoryNeeded {
			return memoryFolder
		}
	}
	if owner != nil && !reachable(os.TempDir()) {
		return "/tmp"
	}
	return os.TempDir()
}

// reachable tells whether everyone may pass through dir and all above it.
func reachable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// command is a program of PostgreSQL, run as owner, in the cluster's folder.
func (c *Cluster) command(owner owner, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = c.dir
	// Nothing of the caller's settings (PGDATA, PGPORT, a locale that is not installed) reaches the cluster.
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=" + c.dir}
	if owner != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	}
	return cmd
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// initialize makes the cluster, with a password, so that no other user of this machine gets in.
func (c *Cluster) initialize(bin string, owner owner) error {
	secret := filepath.Join(c.dir, "password")
	if err := os.WriteFile(secret, []byte(c.password+"\n"), 0o600); err != nil {
		return err
	}
	if owner != nil {
		if err := os.Chown(secret, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	cmd := c.command(owner, filepath.Join(bin, "initdb"), "--pgdata", c.data(), "--username", "ledger", "--pwfile", secret,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, output)
	}
	return nil
}

// watch is what the watchdog does: it runs the server, and when standard input ends, because the cluster is stopped or the
// process that started it is gone, it stops the server and removes the folder. It ignores signals meant for the
// tests, so that an interrupted run is cleaned up too. The server alone keeps descriptor 3: it closes when the server ends.
const watch = `trap '' INT TERM HUP
"$@" </dev/null >>"$LOG" 2>&1 &
server=$!
exec 3>&-
cat >/dev/null
kill -QUIT $server
wait $server
rm -rf "$DIR"
`

// run starts the watchdog, and with it the server.
func (c *Cluster) run(bin string, owner owner) error {
	stdin, lifeline, err := os.Pipe()
	if err != nil {
		return err
	}
	running, alive, err := os.Pipe()
	if err != nil {
		return errors.Join(err, stdin.Close(), lifeline.Close())
	}
	cmd := c.command(owner, "/bin/sh", append([]string{"-c", watch, "watchdog", filepath.Join(bin, "postgres"), "-D", c.data()}, c.settings()...)...)
	cmd.Env = append(cmd.Env, "LOG="+c.logFile(), "DIR="+c.dir)
	cmd.Stdin, cmd.ExtraFiles = stdin, []*os.File{alive}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // a Ctrl-C for the tests is not for it
	if err := errors.Join(cmd.Start(), stdin.Close(), alive.Close()); err != nil {
		return errors.Join(err, lifeline.Close(), running.Close())
	}
	c.watchdog, c.lifeline, c.ended = cmd, lifeline, make(chan error, 1)
	go func() { // ends with the server
		_, err := io.Copy(io.Discard, running)
		c.ended <- errors.Join(err, running.Close())
	}()
	return nil
}

func (c *Cluster) settings() []string {
	settings := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(c.port), "unix_socket_directories=" + c.dir,
		"max_connections=300", "shared_buffers=128MB", "max_wal_size=1GB", "logging_collector=off", "log_min_messages=warning",
	}
	if !c.durable {
		settings = append(settings, "fsync=off", "full_page_writes=off", "autovacuum_naptime=10s")
	}
	var args []string
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// await polls until the server answers, or has ended.
func (c *Cluster) await() error {
	deadline := time.After(patience)
	for {
		err := execute(c.URL(), "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case endErr := <-c.ended:
			return errors.Join(errors.New("the server has ended"), endErr)
		case <-deadline:
			return fmt.Errorf("the server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Cluster) logFile() string { return filepath.Join(c.dir, "log") }

func (c *Cluster) serverLog() error {
	text, err := os.ReadFile(c.logFile())
	if err != nil {
		return err
	}
	return fmt.Errorf("the server's log:\n%s", bytes.TrimSpace(text))
}

// URL is the cluster's address, of the database postgres, as its superuser.
func (c *Cluster) URL() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("ledger", c.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)), Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Stop ends the server and removes all that it has stored.
func (c *Cluster) Stop() error {
	c.stopOnce.Do(func() {
		c.stopErr = c.stop()
		if c.stopErr != nil {
			c.stopErr = fmt.Errorf("stop the PostgreSQL for the tests: %w", c.stopErr)
		}
	})
	return c.stopErr
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

// findPrograms returns the folder with initdb and postgres.
func findPrograms() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if file, err := filepath.EvalSymlinks(initdb); err == nil && hasPrograms(filepath.Dir(file)) {
			return filepath.Dir(file), nil
		}
	}
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	newest, found := -1, ""
	for _, folder := range folders {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
		if err == nil && version > newest && hasPrograms(folder) {
			newest, found = version, folder
		}
	}
	if found == "" {
		return "", errors.New("there is no PostgreSQL on this machine: set " + Env + " to the address of a server on which databases can be created, " +
			"or install one (on Debian: apt-get install postgresql); `make test` does so by itself when it may")
	}
	return found, nil
}

func hasPrograms(folder string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(folder, name)); err != nil {
			return false
		}
	}
	return true
}
