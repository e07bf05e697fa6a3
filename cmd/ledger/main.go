// Command ledger runs the payout and wallet ledger: the server, and every tool that works beside it on the same store.
// There is one file per subcommand; this package is the only place that joins the others together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/khata-ledger/khata/cmd/ledger/bench"
)

// commandLine is the whole command line; see docs/operations.md. Each flag is also an environment variable, LEDGER_ and
// its name in capitals.
type commandLine struct {
	Serve     serveCommand     `cmd:"" help:"Run the server."`
	Migrate   migrateCommand   `cmd:"" help:"Bring the store's schema up to date."`
	Merchant  merchantCommand  `cmd:"" help:"Make, show and change merchants."`
	App       appCommand       `cmd:"" help:"Apps of the KS Pay API: make, show, set up their gateways."`
	Operator  operatorCommand  `cmd:"" help:"Make, list and revoke operators."`
	Wallet    walletCommand    `cmd:"" help:"Show and adjust wallets."`
	Suspense  suspenseCommand  `cmd:"" help:"Payments that fit no payin: list, credit, refund."`
	Payin     payinCommand     `cmd:"" help:"Refund payins, and list their refunds."`
	Payout    payoutCommand    `cmd:"" help:"Resolve payouts that no bank answers."`
	Batch     batchCommand     `cmd:"" help:"Submit files of payouts to a server, and watch them."`
	Callback  callbackCommand  `cmd:"" help:"List and resend callbacks."`
	Replay    replayCommand    `cmd:"" help:"Show the events of a payment, wallet or merchant, with balances."`
	Proof     proofCommand     `cmd:"" help:"Signed checkpoints of the log, and proofs that others can verify."`
	Dispute   disputeCommand   `cmd:"" help:"Disputes about payments, and packs that prove what happened."`
	Verify    verifyCommand    `cmd:"" help:"Check the log and the views."`
	Audit     auditCommand     `cmd:"" help:"For finance teams: the books, at any moment, from the log alone."`
	Reconcile reconcileCommand `cmd:"" help:"Compare the books with what gateways and banks say, and settle what does not agree."`
	Rebuild   rebuildCommand   `cmd:"" help:"Build views anew beside the serving ones, then switch."`
	Log       logCommand       `cmd:"" help:"Export and import the log."`
	Secrets   secretsCommand   `cmd:"" help:"Back up, restore and rotate the wrapped keys."`
	Bench     benchCommand     `cmd:"" help:"Measure the ledger, each figure beside its limit, on scratch stores."`
	Sandbox   sandboxCommand   `cmd:"" help:"Run the sandbox bank alone."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

// Exit codes.
const (
	exitNo    = 1 // the answer is "no", or something failed
	exitUsage = 2 // wrong usage
)

// errNo ends a command whose answer was printed and is "no".
var errNo = errors.New("no")

// usageError is wrong usage found after the flags were parsed.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// terminal is where a command writes: answers to out, logs and progress to err.
type terminal struct{ out, err io.Writer }

func run(ctx context.Context, args []string, out, errw io.Writer) int {
	var cli commandLine
	exit := -1
	parser, err := kong.New(&cli,
		kong.Name("ledger"),
		kong.Description("An event-sourced payout and wallet ledger."),
		kong.Writers(out, errw),
		kong.Exit(func(code int) { exit = code }),
		kong.DefaultEnvars("LEDGER"),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&terminal{out, errw}),
		helpVars(),
		kong.UsageOnError(),
	)
	if err != nil {
		complain(errw, "ledger: %v\n", err)
		return exitUsage
	}
	command, err := parser.Parse(args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		complain(errw, "ledger: %s\nrun \"%s --help\" to see what it takes\n", oneLine(err), commandOf(err))
		return exitUsage
	}
	return exitCode(command.Run(), errw)
}

// commandOf is the command that the arguments had named when they went wrong, as far as they had.
func commandOf(err error) string {
	var wrong *kong.ParseError
	if !errors.As(err, &wrong) || wrong.Context == nil {
		return "ledger"
	}
	name := "ledger"
	for _, p := range wrong.Context.Path {
		if p.Command != nil {
			name += " " + p.Command.Name
		}
	}
	return name
}

func exitCode(err error, errw io.Writer) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNo):
		return exitNo
	case errors.As(err, &usage):
		complain(errw, "ledger: %v\n", err)
		return exitUsage
	}
	complain(errw, "ledger: %s\n", oneLine(err))
	return exitNo
}

// complain writes to stderr. When that fails there is nobody left to tell; the exit code says it.
func complain(errw io.Writer, format string, args ...any) {
	fmt.Fprintf(errw, format, args...) //nolint:errcheck // see above
}

// oneLine is an error's text on one line: joined errors, and those of the network, have several.
func oneLine(err error) string {
	return strings.NewReplacer(":\n\t", ": ", "\n\t", "; ", "\n", "; ").Replace(err.Error())
}

// helpVars are what help texts name in ${...}.
func helpVars() kong.Vars { return kong.Vars{"scenarios": strings.Join(bench.Names(), ", ")} }
