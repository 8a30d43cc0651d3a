// SPDX-License-Identifier: Apache-2.0

// Command agentd-sandbox is a local Machine Market in one process.
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

	"github.com/agentd-project/agentd/sandbox"
)

const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 64
)

// commands is the command line; its tags are its documentation.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Serve the Market, an EVM and the control port on loopback; print one JSON object with all that a client needs, once ready."`
	Demo    demoCommand    `cmd:"" help:"Start a local Market and a real agentd process, buy on every rail, and show what moved."`
	Torture tortureCommand `cmd:"" help:"Kill a real agentd again and again while Market, chain, disk and clock fail, and compare what it did with the chain."`
	Bench   benchCommand   `cmd:"" help:"Measure size, start, memory and the cost of purchases of a daemon on a local Market."`
}

// streams are what a command writes to.
type streams struct {
	out, err io.Writer
}

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return command(ctx, args[1:], streams{stdout, stderr})
}

// command parses the arguments and runs what they name. kong leaves by its exit function for --help.
func command(ctx context.Context, args []string, std streams) (code int) {
	type exit int
	defer func() {
		if thrown := recover(); thrown != nil {
			leaving, isExit := thrown.(exit)
			if !isExit {
				panic(thrown)
			}
			code = int(leaving)
		}
	}()
	var cli commands
	parser, err := kong.New(&cli, kong.Name("agentd-sandbox"), kong.Description("A local Machine Market."), kong.UsageOnError(),
		kong.Vars{"apiKey": sandbox.DefaultAPIKey, "ownerKey": sandbox.DefaultOwnerKey, "agentKey": sandbox.DefaultAgentKey},
		kong.Writers(std.out, std.err), kong.Exit(func(status int) { panic(exit(status)) }))
	if err != nil {
		_, _ = fmt.Fprintln(std.err, "agentd-sandbox:", err)
		return exitFailure
	}
	chosen, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintln(std.err, "agentd-sandbox:", err)
		return exitUsage
	}
	chosen.BindTo(ctx, (*context.Context)(nil))
	if err := chosen.Run(std); err != nil && !errors.Is(err, context.Canceled) {
		_, _ = fmt.Fprintln(std.err, "agentd-sandbox:", err)
		return exitFailure
	}
	return exitOK
}
