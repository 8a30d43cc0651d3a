// SPDX-License-Identifier: Apache-2.0

package market

import (
	"testing"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

func TestChoose(t *testing.T) {
	offer := func(id string, price, score money.Value, reason policy.Reason) candidate {
		return candidate{quote: id, terms: terms{Price: price}, score: score, reason: reason}
	}
	const ok = policy.Allowed
	tests := []struct {
		name   string
		by     Selection
		offers []candidate
		want   string
		reason policy.Reason
	}{
		{"nothing offered", Cheapest, nil, "", policy.ReasonNoQuotes},
		{"the cheapest", Cheapest, []candidate{offer("a", 3, 9, ok), offer("b", 2, 1, ok)}, "b", ok},
		{"the best score", BestScore, []candidate{offer("a", 3, 9, ok), offer("b", 2, 1, ok)}, "a", ok},
		{"free beats cheap", Cheapest, []candidate{offer("a", 1_000, 0, ok), offer("b", 0, 0, ok)}, "b", ok},
		{"weights: mostly price", Selection{Price: 700_000, Score: 300_000}, []candidate{offer("a", 200, 100, ok), offer("b", 100, 80, ok)}, "b", ok},
		{"weights: mostly score", Selection{Price: 100_000, Score: 900_000}, []candidate{offer("a", 200, 100, ok), offer("b", 100, 20, ok)}, "a", ok},
		{"equal offers go by id", Cheapest, []candidate{offer("b", 2, 1, ok), offer("a", 2, 1, ok)}, "a", ok},
		{"the cheapest is refused", Cheapest, []candidate{offer("a", 1, 0, policy.ReasonProviderDenied), offer("b", 2, 0, ok)}, "b", ok},
		{"a person may allow the cheaper one, but the other needs nobody", Cheapest,
			[]candidate{offer("a", 1, 0, policy.ReasonApprovalRequired), offer("b", 2, 0, ok)}, "b", ok},
		{"only a person can allow", Cheapest,
			[]candidate{offer("a", 1, 0, policy.ReasonProviderDenied), offer("b", 2, 0, policy.ReasonApprovalRequired)}, "b", policy.ReasonApprovalRequired},
		{"all refused: the best one's reason", Cheapest,
			[]candidate{offer("a", 5, 0, policy.ReasonProviderDenied), offer("b", 2, 0, policy.ReasonPerPurchaseLimit)}, "b", policy.ReasonPerPurchaseLimit},
		{"prices near the largest value", Cheapest, []candidate{offer("a", money.MaxValue, 1, ok), offer("b", money.MaxValue-1, 1, ok)}, "b", ok},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			best, reason := choose(tt.offers, tt.by)
			got := ""
			if best != nil {
				got = best.quote
			}
			if got != tt.want || reason != tt.reason {
				t.Errorf("got %q, %s, want %q, %s", got, reason, tt.want, tt.reason)
			}
		})
	}
}
