// SPDX-License-Identifier: Apache-2.0

package config

import "github.com/agentd-project/agentd/policy"

// PolicyRules returns the policy as the guard takes it. It is valid: Load has
// checked it.
func (c *Config) PolicyRules() *policy.Rules {
	p := &c.Policy
	r := &policy.Rules{
		Currency:         p.Currency,
		PerPurchase:      p.PerPurchase,
		Lifetime:         p.Lifetime,
		ApprovalTTL:      p.Approval.TTL,
		Payees:           policy.PayeeMode(p.Payees),
		MaxAuthorization: p.MaxAuthorization,
		Allow:            p.Allow.compile(),
		Deny:             p.Deny.compile(),
		Expires:          p.Expires,
		Observe:          c.Mode == ModeObserve,
	}
	if p.Approval.Above != nil {
		r.ApprovalAbove, r.HasApproval = *p.Approval.Above, true
	}
	for _, w := range p.Windows {
		r.Windows = append(r.Windows, policy.Window{Over: w.Over, Calendar: policy.Calendar(w.Calendar), Limit: w.Limit})
	}
	for _, n := range p.Count {
		r.Counts = append(r.Counts, policy.CountLimit{Over: n.Over, Limit: n.Limit})
	}
	for _, q := range p.QuietHours {
		r.QuietHours = append(r.QuietHours, policy.QuietHours{From: q.From, To: q.To})
	}
	return r
}

func (l Lists) compile() policy.Lists {
	rails := make([]string, len(l.Rails))
	for i, r := range l.Rails {
		rails[i] = string(r)
	}
	return policy.Lists{
		Rails:        policy.NewSet(rails...),
		ServiceTypes: policy.NewSet(l.ServiceTypes...),
		Services:     policy.NewSet(l.Services...),
		Skills:       policy.NewSet(l.Skills...),
		Providers:    policy.NewSet(l.Providers...),
		Operations:   policy.NewSet(l.Operations...),
		Tokens:       policy.NewSet(l.Tokens...),
		Payees:       policy.NewSet(l.Payees...),
	}
}
