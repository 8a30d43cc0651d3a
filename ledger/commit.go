// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/agentd-project/agentd/internal/failpoint"
)

// maxBatch bounds the writes that share one commit.
const maxBatch = 64

// errUnchanged ends a write without a commit and without an error.
var errUnchanged = errors.New("nothing to write")

// request is a write that waits for its commit.
type request struct {
	ctx  context.Context //nolint:containedctx // lives as long as one write
	do   func(*txn) error
	err  error
	done chan struct{}
}

// write runs do in a transaction and commits it. If do fails, or ctx ends before
// the commit, nothing of it is stored.
//
// Writes that come while another one is at the disk share the next commit: an
// fsync costs the same for one as for many. Whoever gets the lock commits for
// all that wait; each write is undone by itself if it fails, and each returns
// only after the commit that holds it.
func (l *Ledger) write(ctx context.Context, what string, do func(*txn) error) error {
	r := &request{ctx: ctx, do: do, done: make(chan struct{})}
	l.w.mu.Lock()
	l.w.queue = append(l.w.queue, r)
	l.w.mu.Unlock()
	select {
	case l.w.lock <- struct{}{}:
		func() {
			defer func() { <-l.w.lock }()
			l.lead(r)
		}()
	case <-r.done:
	case <-ctx.Done():
		if l.w.withdraw(r) {
			r.err = ctx.Err()
		} else {
			<-r.done // it is in a commit already
		}
	}
	if r.err == nil || errors.Is(r.err, errUnchanged) {
		return nil
	}
	return fmt.Errorf("ledger: %s: %w", what, r.err)
}

// withdraw takes a write out of the queue; false says that it is no longer there.
func (w *writer) withdraw(r *request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.queue, r)
	if i < 0 {
		return false
	}
	w.queue = slices.Delete(w.queue, i, i+1)
	return true
}

func (w *writer) take() []*request {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.queue), maxBatch)
	batch := slices.Clone(w.queue[:n])
	w.queue = slices.Delete(w.queue, 0, n)
	return batch
}

// lead commits batches, oldest first, until r is in one. The writer's lock is held.
func (l *Ledger) lead(r *request) {
	for {
		select {
		case <-r.done:
			return
		default:
		}
		// Whoever is ready to write gets to say so: on one processor nobody does while
		// this goroutine runs.
		runtime.Gosched()
		l.commitAll(l.w.take())
	}
}

// errAborted is what a write gets whose batch was left by a panic.
var errAborted = errors.New("aborted")

func (l *Ledger) commitAll(batch []*request) {
	err := errAborted
	defer func() {
		for _, r := range batch {
			// What had nothing to write may have looked at what is now undone.
			if r.err == nil || (err != nil && errors.Is(r.err, errUnchanged)) {
				r.err = err
			}
			close(r.done)
		}
	}()
	committed := false
	committed, err = l.commit(batch)
	l.tellFault(batch, err, committed)
}

// commit runs the writes in one transaction. Its error is that of every write
// that had none of its own.
func (l *Ledger) commit(batch []*request) (committed bool, err error) {
	if l.w.shut {
		return false, ErrShut
	}
	t := &txn{w: l.w, ctx: context.WithoutCancel(batch[0].ctx), now: l.now().UTC()}
	if _, err := t.exec("BEGIN IMMEDIATE"); err != nil {
		return false, err
	}
	defer func() {
		if committed {
			return
		}
		t.w.headKnown = false
		// SQLite has rolled back by itself after some faults; then this one fails
		// and tells nothing new.
		_, _ = t.exec("ROLLBACK")
	}()
	kept := 0
	for _, r := range batch {
		ok, err := t.run(r, len(batch) > 1)
		if err != nil {
			return false, err
		}
		if ok {
			kept++
		}
	}
	if kept == 0 {
		return false, nil
	}
	failpoint.Hit(failpoint.BeforeCommit)
	start := time.Now()
	if _, err := t.exec("COMMIT"); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	committed = true
	failpoint.Hit(failpoint.AfterCommit)
	l.observe(time.Since(start))
	return true, nil
}

// run makes one write inside the transaction. Among others it is undone alone if
// it fails; an error says that the transaction itself is lost.
func (t *txn) run(r *request, among bool) (ok bool, err error) {
	if among {
		if _, err := t.exec("SAVEPOINT one"); err != nil {
			return false, err
		}
	}
	if r.err = r.do(t); r.err == nil {
		r.err = r.ctx.Err()
	}
	if r.err != nil {
		t.w.headKnown = false
	}
	if !among {
		return r.err == nil, nil
	}
	if r.err != nil {
		if _, err := t.exec("ROLLBACK TO one"); err != nil {
			return false, fmt.Errorf("undo a failed write: %w", err)
		}
	}
	_, err = t.exec("RELEASE one")
	return r.err == nil && err == nil, err
}
