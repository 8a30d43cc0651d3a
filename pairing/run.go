// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

const (
	// passLimit bounds one pass: some ten calls, each with its own deadline.
	passLimit = 3 * time.Minute
	// pollActive is how often an active pairing and the server's policies are
	// read between rotations, pollBlocked how often one that a person must act
	// on is looked at.
	pollActive  = 5 * time.Minute
	pollBlocked = time.Minute
	// pollMachine is how often the machine's id is looked for without a [Service.Wake].
	pollMachine = 15 * time.Second
	// retryFirst and retryLast are the pauses after a pass that failed.
	retryFirst = 500 * time.Millisecond
	retryLast  = 30 * time.Second
	// contendedWithin is the age up to which a refused token counts as new, and
	// contendedAfter how many of those in a row are one too many.
	contendedWithin = 15 * time.Second
	contendedAfter  = 3
)

// order is what a pass is asked for beyond keeping the session alive.
type order int

const (
	orderTend order = iota
	orderRotate
	orderCreate
	orderRevoke
)

// command is an operator's order and where its result goes.
type command struct {
	order order
	reply chan error
}

// Run keeps the pairing alive until ctx ends; it returns nil then.
func (s *Service) Run(ctx context.Context) error {
	pause := &backoff.ExponentialBackOff{
		InitialInterval: retryFirst, Multiplier: 2, MaxInterval: retryLast,
	}
	next := orderTend
	var reply chan error
	for {
		s.Beat(passLimit)
		err := s.pass(ctx, next)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is a clean stop
		}
		wait := s.after(err, pause)
		if reply != nil {
			reply <- commandResult(next, err)
		}
		next, reply = orderTend, nil
		s.Beat(wait)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-s.wake:
		case c := <-s.commands:
			next, reply = c.order, c.reply
		}
		timer.Stop()
	}
}

// after notes how a pass ended, tells everybody, and returns when the next is
// due.
func (s *Service) after(err error, pause *backoff.ExponentialBackOff) time.Duration {
	blocked := blockedBy(err)
	wait := time.Duration(0)
	s.mu.Lock()
	repeated := err != nil && s.lastErr != nil
	if err == nil || blocked != nil {
		s.blocked = blocked // a failure to ask lifts nothing
	}
	s.lastErr = err
	if blocked != nil && blocked.Reason == policy.ReasonPairingPaused || blocked != nil && blocked.Reason == policy.ReasonPairingRevoked {
		s.current = nil
	}
	switch {
	case errors.Is(err, errNoMachine):
		wait = pollMachine
	case blocked != nil:
		wait = pollBlocked - time.Duration(s.Chance()*float64(pollBlocked/5))
	case err != nil:
		wait = spread(pause.NextBackOff(), s.Chance())
	default:
		pause.Reset()
		wait = s.untilNext(time.Now())
		if s.current != nil && time.Since(s.current.from) > contendedWithin {
			s.refusals = 0
		}
	}
	s.next = time.Now().Add(wait).UTC()
	s.mu.Unlock()
	if err != nil && !errors.Is(err, errNoMachine) {
		s.logFailure(err, repeated, wait)
	}
	s.announce()
	return wait
}

// logFailure logs the first of a row of failures aloud and the rest quietly.
func (s *Service) logFailure(err error, repeated bool, wait time.Duration) {
	level := zap.WarnLevel
	if repeated {
		level = zap.DebugLevel
	}
	s.Logger.Log(level, "pairing pass failed", zap.Error(err), zap.Float64("retry_seconds", wait.Seconds()))
}

// untilNext returns the pause after a pass that went well: until the rotation
// is due, at most until the pairing is read again.
func (s *Service) untilNext(now time.Time) time.Duration {
	poll := pollActive - time.Duration(s.Chance()*float64(pollActive/5))
	if s.current == nil {
		return pollBlocked
	}
	if d := s.current.rotateAt.Sub(now); d < poll {
		return max(d, 0)
	}
	return poll
}

// errNoMachine says that the machine's id is not known yet.
var errNoMachine = errors.New("the machine is not known yet")

// blockedBy returns what an error means for those who want a session: nil if
// waiting may help.
func blockedBy(err error) *Unavailable {
	var (
		u  *Unavailable
		ce *wallet.ChallengeError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &u):
		return u
	case errors.As(err, &ce):
		return &Unavailable{Reason: policy.ReasonChallengeInvalid, Err: err}
	}
	switch codeOf(err) {
	case orchestration.CodeAuthRequired, orchestration.CodeAuthInvalid:
		return &Unavailable{Reason: policy.ReasonKeyRequired, Err: err}
	case orchestration.CodeMachineNotActive, orchestration.CodeMachineNotActivated:
		return &Unavailable{Reason: policy.ReasonMachineInactive, Err: err}
	case orchestration.CodeAgentPairingProofInvalid:
		return &Unavailable{Reason: policy.ReasonChallengeInvalid, Err: err}
	}
	return nil
}

func codeOf(err error) orchestration.Code {
	var api *orchestration.APIError
	if errors.As(err, &api) {
		return api.Code
	}
	return ""
}

func revokedError(err error) *Unavailable {
	return &Unavailable{Reason: policy.ReasonPairingRevoked, Err: err}
}

// Rotate asks for a new session now.
func (s *Service) Rotate(ctx context.Context) error { return s.command(ctx, orderRotate) }

// Create pairs at an operator's command, also after a revocation. An active
// pairing is taken over instead; a paused one is an error.
func (s *Service) Create(ctx context.Context) error { return s.command(ctx, orderCreate) }

// Revoke revokes the pairing at an operator's command. It is remembered before
// the Market is told; only [Service.Create] pairs again.
func (s *Service) Revoke(ctx context.Context) error { return s.command(ctx, orderRevoke) }

// commandResult is what the operator hears: being revoked is what was asked for.
func commandResult(o order, err error) error {
	var u *Unavailable
	if o == orderRevoke && errors.As(err, &u) && u.Reason == policy.ReasonPairingRevoked && u.Err == nil {
		return nil
	}
	return err
}

func (s *Service) command(ctx context.Context, o order) error {
	c := command{order: o, reply: make(chan error, 1)}
	select {
	case <-ctx.Done():
		return fmt.Errorf("pairing: not started: %w", ctx.Err())
	case s.commands <- c:
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("pairing: still under way: %w", ctx.Err())
	case err := <-c.reply:
		return err
	}
}
