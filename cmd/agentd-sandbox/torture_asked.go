// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/agentd-project/agentd/admin"
)

const (
	// mostOpen is how many purchases may be under way, those aside that wait for a person.
	mostOpen = 40
	// askLimit bounds one request to the daemon, which may be dying.
	askLimit = 3 * time.Second
)

// asked is what was asked of the daemon, by number.
type asked struct {
	mu       sync.Mutex
	ids      map[int]string // of the purchases that the daemon promised
	next     int            // the next number
	allowed  int            // how many may be asked for by now
	lost     int            // requests without an answer: promised or not, nobody knows
	stopped  bool
	findings []string // what was found on the way
}

func (a *asked) allow(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.allowed = n
}

func (a *asked) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
}

// behind says whether fewer have been promised than were to be by now.
func (a *asked) behind(n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ids) < n
}

func (a *asked) find(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.findings = append(a.findings, fmt.Sprintf(format, args...))
}

// promised returns the numbers and ids so far.
func (a *asked) promised() map[int]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[int]string, len(a.ids))
	for n, id := range a.ids {
		out[n] = id
	}
	return out
}

// due returns the next number, if one may be asked for now.
func (a *asked) due(most int) (number int, due, over bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.stopped || len(a.ids) >= most:
		return 0, false, true
	case len(a.ids) >= a.allowed:
		return 0, false, false
	}
	a.next++
	return a.next, true, false
}

func (a *asked) note(number int, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ids == nil {
		a.ids = map[int]string{}
	}
	a.ids[number] = id
}

// buy asks for purchases until so many are promised in all. A request whose answer is
// lost is not repeated: it may or may not be a purchase, and another number is
// asked for.
func (c *campaign) buy(ctx context.Context, most int) {
	for {
		number, due, over := c.asked.due(most)
		if over || ctx.Err() != nil {
			return
		}
		if !due || !c.room(ctx) {
			pause(ctx, 20*time.Millisecond)
			if due {
				c.asked.giveBack()
			}
			continue
		}
		if err := c.ask(ctx, number); err != nil {
			pause(ctx, 20*time.Millisecond)
		}
	}
}

func (a *asked) giveBack() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next--
}

// room says whether the daemon answers and has fewer purchases under way than it may.
func (c *campaign) room(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	status, err := c.client.Status(ctx)
	if err != nil {
		return false
	}
	underWay := 0
	for _, p := range status.Open {
		if moving(p) {
			underWay++
		}
	}
	return underWay < mostOpen
}

// ask asks for one purchase.
func (c *campaign) ask(ctx context.Context, number int) error {
	name := c.plan.order[number%len(c.plan.order)]
	input, err := c.plan.inputOf(name, number)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	p, err := c.client.Buy(ctx, admin.BuyRequest{Need: name, Input: input})
	switch refused := (*admin.Error)(nil); {
	case err == nil:
		c.asked.note(number, p.ID)
	case errors.As(err, &refused) && refused.Code != admin.CodeNoDaemon:
		c.tally.add("refused to plan", string(refused.Code))
	default:
		c.asked.mu.Lock()
		c.asked.lost++
		c.asked.mu.Unlock()
	}
	return err
}
