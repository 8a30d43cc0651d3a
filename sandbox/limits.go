// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"slices"
	"time"

	"github.com/agentd-project/agentd/money"
)

// decimal is a value that stands on the wire as a JSON number.
type decimal money.Value

// MarshalJSON writes the exact decimal text.
func (d decimal) MarshalJSON() ([]byte, error) { return []byte(money.Value(d).String()), nil }

// UnmarshalJSON reads the decimal text of a JSON number; nothing passes through a float.
func (d *decimal) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	value, err := money.ParseValue(string(text))
	if err != nil {
		return invalid("%s is not a number from 0 on with at most six decimals", clip(string(text), 40))
	}
	*d = decimal(value)
	return nil
}

// delegation is what the owner of a pairing lets its agent do. Empty lists and null limits forbid nothing.
type delegation struct {
	AllowedSkillKeys    []string `json:"allowedSkillKeys"`
	DeniedSkillKeys     []string `json:"deniedSkillKeys"`
	AllowedServiceIDs   []string `json:"allowedServiceIds"`
	DeniedServiceIDs    []string `json:"deniedServiceIds"`
	PerTransactionLimit *decimal `json:"perTransactionLimit"`
	DailySpendLimit     *decimal `json:"dailySpendLimit"`
	Currency            *string  `json:"currency"`
}

// delegationBody is a delegation as it comes in; nil is the delegation that forbids nothing.
type delegationBody delegation

// read fills in the empty lists. A policy is replaced as a whole, so what is absent is lifted.
func (b *delegationBody) read() (delegation, error) {
	var d delegation
	if b != nil {
		d = delegation(*b)
	}
	for _, keys := range []*[]string{&d.AllowedSkillKeys, &d.DeniedSkillKeys, &d.AllowedServiceIDs, &d.DeniedServiceIDs} {
		if *keys == nil {
			*keys = []string{}
		}
	}
	if d.Currency != nil && *d.Currency == "" {
		d.Currency = nil
	}
	return d, nil
}

// permits says whether the lists let a service through; deny wins.
func (d delegation) permits(s *Service) bool {
	return listed(s.SkillKey, d.AllowedSkillKeys, d.DeniedSkillKeys) && listed(s.ID, d.AllowedServiceIDs, d.DeniedServiceIDs)
}

func listed(key string, allowed, denied []string) bool {
	return !slices.Contains(denied, key) && (len(allowed) == 0 || slices.Contains(allowed, key))
}

// checkSpend holds a price against the limits of a pairing. The day is the UTC day.
func (m *Market) checkSpend(p *pairing, price money.Value, currency string) error {
	d := p.policy
	if (d.PerTransactionLimit != nil || d.DailySpendLimit != nil) && d.Currency != nil && *d.Currency != currency && price > 0 {
		return refuse(codePolicyDenied, "the price is in %s, the limits are in %s", currency, *d.Currency)
	}
	if d.PerTransactionLimit != nil && price > money.Value(*d.PerTransactionLimit) {
		return refuse(codeSpendLimit, "%s is above the limit of %s per transaction", price, money.Value(*d.PerTransactionLimit))
	}
	if d.DailySpendLimit == nil {
		return nil
	}
	spent := m.spentToday(p)
	if spent.Exceeds(price, money.Value(*d.DailySpendLimit)) {
		return refuse(codeDailyLimit, "%s after %s is above the limit of %s per day", price, spent, money.Value(*d.DailySpendLimit))
	}
	return nil
}

// spentToday sums the pairing's orders of this UTC day but for those cancelled, failed or refunded.
func (m *Market) spentToday(p *pairing) money.Value {
	midnight := m.now().Truncate(24 * time.Hour)
	var sum money.Value
	for _, o := range m.orders.newest() {
		if o.created.Before(midnight) {
			break
		}
		refunded := o.payment != nil && o.payment.status == "refunded"
		if o.pairingID != p.id || o.status == "cancelled" || o.status == "failed" || refunded {
			continue
		}
		total, err := sum.Add(o.basis)
		if err != nil {
			return money.MaxValue
		}
		sum = total
	}
	return sum
}
