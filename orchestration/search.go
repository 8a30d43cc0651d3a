// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
)

// SearchRequest says what is looked for. Every member is optional for the API.
type SearchRequest struct {
	MachineID              string               `json:"machineId,omitzero"`
	AgentPairingID         string               `json:"agentPairingId,omitzero"`
	ServiceType            ServiceType          `json:"serviceType,omitzero"`
	Operation              string               `json:"operation,omitzero"`
	RequiredCapabilities   []string             `json:"requiredCapabilities,omitzero"`
	Region                 string               `json:"region,omitzero"`
	MaxResults             int                  `json:"maxResults,omitzero"`
	AllowExternalHandoff   *bool                `json:"allowExternalHandoff,omitzero"`
	RequireNativeExecution *bool                `json:"requireNativeExecution,omitzero"`
	Budget                 *SearchBudget        `json:"budget,omitzero"`
	ProviderCredentials    *ProviderCredentials `json:"-"` // sent as providerCredentials
}

// SearchBudget is the buyer's wish in a search, in whole units of Currency.
type SearchBudget struct {
	Max       json.Number `json:"max,omitzero"`
	Amount    json.Number `json:"amount,omitzero"`
	Preferred json.Number `json:"preferred,omitzero"`
	Currency  string      `json:"currency,omitzero"`
}

// SearchResult is a stored search with its quotes. A search that found nothing
// has the status [SearchNoMatch] and no quotes.
type SearchResult struct {
	ID             string         `json:"id" need:"text"`
	MachineID      string         `json:"machineId" need:"present"`
	AgentPairingID string         `json:"agentPairingId"`
	NormalizedTask NormalizedTask `json:"normalizedTask" need:"value"`
	Status         SearchStatus   `json:"status" need:"text"`
	Quotes         []Quote        `json:"quotes" need:"value"`
	CreatedAt      Timestamp      `json:"createdAt" need:"present"`
	// RequestPayload is the stored request, redacted by the server.
	RequestPayload json.RawMessage `json:"requestPayload" alt:"request"`
	Raw            json.RawMessage `json:"-"`
}

// NormalizedTask is what the server made of the search request.
type NormalizedTask struct {
	ServiceType            ServiceType `json:"serviceType" need:"present"`
	AllowExternalHandoff   bool        `json:"allowExternalHandoff" need:"present"`
	RequireNativeExecution bool        `json:"requireNativeExecution" need:"present"`
	RequiredCapabilities   []string    `json:"requiredCapabilities"`
	Operation              string      `json:"operation"`
	Region                 string      `json:"region"`
}

// Quote is an offer. It can be ordered until ExpiresAt.
type Quote struct {
	ID                string            `json:"id" need:"text"`
	ServiceID         string            `json:"serviceId" need:"text"`
	SkillKey          string            `json:"skillKey" need:"present"`
	ProviderKey       string            `json:"providerKey" need:"present"`
	ExecutionMode     ExecutionMode     `json:"executionMode" need:"present"`
	IntegrationStatus IntegrationStatus `json:"integrationStatus" need:"present"`
	Operation         string            `json:"operation" need:"present"`
	Score             json.Number       `json:"score" need:"present"`
	Pricing           Pricing           `json:"pricing" need:"value"`
	Payment           PaymentTerms      `json:"payment" need:"value"`
	ExpiresAt         Timestamp         `json:"expiresAt" need:"text"`
	Reasons           []string          `json:"reasons"`
	Handoff           *Handoff          `json:"handoff"`
	Raw               json.RawMessage   `json:"-"`
}

// Pricing is the price of a quote. Amount is decimal text in whole units of
// Currency and empty if the server named none. It is not checked for sign or
// size: use the money package or the like.
type Pricing struct {
	Mode     PricingMode     `json:"mode" need:"present"`
	Amount   json.Number     `json:"amount"`
	Currency string          `json:"currency"`
	Rate     string          `json:"rate"`
	Notes    []string        `json:"notes"`
	Raw      json.RawMessage `json:"-"`
}

// PaymentTerms is how a quote or an order wants to be paid: the rail
// recommendation of the API. The one on the order decides. It has no amount.
type PaymentTerms struct {
	DefaultRail    RailType        `json:"defaultRail" need:"text"`
	Required       bool            `json:"required" need:"value"`
	SupportedRails []RailType      `json:"supportedRails"`
	Notes          []string        `json:"notes"`
	Provider       string          `json:"provider"`
	Chain          string          `json:"chain"`
	Token          string          `json:"token"`
	TokenAddress   string          `json:"tokenAddress"`
	TokenMint      string          `json:"tokenMint"`
	WalletAddress  string          `json:"walletAddress"`
	ExternalURL    string          `json:"externalUrl"`
	PayerAddress   string          `json:"payerAddress"`
	PayeeAddress   string          `json:"payeeAddress"`
	Raw            json.RawMessage `json:"-"`
}

// Search asks for quotes (POST /market/search). Every call stores a new search;
// it is not repeated by the client.
func (c *Client) Search(ctx context.Context, token Secret, r SearchRequest) (*SearchResult, error) {
	credentials, secrets := r.ProviderCredentials.reveal()
	body := struct {
		SearchRequest
		Credentials revealed `json:"providerCredentials,omitzero"`
	}{r, credentials}
	return item[SearchResult](ctx, c, request{op: opSearch, path: joinPath("market", "search"), token: token, body: body, secrets: secrets})
}

// GetSearch returns a stored search (GET /market/searches/{searchId}).
func (c *Client) GetSearch(ctx context.Context, searchID string) (*SearchResult, error) {
	if err := notBlank("searchId", searchID); err != nil {
		return nil, err
	}
	return item[SearchResult](ctx, c, request{op: opGetSearch, path: joinPath("market", "searches", searchID)})
}
