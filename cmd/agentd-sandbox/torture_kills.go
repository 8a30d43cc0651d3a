// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// longestLife ends a process that meets its fail point too late.
	longestLife = time.Second
	// patientBoundary is the highest hit at which a process dies by itself.
	patientBoundary = 45
	// backlog is by how many purchases the daemon may be behind before it is let
	// live a little longer.
	backlog = 20
)

// torture kills until the kills are done and everything is asked for, then ends
// all that goes wrong.
func (c *campaign) torture(ctx context.Context) error {
	faults, calm := context.WithCancel(ctx)
	defer calm()
	var group sync.WaitGroup
	c.misbehave(faults, &group)
	most := len(c.asked.promised()) + c.Purchases
	group.Go(func() { c.buy(ctx, most) })
	err := c.killAgain(ctx)
	calm()
	c.calm.Store(true)
	c.local.market.OnExchange(nil)
	c.rpc.OnExchange(nil)
	if err == nil {
		_, err = c.start(c.release)
	}
	if err != nil {
		c.asked.stop()
	}
	tired := time.AfterFunc(drainLimit, c.asked.stop) // what stands still is found by the drain
	defer tired.Stop()
	group.Wait()
	return err
}

// killAgain starts and kills, in turn at random instants and at write boundaries.
func (c *campaign) killAgain(ctx context.Context) error {
	r := c.random(2)
	first := len(c.asked.promised())
	for i := range c.Kills {
		c.asked.allow(first + c.Purchases*(i+1)/c.Kills)
		var err error
		if r.IntN(2) == 0 {
			err = c.killAtAnInstant(ctx, r)
		} else {
			err = c.killAtABoundary(ctx, r)
		}
		if err != nil {
			return err
		}
		if c.asked.behind(first + c.Purchases*i/c.Kills - backlog) {
			// The daemon has not lived long enough to be asked: let it.
			if err := c.liveFor(ctx, c.release, time.Second); err != nil {
				return err
			}
		}
	}
	c.asked.allow(first + c.Purchases)
	return ctx.Err()
}

// killAtAnInstant kills the release.
func (c *campaign) killAtAnInstant(ctx context.Context, r *mathrand.Rand) error {
	if err := c.liveFor(ctx, c.release, drawLife(r)); err != nil {
		return err
	}
	c.tally.add("kills", "SIGKILL at an instant")
	return nil
}

// liveFor runs a process for so long and kills it.
func (c *campaign) liveFor(ctx context.Context, bin string, d time.Duration) error {
	l, err := c.start(bin)
	if err != nil {
		return err
	}
	select {
	case <-l.exited:
		return c.explain(l)
	case <-time.After(d):
	case <-ctx.Done():
	}
	l.kill()
	return ctx.Err()
}

// drawLife draws how long a process lives: mostly it is killed while it starts or
// soon after, sometimes it gets further.
func drawLife(r *mathrand.Rand) time.Duration {
	switch n := r.IntN(20); {
	case n < 13:
		return time.Duration(30+r.IntN(400)) * time.Millisecond
	case n < 19:
		return time.Duration(400+r.IntN(600)) * time.Millisecond
	default:
		return time.Duration(1000+r.IntN(1500)) * time.Millisecond
	}
}

// boundaries are the fail points that a process may be told to die at.
var boundaries = []string{"*", "*", "*", "ledger-commit-before", "ledger-commit-after", "request-before*", "request-after*",
	"request-after-eth_sendRawTransaction", "request-before-eth_sendRawTransaction", "request-after-payment-proof", "request-after-execute",
	"request-after-orders", "store-rename-before", "store-rename-after"}

// killAtABoundary has the build with fail points kill itself.
func (c *campaign) killAtABoundary(ctx context.Context, r *mathrand.Rand) error {
	point, clock := boundaries[r.IntN(len(boundaries))], filepath.Join(c.dir, "clock")
	most := patientBoundary
	if point != "*" && point[0] != 'l' {
		most = 2
	}
	if err := os.WriteFile(clock, []byte("0s"), 0o600); err != nil {
		return err
	}
	l, err := c.start(c.tagged, fmt.Sprintf("FAILPOINT=%s=%d", point, 1+r.IntN(most)), "FAILPOINT_CLOCK="+clock)
	if err != nil {
		return err
	}
	c.mu.Lock()
	l.clock = clock
	c.mu.Unlock()
	select {
	case <-l.exited:
		if !l.killed() {
			return c.explain(l)
		}
		c.tally.add("kills", "at a write boundary")
		return nil
	case <-time.After(longestLife):
	case <-ctx.Done():
	}
	l.kill()
	c.tally.add("kills", "SIGKILL at an instant")
	return ctx.Err()
}

// explain decides about a process that ended by itself. A disk that is full may
// end a start; a service manager would start it again, and so does the campaign.
func (c *campaign) explain(l *life) error {
	c.log.mu.Lock()
	last := c.log.last
	c.log.mu.Unlock()
	if l.killed() || c.diskWasFull(l) {
		c.tally.add("exits", "with a full disk")
		return nil
	}
	c.tally.add("exits", "otherwise")
	c.asked.find("the daemon ended by itself: %s: %.300s", l.cmd.ProcessState, last)
	return nil
}
