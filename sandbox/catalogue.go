// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"net/http"
)

// serviceRecord is a service on the wire. It names no price: that is on the quote.
type serviceRecord struct {
	ID                      string              `json:"id"`
	SkillKey                string              `json:"skillKey"`
	ProviderKey             string              `json:"providerKey"`
	ProviderID              string              `json:"providerId"`
	ProviderLabel           string              `json:"providerLabel"`
	ServiceType             string              `json:"serviceType"`
	Name                    string              `json:"name"`
	Description             string              `json:"description"`
	Operations              []string            `json:"operations"`
	AuthType                string              `json:"authType"`
	AccessMode              string              `json:"accessMode"`
	ExecutionMode           string              `json:"executionMode"`
	IntegrationStatus       string              `json:"integrationStatus"`
	Distribution            string              `json:"distribution"`
	Maturity                string              `json:"maturity"`
	Kind                    string              `json:"kind"`
	Capabilities            []string            `json:"capabilities"`
	Region                  string              `json:"region"`
	FreshnessSeconds        int                 `json:"freshnessSeconds"`
	RequiresHumanEnablement bool                `json:"requiresHumanEnablement"`
	Metadata                map[string]any      `json:"metadata"`
	Handoff                 *handoff            `json:"handoff"`
	OperationContracts      []operationContract `json:"operationContracts"`
	UpdatedAt               string              `json:"updatedAt"`
}

type operationContract struct {
	Operation       string            `json:"operation"`
	Summary         string            `json:"summary"`
	InputFields     []Field           `json:"inputFields"`
	OutputFields    []Field           `json:"outputFields"`
	ExampleInput    json.RawMessage   `json:"exampleInput"`
	ProviderRequest map[string]string `json:"providerRequest"`
	Notes           []string          `json:"notes"`
}

type handoff struct {
	Label string   `json:"label"`
	URL   string   `json:"url"`
	Notes []string `json:"notes"`
}

// catalogueDate is when the sandbox's catalogue was written.
const catalogueDate = "2026-11-24T00:00:00.000Z"

func (s *Service) handoff() *handoff {
	if !s.handsOff() {
		return nil
	}
	return &handoff{Label: s.ProviderLabel, URL: s.HandoffURL, Notes: []string{"continue on the partner's page"}}
}

func (s *Service) record() serviceRecord {
	metadata := map[string]any{"sandbox": true}
	if s.Schema != "" {
		metadata["resultSchema"] = s.Schema
	}
	return serviceRecord{
		ID: s.ID, SkillKey: s.SkillKey, ProviderKey: s.ProviderKey, ProviderID: "prov_" + s.ProviderKey, ProviderLabel: s.ProviderLabel,
		ServiceType: s.ServiceType, Name: s.Name, Description: s.Description, Operations: []string{s.Operation}, AuthType: "none",
		AccessMode: "public", ExecutionMode: s.executionMode(), IntegrationStatus: s.integrationStatus(), Distribution: "peaq-native",
		Maturity: "reference", Kind: "runtime", Capabilities: s.Capabilities, Region: s.Region, FreshnessSeconds: 60, Metadata: metadata,
		Handoff: s.handoff(), UpdatedAt: catalogueDate,
		OperationContracts: []operationContract{{
			Operation: s.Operation, Summary: s.Description, InputFields: notNil(s.Inputs), OutputFields: notNil(s.Outputs),
			ExampleInput: s.ExampleInput, ProviderRequest: map[string]string{"method": "POST"}, Notes: []string{},
		}},
	}
}

func notNil[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// scope checks the machine that a catalogue read names against the token.
func (m *Market) scope(c *call) error {
	machineID := c.query.Get("machineId")
	if machineID == "" {
		return nil
	}
	if c.pairing != nil {
		return c.names(machineID, "", false)
	}
	if _, known := m.machines.get(machineID); !known {
		return notFound("machine", machineID)
	}
	return nil
}

func (m *Market) listServices(c *call) (answer, error) {
	if err := m.scope(c); err != nil {
		return answer{}, err
	}
	matches := func(member, value string) bool { return !c.query.Has(member) || c.query.Get(member) == value }
	shown := []serviceRecord{}
	for _, s := range m.services.all() {
		if !s.Unlisted && matches("serviceType", s.ServiceType) && matches("executionMode", s.executionMode()) &&
			matches("providerKey", s.ProviderKey) {
			shown = append(shown, s.record())
		}
	}
	reply, err := page(c.query, shown, func(r serviceRecord) string { return r.ID })
	return answer{http.StatusOK, reply}, err
}

func (m *Market) getService(c *call) (answer, error) {
	if err := m.scope(c); err != nil {
		return answer{}, err
	}
	s, known := m.services.get(c.path("serviceId"))
	if !known {
		return answer{}, notFound("service", c.path("serviceId"))
	}
	return okItem(s.record())
}
