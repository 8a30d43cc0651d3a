// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"time"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

func ExampleDecide() {
	rules := &policy.Rules{
		Currency: "USD", PerPurchase: 5_000_000,
		Windows: []policy.Window{{Over: 24 * time.Hour, Limit: 20_000_000}},
	}
	req := &policy.Request{Purchase: "p1", Rail: policy.RailWallet, Currency: "USD", Value: 2_000_000}
	st := &policy.State{LedgerVerified: true, Spent: []money.Value{19_000_000}}
	verdict := policy.Decide(rules, nil, req, st, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), true)
	fmt.Println(verdict.Reason, rules.Windows[verdict.Window])
	// Output: window_limit 24h
}
