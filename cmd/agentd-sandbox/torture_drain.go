// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/agentd-project/agentd/admin"
)

const (
	// drainLimit bounds the end: an order whose answer was lost is looked for over a
	// minute, and a dead authorisation is waited for.
	drainLimit = 4 * time.Minute
	lookEvery  = 25 * time.Millisecond
)

// open returns what is not final.
func (c *campaign) open(ctx context.Context) ([]admin.Purchase, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return c.client.Purchases(ctx, admin.PurchaseQuery{Open: true, Limit: 1000})
}

// moving says whether a purchase goes on by itself.
func moving(p admin.Purchase) bool { return !p.Waiting && !p.HandedOff }

// drain waits, while nothing goes wrong any more, until every purchase is final
// or waits for a person.
func (c *campaign) drain(ctx context.Context) (took time.Duration, err error) {
	began := time.Now()
	for {
		left, err := c.open(ctx)
		if err == nil && !slices.ContainsFunc(left, moving) {
			return time.Since(began), nil
		}
		if l := c.current(); l == nil {
			return 0, fmt.Errorf("the daemon ended by itself while nothing went wrong: see %s", c.daemon.log)
		}
		if time.Since(began) > drainLimit {
			took = time.Since(began)
			for _, p := range left {
				if moving(p) {
					c.asked.find("purchase %s on %s is still %s (%s) %s after the last fault", p.ID, p.Need, p.State, p.Reason, took.Round(time.Second))
				}
			}
			if err != nil {
				c.asked.find("the daemon does not answer after the last fault: %v", err)
			}
			return took, nil
		}
		if !pause(ctx, 8*lookEvery) {
			return 0, ctx.Err()
		}
	}
}

// recover kills the daemon while value is on its way, with no other fault and a
// healthy chain, and times how long after its restart nothing is unknown.
func (c *campaign) recover(ctx context.Context) error {
	r := c.random(3)
	for range c.Recoveries {
		for _, rail := range tortureRails {
			if !rail.moves {
				continue
			}
			if err := c.buyNow(ctx, rail.name); err != nil {
				return err
			}
		}
		if err := c.awaitUnknown(ctx); err != nil {
			return err
		}
		pause(ctx, time.Duration(r.IntN(400))*time.Millisecond)
		c.end()
		c.tally.add("kills", "SIGKILL while value was on its way")
		l, err := c.start(c.release)
		if err != nil {
			return err
		}
		if err := c.timeRecovery(ctx, l); err != nil {
			return err
		}
		if _, err := c.drain(ctx); err != nil {
			return err
		}
	}
	c.end()
	return nil
}

// buyNow asks for one purchase more, of one need.
func (c *campaign) buyNow(ctx context.Context, name string) error {
	c.asked.mu.Lock()
	c.asked.next++
	number := c.asked.next
	c.asked.mu.Unlock()
	input, err := c.plan.inputOf(name, number)
	if err != nil {
		return err
	}
	p, err := c.client.Buy(ctx, admin.BuyRequest{Need: name, Input: input})
	if err != nil {
		return fmt.Errorf("buy %s: %w", name, err)
	}
	c.asked.note(number, p.ID)
	return nil
}

// unknown returns the purchases whose value may be on its way, with their needs.
func (c *campaign) unknown(ctx context.Context) (map[string]string, error) {
	all, err := c.open(ctx)
	ids := map[string]string{}
	for _, p := range all {
		if p.Unknown {
			ids[p.ID] = p.Need
		}
	}
	return ids, err
}

func (c *campaign) awaitUnknown(ctx context.Context) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && pause(ctx, lookEvery); {
		if ids, err := c.unknown(ctx); err == nil && len(ids) > 0 {
			return nil
		}
	}
	return fmt.Errorf("no value was ever on its way, see %s", c.daemon.log)
}

// timeRecovery waits until those purchases are known that were not at the start.
func (c *campaign) timeRecovery(ctx context.Context, l *life) error {
	var left map[string]string
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && pause(ctx, lookEvery); {
		ids, err := c.unknown(ctx)
		if err != nil {
			continue
		}
		if left == nil {
			left = ids
		}
		for id, need := range left {
			if _, still := ids[id]; !still {
				c.recovered[need] = append(c.recovered[need], time.Since(l.began))
				delete(left, id)
			}
		}
		if len(left) == 0 {
			return nil
		}
	}
	c.asked.find("a minute after a restart with a healthy chain money was still of unknown fate: %d purchases", len(left))
	return ctx.Err()
}
