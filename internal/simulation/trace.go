// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// trace is what happened, as a hash and, if it is kept, as text. The hash is the
// sum of its events' hashes, each with its instant: events of one instant may come
// in any order.
type trace struct {
	began time.Time
	out   io.Writer // nil drops the text

	mu    sync.Mutex
	sum   uint64
	count int
}

func (t *trace) add(who, what string, args ...any) {
	at := time.Since(t.began)
	text := fmt.Sprintf("%15.6f %-14s %s", at.Seconds(), who, fmt.Sprintf(what, args...))
	h := mix(hashOf(text) ^ uint64(at)) //nolint:gosec // bits are bits
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum += h
	t.count++
	if t.out != nil {
		_, _ = fmt.Fprintln(t.out, text) // the text is for people: a world does not end for want of it
	}
}
