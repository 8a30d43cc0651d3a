// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
)

// Service is an entry of the market. It has no price: prices are on quotes.
type Service struct {
	ID                string            `json:"id" need:"text"`
	SkillKey          string            `json:"skillKey" need:"present"`
	ProviderKey       string            `json:"providerKey" need:"present"`
	ProviderID        string            `json:"providerId" need:"present"`
	ProviderLabel     string            `json:"providerLabel" need:"present"`
	ServiceType       ServiceType       `json:"serviceType" need:"present"`
	Name              string            `json:"name" need:"present"`
	Description       string            `json:"description" need:"present"`
	AuthType          string            `json:"authType" need:"present"`
	AccessMode        string            `json:"accessMode" need:"present"`
	ExecutionMode     ExecutionMode     `json:"executionMode" need:"present"`
	IntegrationStatus IntegrationStatus `json:"integrationStatus" need:"present"`
	Distribution      string            `json:"distribution" need:"present"`
	Maturity          string            `json:"maturity" need:"present"`
	Kind              string            `json:"kind" need:"present"`
	Region            string            `json:"region" need:"present"`
	// FreshnessSeconds is the age that the provider's data may have.
	FreshnessSeconds        json.Number         `json:"freshnessSeconds" need:"present"`
	RequiresHumanEnablement bool                `json:"requiresHumanEnablement" need:"present"`
	UpdatedAt               Timestamp           `json:"updatedAt" need:"present"`
	Operations              []string            `json:"operations"`
	Capabilities            []string            `json:"capabilities"`
	Metadata                json.RawMessage     `json:"metadata"`
	ReferenceURL            string              `json:"referenceUrl"`
	ArtifactURL             string              `json:"artifactUrl"`
	Handoff                 *Handoff            `json:"handoff"`
	OperationContracts      []OperationContract `json:"operationContracts"`
	Raw                     json.RawMessage     `json:"-"`
}

// OperationContract describes one operation of a service.
type OperationContract struct {
	Operation       string          `json:"operation" need:"present"`
	InputFields     []ContractField `json:"inputFields"`
	OutputFields    []ContractField `json:"outputFields"`
	ExampleInput    json.RawMessage `json:"exampleInput"`
	ProviderRequest json.RawMessage `json:"providerRequest"`
	Summary         string          `json:"summary"`
	Notes           []string        `json:"notes"`
	Raw             json.RawMessage `json:"-"`
}

// ContractField is an input or output of an operation.
type ContractField struct {
	Key         string `json:"key" need:"present"`
	Type        string `json:"type" need:"present"`
	Description string `json:"description"`
}

// Handoff is where a person continues what the platform does not do itself.
type Handoff struct {
	Label string   `json:"label" need:"present"`
	URL   string   `json:"url" need:"present"`
	Notes []string `json:"notes"`
}

// ServiceQuery filters the services. Empty members do not filter.
type ServiceQuery struct {
	MachineID     string
	ServiceType   ServiceType
	ExecutionMode ExecutionMode
	ProviderKey   string
}

// ExecuteServiceRequest reads one free operation. Machine, pairing and operation
// are required.
type ExecuteServiceRequest struct {
	MachineID           string               `json:"machineId"`
	AgentPairingID      string               `json:"agentPairingId"`
	Operation           string               `json:"operation"`
	Input               json.RawMessage      `json:"input,omitzero"` // an object
	Budget              *OrderBudget         `json:"budget,omitzero"`
	ProviderCredentials *ProviderCredentials `json:"-"` // sent as providerCredentials
}

// DirectExecution is the reply of [Client.ExecuteService].
type DirectExecution struct {
	Service   Service      `json:"service" need:"value"`
	Execution DirectResult `json:"execution" need:"value"`
}

// DirectResult is what a direct execution did. A read that failed is a normal
// reply: look at Outcome.Status first.
type DirectResult struct {
	StatusCode int             `json:"statusCode" need:"value"`
	Task       json.RawMessage `json:"task" need:"value"`
	Route      json.RawMessage `json:"route" need:"value"`
	Run        Run             `json:"run" need:"value"`
	Outcome    Outcome         `json:"outcome" need:"value"`
	Raw        json.RawMessage `json:"-"`
}

func (d *DirectResult) fault() *shapeFault {
	if d.StatusCode == http.StatusOK {
		return nil
	}
	return &shapeFault{member: "statusCode", problem: "is not 200"}
}

// ListServices returns one page of the market's services (GET /market/services).
// With a pairing token it is the machine's private catalogue; an empty token
// leaves it out.
func (c *Client) ListServices(ctx context.Context, token Secret, q ServiceQuery, o ListOptions) (*Page[Service], error) {
	query := url.Values{}
	filter(query, "machineId", q.MachineID, "serviceType", string(q.ServiceType),
		"executionMode", string(q.ExecutionMode), "providerKey", q.ProviderKey)
	return pageQuery[Service](ctx, c, request{op: opListServices, path: joinPath("market", "services"), query: query, token: token}, o)
}

// Services yields the services of all pages, from the one that o names.
func (c *Client) Services(ctx context.Context, token Secret, q ServiceQuery, o ListOptions) iter.Seq2[Service, error] {
	return walk(opListServices, o, func(o ListOptions) (*Page[Service], error) { return c.ListServices(ctx, token, q, o) })
}

// GetService returns one service (GET /market/services/{serviceId}). The token
// and the machine id may be empty.
func (c *Client) GetService(ctx context.Context, token Secret, serviceID, machineID string) (*Service, error) {
	if err := notBlank("serviceId", serviceID); err != nil {
		return nil, err
	}
	query := url.Values{}
	filter(query, "machineId", machineID)
	return item[Service](ctx, c, request{op: opGetService, path: joinPath("market", "services", serviceID), query: query, token: token})
}

// ExecuteService runs one free, native, read-only operation without an order
// (POST /market/services/{serviceId}/execute).
func (c *Client) ExecuteService(ctx context.Context, token Secret, serviceID string, r ExecuteServiceRequest) (*DirectExecution, error) {
	if err := notBlank("serviceId", serviceID, "machineId", r.MachineID, "agentPairingId", r.AgentPairingID, "operation", r.Operation); err != nil {
		return nil, err
	}
	if err := jsonObject("input", r.Input); err != nil {
		return nil, err
	}
	credentials, secrets := r.ProviderCredentials.reveal()
	body := struct {
		ExecuteServiceRequest
		Credentials revealed `json:"providerCredentials,omitzero"`
	}{r, credentials}
	var reply DirectExecution
	q := request{op: opExecuteService, path: joinPath("market", "services", serviceID, "execute"), token: token, body: body, secrets: secrets}
	if err := c.call(ctx, q, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}
