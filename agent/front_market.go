// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/orchestration"
)

const defaultRecords = 100

// Market returns the Market's records as JSON.
func (f *front) Market(ctx context.Context, q admin.MarketQuery) (json.RawMessage, error) {
	if q.Limit <= 0 {
		q.Limit = defaultRecords
	}
	api := f.a.api
	machineID, _ := f.a.machine.known()
	page := orchestration.ListOptions{Limit: min(q.Limit, orchestration.MaxLimit)}
	switch q.Kind {
	case admin.MarketServices:
		token := f.token(ctx)
		if q.ID != "" {
			return one(api.GetService(ctx, token, q.ID, machineID))
		}
		query := orchestration.ServiceQuery{ServiceType: orchestration.ServiceType(q.ServiceType), ProviderKey: q.Provider}
		if token != "" {
			query.MachineID = machineID
		}
		return many(q.Limit, api.Services(ctx, token, query, page))
	case admin.MarketSkills:
		if q.ID != "" {
			return one(api.GetSkill(ctx, q.ID))
		}
		return many(q.Limit, api.Skills(ctx, orchestration.SkillQuery{}, page))
	case admin.MarketSearches:
		return one(api.GetSearch(ctx, q.ID))
	case admin.MarketOrders:
		return many(q.Limit, api.Orders(ctx, machineID, page))
	case admin.MarketOrder:
		return f.order(ctx, q.ID)
	case admin.MarketPolicies:
		return many(q.Limit, api.Policies(ctx))
	case admin.MarketAudit:
		return many(q.Limit, api.AuditEvents(ctx, orchestration.AuditQuery{MachineID: machineID, Limit: page.Limit}))
	case admin.MarketEndpoints:
		return many(q.Limit, api.RuntimeEndpoints(ctx, machineID, page))
	case admin.MarketAgents:
		return many(q.Limit, api.Agents(ctx, machineID))
	case admin.MarketPairings:
		return many(q.Limit, api.Pairings(ctx, machineID, page))
	case admin.MarketReadiness:
		return one(api.Readiness(ctx))
	default:
		return nil, &admin.Error{Code: admin.CodeUsage, Text: fmt.Sprintf("unknown kind %q", q.Kind)}
	}
}

// token is the live session's token, or none: services can be read without.
func (f *front) token(ctx context.Context) orchestration.Secret {
	if !f.a.pairing.Status().Usable {
		return ""
	}
	s, err := f.a.pairing.Token(ctx)
	if err != nil {
		return ""
	}
	return s.Token
}

// order returns one order with its payment.
func (f *front) order(ctx context.Context, id string) (json.RawMessage, error) {
	o, err := f.a.api.GetOrder(ctx, f.token(ctx), id)
	if err != nil {
		return nil, marketError(err)
	}
	p, err := f.a.api.GetPayment(ctx, id)
	if err != nil && codeOf(err) != orchestration.CodeNotFound {
		return nil, marketError(err)
	}
	out := struct {
		Order   json.RawMessage `json:"order"`
		Payment json.RawMessage `json:"payment,omitempty"`
	}{Order: o.Raw}
	if err == nil && p != nil {
		out.Payment = p.Raw
	}
	return json.Marshal(out)
}

// one returns a record as the Market sent it, without tokens.
func one[T any](record *T, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, marketError(err)
	}
	return rawOf(record)
}

// many returns up to limit records of a list.
func many[T any](limit int, records iter.Seq2[T, error]) (json.RawMessage, error) {
	out := []json.RawMessage{}
	for record, err := range records {
		if err != nil {
			return nil, marketError(err)
		}
		raw, err := rawOf(&record)
		if err != nil {
			return nil, err
		}
		if out = append(out, raw); len(out) >= limit {
			break
		}
	}
	return json.Marshal(out)
}

// rawOf returns what a record was read from.
func rawOf(record any) (json.RawMessage, error) {
	var raw json.RawMessage
	switch r := record.(type) {
	case *orchestration.Service:
		raw = r.Raw
	case *orchestration.Skill:
		raw = r.Raw
	case *orchestration.SearchResult:
		raw = r.Raw
	case *orchestration.Order:
		raw = r.Raw
	case *orchestration.Policy:
		raw = r.Raw
	case *orchestration.AuditEvent:
		raw = r.Raw
	case *orchestration.RuntimeEndpoint:
		raw = r.Raw
	case *orchestration.MachineAgent:
		raw = r.Raw
	case *orchestration.Pairing:
		raw = r.Raw
	case *orchestration.Readiness:
		raw = r.Raw
	}
	if raw != nil {
		return raw, nil
	}
	return json.Marshal(record)
}

// marketError says what became of a question to the Market.
func marketError(err error) error {
	switch orchestration.Classify(err) {
	case orchestration.ActionWait:
		return &admin.Error{Code: admin.CodeUnavailable, Text: err.Error(), Next: "try again"}
	case orchestration.ActionOurFault, orchestration.ActionAsk:
		if codeOf(err) == orchestration.CodeNotFound {
			return &admin.Error{Code: admin.CodeNotFound, Text: err.Error()}
		}
		return &admin.Error{Code: admin.CodeUsage, Text: err.Error()}
	case orchestration.ActionFixConfiguration:
		return &admin.Error{Code: admin.CodeUnavailable, Text: err.Error(), Next: "set orchestration.api_key_file to a valid key"}
	default:
		return err
	}
}
