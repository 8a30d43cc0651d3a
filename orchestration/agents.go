// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"iter"
	"strconv"
)

// MachineAgent is the runtime of a machine that reports its endpoints by
// heartbeats.
type MachineAgent struct {
	ID                  string      `json:"id" need:"text"`
	MachineID           string      `json:"machineId" need:"present"`
	Label               string      `json:"label" need:"present"`
	Status              AgentStatus `json:"status" need:"present"`
	AllowedProviderKeys []string    `json:"allowedProviderKeys"`
	CreatedAt           Timestamp   `json:"createdAt" need:"present"`
	UpdatedAt           Timestamp   `json:"updatedAt" need:"present"`
	LastSeenAt          Timestamp   `json:"lastSeenAt"`
	// ProvisioningToken is the agent's secret for heartbeats. Only the reply to an
	// enrolment has it, under either of the API's two names.
	ProvisioningToken Secret          `json:"provisioningToken" alt:"agentToken"`
	Raw               json.RawMessage `json:"-"`
}

// EnrollAgentRequest names a machine agent. All members are optional.
type EnrollAgentRequest struct {
	Label               string   `json:"label,omitzero"`
	AllowedProviderKeys []string `json:"allowedProviderKeys,omitzero"`
}

// HeartbeatRequest reports that a machine agent and its endpoints are alive.
type HeartbeatRequest struct {
	MachineID string              `json:"machineId"`
	AgentID   string              `json:"agentId"`
	Token     Secret              `json:"-"` // sent as agentToken, in the body
	Endpoints []HeartbeatEndpoint `json:"-"` // at least one
	// LeaseTTLSeconds is how long the report holds. Zero leaves it to the server.
	LeaseTTLSeconds int `json:"leaseTtlSeconds,omitzero"`
}

// HeartbeatEndpoint is a runtime endpoint in a heartbeat. The provider key and
// the URL are required.
type HeartbeatEndpoint struct {
	ProviderKey     string       `json:"providerKey"`
	EndpointBaseURL string       `json:"endpointBaseUrl"`
	Label           string       `json:"label,omitzero"`
	AuthType        EndpointAuth `json:"authType,omitzero"`
	AuthToken       Secret       `json:"-"` // sent as authToken
	ModelAlias      string       `json:"modelAlias,omitzero"`
	NetworkScope    NetworkScope `json:"networkScope,omitzero"`
	ProbePath       string       `json:"probePath,omitzero"`
}

// Heartbeat is the answer to a heartbeat. A single endpoint can be unreachable
// while the call as a whole succeeds.
type Heartbeat struct {
	MachineID       string            `json:"machineId" need:"present"`
	AgentID         string            `json:"agentId" need:"present"`
	LeaseTTLSeconds int               `json:"leaseTtlSeconds" need:"value"`
	ObservedAt      Timestamp         `json:"observedAt" need:"present"`
	Endpoints       []EndpointOutcome `json:"endpoints" need:"value"`
	Raw             json.RawMessage   `json:"-"`
}

// EndpointOutcome is what the server made of one endpoint of a heartbeat.
type EndpointOutcome struct {
	ProviderKey     string         `json:"providerKey" need:"present"`
	EndpointBaseURL string         `json:"endpointBaseUrl" need:"present"`
	Status          EndpointStatus `json:"status" need:"present"`
	LeaseExpiresAt  Timestamp      `json:"leaseExpiresAt" need:"present"`
	HealthError     string         `json:"healthError"`
}

// ListAgents returns the machine's agents (GET /machines/{machineId}/agents). The
// list takes no cursor: if Next is not empty, the reply is incomplete.
func (c *Client) ListAgents(ctx context.Context, machineID string) (*Page[MachineAgent], error) {
	if err := notBlank("machineId", machineID); err != nil {
		return nil, err
	}
	return list[MachineAgent](ctx, c, request{op: opListAgents, path: joinPath("machines", machineID, "agents")})
}

// Agents yields the machine's agents, and an error if the server says that there
// are more than it sent.
func (c *Client) Agents(ctx context.Context, machineID string) iter.Seq2[MachineAgent, error] {
	return whole(opListAgents, func() (*Page[MachineAgent], error) { return c.ListAgents(ctx, machineID) })
}

// EnrollAgent enrols a machine agent and returns its token, once
// (POST /machines/{machineId}/agents/enrollment).
func (c *Client) EnrollAgent(ctx context.Context, machineID string, r EnrollAgentRequest) (*MachineAgent, error) {
	if err := notBlank("machineId", machineID); err != nil {
		return nil, err
	}
	return item[MachineAgent](ctx, c, request{op: opEnrollAgent, path: joinPath("machines", machineID, "agents", "enrollment"), body: r})
}

// RevokeAgent revokes a machine agent
// (DELETE /machines/{machineId}/agents/{agentId}).
func (c *Client) RevokeAgent(ctx context.Context, machineID, agentID string) error {
	if err := notBlank("machineId", machineID, "agentId", agentID); err != nil {
		return err
	}
	return c.call(ctx, request{op: opRevokeAgent, path: joinPath("machines", machineID, "agents", agentID)}, nil)
}

type heartbeatBody struct {
	HeartbeatRequest
	AgentToken string         `json:"agentToken"`
	Endpoints  []endpointBody `json:"endpoints"`
}

type endpointBody struct {
	HeartbeatEndpoint
	AuthToken string `json:"authToken,omitzero"`
}

// Heartbeat reports the agent's endpoints (POST /machine-agents/heartbeat). The
// only credential is the agent's token, in the body. Entries go out in camelCase
// and without unset members, as the API documents them.
func (c *Client) Heartbeat(ctx context.Context, r HeartbeatRequest) (*Heartbeat, error) {
	if err := notBlank("machineId", r.MachineID, "agentId", r.AgentID, "agentToken", r.Token.Reveal()); err != nil {
		return nil, err
	}
	if len(r.Endpoints) == 0 {
		return nil, &ValidationError{Field: "endpoints", Constraint: "must hold at least one endpoint"}
	}
	if r.LeaseTTLSeconds < 0 {
		return nil, &ValidationError{Field: "leaseTtlSeconds", Constraint: "must not be negative"}
	}
	body := heartbeatBody{HeartbeatRequest: r, AgentToken: r.Token.Reveal()}
	secrets := []Secret{r.Token}
	for i, e := range r.Endpoints {
		field := "endpoints[" + strconv.Itoa(i) + "]."
		if err := notBlank(field+"providerKey", e.ProviderKey); err != nil {
			return nil, err
		}
		if err := webURL(field+"endpointBaseUrl", e.EndpointBaseURL); err != nil {
			return nil, err
		}
		body.Endpoints = append(body.Endpoints, endpointBody{HeartbeatEndpoint: e, AuthToken: e.AuthToken.Reveal()})
		secrets = append(secrets, e.AuthToken)
	}
	return item[Heartbeat](ctx, c, request{op: opHeartbeat, path: joinPath("machine-agents", "heartbeat"), body: body, secrets: secrets})
}
