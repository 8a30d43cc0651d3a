// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"strings"
	"time"
)

const (
	defaultLease  = 60
	shortestLease = 10
	longestLease  = 3600
)

// agent is the machine's own process that reports its runtime endpoints. Its secret is kept as a hash.
type agent struct {
	record agentRecord
	secret [sha256.Size]byte
}

type agentRecord struct {
	ID                  string   `json:"id"`
	MachineID           string   `json:"machineId"`
	Label               string   `json:"label"`
	Status              string   `json:"status"`
	AllowedProviderKeys []string `json:"allowedProviderKeys"`
	LastSeenAt          *string  `json:"lastSeenAt"`
	CreatedAt           string   `json:"createdAt"`
	UpdatedAt           string   `json:"updatedAt"`
	// The secret has two names: the SDK reads the first, the reference page says the second.
	ProvisioningToken string `json:"provisioningToken,omitempty"`
	AgentToken        string `json:"agentToken,omitempty"`
}

func (m *Market) listAgents(c *call) (answer, error) {
	record, err := m.activeMachine(c.path("machineId"))
	if err != nil {
		return answer{}, err
	}
	reply := list[agentRecord]{Items: []agentRecord{}}
	for _, a := range m.agents.all() {
		if a.record.MachineID == record.ID {
			reply.Items = append(reply.Items, a.record)
		}
	}
	return ok(reply)
}

func (m *Market) enrollAgent(c *call) (answer, error) {
	record, err := m.activeMachine(c.path("machineId"))
	if err != nil {
		return answer{}, err
	}
	var body struct {
		Label               *string  `json:"label"`
		AllowedProviderKeys []string `json:"allowedProviderKeys"`
	}
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	now := stamp(m.now())
	secret := "magt_" + m.nonce()
	a := &agent{secret: sha256.Sum256([]byte(secret)), record: agentRecord{ID: m.ids.next("agent"), MachineID: record.ID,
		Label: "machine agent", Status: "provisioned", AllowedProviderKeys: []string{}, CreatedAt: now, UpdatedAt: now}}
	setIf(&a.record.Label, body.Label)
	for _, key := range body.AllowedProviderKeys {
		a.record.AllowedProviderKeys = append(a.record.AllowedProviderKeys, strings.ToLower(key))
	}
	m.agents.put(a.record.ID, a)
	m.record("owner", "agent.enrolled", "machine-agent", a.record.ID, record.ID, nil)
	shown := a.record
	shown.ProvisioningToken, shown.AgentToken = secret, secret
	return created(shown)
}

func (m *Market) revokeAgent(c *call) (answer, error) {
	record, err := m.activeMachine(c.path("machineId"))
	if err != nil {
		return answer{}, err
	}
	a, known := m.agents.get(c.path("agentId"))
	if !known || a.record.MachineID != record.ID {
		return answer{}, notFound("machine agent", c.path("agentId"))
	}
	a.record.Status, a.record.UpdatedAt = "revoked", stamp(m.now())
	m.record("owner", "agent.revoked", "machine-agent", a.record.ID, record.ID, nil)
	return noContent()
}

// beatEndpoint reads an endpoint in both spellings: the SDK sends its entries in snake_case.
type beatEndpoint struct {
	endpointBody
	SnakeProviderKey  string  `json:"provider_key"`
	SnakeBaseURL      string  `json:"endpoint_base_url"`
	SnakeAuthType     *string `json:"auth_type"`
	SnakeAuthToken    *string `json:"auth_token"`
	SnakeModelAlias   *string `json:"model_alias"`
	SnakeNetworkScope *string `json:"network_scope"`
	SnakeProbePath    *string `json:"probe_path"`
	ProviderKey       string  `json:"providerKey"`
}

func (b beatEndpoint) read() (key string, body endpointBody) {
	body, key = b.endpointBody, b.ProviderKey
	setText(&key, b.SnakeProviderKey)
	setText(&body.EndpointBaseURL, b.SnakeBaseURL)
	for _, pair := range []struct{ to, from **string }{
		{&body.AuthType, &b.SnakeAuthType}, {&body.AuthToken, &b.SnakeAuthToken}, {&body.ModelAlias, &b.SnakeModelAlias},
		{&body.NetworkScope, &b.SnakeNetworkScope}, {&body.ProbePath, &b.SnakeProbePath},
	} {
		if *pair.to == nil {
			*pair.to = *pair.from
		}
	}
	return strings.ToLower(strings.TrimSpace(key)), body
}

