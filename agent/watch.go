// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/policy"
)

const (
	// pollMarket is how often the Market is asked whether it is ready.
	pollMarket = 30 * time.Second
	// pollHealth is how often the conditions are looked at that no event tells of.
	pollHealth = 20 * time.Second
	// expirySoon is how long before the policy's end a warning is raised.
	expirySoon = 7 * 24 * time.Hour
	// headEvery is how often the head of the ledger is logged, trimEvery how often
	// memory that a burst left behind is handed back to the system.
	headEvery = time.Hour
	trimEvery = 5 * time.Minute
	// unknownLong is the age from which money of unknown fate is a problem.
	unknownLong = time.Hour
)

// probeMarket asks the Market whether it is ready. It is also what shows the
// clock the first date, and what notices that an outage is over.
func (a *Agent) probeMarket(ctx context.Context) error {
	r, err := a.api.Readiness(ctx)
	away := orchestration.Classify(err) == orchestration.ActionWait
	if away {
		a.health.raise(problemMarketUnreachable, err.Error())
		return err
	}
	if a.health.lasts(problemMarketUnreachable) {
		a.health.clear(problemMarketUnreachable)
		a.wakeAll()
	}
	detail := ""
	notReady := err == nil && r.Status != orchestration.StatusReady
	if notReady {
		for _, c := range r.Checks {
			if c.Status == orchestration.CheckFail {
				detail += strings.TrimSpace(c.Name+" "+c.Message) + "; "
			}
		}
	}
	a.health.set(problemMarketNotReady, notReady, strings.TrimSuffix(detail, "; "))
	a.checkClock()
	return nil // an answer that is no readiness is an answer
}

// wakeAll makes the loops look again that may have been waiting for the Market.
func (a *Agent) wakeAll() {
	wake(a.wakeMachine)
	a.pairing.Wake()
	wake(a.heartbeat.woken)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is pending already
	}
}

// observeCall is told of every call of the Market's API: it counts, and it
// notices what concerns other parts than the caller.
func (a *Agent) observeCall(operation, code string, d time.Duration) {
	a.metrics.observeRequest(operation, code, d)
	switch orchestration.Code(code) {
	case orchestration.CodeAuthRequired, orchestration.CodeAuthInvalid:
		a.health.raise(problemPlatformKey, operation+": "+code)
	case orchestration.CodeAgentPairingInactive, orchestration.CodeAgentPairingRequired:
		if operation != "Heartbeat" {
			a.pairing.Wake()
		}
	case orchestration.CodeMachineNotActive, orchestration.CodeMachineNotActivated:
		if operation != "GetMachine" {
			wake(a.wakeMachine)
		}
	case "network":
		if operation != "Readiness" && !a.health.lasts(problemMarketUnreachable) {
			wake(a.wakeMarket) // to tell an outage from one lost call
		}
	case "ok":
		if operation == "GetMachine" || operation == "ListPairings" || operation == "ListMachines" {
			a.health.clear(problemPlatformKey)
		}
	}
}

// pairingChanged turns the pairing's status into problems.
func (a *Agent) pairingChanged(st pairing.Status) {
	detail := detailOf(st.Err)
	is := func(r policy.Reason) bool { return st.Reason == r }
	a.health.set(problemPairingPaused, is(policy.ReasonPairingPaused), detail)
	a.health.set(problemPairingRevoked, is(policy.ReasonPairingRevoked), detail)
	a.health.set(problemChallenge, is(policy.ReasonChallengeInvalid), detail)
	a.health.set(problemTokenStore, pairing.IsStorage(st.Err), detail)
	a.health.set(problemPairingContended, st.Contended, "")
	explained := st.Reason != "" && !is(policy.ReasonPairingMissing)
	a.health.set(problemPairingMissing, !st.Usable && !explained, detail)
	a.health.set(problemPairingFailing, st.Usable && st.Err != nil, detail)
}

// checkClock raises or clears the clock's problem.
func (a *Agent) checkClock() {
	trusted, skew := a.clock.judge(a.clock.wallTime())
	detail := "no answer with a date was seen yet"
	if skew != 0 {
		detail = fmt.Sprintf("it differs by %s", skew.Round(time.Second))
	}
	a.health.set(problemClock, !trusted, detail)
}

// ledgerFault is told when the disk takes no writes of the ledger, and when it
// does again.
func (a *Agent) ledgerFault(err error) { a.health.set(problemLedgerWrite, err != nil, detailOf(err)) }

