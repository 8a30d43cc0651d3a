// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"sync"
)

// lock is a mutex that a context can stop waiting for.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

func (l lock) acquire(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l lock) release() { <-l }

// locks holds one lock per purchase, or other thing, that is being worked on.
type locks struct {
	mu   sync.Mutex
	held map[string]*waiting
}

func newLocks() locks { return locks{held: map[string]*waiting{}} }

type waiting struct {
	lock  lock
	users int
}

// try takes a thing's lock if nobody has it.
func (l *locks) try(id string) (release func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[id] != nil {
		return nil, false
	}
	w := &waiting{lock: newLock(), users: 1}
	w.lock <- struct{}{}
	l.held[id] = w
	return func() { w.lock.release(); l.leave(id, w) }, true
}

func (l *locks) leave(id string, w *waiting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.users--; w.users == 0 {
		delete(l.held, id)
	}
}

// lock waits for a thing's lock and returns what releases it.
func (l *locks) lock(ctx context.Context, id string) (release func(), err error) {
	l.mu.Lock()
	w := l.held[id]
	if w == nil {
		w = &waiting{lock: newLock()}
		l.held[id] = w
	}
	w.users++
	l.mu.Unlock()
	if err := w.lock.acquire(ctx); err != nil {
		l.leave(id, w)
		return nil, err
	}
	return func() { w.lock.release(); l.leave(id, w) }, nil
}
