// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
)

// nothing is the member of an allow list that admits nothing: two lists that
// have no common member must not turn into the empty one, which admits all. The
// Market has no such key.
const nothing = "(nothing)"

// serverPolicy is what the Market holds for the pairing and the machine, as
// last read.
type serverPolicy struct {
	Delegation orchestration.DelegationPolicy `json:"delegation"`
	Account    []orchestration.Policy         `json:"account,omitempty"`
}

// remote converts the server's policies to what the guard intersects with the
// owner's. What cannot be read counts as the strictest: a limit of zero.
func (p serverPolicy) remote() policy.Remote {
	d := p.Delegation
	r := policy.Remote{
		AllowedSkills: policy.NewSet(d.AllowedSkillKeys...), DeniedSkills: policy.NewSet(d.DeniedSkillKeys...),
		AllowedServices: policy.NewSet(d.AllowedServiceIDs...), DeniedServices: policy.NewSet(d.DeniedServiceIDs...),
		Currency: d.Currency,
	}
	r.PerTransaction, r.HasPerTransaction = limitOf(d.PerTransactionLimit)
	r.Daily, r.HasDaily = limitOf(d.DailySpendLimit)
	var allowed, denied []string
	for _, a := range p.Account {
		allowed = narrow(allowed, a.AllowedSkillKeys)
		denied = append(denied, a.DeniedSkillKeys...)
		r.NativeOnly = r.NativeOnly || a.NativeOnly
		r.HandoffDenied = r.HandoffDenied || !a.HandoffAllowed
		addCap(&r, a.BudgetCap)
	}
	r.AccountAllowedSkills, r.AccountDeniedSkills = policy.NewSet(allowed...), policy.NewSet(denied...)
	return r
}

// addCap keeps the lowest cap. Caps in two currencies cannot both be held, so
// together they allow nothing.
func addCap(r *policy.Remote, c *orchestration.BudgetCap) {
	if c == nil {
		return
	}
	limit, has := limitOf(c.Amount)
	if !has {
		limit = 0
	}
	switch {
	case !r.HasBudgetCap:
		r.BudgetCap, r.HasBudgetCap, r.BudgetCapCurrency = limit, true, c.Currency
	case r.BudgetCapCurrency != c.Currency:
		r.BudgetCap = 0
	default:
		r.BudgetCap = min(r.BudgetCap, limit)
	}
}

// limitOf reads a server's limit, rounding down to a millionth.
func limitOf(n json.Number) (money.Value, bool) {
	if n == "" {
		return 0, false
	}
	v, err := money.ParseValue(n.String())
	if err == nil {
		return v, true
	}
	if errors.Is(err, money.ErrPrecision) {
		if up, err := money.ParseValueUp(n.String()); err == nil && up > 0 {
			return up - 1, true
		}
	}
	if errors.Is(err, money.ErrRange) {
		return money.MaxValue, true // more than anyone can spend is no limit
	}
	return 0, true
}

// narrow intersects two allow lists, of which an empty one admits all.
func narrow(a, b []string) []string {
	switch {
	case len(a) == 0:
		return slices.Clone(b)
	case len(b) == 0:
		return a
	}
	both := slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
	if len(both) == 0 {
		return []string{nothing}
	}
	return both
}

// Push is what the owner's policy adds to the server's. A limit of zero is none.
type Push struct {
	PerTransaction                  money.Value
	Daily                           money.Value
	Currency                        string
	AllowedSkills, DeniedSkills     []string
	AllowedServices, DeniedServices []string
}

// tighten returns the server's policy narrowed by the owner's, and whether that
// differs from what the server has. It never widens: the lower limit, the
// common part of what is allowed, all of what is denied. Limits in another
// currency than the owner's are left as they are, since they cannot be compared.
func (p Push) tighten(have orchestration.DelegationPolicy) (orchestration.DelegationPolicy, bool) {
	want := have
	want.AllowedSkillKeys = tightenAllowed(have.AllowedSkillKeys, p.AllowedSkills)
	want.AllowedServiceIDs = tightenAllowed(have.AllowedServiceIDs, p.AllowedServices)
	want.DeniedSkillKeys = union(have.DeniedSkillKeys, p.DeniedSkills)
	want.DeniedServiceIDs = union(have.DeniedServiceIDs, p.DeniedServices)
	limited := have.PerTransactionLimit != "" || have.DailySpendLimit != ""
	if have.Currency == p.Currency || !limited {
		want.PerTransactionLimit = lower(have.PerTransactionLimit, p.PerTransaction)
		want.DailySpendLimit = lower(have.DailySpendLimit, p.Daily)
		want.Currency = p.Currency
	}
	return want, !samePolicy(have, want)
}

// tightenAllowed narrows what the server allows. Lists without a common member
// stay as the server has them: an empty list there would admit everything.
func tightenAllowed(have, own []string) []string {
	both := narrow(have, own)
	if len(both) == 1 && both[0] == nothing {
		return have
	}
	return both
}

func lower(have json.Number, own money.Value) json.Number {
	if own <= 0 {
		return have
	}
	if limit, has := limitOf(have); has && limit <= own {
		return have
	}
	return json.Number(own.String())
}

func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

func samePolicy(a, b orchestration.DelegationPolicy) bool {
	return sameMembers(a.AllowedSkillKeys, b.AllowedSkillKeys) && sameMembers(a.DeniedSkillKeys, b.DeniedSkillKeys) &&
		sameMembers(a.AllowedServiceIDs, b.AllowedServiceIDs) && sameMembers(a.DeniedServiceIDs, b.DeniedServiceIDs) &&
		a.PerTransactionLimit == b.PerTransactionLimit && a.DailySpendLimit == b.DailySpendLimit && a.Currency == b.Currency
}

func sameMembers(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
