// Command withpg runs another command beside one PostgreSQL for all of its tests: LEDGER_TEST_POSTGRES of that command names
// a private cluster, which ends with it. Where the variable is set already, it is left alone.
//
//	go run ./eventstore/testpg/withpg go test ./...
//
// With -durable as its first argument, the cluster syncs every commit, as a server in production does.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

func main() {
	args, start := os.Args[1:], testpg.Start
	if len(args) > 0 && args[0] == "-durable" {
		args, start = args[1:], testpg.StartDurable
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: withpg [-durable] COMMAND [ARGUMENT]...")
		os.Exit(2)
	}
	code, err := run(args[0], args[1:], start)
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// run returns the exit code of the command.
func run(name string, args []string, start func() (*testpg.Cluster, error)) (code int, err error) {
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = os.Environ()
	if os.Getenv(testpg.Env) == "" {
		cluster, err := start()
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, cluster.Stop()) }()
		cmd.Env = append(cmd.Env, testpg.Env+"="+cluster.URL())
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}
