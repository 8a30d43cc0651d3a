// SPDX-License-Identifier: Apache-2.0

package market

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// Explained is one quote with the reason why it was taken or fell out.
type Explained struct {
	Quote    string        `json:"quote"`
	Service  string        `json:"service"`
	Provider string        `json:"provider"`
	Rail     string        `json:"rail"`
	Price    money.Value   `json:"price"`
	Currency string        `json:"currency,omitempty"`
	Score    string        `json:"score,omitempty"`
	Expires  time.Time     `json:"expires,omitzero"`
	Reason   policy.Reason `json:"reason"`
	Detail   string        `json:"detail,omitempty"`
	Chosen   bool          `json:"chosen,omitempty"`
}

// candidate is a quote that was read, with its verdict.
type candidate struct {
	quote   string
	terms   terms
	expires time.Time
	score   money.Value // millionths, as the Market's number says; 0 if it cannot be read
	reason  policy.Reason
	detail  string
}

func (c candidate) explained() Explained {
	return Explained{Quote: clip(c.quote, maxName), Service: clip(c.terms.Service, maxName), Provider: clip(c.terms.Provider, maxName),
		Rail: clip(c.terms.Rail, maxName), Price: c.terms.Price, Currency: clip(c.terms.Currency, maxName), Score: c.score.String(),
		Expires: c.expires, Reason: c.reason, Detail: clip(c.detail, maxName)}
}

// rank puts the best quote first. Equal ranks are ordered by price, then
// by id, so that one answer always gives one choice.
func rank(candidates []candidate, by Selection) {
	var lowest, highest money.Value = money.MaxValue, 1
	for _, c := range candidates {
		lowest, highest = min(lowest, max(c.terms.Price, 1)), max(highest, c.score)
	}
	points := func(c candidate) int64 {
		cheapness := share(lowest, max(c.terms.Price, 1))
		quality := share(c.score, highest)
		return by.Price*cheapness + by.Score*quality
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(points(b), points(a)), cmp.Compare(a.terms.Price, b.terms.Price), cmp.Compare(a.quote, b.quote))
	})
}

// share returns part/whole in thousandths, for part <= whole.
func share(part, whole money.Value) int64 {
	if part <= 0 || whole <= 0 || part >= whole {
		if part >= whole {
			return 1000
		}
		return 0
	}
	hi, lo := bits.Mul64(uint64(part), 1000)
	quotient, _ := bits.Div64(hi, lo, uint64(whole))
	return int64(quotient) //nolint:gosec // at most 1000, since part < whole
}

// choose picks the best allowed quote; if none is allowed but a person may
// allow one, the best of those; otherwise the reason of the best quote stands
// for all.
func choose(candidates []candidate, by Selection) (best *candidate, reason policy.Reason) {
	if len(candidates) == 0 {
		return nil, policy.ReasonNoQuotes
	}
	rank(candidates, by)
	for i := range candidates {
		if candidates[i].reason == policy.Allowed {
			return &candidates[i], policy.Allowed
		}
	}
	for i := range candidates {
		if candidates[i].reason == policy.ReasonApprovalRequired {
			return &candidates[i], policy.ReasonApprovalRequired
		}
	}
	return &candidates[0], candidates[0].reason
}
