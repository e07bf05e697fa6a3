package testpg

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// watchdog is a shell that stops and removes a cluster when lifeline closes.
type watchdog struct {
	shell    *exec.Cmd
	lifeline *os.File
}

// Kill ends the server as a crash does, and returns when all of its processes are gone. What it has stored stays, and
// Restart brings it back. SIGKILL is what the kernel does, SIGQUIT what `pg_ctl stop -m immediate` does.
func (c *Cluster) Kill(signal syscall.Signal) error {
	text, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("kill the PostgreSQL for the tests: %w", err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	pid, err := strconv.Atoi(string(line))
	if err == nil {
		err = syscall.Kill(pid, signal)
	}
	if err == nil {
		err = <-c.ended
	}
	if err != nil {
		return fmt.Errorf("kill the PostgreSQL for the tests: %w", err)
	}
	return nil
}

// Restart starts the server anew after Kill, on the same port.
func (c *Cluster) Restart() error {
	bin, err := findPrograms()
	if err != nil {
		return err
	}
	owner, err := unprivileged()
	if err != nil {
		return err
	}
	// The watchdog that is there has no server any more, but still removes the folder if this process ends now.
	c.earlier = append(c.earlier, watchdog{c.watchdog, c.lifeline})
	if err := c.run(bin, owner); err != nil {
		return fmt.Errorf("restart the PostgreSQL for the tests: %w", err)
	}
	if err := c.await(); err != nil {
		return fmt.Errorf("restart the PostgreSQL for the tests: %w", errors.Join(err, c.serverLog()))
	}
	return nil
}

// stop ends every watchdog, the newest first: it has the server.
func (c *Cluster) stop() error {
	errs := []error{c.lifeline.Close(), c.watchdog.Wait()}
	for _, w := range c.earlier {
		errs = append(errs, w.lifeline.Close(), w.shell.Wait())
	}
	return errors.Join(errs...)
}