type beatBody struct {
	MachineID       string         `json:"machineId"`
	AgentID         string         `json:"agentId"`
	AgentToken      string         `json:"agentToken"`
	LeaseTTLSeconds *int           `json:"leaseTtlSeconds"`
	Endpoints       []beatEndpoint `json:"endpoints"`
}

type beatResult struct {
	ProviderKey     string  `json:"providerKey"`
	EndpointBaseURL string  `json:"endpointBaseUrl"`
	Status          string  `json:"status"`
	LeaseExpiresAt  string  `json:"leaseExpiresAt"`
	HealthError     *string `json:"healthError"`
}

type beatReply struct {
	MachineID       string       `json:"machineId"`
	AgentID         string       `json:"agentId"`
	LeaseTTLSeconds int          `json:"leaseTtlSeconds"`
	ObservedAt      string       `json:"observedAt"`
	Endpoints       []beatResult `json:"endpoints"`
}

// beatAgent returns the agent that a heartbeat is from.
func (m *Market) beatAgent(c *call, body beatBody) (*agent, error) {
	if err := blank([2]string{"machineId", body.MachineID}, [2]string{"agentId", body.AgentID}); err != nil {
		return nil, err
	}
	token := body.AgentToken
	setText(&token, c.r.Header.Get(tokenHeader))
	setText(&token, strings.TrimPrefix(c.r.Header.Get("Authorization"), "Bearer "))
	if token == "" {
		return nil, refuse(codeAgentAuthRequired, "agentToken is missing")
	}
	if _, known := m.machines.get(body.MachineID); !known {
		return nil, notFound("machine", body.MachineID)
	}
	a, known := m.agents.get(body.AgentID)
	if !known || a.record.MachineID != body.MachineID {
		return nil, notFound("machine agent", body.AgentID)
	}
	if sum := sha256.Sum256([]byte(token)); subtle.ConstantTimeCompare(sum[:], a.secret[:]) != 1 {
		return nil, refuse(codeAgentAuthInvalid, "the agent token is wrong")
	}
	if a.record.Status == "revoked" {
		return nil, refuse(codePairingInactive, "the machine agent is revoked")
	}
	return a, nil
}

func (m *Market) heartbeat(c *call) (answer, error) {
	var body beatBody
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	a, err := m.beatAgent(c, body)
	if err != nil {
		return answer{}, err
	}
	lease := defaultLease
	if body.LeaseTTLSeconds != nil {
		lease = *body.LeaseTTLSeconds
	}
	if lease < shortestLease || lease > longestLease {
		return answer{}, invalid("leaseTtlSeconds must be from %d to %d", shortestLease, longestLease)
	}
	if len(body.Endpoints) == 0 {
		return answer{}, invalid("endpoints must have at least one entry")
	}
	var found []*endpoint
	for _, entry := range body.Endpoints {
		key, said := entry.read()
		if allowed := a.record.AllowedProviderKeys; len(allowed) > 0 && !slices.Contains(allowed, key) {
			return answer{}, refuse(codePolicyDenied, "the agent may not report provider %q", clip(key, 40))
		}
		e, err := m.newEndpoint(a.record.MachineID, key, said)
		if err != nil {
			return answer{}, err
		}
		found = append(found, e)
	}
	now := m.now()
	expires := now.Add(time.Duration(lease) * time.Second)
	reply := beatReply{MachineID: a.record.MachineID, AgentID: a.record.ID, LeaseTTLSeconds: lease, ObservedAt: stamp(now)}
	for _, e := range found {
		e.record.Source, e.record.AgentID, e.lease = "agent", &a.record.ID, expires
		m.storeEndpoint(e)
		reply.Endpoints = append(reply.Endpoints, beatResult{ProviderKey: e.record.ProviderKey, EndpointBaseURL: e.record.EndpointBaseURL,
			Status: e.record.Status, LeaseExpiresAt: stamp(expires)})
	}
	seen := stamp(now)
	a.record.Status, a.record.LastSeenAt, a.record.UpdatedAt = "active", &seen, seen
	m.journal.state("agent.heartbeat", a.record.ID, reply)
	return okItem(reply)
}
