// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/agentd-project/agentd/market"
)

// The buyer dies at every commit of a purchase, before it and after it, on
// every rail; the next life takes the purchase up by itself and pays once.
func TestCrashAtEveryCommit(t *testing.T) {
	for _, rail := range payingRails {
		for _, after := range []bool{false, true} {
			name := rail + "/before each commit"
			if after {
				name = rail + "/after each commit"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var seen []string
				for n := 1; ; n++ {
					state := crashAt(t, rail, after, n)
					if state == "" {
						break
					}
					seen = append(seen, state)
					if n > 40 {
						t.Fatal("a purchase makes more than 40 commits")
					}
				}
				for _, s := range path(rail) {
					if !slices.Contains(seen, string(s)) {
						t.Errorf("never died at %s: only at %v", s, seen)
					}
				}
			})
		}
	}
}

// path is the way of a purchase that goes well.
func path(rail string) []market.State {
	switch rail {
	case "not-required":
		return []market.State{market.Quoted, market.Reserved, market.Ordered, market.Executing, market.Delivered, market.Confirmed, market.Settled}
	case "x402":
		return []market.State{market.Quoted, market.Reserved, market.Ordered, market.Intended, market.Paying, "attempt", market.Proven, market.Executing,
			market.Delivered, market.Confirmed, market.Settled}
	default:
		return []market.State{market.Quoted, market.Reserved, market.Ordered, market.Intended, market.Paying, "attempt", market.Paid, market.Proven,
			market.Executing, market.Delivered, market.Confirmed, market.Settled}
	}
}

// crashAt lets the buyer die at its n-th commit after the purchase was planned
// and returns where that was; "" if the purchase was over before.
func crashAt(t *testing.T, rail string, after bool, n int) (died string) {
	t.Run("", func(t *testing.T) {
		bubbleNow(t, func(t *testing.T, r *rig) {
			var mu sync.Mutex
			count := 0
			r.crash = func(isAfter bool, state string) bool {
				mu.Lock()
				defer mu.Unlock()
				if state == string(market.Planned) || isAfter != after || died != "" {
					return false
				}
				if count++; count == n {
					died = state
					return true
				}
				return false
			}
			r.start()
			id, err := r.market.Buy(t.Context(), market.Order{Need: rail})
			r.must(err)
			for {
				p, err := r.ledger.Get(t.Context(), id)
				r.must(err)
				if r.life.dead() {
					break
				}
				if p.Final {
					return
				}
				<-time.After(time.Second)
			}
			r.stop()
			r.start()
			p := r.final(id)
			want := 1
			if rail == "not-required" {
				want = 0
			}
			if p.State != string(market.Settled) || len(r.transfers()) != want {
				t.Errorf("died at %s: got %s (%s) and %d transfers, want settled and %d", died, p.State, p.Reason, len(r.transfers()), want)
			}
			r.sound()
		})
	})
	return died
}
