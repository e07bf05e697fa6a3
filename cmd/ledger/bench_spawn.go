package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/khata-ledger/khata/cmd/ledger/bench"
)

// Bounds of a server that a benchmark has started.
const (
	spawnWithin = 30 * time.Second
	spawnEnds   = drainWithin + 2*stopWithin
	spawnPoll   = 20 * time.Millisecond
)

// Spawn is Serve in a process of its own, so that its memory and its processors are its own. It has no gateway: payouts wait.
func (p benchProgram) Spawn(ctx context.Context, at bench.Place, merchantID string) (_ *bench.Server, err error) {
	key, err := p.merchant(ctx, at, merchantID)
	if err != nil {
		return nil, err
	}
	var records int64
	err = reading(ctx, p.flags(at), func(s *stores) error {
		for i := range s.info.Partitions {
			head, err := s.log.Head(ctx, i)
			if err != nil {
				return err
			}
			records += head.Seq
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	program := p.program
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("finding this program: %w", err)
		}
	}
	said := filepath.Join(at.Folder, "spawned.log")
	file, err := os.OpenFile(said, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	//nolint:gosec // the program is this one, or one that whoever measures names
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, "serve", "--db", at.DB, "--master-key-file", at.MasterKeyFile, "--listen", "127.0.0.1:0",
		"--no-sandbox", "--gateway-wait", "0s", "--rate-limit", strconv.Itoa(math.MaxInt32))
	cmd.Stderr = file
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() error { return errors.Join(stopSpawned(cmd, ended), file.Close()) }
	address, err := addressIn(ctx, said, ended)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	s := &bench.Server{
		Address: address, Key: key, Records: records, Stop: stop,
		Idle: func(ctx context.Context) error { return idleAt(ctx, address) },
		Peak: func() float64 { return peakOf(cmd.Process.Pid) },
	}
	if err := s.Idle(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return s, nil
}

// stopSpawned ends a process as an operator does, and waits for that.
func stopSpawned(cmd *exec.Cmd, ended chan error) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errors.Join(err, cmd.Process.Kill(), <-ended)
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(spawnEnds):
		return errors.Join(errors.New("the server did not stop"), cmd.Process.Kill(), <-ended)
	}
}

// addressIn waits until a server says in its log where it serves.
func addressIn(ctx context.Context, file string, ended chan error) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, spawnWithin)
	defer cancel()
	tick := time.NewTicker(spawnPoll)
	defer tick.Stop()
	for {
		said, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		for line := range bytes.Lines(said) {
			var entry struct{ Msg, Address string }
			if json.Unmarshal(line, &entry) == nil && entry.Msg == "serving" {
				return entry.Address, nil
			}
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			return "", fmt.Errorf("the server did not start: %s", bytes.TrimSpace(said))
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for the server: %w", ctx.Err())
		}
	}
}

// idleAt waits until the views of a server stand at the head.
func idleAt(ctx context.Context, address string) error {
	tick := time.NewTicker(spawnPoll)
	defer tick.Stop()
	for {
		behind, err := metricAt(ctx, address, "ledger_views_behind_records")
		if err != nil || behind == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// metricAt reads a metric that has no labels.
func metricAt(ctx context.Context, address, name string) (v float64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	client := &http.Client{Timeout: spawnWithin, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if text, is := strings.CutPrefix(lines.Text(), name+" "); is {
			return strconv.ParseFloat(text, 64)
		}
	}
	return 0, errors.Join(fmt.Errorf("the server has no metric %s (%s)", name, resp.Status), lines.Err())
}

// peakOf is the most that a process has had resident, in MiB; 0 where the system does not tell.
func peakOf(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				return 0
			}
			return kib / 1024
		}
	}
	return 0
}
