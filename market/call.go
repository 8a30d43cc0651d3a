// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"errors"
	"time"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
)

// tokenWait bounds how long a step waits for a pairing session before it says
// so and steps aside.
const tokenWait = 10 * time.Second

// switchPoll is how often a purchase that the owner's switch holds looks again.
const switchPoll = 15 * time.Second

// call makes one market call with the live session. A token that the Market
// refuses is replaced once and the call made again: a refusal of the token says
// that nothing was done.
func call[T any](ctx context.Context, m *Market, do func(s pairing.Session) (T, error)) (T, error) {
	var none T
	wait, cancel := context.WithTimeout(ctx, tokenWait)
	s, err := m.sessions.Token(wait)
	cancel()
	if err != nil {
		return none, noSession(ctx, err)
	}
	reply, err := do(s)
	if orchestration.Classify(err) != orchestration.ActionRotate {
		return reply, err
	}
	if s, err = m.sessions.Rejected(ctx, s); err != nil {
		return none, noSession(ctx, err)
	}
	return do(s)
}

func noSession(ctx context.Context, err error) error {
	var gone *pairing.Unavailable
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &gone):
		return &waitError{reason: gone.Reason, pause: switchPoll, err: err}
	default:
		return waitFor(policy.ReasonMarketUnavailable, err)
	}
}

// unpaid decides about a failed call while nothing is paid: end with a reason,
// search again, or wait.
func (m *Market) unpaid(err error) (step, error) {
	switch orchestration.Classify(err) {
	case orchestration.ActionRefusedByPolicy:
		reason := policy.ReasonServerPolicyDenied
		if code := codeOf(err); code == orchestration.CodeAgentSpendLimitExceeded || code == orchestration.CodeAgentDailyLimitExceeded {
			reason = policy.ReasonServerLimit
		}
		return step{event: EventRefused, reason: reason, detail: err.Error()}, nil
	case orchestration.ActionResearch:
		return step{event: EventRequote, reason: policy.ReasonQuoteExpired, detail: err.Error()}, nil
	case orchestration.ActionOurFault, orchestration.ActionAsk:
		if !orchestration.Ambiguous(err) {
			return step{event: EventRefused, reason: policy.ReasonMarketRefused, detail: err.Error()}, nil
		}
	}
	return step{}, wait(err)
}

// wait turns a failed call into the wait that its class asks for.
func wait(err error) error {
	var w *waitError
	if errors.As(err, &w) {
		return err
	}
	switch orchestration.Classify(err) {
	case orchestration.ActionFixConfiguration:
		return &waitError{reason: policy.ReasonKeyRequired, pause: switchPoll, err: err}
	case orchestration.ActionOwnersSwitch:
		return &waitError{reason: policy.ReasonPairingPaused, pause: switchPoll, err: err}
	case orchestration.ActionMachine:
		return &waitError{reason: policy.ReasonMachineInactive, pause: switchPoll, err: err}
	default:
		return &waitError{reason: policy.ReasonMarketUnavailable, pause: retryAfter(err), err: err}
	}
}

func codeOf(err error) orchestration.Code {
	var api *orchestration.APIError
	if errors.As(err, &api) {
		return api.Code
	}
	return ""
}

func retryAfter(err error) time.Duration {
	var api *orchestration.APIError
	if errors.As(err, &api) {
		return min(api.RetryAfter, time.Minute)
	}
	return 0
}

// refusal returns the reason if a rail proved that no value moved and none will.
func refusal(err error) (policy.Reason, bool) {
	var r *payments.Refusal
	if errors.As(err, &r) {
		return r.Reason, true
	}
	return "", false
}