// checkHealth looks at what no event tells of: the clock, the policy's end, what
// waits for a person, and money of unknown fate.
func (a *Agent) checkHealth(ctx context.Context) error {
	a.checkClock()
	if a.health.lasts(problemLedgerWrite) {
		if err := a.ledger.CheckWrite(ctx); err != nil {
			return fmt.Errorf("write to the ledger: %w", err)
		}
	}
	now := time.Now()
	a.health.announce(now)
	expires := a.guard.Rules().Expires
	expired := !expires.IsZero() && !now.Before(expires)
	a.health.set(problemPolicyExpired, expired, expires.Format(time.RFC3339))
	a.health.set(problemPolicyExpiring, !expired && !expires.IsZero() && expires.Sub(now) < expirySoon, expires.Format(time.RFC3339))
	paused, err := a.ledger.Paused(ctx)
	if err != nil {
		return fmt.Errorf("read whether spending is paused: %w", err)
	}
	a.health.set(problemPaused, paused, "")
	if err := a.logHead(ctx, now); err != nil {
		return err
	}
	if now.Sub(a.trimmed) >= trimEvery {
		debug.FreeOSMemory()
		a.trimmed = now
	}
	a.checkTransactions()
	return a.checkPurchases(ctx, now)
}

// checkTransactions raises a problem per chain whose lane is stuck.
func (a *Agent) checkTransactions() {
	for _, w := range a.chains {
		id := w.chain.ID()
		stuck := a.rails.Stuck(id)
		if len(stuck) == 0 {
			a.health.clearFor(problemTransaction, string(id))
			continue
		}
		first := stuck[0]
		a.health.raiseFor(problemTransaction, string(id), fmt.Sprintf("purchase %s: nonce %d on %s since %s: %s; %d in all",
			first.Purchase, first.Nonce, id, first.Since.Format(time.RFC3339), first.Reason, len(stuck)))
	}
}

// logHead logs the head of the ledger's hash chain now and then: whoever can
// rewrite the file cannot rewrite what the system's journal has of it.
func (a *Agent) logHead(ctx context.Context, now time.Time) error {
	if !a.headLogged.IsZero() && now.Sub(a.headLogged) < headEvery {
		return nil
	}
	seq, hash, err := a.ledger.Head(ctx)
	if err != nil {
		return fmt.Errorf("read the ledger's head: %w", err)
	}
	a.log.Info("ledger head", zap.Int64("entries", seq), zap.String("hash", hash))
	a.headLogged = now
	return nil
}

func (a *Agent) checkPurchases(ctx context.Context, now time.Time) error {
	open, err := a.ledger.OpenPurchases(ctx)
	if err != nil {
		return fmt.Errorf("read open purchases: %w", err)
	}
	a.open.Store(int64(len(open)))
	waiting, unknown := 0, 0
	var faults []error
	for i := range open {
		if waitsForPerson(&open[i]) {
			waiting++
		}
		view, err := a.market.View(&open[i])
		if err != nil {
			faults = append(faults, err)
		} else if view.Unknown && now.Sub(open[i].Updated) > unknownLong {
			unknown++
		}
	}
	a.health.set(problemWaiting, waiting > 0, fmt.Sprintf("%d", waiting))
	a.health.set(problemUnknownOld, unknown > 0, fmt.Sprintf("%d", unknown))
	return errors.Join(faults...)
}

// waitsForPerson says whether nothing goes on until a person decides.
func waitsForPerson(p *ledger.Purchase) bool {
	switch market.State(p.State) {
	case market.AwaitingApproval, market.HandedOff, market.NeedsOperator:
		return true
	}
	return false
}

// statusLine is the one line that the service manager shows.
func (a *Agent) statusLine() string {
	blockers := a.health.blockers()
	if len(blockers) > 0 {
		return "not ready: " + blockers[0].Text
	}
	st := a.pairing.Status()
	return fmt.Sprintf("ready; pairing %s until %s; open purchases: %d", st.Standing, st.Expires.UTC().Format(time.RFC3339), a.open.Load())
}

// jobs are the needs with a schedule.
func (a *Agent) jobs() []job {
	var jobs []job
	for i := range a.cfg.Needs {
		n := &a.cfg.Needs[i]
		if n.Schedule == "" {
			continue
		}
		jobs = append(jobs, job{need: n.Name, spec: n.Schedule, run: func(ctx context.Context) error {
			id, err := a.market.Buy(ctx, market.Order{Need: n.Name, Scheduled: true})
			if err != nil {
				return err
			}
			// The run ends with the purchase: the next one due meanwhile is skipped.
			_, err = a.market.Wait(ctx, id)
			return err
		}})
	}
	return jobs
}
