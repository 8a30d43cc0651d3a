// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"
)

// Policy is an account-wide policy of the Market. It is not the delegation policy
// of a pairing.
type Policy struct {
	ID                   string          `json:"id" need:"text"`
	Name                 string          `json:"name" need:"present"`
	AllowedSkillKeys     []string        `json:"allowedSkillKeys"`
	DeniedSkillKeys      []string        `json:"deniedSkillKeys"`
	BudgetCap            *BudgetCap      `json:"budgetCap"`
	RegionRules          []string        `json:"regionRules"`
	NativeOnly           bool            `json:"nativeOnly" need:"present"`
	HandoffAllowed       bool            `json:"handoffAllowed" need:"present"`
	RequiredCapabilities []string        `json:"requiredCapabilities"`
	CreatedAt            Timestamp       `json:"createdAt" need:"present"`
	UpdatedAt            Timestamp       `json:"updatedAt" need:"present"`
	Raw                  json.RawMessage `json:"-"`
}

// BudgetCap is the spending cap of a [Policy], in whole units of Currency.
type BudgetCap struct {
	Currency string      `json:"currency" need:"present"`
	Amount   json.Number `json:"amount" need:"value"`
}

// valid refuses a cap without an amount, which would go out as a cap of 0.
func (b *BudgetCap) valid() error {
	if b == nil {
		return nil
	}
	return notBlank("budgetCap.currency", b.Currency, "budgetCap.amount", b.Amount.String())
}

// PolicyRequest creates a policy (the name is required) or changes the members
// of one that are set.
type PolicyRequest struct {
	Name                 string     `json:"name,omitzero"`
	AllowedSkillKeys     []string   `json:"allowedSkillKeys,omitzero"`
	DeniedSkillKeys      []string   `json:"deniedSkillKeys,omitzero"`
	BudgetCap            *BudgetCap `json:"budgetCap,omitzero"`
	RegionRules          []string   `json:"regionRules,omitzero"`
	NativeOnly           *bool      `json:"nativeOnly,omitzero"`
	HandoffAllowed       *bool      `json:"handoffAllowed,omitzero"`
	RequiredCapabilities []string   `json:"requiredCapabilities,omitzero"`
}

// AuditEvent is an entry of the Market's audit log.
type AuditEvent struct {
	ID           string          `json:"id" need:"text"`
	Actor        string          `json:"actor" need:"present"`
	Type         string          `json:"type" need:"present"`
	ResourceType string          `json:"resourceType" need:"present"`
	ResourceID   string          `json:"resourceId" need:"present"`
	Payload      json.RawMessage `json:"payload"`
	CreatedAt    Timestamp       `json:"createdAt" need:"present"`
	Raw          json.RawMessage `json:"-"`
}

// AuditQuery filters the audit log. Empty members do not filter; Limit is 1 to
// 500, or zero for the server's default.
type AuditQuery struct {
	MachineID    string
	ResourceType string
	Limit        int
}

// ListPolicies returns the account's policies (GET /policies). The list takes no
// cursor: if Next is not empty, the reply is incomplete.
func (c *Client) ListPolicies(ctx context.Context) (*Page[Policy], error) {
	return list[Policy](ctx, c, request{op: opListPolicies, path: joinPath("policies")})
}

// Policies yields the account's policies, and an error if the server says that
// there are more than it sent.
func (c *Client) Policies(ctx context.Context) iter.Seq2[Policy, error] {
	return whole(opListPolicies, func() (*Page[Policy], error) { return c.ListPolicies(ctx) })
}

// CreatePolicy creates a policy (POST /policies).
func (c *Client) CreatePolicy(ctx context.Context, r PolicyRequest) (*Policy, error) {
	if err := notBlank("name", r.Name); err != nil {
		return nil, err
	}
	if err := r.BudgetCap.valid(); err != nil {
		return nil, err
	}
	return item[Policy](ctx, c, request{op: opCreatePolicy, path: joinPath("policies"), body: r})
}

// UpdatePolicy changes a policy (PATCH /policies/{policyId}).
func (c *Client) UpdatePolicy(ctx context.Context, policyID string, r PolicyRequest) (*Policy, error) {
	if err := notBlank("policyId", policyID); err != nil {
		return nil, err
	}
	if err := r.BudgetCap.valid(); err != nil {
		return nil, err
	}
	return item[Policy](ctx, c, request{op: opUpdatePolicy, path: joinPath("policies", policyID), body: r})
}

// ListAuditEvents returns audit events (GET /audit-events). The list takes a
// limit and no cursor: if Next is not empty, there are more than can be asked for.
func (c *Client) ListAuditEvents(ctx context.Context, q AuditQuery) (*Page[AuditEvent], error) {
	query := url.Values{}
	filter(query, "machineId", q.MachineID, "resourceType", q.ResourceType)
	if err := addLimit(query, q.Limit); err != nil {
		return nil, err
	}
	return list[AuditEvent](ctx, c, request{op: opListAuditEvents, path: joinPath("audit-events"), query: query})
}

// AuditEvents yields audit events, and an error if the server says that there are
// more than it sent.
func (c *Client) AuditEvents(ctx context.Context, q AuditQuery) iter.Seq2[AuditEvent, error] {
	return whole(opListAuditEvents, func() (*Page[AuditEvent], error) { return c.ListAuditEvents(ctx, q) })
}
