// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/agentd-project/agentd/policy"
)

// StuckReason says why a transaction does not come to an end by itself.
type StuckReason string

// The reasons.
const (
	// StuckFeeCeiling: the chain asks for more per gas than is allowed.
	StuckFeeCeiling StuckReason = "fee_ceiling"
	// StuckGasBudget: a replacement could exceed the gas budget of a day.
	StuckGasBudget StuckReason = "gas_budget"
	// StuckGasBalance: the account lacks coin, for the transaction or a replacement.
	StuckGasBalance StuckReason = "gas_balance"
	// StuckNonce: a transaction with a lower nonce is not mined either.
	StuckNonce StuckReason = "nonce"
	// StuckNotMined: the fee is enough and blocks come, but none holds it.
	StuckNotMined StuckReason = "not_mined"
	// StuckNoBlocks: the chain makes no blocks.
	StuckNoBlocks StuckReason = "no_blocks"
	// StuckDisagree: endpoints tell of different blocks or results.
	StuckDisagree StuckReason = "endpoints_disagree"
	// StuckUnavailable: no endpoint answers what is asked.
	StuckUnavailable StuckReason = "unavailable"
	// StuckNoEffect: it succeeded without what it was signed for.
	StuckNoEffect StuckReason = "no_effect"
)

// StuckReasons returns every reason, a closed set.
func StuckReasons() []StuckReason {
	return []StuckReason{StuckFeeCeiling, StuckGasBudget, StuckGasBalance, StuckNonce, StuckNotMined, StuckNoBlocks, StuckDisagree, StuckUnavailable, StuckNoEffect}
}

// Stuck is a transaction that waits longer than it should. Its bytes are still
// sent again; a person may have to raise a limit, fund the account, repair an
// endpoint or have it cancelled.
type Stuck struct {
	Purchase policy.PurchaseID
	// Kind is the kind of attempt.
	Kind  string
	Nonce uint64
	// Hash is of the bytes that were signed last.
	Hash string
	// Since is when it began to wait, by the wall clock.
	Since  time.Time
	Reason StuckReason
}

// Stuck returns the transactions that wait longer than they should, by nonce.
func (s *Sender) Stuck() []Stuck { return s.waits.stuck() }

// waits remembers, per purchase, how long bytes have waited to be mined. It
// outlives the calls that wait.
type waits struct {
	mu  sync.Mutex
	all map[policy.PurchaseID]*wait
}

func newWaits() waits { return waits{all: map[policy.PurchaseID]*wait{}} }

// wait is one purchase's. Its Stuck is guarded by the mutex of waits, the rest
// belongs to the one call that carries the purchase.
type wait struct {
	Stuck
	// from is when the newest bytes began to wait, by the monotonic clock.
	from time.Time
	// block is the newest block then, 0 while it is not known.
	block uint64
	// seen is set once block is known.
	seen bool
}

// begin returns the wait of a flight: the one before if its newest bytes are the same.
func (w *waits) begin(f *flight, now time.Time) *wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := f.newest()
	old := w.all[p.Purchase]
	if old != nil && old.Hash == p.Hash {
		return old
	}
	one := &wait{Stuck: Stuck{Purchase: p.Purchase, Kind: f.kind, Nonce: f.nonce, Hash: p.Hash, Since: now.UTC()}, from: time.Now()}
	if old != nil && old.Nonce == f.nonce {
		one.Since, one.Reason = old.Since, old.Reason
	}
	w.all[p.Purchase] = one
	return one
}

// note sets why a wait is stuck; "" says that it is not.
func (w *waits) note(one *wait, reason StuckReason) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one.Reason = reason
}

func (w *waits) end(id policy.PurchaseID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, id)
}

func (w *waits) stuck() (found []Stuck) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		if one.Reason != "" {
			found = append(found, one.Stuck)
		}
	}
	slices.SortFunc(found, func(a, b Stuck) int { return cmp.Compare(a.Nonce, b.Nonce) })
	return found
}
