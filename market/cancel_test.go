// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"testing"
	"time"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
)

// A payment that no block holds is cancelled on the owner's word; the purchase is
// unpaid once a final block holds the cancellation, and its budget is free again.
func TestOwnerCancelsATransaction(t *testing.T) {
	for _, need := range []string{"wallet", "escrow", "onchain-escrow"} {
		t.Run(need, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.start()
				r.wants(r.buy("not-required"), market.Settled, "")
				r.crash = nil
				id, err := r.market.Buy(t.Context(), market.Order{Need: need})
				r.must(err)
				r.chain.SetAutomine(false)
				for range 60 { // until something is on its way
					<-time.After(10 * time.Second)
					if attempts, err := r.ledger.Attempts(t.Context(), id); err != nil || len(attempts) > 0 {
						break
					}
				}
				<-time.After(time.Minute)
				err = r.rails.Cancel(t.Context(), id)
				r.chain.SetAutomine(true)
				p := r.final(id)
				if err != nil { // an approval stood before the lock: no payment is under way yet
					r.wants(p, market.Settled, "")
					return
				}
				r.wants(p, market.Failed, policy.ReasonCancelled)
				if got := len(r.transfers()); got != 0 || r.spent() != 0 {
					t.Errorf("got %d transfers and %s counted, want neither", got, r.spent())
				}
				r.clean()
				r.sound()
			})
		})
	}
}
