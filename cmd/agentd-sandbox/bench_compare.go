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
	"text/tabwriter"
	"time"
)

type compareCommand struct {
	Agentd    string   `type:"path" placeholder:"FILE" help:"The agentd to measure, a release build; without it one is built from this project."`
	Only      []string `enum:"daemon,rate" default:"daemon,rate" help:"Parts to run, of: ${enum}."`
	Rails     []string `enum:"not-required,wallet,x402" default:"not-required,x402" help:"Rails to buy on, of: ${enum}."`
	Purchases int      `default:"200" help:"Purchases per rail and round."`
	Rounds    int      `default:"3" help:"How often the daemon makes them; the median round is printed, with the least and the most."`
	InFlight  int      `default:"32" help:"Purchases at a time where not one after the other; 32 act at once by default."`
}

// rates are the numbers of purchases in flight whose throughput is measured.
var rates = []int{1, 10, 100}

// Run compares.
func (c *compareCommand) Run(ctx context.Context, std streams) (err error) {
	dir, err := os.MkdirTemp("", "agentd-compare-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = fmt.Fprintln(std.err, "files are kept in", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	bin, err := benchBuild(ctx, c.Agentd, dir)
	if err != nil {
		return err
	}
	market, err := startBenchMarket(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, market.close()) }()
	m, err := c.startDaemon(ctx, bin, filepath.Join(dir, "daemon"), market)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.stop()) }()
	if slices.Contains(c.Only, "daemon") {
		if err := c.daemon(ctx, std, m); err != nil {
			return err
		}
	}
	if slices.Contains(c.Only, "rate") {
		return c.rate(ctx, std, m)
	}
	return nil
}

// startDaemon starts a daemon, pairs it, and lets it make a few purchases on
// each rail, so that payees are pinned and connections are open.
func (c *compareCommand) startDaemon(ctx context.Context, bin, dir string, market *benchMarket) (*meter, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	d, err := newDaemon(ctx, bin, dir, market.info, needsOf(market.info, c.Rails), "")
	if err != nil {
		return nil, err
	}
	m, err := listenFor(d)
	if err != nil {
		return nil, err
	}
	if err := m.start(ctx); err != nil {
		return nil, err
	}
	for _, rail := range c.Rails {
		if err := m.buyAll(ctx, load{rail, warm, 1}); err != nil {
			return nil, errors.Join(err, m.stop())
		}
	}
	return m, nil
}

// daemon measures the purchases one after the other and with many in flight, in
// rounds that take turns, so that a disturbance does not fall on one of them.
func (c *compareCommand) daemon(ctx context.Context, std streams, m *meter) error {
	var loads []load
	for _, rail := range c.Rails {
		loads = append(loads, load{rail, c.Purchases, 1}, load{rail, c.Purchases, c.InFlight})
	}
	costs := make([][]cost, len(loads))
	for range c.Rounds {
		for i, l := range loads {
			one, err := m.run(ctx, l)
			if err != nil {
				return err
			}
			costs[i] = append(costs[i], one)
		}
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "DAEMON, %d PURCHASES, %d ROUNDS\tIN FLIGHT\tCPU EACH\tLEAST\tMOST\tWALL\tPER SECOND\tCOMMITS EACH\n", c.Purchases, c.Rounds)
	for i, l := range loads {
		byCPU := slices.SortedFunc(slices.Values(costs[i]), func(a, b cost) int { return cmp.Compare(a.cpu, b.cpu) })
		mid := byCPU[len(byCPU)/2]
		_, _ = fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%.2f s\t%.1f\t%.2f\n", l.need, l.inFlight, millis(mid.each()), millis(byCPU[0].each()),
			millis(byCPU[len(byCPU)-1].each()), mid.wall.Seconds(), mid.rate(), float64(mid.commits)/float64(mid.purchases))
	}
	return w.Flush()
}

// rate measures purchases per second by how many are in flight.
func (c *compareCommand) rate(ctx context.Context, std streams, m *meter) error {
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nDAEMON\tIN FLIGHT\tPURCHASES\tPER SECOND\tCPU EACH\tCOMMITS EACH")
	for _, rail := range c.Rails {
		for _, inFlight := range rates {
			one, err := m.run(ctx, load{rail, max(c.Purchases, 4*inFlight), inFlight})
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%.1f\t%s\t%.2f\n", rail, inFlight, one.purchases, one.rate(), millis(one.each()), float64(one.commits)/float64(one.purchases))
		}
	}
	return w.Flush()
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
