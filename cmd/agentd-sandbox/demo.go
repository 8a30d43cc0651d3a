// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/sandbox"
)

type demoCommand struct {
	Agentd string `type:"path" placeholder:"FILE" help:"The agentd to run; without it one is built from this project."`
	Keep   bool   `help:"Keep the files of the demo and say where they are."`
}

// demoRails are what the demo buys, one per rail.
var demoRails = []string{"not-required", "wallet", "wdk-usdt-transfer", "x402", "escrow", "onchain-escrow", "handoff"}

// Run starts a local Market with a real EVM, has a real agentd process enrol
// and pair there, buys on every rail, and shows what moved.
func (c *demoCommand) Run(ctx context.Context, std streams) (err error) {
	dir, err := os.MkdirTemp("", "agentd-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if c.Keep || err != nil {
			_, _ = fmt.Fprintln(std.err, "files are kept in", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	_, _ = fmt.Fprintln(std.out, "building agentd and starting a local Market with a real EVM …")
	bin, err := build(ctx, c.Agentd, dir)
	if err != nil {
		return err
	}
	l, err := startLocal(ctx, sandbox.Options{Services: bothEscrows()}, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	d, err := newDaemon(ctx, bin, dir, l.info, needsOf(l.info, demoRails), "")
	if err != nil {
		return err
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	return demonstrate(ctx, std, l, d)
}

// demonstrate buys and prints.
func demonstrate(ctx context.Context, std streams, l *local, d *daemon) error {
	_, _ = fmt.Fprintf(std.out, "market %s, chain %s, agentd pid %d: enrolled, paired, ready\n\n", l.info.BaseURL, l.info.Chain, d.cmd.Process.Pid)
	before, err := l.balances(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "RAIL\tPRICE\tTRANSACTION OR AUTHORISATION\tSTATE")
	var failed []string
	for _, rail := range demoRails {
		p, err := d.buy(ctx, rail)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\n", rail, p.Price, l.info.TokenSymbol, orDash(p.Reference), p.State)
		if want := wantState(rail); p.State != want {
			failed = append(failed, fmt.Sprintf("%s ended %s (%s), want %s", rail, p.State, p.Reason, want))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	after, err := l.balances(ctx)
	if err != nil {
		return err
	}
	printBalances(std, l.info, before, after)
	out, err := d.command(ctx, "ledger", "verify")
	if err != nil {
		return fmt.Errorf("agentd ledger verify: %w\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	_, _ = fmt.Fprintf(std.out, "\n%s\n", lines[len(lines)-1])
	if len(failed) > 0 {
		return errors.New(strings.Join(failed, "; "))
	}
	return nil
}

func wantState(rail string) string {
	if rail == "handoff" {
		return "handed_off"
	}
	return "settled"
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// needsOf picks one service per rail from the sandbox's catalogue.
func needsOf(info sandbox.Info, rails []string) []need {
	var needs []need
	for _, rail := range rails {
		for _, s := range info.Services {
			if (s.Handoff && rail == "handoff") || (!s.Handoff && s.Rail == rail) {
				needs = append(needs, need{Name: rail, ServiceType: s.ServiceType, Operation: s.Operation, Handoff: s.Handoff,
					Input: orObject(s.ExampleInput), Schema: string(s.Schema)})
				break
			}
		}
	}
	return needs
}

func orObject(raw []byte) string {
	if len(raw) == 0 {
		return "{}"
	}
	return string(raw)
}

// holder is somebody whose balance the demo shows.
type holder struct {
	name   string
	tokens *big.Int
}

// balances reads what the agent and each payee hold of the token.
func (l *local) balances(ctx context.Context) ([]holder, error) {
	holders := []holder{{name: "agent"}}
	addresses := []string{l.info.AgentAddress}
	for _, rail := range demoRails {
		for _, s := range l.info.Services {
			if s.Rail == rail && rail != "not-required" {
				holders, addresses = append(holders, holder{name: "payee on " + rail}), append(addresses, s.Payee)
			}
		}
	}
	for i := range holders {
		balance, err := l.chain.BalanceOf(ctx, common.HexToAddress(addresses[i]))
		if err != nil {
			return nil, err
		}
		holders[i].tokens = balance
	}
	return holders, nil
}

func printBalances(std streams, info sandbox.Info, before, after []holder) {
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "\nBALANCE (%s)\tBEFORE\tAFTER\n", info.TokenSymbol)
	for i := range before {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", before[i].name, units(before[i].tokens, info), units(after[i].tokens, info))
	}
	_ = w.Flush() // the demo's result does not hang on it
}

func units(n *big.Int, info sandbox.Info) string {
	a, err := money.FromBig(n)
	if err != nil {
		return n.String()
	}
	return a.Format(uint8(info.TokenDecimals)) //nolint:gosec // six
}
