// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

// longestRetry bounds the pause after a bad pass: what an outage ends is taken
// up again within it.
const longestRetry = 30 * time.Second

// loop runs one job again and again: with an interval after a pass that went
// well, sooner and with growing pauses after one that did not, never at the
// same moment as the rest of a fleet. Every periodic job of the daemon is one.
type loop struct {
	name     string
	interval time.Duration                   // after a good pass
	limit    time.Duration                   // of one pass; the watchdog starves behind it
	retry    time.Duration                   // the first pause after a bad pass; it grows up to longestRetry
	pass     func(ctx context.Context) error // one pass
	next     func() time.Duration            // optional: the interval after a good pass
	wake     <-chan struct{}                 // optional: the next pass is wanted now
	done     func(err error)                 // optional: told how each pass ended
	beats    *beats
	log      *zap.Logger
}

// String returns the loop's name.
func (l *loop) String() string { return l.name }

// Run makes passes until the context ends; it returns nil then.
func (l *loop) Run(ctx context.Context) error {
	beat := l.beats.join(l.name)
	defer beat.leave()
	pause := &backoff.ExponentialBackOff{
		InitialInterval: l.retry, RandomizationFactor: 0.3, Multiplier: 2, MaxInterval: max(min(l.interval, longestRetry), l.retry),
	}
	failed := false
	for {
		beat.due(l.limit)
		err := l.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if l.done != nil {
			l.done(err)
		}
		wait := jitter(l.interval)
		if err == nil && l.next != nil {
			wait = jitter(l.next())
		}
		switch {
		case err != nil:
			wait = pause.NextBackOff()
			l.logFailure(err, failed, wait)
		case failed:
			l.log.Info("loop recovered", zap.String("loop", l.name))
		}
		if failed = err != nil; !failed {
			pause.Reset()
		}
		beat.due(wait)
		if !sleep(ctx, wait, l.wake) {
			return nil
		}
	}
}

// logFailure logs the first failure of a row aloud and the rest quietly: an
// outage of an hour is one line, not thousands.
func (l *loop) logFailure(err error, again bool, wait time.Duration) {
	level := zap.WarnLevel
	if again {
		level = zap.DebugLevel
	}
	l.log.Log(level, "loop pass failed", zap.String("loop", l.name), zap.Error(err), zap.Float64("retry_seconds", wait.Seconds()))
}

func (l *loop) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	return l.pass(ctx)
}

// jitter returns a duration within a tenth of d on either side.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d - d/10 + rand.N(d/5+1) //nolint:gosec // spreads a fleet's load, guards nothing
}

// sleep waits, or until it is woken; it returns false if the context ended.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-wake:
	}
	return ctx.Err() == nil
}

// beatGrace is what a loop may be late before the watchdog counts it as stuck:
// a loaded board schedules late.
const beatGrace = 15 * time.Second

// beats collects the signs of life of all loops. It is safe for concurrent use.
type beats struct {
	mu    sync.Mutex
	loops map[*beat]struct{}
}

// beat is the sign of life of one loop: the instant by which it will show the
// next.
type beat struct {
	all  *beats
	name string
	by   time.Time
}

func newBeats() *beats { return &beats{loops: map[*beat]struct{}{}} }

// join adds a loop; it counts from its first due.
func (b *beats) join(name string) *beat {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := &beat{all: b, name: name}
	b.loops[one] = struct{}{}
	return one
}

// stuck returns an error that names the loops which are past their deadline.
func (b *beats) stuck() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	var errs []error
	for one := range b.loops {
		if late := now.Sub(one.by); !one.by.IsZero() && late > beatGrace {
			errs = append(errs, fmt.Errorf("loop %s is %s late", one.name, late.Round(time.Second)))
		}
	}
	return errors.Join(errs...)
}

// due promises the next sign of life within d.
func (b *beat) due(d time.Duration) {
	b.all.mu.Lock()
	defer b.all.mu.Unlock()
	b.by = time.Now().Add(d)
}

// leave takes the loop out, so that one that ended in order is not missed.
func (b *beat) leave() {
	b.all.mu.Lock()
	defer b.all.mu.Unlock()
	delete(b.all.loops, b)
}

// lazy returns a function that promises the next sign of life of a part that
// keeps its own time; the part counts from its first promise.
func (b *beats) lazy(name string) func(within time.Duration) {
	one := sync.OnceValue(func() *beat { return b.join(name) })
	return func(within time.Duration) { one().due(within) }
}
