// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"context"
	"testing"
	"time"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

// The Market calls an order confirmed that we did not confirm: its word releases
// no lock.
func TestMarketsWordReleasesNoLock(t *testing.T) {
	for _, operation := range []string{"order-execute", "order-dispute"} {
		t.Run(operation, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				if operation == "order-dispute" {
					r.impossible()
				}
				_, err := r.seller.Inject(sandbox.Fault{Operation: operation, Kind: sandbox.FaultStatus, Status: 503})
				r.must(err)
				r.seller.Mutate(func(op string, reply map[string]any) {
					if op == "order-get" {
						item(reply)["status"] = "confirmed"
					}
				})
				r.start()
				before := r.balance(r.agent.Address())
				id, err := r.market.Buy(t.Context(), market.Order{Need: "escrow"})
				r.must(err)
				r.wants(r.final(id), market.Refunded, policy.ReasonRefunded)
				if got := r.balance(r.agent.Address()); got != before {
					t.Errorf("balance: got %s, want %s", got, before)
				}
				r.clean()
				r.sound()
			})
		})
	}
}

// A release that was signed before a crash is seen through, whatever ended the
// lock meanwhile: its nonce must not hold up the payments after it.
func TestSignedReleaseIsSeenThrough(t *testing.T) {
	for _, tt := range []struct {
		name, at string
		back     bool
		want     market.State
	}{
		{"stored", "attempt", false, market.Settled},
		{"stored, and the payee gives back", "attempt", true, market.Refunded},
		{"sent", "attempt broadcast", false, market.Settled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				confirmed := false
				r.crash = func(after bool, state string) bool {
					confirmed = confirmed || state == string(market.Confirmed)
					return confirmed && after && state == tt.at
				}
				r.start()
				id, err := r.market.Buy(t.Context(), market.Order{Need: "escrow"})
				r.must(err)
				<-r.life.over
				p, err := r.ledger.Get(context.Background(), id)
				r.must(err)
				r.stop()
				if tt.back {
					r.resolve(p, sandbox.Resolution{Move: sandbox.MoveFromContract})
				}
				<-time.After(time.Minute)
				r.crash = nil
				r.start()
				if p = r.final(id); p.State != string(tt.want) {
					t.Errorf("purchase: got %s (%s), want %s", p.State, p.Reason, tt.want)
				}
				open, err := r.ledger.OpenAttempts(context.Background(), money.ChainID(r.chain.CAIP2()), r.agent.Address())
				r.must(err)
				for _, a := range open {
					t.Errorf("still open: %s under nonce %s, %s", a.Kind, a.Nonce, a.Status)
				}
				r.wants(r.buy("wallet"), market.Settled, "")
				r.clean()
				r.sound()
			})
		})
	}
}
