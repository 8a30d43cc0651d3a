// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type compareCommand struct {
	Agentd       string   `type:"path" placeholder:"FILE" help:"The agentd to measure, a release build; without it one is built from this project."`
	Python       string   `type:"path" placeholder:"FILE" help:"A Python interpreter that has the official SDK; without it there is no loop on the SDK and no CLI."`
	CLI          string   `name:"cli" type:"path" placeholder:"FILE" help:"The official CLI; without it there is none."`
	Loop         string   `type:"path" default:"scripts/peers/sdk_loop.py" placeholder:"FILE" help:"The loop on the official SDK."`
	Only         []string `enum:"daemon,peers,rate,count" default:"daemon,peers,rate,count" help:"Parts to run, of: ${enum}."`
	Rails        []string `enum:"not-required,wallet,x402,escrow,onchain-escrow" default:"not-required,x402" help:"Rails to compare on, of: ${enum}."`
	Purchases    int      `default:"200" help:"Purchases per rail, buyer and round."`
	CLIPurchases int      `name:"cli-purchases" default:"20" help:"Purchases per rail by the CLI."`
	Rounds       int      `default:"3" help:"How often the daemon makes them; the round of median CPU is printed, with the least and the most."`
	InFlight     int      `default:"32" help:"Purchases at a time where not one after the other; 32 act at once by default."`
}

// compareRails are all that the daemon pays by itself.
var compareRails = []string{"not-required", "wallet", "x402", "escrow", "onchain-escrow"}

// rates are the numbers of purchases in flight whose throughput is measured.
var rates = []int{1, 10, 100}

// comparison is one run: a Market, a daemon on it, and what was measured.
type comparison struct {
	*compareCommand
	dir    string
	market *benchMarket
	meter  *meter
	strace string // empty where it is not installed
	rows   []row
}

// row is what one buyer's purchases on one rail cost. Least and most are of the
// rounds, the cost is of the one in the middle.
type row struct {
	buyer, rail string
	inFlight    int
	cost        cost
	least, most cost
}

// Run compares.
func (c *compareCommand) Run(ctx context.Context, std streams) (err error) {
	r := &comparison{compareCommand: c}
	if r.dir, err = os.MkdirTemp("", "agentd-compare-"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = fmt.Fprintln(std.err, "files are kept in", r.dir)
			return
		}
		err = os.RemoveAll(r.dir)
	}()
	bin, err := buildRelease(ctx, c.Agentd, r.dir, "agentd")
	if err != nil {
		return err
	}
	if r.market, err = startBenchMarket(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.market.close()) }()
	if r.meter, err = r.startDaemon(ctx, bin); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.meter.stop()) }()
	return r.parts(ctx, std)
}

// parts measures and prints what was asked for.
func (r *comparison) parts(ctx context.Context, std streams) error {
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
		print   func(streams) error
	}{
		{"daemon", r.daemon, r.printDaemon},
		{"peers", r.peers, r.printPeers},
		{"rate", r.rate, r.printRate},
		{"count", r.count, r.printCount},
	} {
		if !slices.Contains(r.Only, part.name) {
			continue
		}
		if part.name != "peers" { // which are compared with the daemon's rows
			r.rows = nil
		}
		if err := part.measure(ctx); err != nil {
			return err
		}
		if err := part.print(std); err != nil {
			return err
		}
	}
	return nil
}

// startDaemon starts a daemon, pairs it, and lets it make a few purchases on
// each rail, so that payees are pinned and connections are open.
func (r *comparison) startDaemon(ctx context.Context, bin string) (*meter, error) {
	dir := filepath.Join(r.dir, "daemon")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	info := r.market.info
	plan := torturePlan{Confirmations: 1, RPC: info.RPCURL, LogLevel: "info", Listen: listen, Rails: strings.Join(compareRails, ", "),
		Long: "24h", LongLimit: "10000.00", Short: "1h", ShortLimit: "10000.00"}
	d, err := newDaemonOf(ctx, bin, dir, info, needsOf(info, compareRails), tortureTemplate, map[string]any{"Plan": plan})
	if err != nil {
		return nil, err
	}
	m := &meter{d, r.market, "http://" + listen + "/metrics"}
	if err := m.start(ctx); err != nil {
		return nil, err
	}
	for _, rail := range compareRails {
		if err := m.buyAll(ctx, load{rail, warm, 1}); err != nil {
			return nil, errors.Join(err, m.stop())
		}
	}
	return m, nil
}

// daemon measures the purchases one after the other and with many in flight, in
// rounds that take turns, so that a disturbance does not fall on one of them.
func (r *comparison) daemon(ctx context.Context) error {
	var loads []load
	for _, rail := range r.Rails {
		loads = append(loads, load{rail, r.Purchases, 1}, load{rail, r.Purchases, r.InFlight})
	}
	costs := make([][]cost, len(loads))
	for range r.Rounds {
		for i, l := range loads {
			one, err := r.meter.run(ctx, l)
			if err != nil {
				return err
			}
			costs[i] = append(costs[i], one)
		}
	}
	for i, l := range loads {
		byCPU := slices.SortedFunc(slices.Values(costs[i]), func(a, b cost) int { return cmp.Compare(a.cpu, b.cpu) })
		r.rows = append(r.rows, row{"agentd", l.need, l.inFlight, byCPU[len(byCPU)/2], byCPU[0], byCPU[len(byCPU)-1]})
	}
	return nil
}

// peers has the others make the same purchases on the same Market.
func (r *comparison) peers(ctx context.Context) error {
	if r.Python == "" {
		return nil
	}
	dir := filepath.Join(r.dir, "peers")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	loop, err := r.loop(ctx, dir, r.market.info, 1, r.Purchases)
	if err != nil {
		return err
	}
	for _, rail := range r.peerRails() {
		c := loop.Costs[rail].cost()
		r.rows = append(r.rows, row{"loop on the SDK", rail, 1, c, c, c})
	}
	if r.CLI == "" {
		return nil
	}
	line, err := r.newCommandLine(ctx, dir, r.market.info, 2)
	if err != nil {
		return err
	}
	for _, rail := range r.peerRails() {
		c, err := line.measure(ctx, rail, r.CLIPurchases)
		if err != nil {
			return err
		}
		r.rows = append(r.rows, row{"CLI", rail, 1, c, c, c})
	}
	return nil
}

// rate measures purchases per second by how many are in flight.
func (r *comparison) rate(ctx context.Context) error {
	for _, rail := range r.Rails {
		for _, inFlight := range rates {
			c, err := r.meter.run(ctx, load{rail, max(r.Purchases, 4*inFlight), inFlight})
			if err != nil {
				return err
			}
			r.rows = append(r.rows, row{"agentd", rail, inFlight, c, c, c})
		}
	}
	return nil
}
