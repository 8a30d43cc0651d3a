// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	tests := []struct {
		name    string
		market  time.Duration // its clock against ours; 1 ns is "not seen"
		chain   time.Duration
		pass    time.Duration
		jump    time.Duration // of our wall clock afterwards
		trusted bool
	}{
		{"nothing seen", 1, 1, 0, 0, false},
		{"the Market agrees", time.Second, 1, 0, 0, true},
		{"the Market at the bound", clockBound, 1, 0, 0, true},
		{"the Market past the bound", clockBound + time.Second, 1, 0, 0, false},
		{"the Market behind", -clockBound - time.Second, 1, 0, 0, false},
		{"only the chain agrees", 1, -5 * time.Second, 0, 0, true},
		{"only the chain, idle for an hour", 1, -time.Hour, 0, 0, false},
		{"the chain idle, the Market agrees", 0, -time.Hour, 0, 0, true},
		{"the chain ahead of us", 0, time.Hour, 0, 0, false},
		{"hours later", 0, 1, 5 * time.Hour, 0, true},
		{"the wall clock jumps", 0, 1, time.Minute, time.Hour, false},
		{"the wall clock jumps back", 0, 1, time.Minute, -9 * time.Hour, false},
		{"the wall clock is set right a little", 0, 1, time.Minute, 30 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newClock()
				if tt.market != 1 {
					c.observe(marketClock, time.Now().Add(tt.market), false)
				}
				if tt.chain != 1 {
					c.observe("chain", time.Now().Add(tt.chain), true)
				}
				time.Sleep(tt.pass)
				c.wall = func() time.Time { return time.Now().Add(tt.jump) }
				if _, got := c.Now(); got != tt.trusted {
					t.Errorf("trusted %v, want %v", got, tt.trusted)
				}
			})
		})
	}
}

func TestEstimate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newClock()
		c.wall = func() time.Time { return time.Now().Add(9 * 365 * 24 * time.Hour) }
		remote := time.Now()
		c.observe(marketClock, remote, false)
		time.Sleep(time.Minute)
		if got, want := c.estimate(), remote.Add(time.Minute); !got.Equal(want) {
			t.Errorf("estimate %s, want the Market's %s", got, want)
		}
	})
}

func TestCacheAge(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "30": 30 * time.Second, "-3": 0, "x": 0, "99999999999999": 0} {
		if got := cacheAge(http.Header{"Age": {text}}); got != want {
			t.Errorf("Age %q: got %s, want %s", text, got, want)
		}
	}
}

// TestWrongClockStopsSpending runs the daemon with a wall clock a day ahead.
func TestWrongClockStopsSpending(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		setWall(d.clock, func() time.Time { return time.Now().Add(24 * time.Hour) })
		time.Sleep(time.Minute)
		if s := d.status(); s.Ready || s.ClockTrusted {
			t.Errorf("ready %v, clock trusted %v with a clock a day ahead", s.Ready, s.ClockTrusted)
		}
		if p := d.buy("fix"); p.State == "settled" {
			t.Error("bought with an untrusted clock")
		}
		setWall(d.clock, time.Now)
		d.ready(time.Minute)
		d.mustSettle("fix")
	})
}

func setWall(c *clock, wall func() time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = wall
}
