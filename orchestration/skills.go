// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"
)

// Skill is an entry of the skill catalogue.
type Skill struct {
	Key                     string            `json:"key" need:"text"`
	ProviderKey             string            `json:"providerKey" need:"present"`
	Label                   string            `json:"label" need:"present"`
	Description             string            `json:"description" need:"present"`
	Direction               string            `json:"direction" need:"present"`
	Scope                   string            `json:"scope" need:"present"`
	Source                  string            `json:"source" need:"present"`
	ListedBy                string            `json:"listedBy" need:"present"`
	Kind                    string            `json:"kind" need:"present"`
	AuthType                string            `json:"authType" need:"present"`
	AuthState               string            `json:"authState" need:"present"`
	AccessMode              string            `json:"accessMode" need:"present"`
	Distribution            string            `json:"distribution" need:"present"`
	Maturity                string            `json:"maturity" need:"present"`
	ExecutionMode           ExecutionMode     `json:"executionMode" need:"present"`
	IntegrationStatus       IntegrationStatus `json:"integrationStatus" need:"present"`
	RequiresHumanEnablement bool              `json:"requiresHumanEnablement" need:"present"`
	LastVerifiedAt          Timestamp         `json:"lastVerifiedAt"`
	ServiceTypes            []ServiceType     `json:"serviceTypes"`
	Operations              []string          `json:"operations"`
	RequiredEnv             []string          `json:"requiredEnv"`
	ReferenceURL            string            `json:"referenceUrl"`
	ArtifactURL             string            `json:"artifactUrl"`
	Handoff                 *Handoff          `json:"handoff"`
	Raw                     json.RawMessage   `json:"-"`
}

// SkillManifest describes the inputs and outputs of a skill.
type SkillManifest struct {
	Key         string          `json:"key" need:"text"`
	ProviderKey string          `json:"providerKey" need:"present"`
	Label       string          `json:"label" need:"present"`
	Summary     string          `json:"summary" need:"present"`
	Inputs      []SkillInput    `json:"inputs" need:"value"`
	Outputs     []SkillOutput   `json:"outputs" need:"value"`
	Raw         json.RawMessage `json:"-"`
}

// SkillInput is an input of a skill.
type SkillInput struct {
	Key         string `json:"key" need:"present"`
	Type        string `json:"type" need:"present"`
	Required    bool   `json:"required" need:"present"`
	Description string `json:"description" need:"present"`
}

// SkillOutput is an output of a skill.
type SkillOutput struct {
	Key         string `json:"key" need:"present"`
	Type        string `json:"type" need:"present"`
	Description string `json:"description" need:"present"`
}

// SkillConfig is the stored configuration of a skill, without its credentials.
type SkillConfig struct {
	SkillKey       string          `json:"skillKey" need:"text"`
	ProviderKey    string          `json:"providerKey" need:"present"`
	Enabled        bool            `json:"enabled" need:"present"`
	HasCredentials bool            `json:"hasCredentials" need:"present"`
	UpdatedAt      Timestamp       `json:"updatedAt" need:"present"`
	Settings       json.RawMessage `json:"settings"`
	Raw            json.RawMessage `json:"-"`
}

// SkillQuery filters the skill catalogue. Empty members do not filter.
type SkillQuery struct {
	Scope, Direction, Source string
}

// UpdateSkillConfigRequest changes the members that are set.
type UpdateSkillConfigRequest struct {
	Enabled     *bool             `json:"enabled,omitzero"`
	Credentials map[string]Secret `json:"-"` // sent as credentials
	// Settings is an object of strings, numbers and booleans.
	Settings json.RawMessage `json:"settings,omitzero"`
}

// ListSkills returns one page of the skill catalogue (GET /skills).
func (c *Client) ListSkills(ctx context.Context, q SkillQuery, o ListOptions) (*Page[Skill], error) {
	query := url.Values{}
	filter(query, "scope", q.Scope, "direction", q.Direction, "source", q.Source)
	return pageQuery[Skill](ctx, c, request{op: opListSkills, path: joinPath("skills"), query: query}, o)
}

// Skills yields the skills of all pages, from the one that o names.
func (c *Client) Skills(ctx context.Context, q SkillQuery, o ListOptions) iter.Seq2[Skill, error] {
	return walk(opListSkills, o, func(o ListOptions) (*Page[Skill], error) { return c.ListSkills(ctx, q, o) })
}

// GetSkill returns one skill (GET /skills/{skillKey}).
func (c *Client) GetSkill(ctx context.Context, skillKey string) (*Skill, error) {
	if err := notBlank("skillKey", skillKey); err != nil {
		return nil, err
	}
	return item[Skill](ctx, c, request{op: opGetSkill, path: joinPath("skills", skillKey)})
}

// GetSkillManifest returns the inputs and outputs of a skill
// (GET /skills/{skillKey}/manifest).
func (c *Client) GetSkillManifest(ctx context.Context, skillKey string) (*SkillManifest, error) {
	if err := notBlank("skillKey", skillKey); err != nil {
		return nil, err
	}
	return item[SkillManifest](ctx, c, request{op: opGetSkillManifest, path: joinPath("skills", skillKey, "manifest")})
}

// UpdateSkillConfig changes the configuration of a skill
// (PATCH /skills/{skillKey}/config). The credentials are secret.
func (c *Client) UpdateSkillConfig(ctx context.Context, skillKey string, r UpdateSkillConfigRequest) (*SkillConfig, error) {
	if err := notBlank("skillKey", skillKey); err != nil {
		return nil, err
	}
	if err := jsonObject("settings", r.Settings); err != nil {
		return nil, err
	}
	body := struct {
		UpdateSkillConfigRequest
		Credentials map[string]string `json:"credentials,omitzero"`
	}{UpdateSkillConfigRequest: r}
	var secrets []Secret
	if r.Credentials != nil {
		body.Credentials = make(map[string]string, len(r.Credentials))
	}
	for name, s := range r.Credentials {
		body.Credentials[name] = s.Reveal()
		secrets = append(secrets, s)
	}
	return item[SkillConfig](ctx, c, request{op: opUpdateSkillConfig, path: joinPath("skills", skillKey, "config"), body: body, secrets: secrets})
}
