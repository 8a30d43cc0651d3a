// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// endpoint is a runtime that the machine offers.
type endpoint struct {
	record endpointRecord
	lease  time.Time // zero for a manual one
}

type endpointRecord struct {
	ID              string  `json:"id"`
	MachineID       string  `json:"machineId"`
	ProviderKey     string  `json:"providerKey"`
	Source          string  `json:"source"`
	Label           string  `json:"label"`
	EndpointBaseURL string  `json:"endpointBaseUrl"`
	AuthType        string  `json:"authType"`
	HasAuthToken    bool    `json:"hasAuthToken"`
	NetworkScope    string  `json:"networkScope"`
	ProbePath       string  `json:"probePath"`
	Status          string  `json:"status"`
	AgentID         *string `json:"agentId"`
	ModelAlias      *string `json:"modelAlias"`
	LeaseExpiresAt  *string `json:"leaseExpiresAt"`
	LastCheckedAt   *string `json:"lastCheckedAt"`
	LastHealthyAt   *string `json:"lastHealthyAt"`
	CreatedAt       string  `json:"createdAt"`
	UpdatedAt       string  `json:"updatedAt"`
}

type endpointBody struct {
	EndpointBaseURL string  `json:"endpointBaseUrl"`
	Label           *string `json:"label"`
	AuthType        *string `json:"authType"`
	AuthToken       *string `json:"authToken"`
	ModelAlias      *string `json:"modelAlias"`
	NetworkScope    *string `json:"networkScope"`
	ProbePath       *string `json:"probePath"`
	Status          *string `json:"status"`
}

func endpointID(machineID, key string) string { return machineID + "/" + key }

// shown is the record with what the clock says about the lease.
func (e *endpoint) shown(now time.Time) endpointRecord {
	r := e.record
	if !e.lease.IsZero() {
		expires := stamp(e.lease)
		r.LeaseExpiresAt = &expires
		if !now.Before(e.lease) {
			r.Status = "unreachable"
		}
	}
	return r
}

// newEndpoint reads an endpoint with its defaults, manual and not stored yet.
func (m *Market) newEndpoint(machineID, key string, body endpointBody) (*endpoint, error) {
	if key == "" {
		return nil, invalid("providerKey must not be blank")
	}
	base, scope, err := baseURL(body.EndpointBaseURL)
	if err != nil {
		return nil, err
	}
	now := stamp(m.now())
	r := endpointRecord{MachineID: machineID, ProviderKey: key, Source: "manual", Label: strings.ToUpper(key) + " runtime",
		EndpointBaseURL: base, AuthType: "none", NetworkScope: scope, ProbePath: "/health", Status: "active",
		ModelAlias: body.ModelAlias, LastCheckedAt: &now, UpdatedAt: now}
	if key == "qvac" {
		r.ProbePath = "/v1/models"
	}
	if body.AuthToken != nil && *body.AuthToken != "" {
		r.AuthType, r.HasAuthToken = "bearer", true
	}
	setIf(&r.Label, body.Label)
	setIf(&r.AuthType, body.AuthType)
	setIf(&r.NetworkScope, body.NetworkScope)
	setIf(&r.ProbePath, body.ProbePath)
	setIf(&r.Status, body.Status)
	for _, check := range []struct {
		member, value string
		allowed       []string
	}{
		{"authType", r.AuthType, []string{"none", "api-key", "bearer"}},
		{"networkScope", r.NetworkScope, []string{"loopback", "lan", "vpn", "public"}},
		{"status", r.Status, []string{"active", "degraded", "unreachable"}},
	} {
		if !slices.Contains(check.allowed, check.value) {
			return nil, invalid("%s %q is none of %s", check.member, clip(check.value, 20), strings.Join(check.allowed, ", "))
		}
	}
	if r.Status == "active" {
		r.LastHealthyAt = &now
	}
	return &endpoint{record: r}, nil
}

// baseURL strips a URL to scheme and host and guesses how far the host reaches.
func baseURL(text string) (base, scope string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", "", invalid("endpointBaseUrl must be an http or https URL with a host")
	}
	scope = "public"
	if address, err := netip.ParseAddr(u.Hostname()); err == nil {
		switch {
		case address.IsLoopback():
			scope = "loopback"
		case address.IsPrivate() || address.IsLinkLocalUnicast():
			scope = "lan"
		}
	} else if u.Hostname() == "localhost" {
		scope = "loopback"
	}
	return u.Scheme + "://" + u.Host, scope, nil
}

// storeEndpoint adds an endpoint or replaces the one with its key, which keeps its id; it says whether it was new.
func (m *Market) storeEndpoint(e *endpoint) bool {
	id := endpointID(e.record.MachineID, e.record.ProviderKey)
	old, known := m.endpoints.get(id)
	if known {
		e.record.ID, e.record.CreatedAt = old.record.ID, old.record.CreatedAt
	} else {
		e.record.ID, e.record.CreatedAt = m.ids.next("rep"), e.record.UpdatedAt
	}
	m.endpoints.put(id, e)
	return !known
}

func (m *Market) listEndpoints(c *call) (answer, error) {
	record, err := m.activeMachine(c.path("machineId"))
	if err != nil {
		return answer{}, err
	}
	shown := []endpointRecord{}
	for _, e := range m.endpoints.all() {
		if e.record.MachineID == record.ID {
			shown = append(shown, e.shown(m.now()))
		}
	}
	reply, err := page(c.query, shown, func(r endpointRecord) string { return r.ID })
	return answer{http.StatusOK, reply}, err
}

func (m *Market) endpointOf(c *call) (*endpoint, error) {
	record, err := m.activeMachine(c.path("machineId"))
	if err != nil {
		return nil, err
	}
	key := strings.ToLower(c.path("providerKey"))
	e, known := m.endpoints.get(endpointID(record.ID, key))
	if !known {
		return nil, notFound("runtime endpoint", key)
	}
	return e, nil
}

func (m *Market) getEndpoint(c *call) (answer, error) {
	e, err := m.endpointOf(c)
	if err != nil {
		return answer{}, err
	}
	return okItem(e.shown(m.now()))
}

func (m *Market) putEndpoint(c *call) (answer, error) {
	record, err := m.activeMachine(c.path("machineId"))
	if err != nil {
		return answer{}, err
	}
	var body endpointBody
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	e, err := m.newEndpoint(record.ID, strings.ToLower(strings.TrimSpace(c.path("providerKey"))), body)
	if err != nil {
		return answer{}, err
	}
	isNew := m.storeEndpoint(e)
	m.record("owner", "endpoint.put", "runtime-endpoint", e.record.ID, record.ID, map[string]any{"providerKey": e.record.ProviderKey})
	if isNew {
		return created(e.shown(m.now()))
	}
	return okItem(e.shown(m.now()))
}

func (m *Market) deleteEndpoint(c *call) (answer, error) {
	e, err := m.endpointOf(c)
	if err != nil {
		return answer{}, err
	}
	m.endpoints.remove(endpointID(e.record.MachineID, e.record.ProviderKey))
	m.record("owner", "endpoint.deleted", "runtime-endpoint", e.record.ID, e.record.MachineID, map[string]any{"providerKey": e.record.ProviderKey})
	return noContent()
}
