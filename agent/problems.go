// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Severity says how much a problem matters.
type Severity string

// The severities, in order.
const (
	// SeverityWarning will become an error if nobody acts.
	SeverityWarning Severity = "warning"
	// SeverityError keeps the daemon from doing its work now.
	SeverityError Severity = "error"
)

// Problem is one declared condition of the daemon's health. The same list
// feeds the status, the readiness answer, the health_problem metric and the log.
type Problem struct {
	// Code is the stable name, a label of the metric.
	Code string
	// Severity is fixed per code.
	Severity Severity
	// NotReady says that while it lasts the daemon cannot buy.
	NotReady bool
	// After is how long the condition must last before it is shown.
	After time.Duration
	// Text is one sentence on what is wrong, Next what the operator does.
	Text, Next string
}

// The codes of the declared problems.
const (
	problemMarketUnreachable = "market_unreachable"
	problemMarketNotReady    = "market_not_ready"
	problemPlatformKey       = "platform_key"
	problemMachineInactive   = "machine_inactive"
	problemMachineUnknown    = "machine_unknown"
	problemIdentity          = "machine_identity"
	problemPairingMissing    = "pairing_missing"
	problemPairingPaused     = "pairing_paused"
	problemPairingRevoked    = "pairing_revoked"
	problemPairingFailing    = "pairing_failing"
	problemPairingContended  = "pairing_contended"
	problemChallenge         = "challenge_invalid"
	problemTokenStore        = "token_store"
	problemAgentRevoked      = "agent_revoked"
	problemEnrolment         = "agent_enrolment"
	problemHeartbeat         = "heartbeat_failing"
	problemEndpoint          = "endpoint_down"
	problemClock             = "clock_untrusted"
	problemChain             = "chain_unreachable"
	problemChainMismatch     = "chain_mismatch"
	problemTokenBalance      = "token_balance_low"
	problemGasBalance        = "gas_balance_low"
	problemPolicyExpired     = "policy_expired"
	problemPolicyExpiring    = "policy_expiring"
	problemPaused            = "paused"
	problemWaiting           = "purchases_waiting"
	problemUnknownOld        = "purchase_unknown"
	problemLedger            = "ledger_unverified"
	problemLedgerWrite       = "ledger_unwritable"
	problemLedgerChecking    = "ledger_checking"
	problemTransaction       = "transaction_stuck"
	problemPart              = "part_failing"
	problemListen            = "listen_failed"
	problemKey               = "key_locked"
	problemKeyInEnvironment  = "key_in_environment"
)

