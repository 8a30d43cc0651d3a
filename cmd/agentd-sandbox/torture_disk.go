// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	mathrand "math/rand/v2"
	"os"
	"time"
)

// fillDisk limits the size of the daemon's files now and then: every write
// beyond it fails, to SQLite and to all else, until the limit is lifted.
func (c *campaign) fillDisk(ctx context.Context, r *mathrand.Rand) {
	c.every(ctx, r, 3*time.Second, 8*time.Second, func(r *mathrand.Rand) {
		l := c.current()
		if l == nil {
			return
		}
		limit := uint64(0)
		if info, err := os.Stat(c.daemon.path("state/ledger.db-wal")); err == nil && r.IntN(2) == 0 {
			limit = uint64(max(info.Size(), 0)) + uint64(r.IntN(30_000)) //nolint:gosec // small
		}
		if limitFiles(l.cmd.Process.Pid, limit) != nil {
			return // it has ended
		}
		c.mu.Lock()
		l.full = true
		c.mu.Unlock()
		c.tally.add("disk", "full")
		pause(ctx, time.Duration(200+r.IntN(900))*time.Millisecond)
		_ = limitFiles(l.cmd.Process.Pid, unlimited) // it may have ended
	})
}

// diskWasFull says whether a process has met a full disk.
func (c *campaign) diskWasFull(l *life) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return l.full
}

// turnClock moves the clock of a process with fail points now and then, by
// minutes or days, forward or back, and then sets it right again.
func (c *campaign) turnClock(ctx context.Context, r *mathrand.Rand) {
	c.every(ctx, r, 500*time.Millisecond, 2500*time.Millisecond, func(r *mathrand.Rand) {
		l := c.current()
		if l == nil {
			return
		}
		c.mu.Lock()
		file := l.clock
		c.mu.Unlock()
		if file == "" {
			return
		}
		by, way := time.Duration(3+r.IntN(72*60))*time.Minute, "forward"
		if r.IntN(2) == 0 {
			by, way = -by, "back"
		}
		if os.WriteFile(file, []byte(by.String()), 0o600) != nil {
			return
		}
		c.tally.add("clock", way)
		pause(ctx, time.Duration(100+r.IntN(700))*time.Millisecond)
		_ = os.WriteFile(file, []byte("0s"), 0o600) // each process begins with a right one
	})
}
