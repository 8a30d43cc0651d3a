// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Report is what came of one world, or of many.
type Report struct {
	// Seed is that of a single world.
	Seed uint64
	// Trace is the hash of all that happened, and Events how much that was.
	Trace  uint64
	Events int
	// Days is the simulated time.
	Days time.Duration
	// Steps are the points at which the buyer might have died, Deaths how often it
	// did, Stops how often it was stopped in order, Restores how often it found an
	// older ledger.
	Steps                   atomic.Int64
	Deaths, Stops, Restores int
	// Transfers is how often value left the buyer's account.
	Transfers int
	// States counts the purchases by the state in which they ended; those that
	// went with an older ledger are "lost with the ledger".
	States map[string]int
	// Faults counts what went wrong, by kind.
	Faults map[string]int
	// Findings are what must not be.
	Findings []string

	mu sync.Mutex
}

func newReport(seed uint64) *Report {
	return &Report{Seed: seed, States: map[string]int{}, Faults: map[string]int{}}
}

func (r *Report) fault(kind mishap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Faults[string(kind)]++
}

func (r *Report) finish(w *world) {
	r.Trace, r.Events, r.Days = w.trace.sum, w.trace.count, time.Since(w.trace.began)
	r.Findings = w.model.findings
}

// Add counts another world in.
func (r *Report) Add(o *Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Trace += o.Trace
	r.Events += o.Events
	r.Days += o.Days
	r.Steps.Add(o.Steps.Load())
	r.Deaths += o.Deaths
	r.Stops += o.Stops
	r.Restores += o.Restores
	r.Transfers += o.Transfers
	for k, n := range o.States {
		r.States[k] += n
	}
	for k, n := range o.Faults {
		r.Faults[k] += n
	}
	for _, f := range o.Findings {
		r.Findings = append(r.Findings, fmt.Sprintf("seed %d: %s", o.Seed, f))
	}
}

// Purchases is the number of purchases in all states.
func (r *Report) Purchases() int {
	n := 0
	for _, c := range r.States {
		n += c
	}
	return n
}

// String is the summary of a campaign.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d purchases in %.1f simulated days, %d transfers of value\n", r.Purchases(), r.Days.Hours()/24, r.Transfers)
	fmt.Fprintf(&b, "%d steps, %d deaths, %d orderly stops, %d older ledgers\n", r.Steps.Load(), r.Deaths, r.Stops, r.Restores)
	fmt.Fprintf(&b, "by final state: %s\nfaults: %s\nfindings: %d", counts(r.States), counts(r.Faults), len(r.Findings))
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n  %s", f)
	}
	return b.String()
}

func counts(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}
