// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"testing"

	"github.com/agentd-project/agentd/market"
)

func TestPurchasePerRail(t *testing.T) {
	tests := []struct {
		need      string
		state     market.State
		transfers int
	}{
		{"not-required", market.Settled, 0},
		{"wallet", market.Settled, 1},
		{"wdk-usdt-transfer", market.Settled, 1},
		{"x402", market.Settled, 1},
		{"handoff", market.HandedOff, 0},
		{"offchain-record", market.NeedsOperator, 0},
		{"escrow", market.Settled, 1},
		{"onchain-escrow", market.Settled, 1},
	}
	for _, tt := range tests {
		t.Run(tt.need, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.start()
				p := r.buy(tt.need)
				if p.State != string(tt.state) {
					t.Errorf("state: got %s (%s), want %s", p.State, p.Reason, tt.state)
				}
				if got := len(r.transfers()); got != tt.transfers {
					t.Errorf("transfers: got %d, want %d", got, tt.transfers)
				}
				r.sound()
			})
		})
	}
}
