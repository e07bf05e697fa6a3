package testpg

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestDSN(t *testing.T) {
	one, two := DSN(t), DSN(t)
	if one == two {
		t.Fatal("two tests share a database")
	}
	for _, dsn := range []string{one, two} {
		if err := execute(dsn, "CREATE TABLE mine (id int)"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnDatabase(t *testing.T) {
	for server, want := range map[string]string{
		"postgres://u:p@h:1/postgres?sslmode=disable": "postgres://u:p@h:1/x?sslmode=disable",
		"postgresql://h/": "postgresql://h/x",
		"host=/run/pg port=5433 user=u password=p sslmode=disable": "postgres://u:p@/x?host=%2Frun%2Fpg&port=5433&sslmode=disable",
	} {
		got, err := onDatabase(server, "x")
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", server, got, err, want)
		}
		if _, err := pgx.ParseConfig(got); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
	if _, err := onDatabase("port=none", "x"); err == nil || !strings.Contains(err.Error(), Env) {
		t.Errorf("a wrong address: %v", err)
	}
}

// startable tells whether a cluster can be made here. Where there is only the server of LEDGER_TEST_POSTGRES, the error
// must say what to do.
func startable(t *testing.T) bool {
	t.Helper()
	_, err := findPrograms()
	if err != nil && (os.Getenv(Env) == "" || !strings.Contains(err.Error(), Env) || !strings.Contains(err.Error(), "apt-get install")) {
		t.Fatal(err)
	}
	return err == nil
}

func TestStop(t *testing.T) {
	if !startable(t) {
		return
	}
	c, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	if err := execute(c.URL(), "SELECT 1"); err != nil {
		t.Error(err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if err := execute(c.URL(), "SELECT 1"); err == nil {
		t.Error("the server still answers")
	}
}

// childEnv makes TestKilled start a cluster and wait to be killed.
const childEnv = "LEDGER_TESTPG_CHILD"

// TestKilled: the process that started a cluster is killed, and what it leaves behind is stopped and removed.
func TestKilled(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		c, err := Start()
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString(c.dir + " " + c.URL() + "\n") //nolint:errcheck // the parent notices
		select {}
	}
	if !startable(t) {
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), program, "-test.run=^TestKilled$")
	child.Env = append(os.Environ(), childEnv+"=1")
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	dir, url, _ := strings.Cut(strings.TrimSpace(line), " ")
	if err := execute(url, "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", dir)
		}
	}
	if err := execute(url, "SELECT 1"); err == nil {
		t.Error("the server still answers")
	}
}

func TestProxy(t *testing.T) {
	proxy := NewProxy(t, DSN(t))
	if err := execute(proxy.DSN(), "CREATE TABLE seen (id int)"); err != nil {
		t.Fatal(err)
	}
	for _, arrives := range []bool{false, true} {
		proxy.Cut("INSERT", arrives)
		if err := execute(proxy.DSN(), "INSERT INTO seen VALUES (1)"); err == nil {
			t.Fatal("the connection was not cut")
		}
		if err := execute(proxy.DSN(), "DO $$ BEGIN ASSERT (SELECT count(*) FROM seen) = "+map[bool]string{false: "0", true: "1"}[arrives]+"; END $$"); err != nil {
			t.Errorf("arrives %v: %v", arrives, err)
		}
	}
	proxy.Down()
	if err := execute(proxy.DSN(), "SELECT 1"); err == nil {
		t.Error("the proxy is not down")
	}
	proxy.Up()
	if err := execute(proxy.DSN(), "SELECT 1"); err != nil {
		t.Error(err)
	}
}