// Problems returns every problem that the daemon can report, in a fixed order.
func Problems() []Problem {
	return []Problem{
		{problemMarketUnreachable, SeverityError, true, 0, "The Market does not answer.", "Check the network and orchestration.url; the daemon tries again by itself."},
		{problemMarketNotReady, SeverityWarning, false, 0, "The Market says that it is not ready.", "Nothing to do here; ask the Market's operator if it lasts."},
		{problemPlatformKey, SeverityError, true, 0, "The Market demands a platform key that is missing or refused.", "Set orchestration.api_key_file to a valid key."},
		{problemMachineInactive, SeverityError, true, 0, "The machine's record is not active.", "Activate the machine in the Market; the daemon notices by itself."},
		{problemMachineUnknown, SeverityError, true, 0, "The Market does not know the machine.", "Check machine.id, or configure machine.register."},
		{problemIdentity, SeverityError, true, 0, "The machine's identity could not be proven.", "Check machine.identity_ref and that machine.identity_key controls it."},
		{problemPairingMissing, SeverityError, true, 10 * time.Second, "There is no pairing session.", "Wait for the Market, or read the last error of the pairing in `agentd status`."},
		{problemPairingPaused, SeverityWarning, true, 0, "The pairing is paused.", "Resume the pairing in the Market; buying goes on by itself."},
		{problemPairingRevoked, SeverityError, true, 0, "The pairing was revoked and is not created again by itself.", "If that was a mistake, run `agentd pairing create`."},
		{problemPairingFailing, SeverityWarning, false, 30 * time.Second, "The pairing session cannot be renewed.", "Read the last error of the pairing in `agentd status`."},
		{problemPairingContended, SeverityWarning, false, 0, "The Market keeps refusing tokens that are new.", "Look for a second client that uses the same key, and at the clock."},
		{problemChallenge, SeverityError, true, 0, "The Market handed out a challenge that must not be signed.", "Compare machine, provider and role in the configuration with the Market; suspect the Market otherwise."},
		{problemTokenStore, SeverityError, true, 0, "Tokens cannot be stored in the state directory.", "Free space in state_dir and check its permissions."},
		{problemAgentRevoked, SeverityError, false, 0, "The machine agent was revoked and is not enrolled again by itself.", "If that was a mistake, give machine.agent another label, or configure its id and token_file."},
		{problemEnrolment, SeverityWarning, false, 30 * time.Second, "The machine agent is not enrolled.", "Read the log of the enrolment; it is tried again by itself."},
		{problemHeartbeat, SeverityWarning, false, time.Minute, "Heartbeats do not get through.", "Check the network; the lease of the endpoints runs out meanwhile."},
		{problemEndpoint, SeverityWarning, false, 0, "A local runtime endpoint does not answer its probe.", "Start the runtime, or correct heartbeat.endpoints."},
		{problemClock, SeverityError, true, 10 * time.Second, "The local clock is not proven right, so nothing is spent.", "Set the clock or start time synchronisation."},
		{problemChain, SeverityWarning, false, time.Minute, "A chain's RPC endpoints do not answer.", "Check chains.rpc; purchases on that chain wait."},
		{problemChainMismatch, SeverityError, false, 0, "A chain is not what the configuration says.", "Compare chain id, token address, decimals and eip712 in chains with the chain."},
		{problemTokenBalance, SeverityWarning, false, 0, "A token balance is below its low mark.", "Top the agent's account up."},
		{problemGasBalance, SeverityWarning, false, 0, "The balance for transaction fees is below its low mark.", "Top the agent's account up."},
		{problemPolicyExpired, SeverityError, true, 0, "The policy has expired.", "Set policy.expires to a later date."},
		{problemPolicyExpiring, SeverityWarning, false, 0, "The policy expires within a week.", "Set policy.expires to a later date."},
		{problemPaused, SeverityWarning, false, 0, "Spending is paused.", "Run `agentd resume`."},
		{problemWaiting, SeverityWarning, false, 0, "Purchases wait for a person.", "See `agentd purchases --open`, then approve, deny or resolve."},
		{problemUnknownOld, SeverityWarning, false, 0, "Money of a purchase is of unknown fate for long.", "See `agentd purchases --open`; it resolves by itself once the chain answers."},
		{problemLedger, SeverityError, true, 0, "The ledger does not verify.", "Run `agentd ledger verify`; restore state_dir from a backup, or accept the transfers that you answer for."},
		{problemLedgerChecking, SeverityWarning, true, 10 * time.Second, "The ledger is still being checked since the start; spending waits.", "Wait; set verify_from_block of each chain to skip blocks before the key's first use."},
		{problemLedgerWrite, SeverityError, true, 0, "The ledger cannot be written, so nothing is bought and nothing is paid.", "Free space in state_dir, or look for faults of the disk; the daemon goes on by itself."},
		{problemTransaction, SeverityWarning, false, 0, "A transaction is not mined and does not help itself.", "Raise the gas limits or fund the account as the detail says, or run `agentd resolve ID --cancel-transaction`."},
		{problemPart, SeverityWarning, false, 10 * time.Second, "A part of the daemon keeps failing.", "Read the log; it is restarted by itself."},
		{problemListen, SeverityWarning, false, 0, "The metrics listener does not run.", "Check listen for an address in use."},
		{problemKey, SeverityError, true, 10 * time.Second, "The agent's key is not unlocked yet.", "Wait; a wrong passphrase ends the daemon."},
		{problemKeyInEnvironment, SeverityWarning, false, 0, "The agent's key stands in the environment.", "Move it to a file and set keys.agent."},
	}
}

