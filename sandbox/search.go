// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/agentd-project/agentd/money"
)

// serviceAliases are the short names that a search may use.
var serviceAliases = map[string]string{
	"storage": "storage.object", "compute": "compute.marketplace", "identity": "identity.proof-of-person",
	"location": "data.location", "rtk": "data.location", "gnss": "data.location", "defi": "oracle.price-feed",
	"commerce": "machine.commerce",
}

type budgetBody struct {
	Max       *decimal `json:"max"`
	Amount    *decimal `json:"amount"`
	Preferred *decimal `json:"preferred"`
	Currency  *string  `json:"currency"`
}

type searchBody struct {
	MachineID              string      `json:"machineId"`
	AgentPairingID         string      `json:"agentPairingId"`
	ServiceType            string      `json:"serviceType"`
	Operation              string      `json:"operation"`
	Region                 string      `json:"region"`
	RequiredCapabilities   []string    `json:"requiredCapabilities"`
	MaxResults             *int        `json:"maxResults"`
	AllowExternalHandoff   bool        `json:"allowExternalHandoff"`
	RequireNativeExecution bool        `json:"requireNativeExecution"`
	Budget                 *budgetBody `json:"budget"`
}

// search is a search as it is stored and sent.
type search struct {
	ID             string                     `json:"id"`
	MachineID      string                     `json:"machineId"`
	AgentPairingID string                     `json:"agentPairingId"`
	RequestPayload map[string]json.RawMessage `json:"requestPayload"`
	NormalizedTask normalizedTask             `json:"normalizedTask"`
	Status         string                     `json:"status"`
	Quotes         []quoteRecord              `json:"quotes"`
	CreatedAt      string                     `json:"createdAt"`
}

type normalizedTask struct {
	ServiceType            string   `json:"serviceType"`
	RequiredCapabilities   []string `json:"requiredCapabilities"`
	AllowExternalHandoff   bool     `json:"allowExternalHandoff"`
	RequireNativeExecution bool     `json:"requireNativeExecution"`
	Operation              *string  `json:"operation"`
	Region                 *string  `json:"region"`
}

// quote is what the Market remembers of an offer that it made.
type quote struct {
	id, searchID, machineID, pairingID, serviceID, operation string
	price                                                    money.Value
	currency                                                 string
	expires                                                  time.Time
}

type quoteRecord struct {
	ID                string         `json:"id"`
	ServiceID         string         `json:"serviceId"`
	SkillKey          string         `json:"skillKey"`
	ProviderKey       string         `json:"providerKey"`
	ExecutionMode     string         `json:"executionMode"`
	IntegrationStatus string         `json:"integrationStatus"`
	Operation         string         `json:"operation"`
	Score             json.Number    `json:"score"`
	Reasons           []string       `json:"reasons"`
	Pricing           pricing        `json:"pricing"`
	Payment           recommendation `json:"payment"`
	Handoff           *handoff       `json:"handoff"`
	ExpiresAt         string         `json:"expiresAt"`
}

type pricing struct {
	Mode     string   `json:"mode"`
	Amount   *decimal `json:"amount,omitempty"`
	Currency string   `json:"currency"`
	Rate     string   `json:"rate"`
	Notes    []string `json:"notes"`
}

// recommendation says how an order would be paid. It carries no amount.
type recommendation struct {
	DefaultRail    string   `json:"defaultRail"`
	SupportedRails []string `json:"supportedRails"`
	Required       bool     `json:"required"`
	Notes          []string `json:"notes"`
	Provider       string   `json:"provider,omitempty"`
	Chain          string   `json:"chain,omitempty"`
	Token          string   `json:"token,omitempty"`
	TokenAddress   string   `json:"tokenAddress,omitempty"`
	WalletAddress  string   `json:"walletAddress,omitempty"`
	ExternalURL    string   `json:"externalUrl,omitempty"`
	PayerAddress   string   `json:"payerAddress,omitempty"`
	PayeeAddress   string   `json:"payeeAddress,omitempty"`
}

func (m *Market) recommend(s *Service, p *pairing) recommendation {
	rail := s.Rails[0]
	r := recommendation{DefaultRail: rail, SupportedRails: s.Rails, Required: !s.free(), Notes: []string{}}
	if s.free() {
		return r
	}
	r.Provider = s.ProviderKey
	switch {
	case onToken(rail):
		r.Chain, r.Token, r.TokenAddress = m.chain.CAIP2(), tokenSymbol, m.chain.Token().Hex()
		r.PayerAddress, r.PayeeAddress = p.address.Hex(), s.Payee.Hex()
	default:
		r.ExternalURL = "https://pay.example/" + s.ProviderKey
	}
	if rail == "wallet" {
		r.WalletAddress = s.Payee.Hex()
	}
	return r
}

