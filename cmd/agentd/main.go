// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/config"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

// console is what a command has of the world.
type console struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
}

// options are the flags of every command.
type options struct {
	Config string `help:"Configuration file. Default: $AGENTD_CONFIG, or ${configFile} if it exists; without one, the environment alone." type:"path" placeholder:"FILE" short:"c"`
	Socket string `help:"Socket of the daemon. Default: admin.socket of the configuration." type:"path" placeholder:"PATH"`
}

// commands is the whole command line.
type commands struct {
	options

	Run         runCmd         `cmd:"" help:"Run the daemon."`
	Check       checkCmd       `cmd:"" help:"Check the configuration. Needs no daemon."`
	Init        initCmd        `cmd:"" help:"Write a configuration with safe limits, and a key. Needs no daemon."`
	Keys        keysCmd        `cmd:"" help:"Make and read keystore files. Needs no daemon."`
	Status      statusCmd      `cmd:"" help:"Show machine, pairing, budget, balances, open purchases and problems."`
	Explain     explainCmd     `cmd:"" help:"Search, select and judge without spending."`
	Buy         buyCmd         `cmd:"" help:"Buy what a need describes, once, now."`
	Purchases   purchasesCmd   `cmd:"" help:"List purchases, or show one."`
	Approve     approveCmd     `cmd:"" help:"Approve a purchase that waits for a person."`
	Deny        denyCmd        `cmd:"" help:"Deny a purchase that waits for a person."`
	Resolve     resolveCmd     `cmd:"" help:"End what was handed off or needs the operator."`
	Pause       pauseCmd       `cmd:"" help:"Stop spending, until resumed."`
	Resume      resumeCmd      `cmd:"" help:"Let spending go on."`
	Policy      policyCmd      `cmd:"" help:"Show the policy, or test it against a table."`
	Pairing     pairingCmd     `cmd:"" help:"Show and change the pairing."`
	Ledger      ledgerCmd      `cmd:"" help:"Verify, export and back up the ledger."`
	Market      marketCmd      `cmd:"" help:"Read the Market with the daemon's credentials."`
	LogLevel    logLevelCmd    `cmd:"" name:"log-level" help:"Show or change the log level of the running daemon."`
	Healthcheck healthcheckCmd `cmd:"" help:"Succeed if the daemon is live."`
	Version     versionCmd     `cmd:"" help:"Print the version. Needs no daemon."`
}

// kongExit is what the parser's exit (after --help) is turned into.
type kongExit int

// run is the program: it returns the exit code.
func run(args []string, in io.Reader, out, errs io.Writer, environ []string) (code int) {
	defer func() {
		if r := recover(); r != nil {
			exit, ok := r.(kongExit)
			if !ok {
				panic(r)
			}
			code = int(exit)
		}
	}()
	var cli commands
	parser, err := kong.New(&cli,
		kong.Name("agentd"),
		kong.Description("The machine's buyer on the Machine Markets."),
		kong.Writers(out, errs),
		kong.Exit(func(code int) { panic(kongExit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Vars{"configFile": defaultConfig},
	)
	if err != nil {
		_, _ = fmt.Fprintln(errs, "agentd:", err)
		return exitFailure
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintf(errs, "agentd: %s\nsee agentd %s--help\n", err, commandOf(err))
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for an orderly end; from then on a second one ends the process at once.
	defer context.AfterFunc(ctx, stop)()
	con := &console{in: in, out: out, err: errs, environ: environ}
	parsed.BindTo(ctx, (*context.Context)(nil))
	if err := parsed.Run(con, &cli.options); err != nil {
		return report(errs, err)
	}
	return exitOK
}

// commandOf names the command that a parse error is about, with a space after it.
func commandOf(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Command() != "" {
		if node := parse.Context.Selected(); node != nil {
			return node.Path() + " "
		}
	}
	return ""
}

// defaultConfig is where packages put the configuration.
const defaultConfig = "/etc/agentd/agentd.yaml"

// lookup returns an environment variable.
func (c *console) lookup(name string) string {
	value := ""
	for _, pair := range c.environ {
		if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
			value = pair[len(name)+1:]
		}
	}
	return value
}

// configFile returns the path of the configuration, empty if there is none.
func (c *console) configFile(o *options) string {
	if o.Config != "" {
		return o.Config
	}
	if path := c.lookup("AGENTD_CONFIG"); path != "" {
		return path
	}
	if _, err := os.Stat(defaultConfig); errors.Is(err, os.ErrNotExist) {
		return ""
	}
	return defaultConfig
}

// load reads the configuration and prints its warnings.
func (c *console) load(o *options) (*config.Config, error) {
	cfg, err := config.Load(c.configFile(o), c.environ)
	if err != nil {
		return nil, err
	}
	for _, warning := range cfg.Warnings {
		c.warn(warning)
	}
	return cfg, nil
}

func (c *console) warn(text string) { _, _ = fmt.Fprintln(c.err, "agentd: warning:", text) }

// client returns a client of the running daemon.
func (c *console) client(o *options) *admin.Client {
	socket := o.Socket
	if socket == "" {
		socket = config.Socket(c.configFile(o), c.environ)
	}
	return admin.NewClient(socket)
}
