// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentd-project/agentd/admin"
)

// load is a number of purchases of one need, asked for over the daemon's socket
// as software on the machine does, so many at a time.
type load struct {
	need                string
	purchases, inFlight int
}

// cost is what a load took. CPU is that of the buyer's process, in user and
// kernel mode.
type cost struct {
	purchases int
	wall, cpu time.Duration
	commits   int // durable ones, of the daemon only
	calls     int // of the Market's API
	rpc       int // requests to the chain
	syncs     int // calls of fsync and its kin, where they were traced
}

// meter is a running daemon that is measured from outside.
type meter struct {
	*daemon
	market  *benchMarket
	metrics string // URL of its /metrics
}

// freeAddress names a loopback port that was free a moment ago.
func freeAddress() (string, error) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return socket.Addr().String(), socket.Close()
}

// run makes the purchases and returns what they took from the first request to
// the last one's settled state.
func (m *meter) run(ctx context.Context, l load) (cost, error) {
	before, err := m.count(ctx)
	if err != nil {
		return cost{}, err
	}
	cpu, err := cpuTime(m.cmd.Process.Pid)
	if err != nil {
		return cost{}, err
	}
	begin := time.Now()
	if err := m.buyAll(ctx, l); err != nil {
		return cost{}, err
	}
	c := cost{purchases: l.purchases, wall: time.Since(begin)}
	after, err := cpuTime(m.cmd.Process.Pid)
	if err != nil {
		return cost{}, err
	}
	counts, err := m.count(ctx)
	c.cpu, c.commits, c.calls, c.rpc = after-cpu, counts.commits-before.commits, counts.calls-before.calls, counts.rpc-before.rpc
	return c, err
}

func (m *meter) buyAll(ctx context.Context, l load) error {
	client := admin.NewClient(m.path("agentd.sock"))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(l.inFlight)
	for range l.purchases {
		group.Go(func() error {
			p, err := client.Buy(ctx, admin.BuyRequest{Need: l.need})
			if err != nil {
				return err
			}
			if p, err = client.Wait(ctx, p.ID, 2*time.Minute); err != nil {
				return err
			}
			if !p.Settled {
				return fmt.Errorf("purchase %s of %s ended %s (%s); see %s", p.ID, l.need, p.State, p.Reason, m.log)
			}
			return nil
		})
	}
	return group.Wait()
}

// count reads the counters; wall and CPU time are not among them.
func (m *meter) count(ctx context.Context) (cost, error) {
	commits, err := m.commits(ctx)
	if err != nil {
		return cost{}, err
	}
	stats, err := m.market.market.Stats(ctx)
	c := cost{commits: commits, rpc: int(m.market.requests.Load())}
	for _, n := range stats.Calls {
		c.calls += n
	}
	return c, err
}

// commitTime is the daemon's histogram of durable commits, which also counts
// them.
const commitTime = "agentd_ledger_commit_duration_seconds"

func (m *meter) commits(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.metrics, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // read to its end or given up
	return readCount(response.Body, commitTime+"_count")
}

// readCount finds the value of a metric without labels.
func readCount(exposition io.Reader, name string) (int, error) {
	lines := bufio.NewScanner(exposition)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			return strconv.Atoi(value)
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("no metric %s", name)
}