// active is a problem that lasts.
type active struct {
	since  time.Time
	detail string
	logged bool
	subs   map[string]string // detail per subject, such as the chain
}

// health holds the problems that last. It is safe for concurrent use.
type health struct {
	log      *zap.Logger
	declared []Problem
	after    map[string]time.Duration

	mu     sync.Mutex
	active map[string]*active
}

func newHealth(log *zap.Logger) *health {
	h := &health{log: log, declared: Problems(), after: map[string]time.Duration{}, active: map[string]*active{}}
	for _, p := range h.declared {
		h.after[p.Code] = p.After
	}
	return h
}

// raise notes that a problem lasts, with what is known about it.
func (h *health) raise(code, detail string) { h.raiseFor(code, "", detail) }

// clear notes that a problem is over.
func (h *health) clear(code string) { h.clearFor(code, "") }

// set raises or clears.
func (h *health) set(code string, on bool, detail string) {
	if on {
		h.raise(code, detail)
		return
	}
	h.clear(code)
}

// raiseFor notes a problem of one subject out of several, such as one chain.
func (h *health) raiseFor(code, subject, detail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.active[code]
	if a == nil {
		a = &active{since: time.Now(), subs: map[string]string{}}
		h.active[code] = a
	}
	a.subs[subject] = detail
	a.detail = joinDetails(a.subs)
	h.logDue(code, a, time.Now())
}

// logDue logs a problem once it has lasted long enough to be shown.
func (h *health) logDue(code string, a *active, now time.Time) {
	if a.logged || now.Sub(a.since) < h.after[code] {
		return
	}
	a.logged = true
	h.log.Warn("problem raised", zap.String("code", code), zap.String("detail", a.detail))
}

// announce logs the problems that have become visible since.
func (h *health) announce(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for code, a := range h.active {
		h.logDue(code, a, now)
	}
}

// clearFor notes that a problem of one subject is over.
func (h *health) clearFor(code, subject string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.active[code]
	if a == nil {
		return
	}
	delete(a.subs, subject)
	if len(a.subs) > 0 {
		a.detail = joinDetails(a.subs)
		return
	}
	delete(h.active, code)
	if !a.logged {
		return
	}
	h.log.Info("problem cleared", zap.String("code", code), zap.Float64("lasted_seconds", time.Since(a.since).Seconds()))
}

// shown is a problem as status and metrics see it.
type shown struct {
	Problem
	Since  time.Time
	Detail string
}

// lasts says whether a problem is raised.
func (h *health) lasts(code string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.active[code] != nil
}

// visible returns the problems that have lasted long enough to be shown, in
// declared order.
func (h *health) visible(now time.Time) []shown {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []shown
	for _, p := range h.declared {
		if a := h.active[p.Code]; a != nil && now.Sub(a.since) >= p.After {
			out = append(out, shown{Problem: p, Since: a.since.UTC(), Detail: a.detail})
		}
	}
	return out
}

// blockers returns the codes that keep the daemon from being ready, also those
// too young to be shown.
func (h *health) blockers() []shown {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []shown
	for _, p := range h.declared {
		if a := h.active[p.Code]; a != nil && p.NotReady {
			out = append(out, shown{Problem: p, Since: a.since.UTC(), Detail: a.detail})
		}
	}
	return out
}

func joinDetails(subs map[string]string) string {
	names := make([]string, 0, len(subs))
	for name := range subs {
		names = append(names, name)
	}
	slices.Sort(names)
	text := ""
	for _, name := range names {
		part := subs[name]
		if name != "" && part != "" {
			part = name + ": " + part
		} else if part == "" {
			part = name
		}
		if text != "" && part != "" {
			text += "; "
		}
		text += part
	}
	return text
}
