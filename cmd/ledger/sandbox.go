package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway/sandbox"
	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/migrations"
)

// sandboxLink says where the server's sandbox bank is.
type sandboxLink struct {
	Sandbox       *bool         `negatable:"" help:"The sandbox bank; on by default with SQLite, off with PostgreSQL."`
	SandboxFile   string        `help:"The bank's own file (sandbox.db beside the log; data/sandbox.db with PostgreSQL)." placeholder:"FILE"`
	SandboxURL    string        `help:"Use the sandbox bank that runs there (ledger sandbox) instead of one of this process." placeholder:"URL"`
	SandboxSecret string        `help:"Secret shared with that bank, at least 16 characters." placeholder:"TEXT"`
	SandboxDelay  time.Duration `default:"1s" help:"After what time the bank does what it does later."`
}

// check holds what is said of a bank elsewhere against what a connection needs, before a store is made.
func (l *sandboxLink) check() error {
	if l.SandboxURL == "" {
		return nil
	}
	_, err := l.connect()
	return err
}

func (l *sandboxLink) connect() (*sandbox.Client, error) {
	client, err := sandbox.NewClient(l.SandboxURL, []byte(l.SandboxSecret), time.Now)
	if err != nil {
		return nil, usagef("--sandbox-url, --sandbox-secret: %v", err)
	}
	return client, nil
}

// bank is the sandbox as the server sees it.
type bank struct {
	server *sandbox.Bank // nil when it runs elsewhere
	client *sandbox.Client
}

// Close closes the bank's book.
func (b *bank) Close() error {
	if b.server == nil {
		return nil
	}
	return b.server.Close()
}

// sandboxSecretName is where the vault keeps the secret that ledger and sandbox share.
const sandboxSecretName = "gateway/sandbox"

// openBank opens the sandbox of this process, which calls back to base, or the connection to one elsewhere. public is where others reach this server; "" is base.
func (l *sandboxLink) openBank(ctx context.Context, s *stores, base, public string, logger *slog.Logger) (*bank, error) {
	if l.SandboxURL != "" {
		client, err := l.connect()
		if err != nil {
			return nil, err
		}
		return &bank{client: client}, nil
	}
	secret, err := sandboxSecret(ctx, s.vault)
	if err != nil {
		return nil, err
	}
	file := l.SandboxFile
	if file == "" {
		file = filepath.Join("data", "sandbox.db")
		if s.dialect == migrations.SQLite {
			file = s.beside("sandbox.db")
		}
	}
	server, err := sandbox.Open(ctx, file, sandbox.Options{
		Secret: secret, CallbackBase: base, PublicBase: public, Delay: l.SandboxDelay, Log: logger.With("part", "sandbox"),
	})
	if err != nil {
		return nil, err
	}
	client, err := sandbox.NewClient(base, secret, time.Now)
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return &bank{server: server, client: client}, nil
}

// sandboxSecret reads the shared secret, and makes it on the first start.
func sandboxSecret(ctx context.Context, v *vault.Vault) ([]byte, error) {
	secret, err := v.Secret(ctx, sandboxSecretName)
	if !errors.Is(err, vault.ErrNotFound) {
		return secret, err
	}
	secret = make([]byte, sha256.Size)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("making the sandbox's secret: %w", err)
	}
	return secret, v.PutSecret(ctx, sandboxSecretName, secret)
}

// sandboxCommand runs the sandbox bank alone.
type sandboxCommand struct {
	Listen      string        `default:"127.0.0.1:8081" help:"Address to listen on."`
	File        string        `default:"data/sandbox.db" help:"The bank's own file."`
	CallbackURL string        `name:"callback-url" default:"http://127.0.0.1:8080" help:"Base URL of the ledger that is told what happened."`
	Secret      string        `required:"" help:"Secret shared with the ledger, at least 16 characters." placeholder:"TEXT"`
	Delay       time.Duration `default:"1s" help:"After what time the bank does what it does later."`
}

// Validate checks what kong cannot.
func (c *sandboxCommand) Validate() error { return checkListen(c.Listen) }

// Run serves until ctx ends.
func (c *sandboxCommand) Run(ctx context.Context, t *terminal) (err error) {
	logger := slog.New(slog.NewJSONHandler(t.err, nil))
	b, err := sandbox.Open(ctx, c.File, sandbox.Options{Secret: []byte(c.Secret), CallbackBase: c.CallbackURL, Delay: c.Delay, Log: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", c.Listen, err)
	}
	timers := make(chan error, 1)
	go func() { timers <- b.Run(ctx) }()
	mux := http.NewServeMux()
	mux.Handle("/sandbox/", b)
	mux.HandleFunc("/healthz", httpapi.Alive)
	logger.Info("the sandbox bank is open", "address", listener.Addr().String())
	err = httpapi.Serve(ctx, httpapi.NewServer(mux, answerMargin, logger), listener, httpapi.Drain{Timeout: drainWithin})
	return errors.Join(err, <-timers)
}