// fits says whether a search asks for a service.
func (b searchBody) fits(s *Service) bool {
	switch {
	case s.Unlisted, b.ServiceType != "" && s.ServiceType != b.ServiceType, b.Operation != "" && s.Operation != b.Operation:
		return false
	case s.handsOff() && (!b.AllowExternalHandoff || b.RequireNativeExecution):
		return false
	case b.Region != "" && b.Region != anyRegion && s.Region != anyRegion && s.Region != b.Region:
		return false
	case b.Budget != nil && b.Budget.Max != nil && s.Price > money.Value(*b.Budget.Max):
		return false
	}
	return containsAll(s.Capabilities, b.RequiredCapabilities)
}

func (m *Market) searchMarket(c *call) (answer, error) {
	var body searchBody
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	if err := c.names(body.MachineID, body.AgentPairingID, false); err != nil {
		return answer{}, err
	}
	record, err := m.activeMachine(c.pairing.machineID)
	if err != nil {
		return answer{}, err
	}
	if body.MaxResults != nil && *body.MaxResults < 1 {
		return answer{}, invalid("maxResults must be at least 1")
	}
	if full, isAlias := serviceAliases[body.ServiceType]; isAlias {
		body.ServiceType = full
	}
	found := &search{ID: m.ids.next("srch"), MachineID: record.ID, AgentPairingID: c.pairing.id, Status: "completed",
		Quotes: []quoteRecord{}, CreatedAt: stamp(m.now()), RequestPayload: c.payload()}
	m.offerQuotes(found, c.pairing, record, body)
	if len(found.Quotes) == 0 {
		found.Status = "no_match"
	}
	found.NormalizedTask = body.normalized(found.Quotes, m)
	m.searches.put(found.ID, found)
	m.record("agent", "search.created", "search", found.ID, record.ID, map[string]any{"quotes": len(found.Quotes)})
	return created(found)
}

// offerQuotes adds a quote for every service that fits and that the policies let through, the best first.
func (m *Market) offerQuotes(found *search, p *pairing, record *machine, body searchBody) {
	var fitting []*Service
	for _, s := range m.services.all() {
		if body.fits(s) && m.permitted(p, record, s) {
			fitting = append(fitting, s)
		}
	}
	slices.SortStableFunc(fitting, func(a, b *Service) int { return compareScores(b.Score, a.Score) })
	if body.MaxResults != nil && len(fitting) > *body.MaxResults {
		fitting = fitting[:*body.MaxResults]
	}
	for _, s := range fitting {
		q := &quote{id: m.ids.next("quote"), searchID: found.ID, machineID: record.ID, pairingID: p.id, serviceID: s.ID,
			operation: s.Operation, price: s.Price, currency: s.Currency, expires: m.now().Add(m.opt.QuoteTTL)}
		m.quotes[q.id] = q
		amount := decimal(s.Price)
		price := pricing{Mode: "fixed", Amount: &amount, Currency: s.Currency, Rate: "per_request", Notes: []string{}}
		if s.HidePrice {
			price.Mode, price.Amount = "quote-required", nil
		}
		found.Quotes = append(found.Quotes, quoteRecord{ID: q.id, ServiceID: s.ID, SkillKey: s.SkillKey, ProviderKey: s.ProviderKey,
			ExecutionMode: s.executionMode(), IntegrationStatus: s.integrationStatus(), Operation: s.Operation,
			Score: json.Number(s.Score), Reasons: []string{"matches the task"}, Pricing: price, Payment: m.recommend(s, p),
			Handoff: s.handoff(), ExpiresAt: stamp(q.expires)})
	}
}

// compareScores orders two decimal texts. A score ranks, it is no money.
func compareScores(a, b string) int {
	x, _ := strconv.ParseFloat(a, 64) // what is no number ranks as zero; check refuses it before
	y, _ := strconv.ParseFloat(b, 64)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// normalized is the task as the Market understood it. The type of a search that names none is that of its best match.
func (b searchBody) normalized(quotes []quoteRecord, m *Market) normalizedTask {
	task := normalizedTask{ServiceType: b.ServiceType, RequiredCapabilities: notNil(b.RequiredCapabilities),
		AllowExternalHandoff: b.AllowExternalHandoff, RequireNativeExecution: b.RequireNativeExecution}
	if b.Operation != "" {
		task.Operation = &b.Operation
	}
	if b.Region != "" {
		task.Region = &b.Region
	}
	if task.ServiceType == "" {
		task.ServiceType = "machine.commerce"
		if len(quotes) > 0 {
			if s, known := m.services.get(quotes[0].ServiceID); known {
				task.ServiceType = s.ServiceType
			}
		}
	}
	return task
}

// payload is the request as it is stored, without credentials.
func (c *call) payload() map[string]json.RawMessage {
	payload := map[string]json.RawMessage{}
	if err := c.decode(&payload); err != nil {
		return map[string]json.RawMessage{}
	}
	if _, sent := payload["providerCredentials"]; sent {
		payload["providerCredentials"] = json.RawMessage(`"[REDACTED]"`)
	}
	return payload
}

func (m *Market) getSearch(c *call) (answer, error) {
	found, known := m.searches.get(c.path("searchId"))
	if !known {
		return answer{}, notFound("search", c.path("searchId"))
	}
	return okItem(found)
}
