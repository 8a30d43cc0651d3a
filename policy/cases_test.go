// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

func TestRunCases(t *testing.T) {
	s := allowedScene()
	free := s.req
	free.Rail, free.Value = policy.RailNotRequired, 0
	results := policy.RunCases(&s.rules, []policy.Case{
		{Name: "allowed", Request: s.req, At: noon, Want: policy.Allowed},
		{Name: "day is full", Request: s.req, Spent: 20 * dollar, At: noon, Want: policy.ReasonWindowLimit},
		{Name: "hour is full", Request: free, Count: 30, At: noon, Want: policy.ReasonCountLimit},
		{Name: "known payee", Request: s.req, PinnedPayee: payeeA, At: noon, Want: policy.Allowed},
		{Name: "other payee", Request: s.req, PinnedPayee: payeeB, At: noon, Want: policy.ReasonPayeeChanged},
		{Name: "wrong expectation", Request: s.req, At: noon, Want: policy.ReasonPaused},
	})
	for i, r := range results {
		if want := r.Case.Name != "wrong expectation"; r.OK() != want {
			t.Errorf("case %d, %s: got %q, ok %t", i, r.Case.Name, r.Got.Reason, r.OK())
		}
	}
	if len(results) != 6 {
		t.Errorf("got %d results, want 6", len(results))
	}
}

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
