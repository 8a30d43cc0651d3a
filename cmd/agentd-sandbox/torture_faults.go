// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/agentd-project/agentd/sandbox"
)

const (
	// chainLead is how far block times may run ahead of the clock: each block is a
	// second after its parent, and a young chain may have some at once.
	chainLead = 20 * time.Second
	mineEvery = 200 * time.Millisecond
	// stalledAfter is after how many looks without a new block, half a minute, the
	// chain is said to stand still.
	stalledAfter = 150
)

// tally counts what happened, by group and kind.
type tally struct {
	mu sync.Mutex
	by map[string]map[string]int
}

func (t *tally) add(group, kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]map[string]int{}
	}
	if t.by[group] == nil {
		t.by[group] = map[string]int{}
	}
	t.by[group][kind]++
}

// kinds returns a group's kinds in order, and their sum.
func (t *tally) kinds(group string) (names []string, counts map[string]int, sum int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts = maps.Clone(t.by[group])
	for _, n := range counts {
		sum += n
	}
	return slices.Sorted(maps.Keys(counts)), counts, sum
}

// weighted is a fault and how often it is drawn among its like.
type weighted struct {
	kind   sandbox.FaultKind
	weight int
}

var marketFaults = []weighted{
	{sandbox.FaultRefuse, 2}, {sandbox.FaultDropBefore, 3}, {sandbox.FaultDropAfter, 5}, {sandbox.FaultDelay, 4},
	{sandbox.FaultDelayBefore, 4}, {sandbox.FaultStatus, 2}, {sandbox.FaultStatusAfter, 3}, {sandbox.FaultRateLimit, 1},
	{sandbox.FaultTruncate, 2}, {sandbox.FaultNotJSON, 1}, {sandbox.FaultEmpty, 1}, {sandbox.FaultTwice, 4},
}

var rpcFaults = []weighted{
	{sandbox.FaultRefuse, 2}, {sandbox.FaultDropBefore, 3}, {sandbox.FaultDropAfter, 4}, {sandbox.FaultDelay, 4},
	{sandbox.FaultDelayBefore, 2}, {sandbox.FaultStatus, 1}, {sandbox.FaultStatusAfter, 2}, {sandbox.FaultRateLimit, 3},
	{sandbox.FaultTruncate, 1}, {sandbox.FaultNotJSON, 1}, {sandbox.FaultEmpty, 1}, {sandbox.FaultTwice, 3}, {sandbox.FaultStale, 6},
	{sandbox.FaultError, 3}, {sandbox.FaultErrorAfter, 2},
}

// storm decides for each exchange whether it goes wrong and how. Most of the time
// few do; now and then, for a second or two, most do.
type storm struct {
	c      *campaign
	group  string
	kinds  []weighted
	seldom float64

	mu      sync.Mutex
	random  *mathrand.Rand
	until   time.Time
	wild    bool
	longest int // of a delay, in milliseconds
}

func (s *storm) decide(string, int) sandbox.Fault {
	if s.c.calm.Load() {
		return sandbox.Fault{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.After(s.until) {
		s.wild = !s.wild && s.random.IntN(3) == 0
		span := 500 + s.random.IntN(2500)
		if s.wild {
			span = 300 + s.random.IntN(1200)
		}
		s.until = now.Add(time.Duration(span) * time.Millisecond)
	}
	share := s.seldom
	if s.wild {
		share = 0.6
	}
	if s.random.Float64() >= share {
		return sandbox.Fault{}
	}
	total := 0
	for _, k := range s.kinds {
		total += k.weight
	}
	at := s.random.IntN(total)
	for _, k := range s.kinds {
		if at -= k.weight; at < 0 {
			s.c.tally.add(s.group, string(k.kind))
			return sandbox.Fault{Kind: k.kind, DelayMS: 20 + s.random.IntN(s.longest), RetryAfter: 1, Status: 500 + s.random.IntN(5)}
		}
	}
	return sandbox.Fault{}
}

// misbehave lets the Market, the chain's endpoint, the chain and the Market's
// sessions go wrong until ctx ends.
func (c *campaign) misbehave(ctx context.Context, group *sync.WaitGroup) {
	market := &storm{c: c, group: "market", kinds: marketFaults, seldom: 0.08, random: c.random(10), longest: 900}
	rpc := &storm{c: c, group: "rpc", kinds: rpcFaults, seldom: 0.05, random: c.random(11), longest: 700}
	c.local.market.OnExchange(market.decide)
	c.rpc.OnExchange(rpc.decide)
	group.Go(func() {
		c.every(ctx, c.random(12), 8*time.Second, 14*time.Second, func(r *mathrand.Rand) {
			if c.evm.Reorg(uint64(1+r.IntN(tortureConfirmations-1))) == nil { //nolint:gosec // small
				c.tally.add("chain", "reorganisation")
			}
		})
	})
	group.Go(func() {
		c.every(ctx, c.random(13), 4*time.Second, 10*time.Second, func(*mathrand.Rand) {
			c.local.market.LoseSessions()
			c.tally.add("market", "sessions lost")
		})
	})
	group.Go(func() { c.fillDisk(ctx, c.random(14)) })
	group.Go(func() { c.turnClock(ctx, c.random(15)) })
}

// every does something again and again, at random intervals between two bounds.
func (c *campaign) every(ctx context.Context, r *mathrand.Rand, least, most time.Duration, do func(*mathrand.Rand)) {
	for pause(ctx, least+time.Duration(r.Int64N(int64(most-least)))) {
		do(r)
	}
}

// pause waits for d and reports whether ctx still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// startMining makes the blocks: with whatever is pending, as fast as block times
// may run ahead of the clock, and about one a second afterwards.
func (c *campaign) startMining(ctx context.Context) {
	go func() {
		last, still := uint64(0), 0
		for pause(ctx, mineEvery) {
			head, err := c.evm.Head(ctx)
			if err != nil {
				return // the chain is closed
			}
			if still++; head.Number.Uint64() != last {
				last, still = head.Number.Uint64(), 0
			}
			if still == stalledAfter {
				c.asked.find("the sandbox's chain stands still at block %d, time %d: a fault of the sandbox, not of the daemon", last, head.Time)
			}
			if time.Until(time.Unix(int64(head.Time)+1, 0)) <= chainLead { //nolint:gosec // a block time, far below 2^63
				if c.evm.Mine(ctx) != nil {
					return
				}
			}
		}
	}()
}
