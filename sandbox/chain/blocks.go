// SPDX-License-Identifier: Apache-2.0

package chain

import "sync"

// blocks tells any number of waiters that a block was made.
type blocks struct {
	mu   sync.Mutex
	wake chan struct{}
}

func newBlocks() *blocks { return &blocks{wake: make(chan struct{})} }

// next returns a channel that is closed at the next block.
func (b *blocks) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wake
}

func (b *blocks) made() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.wake)
	b.wake = make(chan struct{})
}
