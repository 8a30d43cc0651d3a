// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// part is anything long-lived: it runs until its context ends and returns nil
// then.
type part interface {
	Run(ctx context.Context) error
	String() string
}

// fatalError is an error that no restart of a part can mend.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

// fatal marks an error as one that ends the daemon.
func fatal(err error) error {
	if err == nil {
		return nil
	}
	return &fatalError{err}
}

const (
	// steadyAfter is how long a part must run for its next failure to count as
	// the first.
	steadyAfter = time.Minute
	// drainLimit bounds the whole stop, all parts together.
	drainLimit = 30 * time.Second
)

// supervisor starts parts in order, restarts those that fail, and stops all in
// reverse order.
type supervisor struct {
	log    *zap.Logger
	health *health
	group  errgroup.Group
	fatal  chan error

	running []*running
}

// running is one started part.
type running struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
}

func newSupervisor(log *zap.Logger, h *health) *supervisor {
	return &supervisor{log: log, health: h, fatal: make(chan error, 1)}
}

// start runs a part in the group. The part's context is its own, ended by stop
// when its turn comes.
func (s *supervisor) start(ctx context.Context, p part) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{name: p.String(), cancel: cancel, done: make(chan struct{})}
	s.running = append(s.running, r)
	s.group.Go(func() error {
		defer close(r.done)
		defer cancel()
		return s.keep(ctx, p)
	})
}

// keep runs a part until its context ends, again after each failure. A fatal
// error is reported and not repeated.
func (s *supervisor) keep(ctx context.Context, p part) error {
	pause := &backoff.ExponentialBackOff{
		InitialInterval: time.Second, RandomizationFactor: 0.3, Multiplier: 2, MaxInterval: time.Minute,
	}
	for {
		began := time.Now()
		err := runGuarded(ctx, p)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the part was told to end
		}
		if fe := (*fatalError)(nil); errors.As(err, &fe) {
			s.log.Error("part ended for good", zap.String("part", p.String()), zap.Error(err))
			select {
			case s.fatal <- fmt.Errorf("%s: %w", p, err):
			default: // one is enough to end the daemon
			}
			return err
		}
		if err == nil {
			s.log.Info("part finished", zap.String("part", p.String()))
			return nil
		}
		if time.Since(began) > steadyAfter {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		s.health.raiseFor(problemPart, p.String(), err.Error())
		s.log.Warn("part failed", zap.String("part", p.String()), zap.Error(err), zap.Float64("restart_seconds", wait.Seconds()))
		if !sleep(ctx, wait, nil) {
			return nil
		}
		s.health.clearFor(problemPart, p.String())
	}
}

// runGuarded turns a panic of a part into its error: one faulty part must not
// take heartbeats and the settling of unknowns down with it.
func runGuarded(ctx context.Context, p part) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return p.Run(ctx)
}

// stop ends the parts in reverse order, within ctx in all. It returns an error
// that names the parts which did not end in time.
func (s *supervisor) stop(ctx context.Context) error {
	var errs []error
	for i := len(s.running) - 1; i >= 0; i-- {
		r := s.running[i]
		began := time.Now()
		s.log.Info("stopping part", zap.String("part", r.name))
		r.cancel()
		select {
		case <-r.done:
			s.log.Info("part stopped", zap.String("part", r.name), zap.Float64("seconds", time.Since(began).Seconds()))
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("part %s did not stop in time", r.name))
		}
	}
	return errors.Join(errs...)
}
