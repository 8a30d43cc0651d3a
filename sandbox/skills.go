// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"net/http"
)

type skillRecord struct {
	Key                     string   `json:"key"`
	ProviderKey             string   `json:"providerKey"`
	Label                   string   `json:"label"`
	Description             string   `json:"description"`
	Direction               string   `json:"direction"`
	Scope                   string   `json:"scope"`
	Source                  string   `json:"source"`
	ListedBy                string   `json:"listedBy"`
	LastVerifiedAt          *string  `json:"lastVerifiedAt"`
	Kind                    string   `json:"kind"`
	ServiceTypes            []string `json:"serviceTypes"`
	Operations              []string `json:"operations"`
	AuthType                string   `json:"authType"`
	AuthState               string   `json:"authState"`
	AccessMode              string   `json:"accessMode"`
	Distribution            string   `json:"distribution"`
	Maturity                string   `json:"maturity"`
	ExecutionMode           string   `json:"executionMode"`
	IntegrationStatus       string   `json:"integrationStatus"`
	RequiredEnv             []string `json:"requiredEnv"`
	RequiresHumanEnablement bool     `json:"requiresHumanEnablement"`
	Handoff                 *handoff `json:"handoff"`
}

// skillConfig is what the owner set for a skill. Of the credentials it keeps only that there are some.
type skillConfig struct {
	SkillKey       string                     `json:"skillKey"`
	ProviderKey    string                     `json:"providerKey"`
	Enabled        bool                       `json:"enabled"`
	Settings       map[string]json.RawMessage `json:"settings"`
	HasCredentials bool                       `json:"hasCredentials"`
	UpdatedAt      string                     `json:"updatedAt"`
}

type manifestInput struct {
	Key         string `json:"key"`
	Type        string `json:"type"`
	Required    bool   `json:"required"`
	Description string `json:"description"`
}

type manifestOutput struct {
	Key         string `json:"key"`
	Type        string `json:"type"`
	Description string `json:"description"`
}

type manifest struct {
	Key         string           `json:"key"`
	ProviderKey string           `json:"providerKey"`
	Label       string           `json:"label"`
	Summary     string           `json:"summary"`
	Inputs      []manifestInput  `json:"inputs"`
	Outputs     []manifestOutput `json:"outputs"`
}

// skillService returns the first service that carries a skill.
func (m *Market) skillService(key string) (*Service, error) {
	for _, s := range m.services.all() {
		if s.SkillKey == key {
			return s, nil
		}
	}
	return nil, notFound("skill", key)
}

func (m *Market) skillOf(s *Service) skillRecord {
	state := "unconfigured"
	if config := m.skills[s.SkillKey]; config != nil && config.HasCredentials {
		state = "configured"
	}
	return skillRecord{
		Key: s.SkillKey, ProviderKey: s.ProviderKey, Label: s.ProviderLabel, Description: s.Description, Direction: "machine-consumes",
		Scope: "core-product", Source: "peaq", ListedBy: "sandbox", Kind: "runtime", ServiceTypes: []string{s.ServiceType},
		Operations: []string{s.Operation}, AuthType: "none", AuthState: state, AccessMode: "public", Distribution: "peaq-native",
		Maturity: "reference", ExecutionMode: s.executionMode(), IntegrationStatus: s.integrationStatus(), RequiredEnv: []string{},
		Handoff: s.handoff(),
	}
}

func (m *Market) listSkills(c *call) (answer, error) {
	matches := func(member, value string) bool { return !c.query.Has(member) || c.query.Get(member) == value }
	shown, seen := []skillRecord{}, map[string]bool{}
	for _, s := range m.services.all() {
		r := m.skillOf(s)
		if !seen[r.Key] && matches("scope", r.Scope) && matches("direction", r.Direction) && matches("source", r.Source) {
			shown = append(shown, r)
		}
		seen[r.Key] = true
	}
	reply, err := page(c.query, shown, func(r skillRecord) string { return r.Key })
	return answer{http.StatusOK, reply}, err
}

func (m *Market) getSkill(c *call) (answer, error) {
	s, err := m.skillService(c.path("skillKey"))
	if err != nil {
		return answer{}, err
	}
	return okItem(m.skillOf(s))
}

func (m *Market) getManifest(c *call) (answer, error) {
	s, err := m.skillService(c.path("skillKey"))
	if err != nil {
		return answer{}, err
	}
	reply := manifest{Key: s.SkillKey, ProviderKey: s.ProviderKey, Label: s.ProviderLabel, Summary: s.Description,
		Inputs: []manifestInput{}, Outputs: []manifestOutput{}}
	for _, f := range s.Inputs {
		reply.Inputs = append(reply.Inputs, manifestInput{f.Key, f.Type, true, f.Description})
	}
	for _, f := range s.Outputs {
		reply.Outputs = append(reply.Outputs, manifestOutput(f))
	}
	return okItem(reply)
}

func (m *Market) configureSkill(c *call) (answer, error) {
	s, err := m.skillService(c.path("skillKey"))
	if err != nil {
		return answer{}, err
	}
	var body struct {
		Enabled     *bool                      `json:"enabled"`
		Credentials map[string]string          `json:"credentials"`
		Settings    map[string]json.RawMessage `json:"settings"`
	}
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	config := m.skills[s.SkillKey]
	if config == nil {
		config = &skillConfig{SkillKey: s.SkillKey, ProviderKey: s.ProviderKey, Enabled: true, Settings: map[string]json.RawMessage{}}
		m.skills[s.SkillKey] = config
	}
	if body.Enabled != nil {
		config.Enabled = *body.Enabled
	}
	if body.Settings != nil {
		config.Settings = body.Settings
	}
	config.HasCredentials = config.HasCredentials || len(body.Credentials) > 0
	config.UpdatedAt = stamp(m.now())
	m.record("owner", "skill.configured", "skill", s.SkillKey, "", map[string]any{"enabled": config.Enabled})
	return okItem(config)
}
