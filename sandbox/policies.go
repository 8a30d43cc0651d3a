// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"slices"

	"github.com/agentd-project/agentd/money"
)

// policy is an account-wide rule that a machine is put under by its policyIds.
type policy struct {
	ID                   string     `json:"id"`
	Name                 string     `json:"name"`
	AllowedSkillKeys     []string   `json:"allowedSkillKeys"`
	DeniedSkillKeys      []string   `json:"deniedSkillKeys"`
	BudgetCap            *budgetCap `json:"budgetCap"`
	RegionRules          []string   `json:"regionRules"`
	NativeOnly           bool       `json:"nativeOnly"`
	HandoffAllowed       bool       `json:"handoffAllowed"`
	RequiredCapabilities []string   `json:"requiredCapabilities"`
	CreatedAt            string     `json:"createdAt"`
	UpdatedAt            string     `json:"updatedAt"`
}

type budgetCap struct {
	Currency string  `json:"currency"`
	Amount   decimal `json:"amount"`
}

type policyBody struct {
	Name                 *string    `json:"name"`
	AllowedSkillKeys     []string   `json:"allowedSkillKeys"`
	DeniedSkillKeys      []string   `json:"deniedSkillKeys"`
	BudgetCap            *budgetCap `json:"budgetCap"`
	RegionRules          []string   `json:"regionRules"`
	NativeOnly           *bool      `json:"nativeOnly"`
	HandoffAllowed       *bool      `json:"handoffAllowed"`
	RequiredCapabilities []string   `json:"requiredCapabilities"`
}

func (b policyBody) apply(to *policy) error {
	setIf(&to.Name, b.Name)
	for _, pair := range []struct {
		to   *[]string
		from []string
	}{
		{&to.AllowedSkillKeys, b.AllowedSkillKeys}, {&to.DeniedSkillKeys, b.DeniedSkillKeys},
		{&to.RegionRules, b.RegionRules}, {&to.RequiredCapabilities, b.RequiredCapabilities},
	} {
		if pair.from != nil {
			*pair.to = pair.from
		}
	}
	if b.BudgetCap != nil {
		if err := blank([2]string{"budgetCap.currency", b.BudgetCap.Currency}); err != nil {
			return err
		}
		to.BudgetCap = b.BudgetCap
	}
	if b.NativeOnly != nil {
		to.NativeOnly = *b.NativeOnly
	}
	if b.HandoffAllowed != nil {
		to.HandoffAllowed = *b.HandoffAllowed
	}
	return blank([2]string{"name", to.Name})
}

func (m *Market) listPolicies(*call) (answer, error) {
	reply := list[*policy]{Items: []*policy{}}
	for _, p := range m.policies.all() {
		reply.Items = append(reply.Items, p)
	}
	return ok(reply)
}

func (m *Market) createPolicy(c *call) (answer, error) {
	var body policyBody
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	now := stamp(m.now())
	p := &policy{AllowedSkillKeys: []string{}, DeniedSkillKeys: []string{}, RegionRules: []string{}, RequiredCapabilities: []string{},
		HandoffAllowed: true, CreatedAt: now, UpdatedAt: now}
	if err := body.apply(p); err != nil {
		return answer{}, err
	}
	p.ID = m.ids.next("pol")
	m.policies.put(p.ID, p)
	m.record("owner", "policy.created", "policy", p.ID, "", nil)
	return created(p)
}

func (m *Market) updatePolicy(c *call) (answer, error) {
	p, known := m.policies.get(c.path("policyId"))
	if !known {
		return answer{}, notFound("policy", c.path("policyId"))
	}
	var body policyBody
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	changed := *p
	if err := body.apply(&changed); err != nil {
		return answer{}, err
	}
	changed.UpdatedAt = stamp(m.now())
	*p = changed
	m.record("owner", "policy.updated", "policy", p.ID, "", nil)
	return okItem(changed)
}

// permits says whether the policy lets a service through, its price aside.
func (p *policy) permits(s *Service) bool {
	if !listed(s.SkillKey, p.AllowedSkillKeys, p.DeniedSkillKeys) || s.handsOff() && (p.NativeOnly || !p.HandoffAllowed) {
		return false
	}
	if len(p.RegionRules) > 0 && s.Region != anyRegion && !slices.Contains(p.RegionRules, s.Region) {
		return false
	}
	return containsAll(s.Capabilities, p.RequiredCapabilities)
}

// checkCap holds a price against the cap of one purchase.
func (p *policy) checkCap(price money.Value, currency string) error {
	switch {
	case p.BudgetCap == nil || price == 0:
		return nil
	case p.BudgetCap.Currency != currency:
		return refuse(codePolicyDenied, "the price is in %s, the cap of policy %s is in %s", currency, p.ID, p.BudgetCap.Currency)
	case price > money.Value(p.BudgetCap.Amount):
		return refuse(codeSpendLimit, "%s is above the cap of policy %s", price, p.ID)
	}
	return nil
}

// policiesOf returns the account policies that a machine is under. Ids that name none bind nobody.
func (m *Market) policiesOf(record *machine) []*policy {
	var found []*policy
	for _, id := range record.PolicyIDs {
		if p, known := m.policies.get(id); known {
			found = append(found, p)
		}
	}
	return found
}

// permitted says whether a pairing may buy a service at all.
func (m *Market) permitted(p *pairing, record *machine, s *Service) bool {
	for _, rule := range m.policiesOf(record) {
		if !rule.permits(s) {
			return false
		}
	}
	return p.policy.permits(s)
}

func containsAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(key string) bool { return !slices.Contains(have, key) })
}
