// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"iter"
)

// RuntimeEndpoint is an address where a machine offers a runtime.
type RuntimeEndpoint struct {
	ID              string          `json:"id" need:"present"`
	MachineID       string          `json:"machineId" need:"present"`
	ProviderKey     string          `json:"providerKey" need:"text"`
	Source          EndpointSource  `json:"source" need:"present"`
	Label           string          `json:"label" need:"present"`
	EndpointBaseURL string          `json:"endpointBaseUrl" need:"present"`
	AuthType        EndpointAuth    `json:"authType" need:"present"`
	HasAuthToken    bool            `json:"hasAuthToken" need:"present"`
	NetworkScope    NetworkScope    `json:"networkScope" need:"present"`
	Status          EndpointStatus  `json:"status" need:"present"`
	CreatedAt       Timestamp       `json:"createdAt" need:"present"`
	UpdatedAt       Timestamp       `json:"updatedAt" need:"present"`
	ProbePath       string          `json:"probePath"`
	AgentID         string          `json:"agentId"`
	ModelAlias      string          `json:"modelAlias"`
	LeaseExpiresAt  Timestamp       `json:"leaseExpiresAt"`
	LastCheckedAt   Timestamp       `json:"lastCheckedAt"`
	LastHealthyAt   Timestamp       `json:"lastHealthyAt"`
	Raw             json.RawMessage `json:"-"`
}

// PutRuntimeEndpointRequest describes a manual runtime endpoint. The URL is
// required.
type PutRuntimeEndpointRequest struct {
	EndpointBaseURL string         `json:"endpointBaseUrl"`
	Label           string         `json:"label,omitzero"`
	AuthType        EndpointAuth   `json:"authType,omitzero"`
	AuthToken       Secret         `json:"-"` // sent as authToken
	ModelAlias      string         `json:"modelAlias,omitzero"`
	NetworkScope    NetworkScope   `json:"networkScope,omitzero"`
	ProbePath       string         `json:"probePath,omitzero"`
	Status          EndpointStatus `json:"status,omitzero"`
}

// ListRuntimeEndpoints returns one page of the machine's runtime endpoints
// (GET /machines/{machineId}/runtime-endpoints).
func (c *Client) ListRuntimeEndpoints(ctx context.Context, machineID string, o ListOptions) (*Page[RuntimeEndpoint], error) {
	if err := notBlank("machineId", machineID); err != nil {
		return nil, err
	}
	return pageQuery[RuntimeEndpoint](ctx, c, request{op: opListRuntimeEndpoints, path: joinPath("machines", machineID, "runtime-endpoints")}, o)
}

// RuntimeEndpoints yields the runtime endpoints of all pages, from the one that
// o names.
func (c *Client) RuntimeEndpoints(ctx context.Context, machineID string, o ListOptions) iter.Seq2[RuntimeEndpoint, error] {
	return walk(opListRuntimeEndpoints, o, func(o ListOptions) (*Page[RuntimeEndpoint], error) {
		return c.ListRuntimeEndpoints(ctx, machineID, o)
	})
}

// GetRuntimeEndpoint returns one runtime endpoint
// (GET /machines/{machineId}/runtime-endpoints/{providerKey}).
func (c *Client) GetRuntimeEndpoint(ctx context.Context, machineID, providerKey string) (*RuntimeEndpoint, error) {
	if err := notBlank("machineId", machineID, "providerKey", providerKey); err != nil {
		return nil, err
	}
	return item[RuntimeEndpoint](ctx, c, request{op: opGetRuntimeEndpoint, path: joinPath("machines", machineID, "runtime-endpoints", providerKey)})
}

// PutRuntimeEndpoint creates or replaces a manual runtime endpoint
// (PUT /machines/{machineId}/runtime-endpoints/{providerKey}). It is idempotent.
func (c *Client) PutRuntimeEndpoint(ctx context.Context, machineID, providerKey string, r PutRuntimeEndpointRequest) (*RuntimeEndpoint, error) {
	if err := notBlank("machineId", machineID, "providerKey", providerKey); err != nil {
		return nil, err
	}
	if err := webURL("endpointBaseUrl", r.EndpointBaseURL); err != nil {
		return nil, err
	}
	body := struct {
		PutRuntimeEndpointRequest
		AuthToken string `json:"authToken,omitzero"`
	}{r, r.AuthToken.Reveal()}
	return item[RuntimeEndpoint](ctx, c, request{
		op: opPutRuntimeEndpoint, path: joinPath("machines", machineID, "runtime-endpoints", providerKey),
		body: body, secrets: []Secret{r.AuthToken},
	})
}

// DeleteRuntimeEndpoint removes a runtime endpoint
// (DELETE /machines/{machineId}/runtime-endpoints/{providerKey}).
func (c *Client) DeleteRuntimeEndpoint(ctx context.Context, machineID, providerKey string) error {
	if err := notBlank("machineId", machineID, "providerKey", providerKey); err != nil {
		return err
	}
	return c.call(ctx, request{op: opDeleteRuntimeEndpoint, path: joinPath("machines", machineID, "runtime-endpoints", providerKey)}, nil)
}
