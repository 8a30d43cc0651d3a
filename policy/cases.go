// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

// Case is a hypothetical purchase with the decision that its owner expects. A
// table of cases is the test of a policy that an owner keeps beside it.
type Case struct {
	Name    string
	Request Request
	// Spent is what every window, the lifetime and the UTC day already hold.
	Spent money.Value
	// Count is how many purchases every count window already holds.
	Count int64
	// At is when the purchase is made.
	At time.Time
	// PinnedPayee is the payee that the provider was paid at before; the zero
	// address is none.
	PinnedPayee common.Address
	// Want is the expected reason, Allowed included.
	Want Reason
}

// CaseResult is a case with what the rules decided.
type CaseResult struct {
	Case Case
	Got  Verdict
}

// OK says whether the decision was the expected one.
func (r CaseResult) OK() bool { return r.Got.Reason == r.Case.Want }

// RunCases decides every case by the rules alone, with a trusted clock and a
// verified ledger, in order.
func RunCases(rules *Rules, cases []Case) []CaseResult {
	results := make([]CaseResult, 0, len(cases))
	for _, c := range cases {
		st := State{
			At: c.At, LedgerVerified: true, Lifetime: c.Spent, ServerDay: c.Spent,
			Spent: make([]money.Value, len(rules.Windows)), Counts: make([]int64, len(rules.Counts)),
			PayeePinned: c.PinnedPayee, HasPin: c.PinnedPayee != (common.Address{}),
		}
		st.PayeeKnown = st.HasPin && c.Request.HasPayee && c.Request.Payee == c.PinnedPayee
		for i := range st.Spent {
			st.Spent[i] = c.Spent
		}
		for i := range st.Counts {
			st.Counts[i] = c.Count
		}
		results = append(results, CaseResult{Case: c, Got: Decide(rules, nil, &c.Request, &st, c.At, true)})
	}
	return results
}
