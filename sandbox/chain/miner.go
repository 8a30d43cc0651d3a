// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

const (
	// DefaultMaxAhead stands where Config.MaxAhead is zero.
	DefaultMaxAhead = 5 * time.Second
	// minerTick is how often the miner looks for transactions that had to wait.
	minerTick = 100 * time.Millisecond
)

// mayMine says whether a block on top of a head with this time keeps the chain within its bound of the clock. Each block is at least
// one second after its parent, as the protocol demands.
func (m *miner) mayMine(head uint64, now time.Time) bool {
	return time.Unix(int64(head)+1, 0).Sub(now) <= m.ahead //nolint:gosec // a block time, far below 2^63
}

// emptyDue says whether an empty block is due: the interval is over and the block would not run ahead of the clock.
func emptyDue(interval, sinceLast time.Duration, head uint64, now time.Time) bool {
	return interval > 0 && sinceLast >= interval && now.Unix() > int64(head) //nolint:gosec // a block time, far below 2^63
}

// miner makes the simulated chain's blocks, one at a time.
type miner struct {
	backend  *backend
	interval time.Duration
	ahead    time.Duration
	blocks   *blocks

	mu   sync.Mutex
	held bool
	shut bool
	last time.Time
}

// hold stops or resumes mining. Mine makes blocks all the same.
func (m *miner) hold(held bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = held
}

// mine makes one block now.
func (m *miner) mine() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shut {
		return ErrClosed
	}
	m.commit()
	return nil
}

// close makes no more blocks and wakes those that wait for one. A pool that ends while a block is made would never answer.
func (m *miner) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shut = true
	m.blocks.made()
}

// reorg replaces the newest blocks by others, and one more.
func (m *miner) reorg(depth uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shut {
		return ErrClosed
	}
	m.backend.settle()
	if m.backend.pending() > 0 {
		m.commit() // the fork starts with an empty pool
	}
	if err := m.backend.fork(depth); err != nil {
		return err
	}
	for range depth + 1 {
		m.commit()
	}
	return nil
}

func (m *miner) commit() {
	m.backend.beacon.Commit()
	m.backend.settle()
	m.last = time.Now()
	m.blocks.made()
}

// accepted makes a block for a transaction that the pool took, unless another block has it already, it has to wait for one with a
// lower nonce, mining is held or the chain is too far ahead.
func (m *miner) accepted(tx common.Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shut {
		return
	}
	m.backend.settle()
	if _, head := m.backend.head(); m.held || m.backend.mined(tx) || !m.mayMine(head, time.Now()) {
		return
	}
	if m.backend.pending() > 0 {
		m.commit()
	}
}

// tick mines what had to wait, or an empty block that is due.
func (m *miner) tick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held || m.shut {
		return
	}
	_, head := m.backend.head()
	now := time.Now()
	if (m.mayMine(head, now) && m.backend.pending() > 0) || emptyDue(m.interval, now.Sub(m.last), head, now) {
		m.commit()
	}
}

// run ticks until ctx ends.
func (m *miner) run(ctx context.Context) {
	ticker := time.NewTicker(minerTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.tick()
		}
	}
}
