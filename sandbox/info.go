// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"strings"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// Info is everything that a client needs to use a sandbox. It holds the sandbox's private keys, which guard nothing.
type Info struct {
	BaseURL        string        `json:"baseUrl"`
	ControlURL     string        `json:"controlUrl"`
	APIKey         string        `json:"apiKey"`
	IdentityRef    string        `json:"identityRef"`
	IdentityRefs   []string      `json:"identityRefs"`
	OwnerKey       string        `json:"ownerKey"`
	OwnerAddress   string        `json:"ownerAddress"`
	AgentKey       string        `json:"agentKey"`
	AgentAddress   string        `json:"agentAddress"`
	RPCURL         string        `json:"rpcUrl"`
	ChainID        uint64        `json:"chainId"`
	Chain          string        `json:"chain"`
	Token          string        `json:"token"`
	TokenSymbol    string        `json:"tokenSymbol"`
	TokenVersion   string        `json:"tokenVersion"`
	TokenDecimals  int           `json:"tokenDecimals"`
	Escrow         string        `json:"escrow"`
	EscrowKeeper   string        `json:"escrowKeeper"`
	Strict         bool          `json:"strict"`
	SessionSeconds int           `json:"sessionSeconds"`
	Services       []ServiceInfo `json:"services"`
}

// ServiceInfo tells of one service what its record on the API leaves out.
type ServiceInfo struct {
	ID           string          `json:"id"`
	Rail         string          `json:"rail"`
	Rails        []string        `json:"rails"`
	ServiceType  string          `json:"serviceType"`
	Operation    string          `json:"operation"`
	SkillKey     string          `json:"skillKey"`
	ProviderKey  string          `json:"providerKey"`
	Price        money.Value     `json:"price"`
	Currency     string          `json:"currency"`
	Payee        string          `json:"payee"`
	Handoff      bool            `json:"handoff"`
	ExampleInput json.RawMessage `json:"exampleInput"`
	Schema       json.RawMessage `json:"schema,omitempty"`
}

// Info returns what a client needs. The URLs are empty until Serve has its sockets.
func (m *Market) Info() Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	info := m.info
	owner, _ := AddressOf(m.opt.OwnerKey) // New has read both keys
	agent, _ := AddressOf(m.opt.AgentKey)
	info.APIKey, info.OwnerKey, info.AgentKey = m.opt.APIKey, prefixed(m.opt.OwnerKey), prefixed(m.opt.AgentKey)
	info.OwnerAddress, info.AgentAddress = owner.Hex(), agent.Hex()
	for _, i := range m.identities {
		info.IdentityRefs = append(info.IdentityRefs, i.ref())
	}
	if len(info.IdentityRefs) > 0 {
		info.IdentityRef = info.IdentityRefs[0]
	}
	info.RPCURL, info.ChainID, info.Chain = m.chain.RPCURL(), m.chain.ID(), m.chain.CAIP2()
	info.Token, info.Escrow = m.chain.Token().Hex(), m.chain.Escrow().Hex()
	info.EscrowKeeper = m.keeper().Hex()
	info.TokenSymbol, info.TokenVersion, info.TokenDecimals = chain.TokenName, chain.TokenVersion, chain.TokenDecimals
	info.Strict, info.SessionSeconds = m.opt.Strict, int(m.opt.SessionTTL.Seconds())
	for _, s := range m.services.all() {
		info.Services = append(info.Services, s.info())
	}
	return info
}

func (s *Service) info() ServiceInfo {
	i := ServiceInfo{ID: s.ID, Rail: s.Rails[0], Rails: s.Rails, ServiceType: s.ServiceType, Operation: s.Operation, SkillKey: s.SkillKey,
		ProviderKey: s.ProviderKey, Price: s.Price, Currency: s.Currency, Payee: s.Payee.Hex(), Handoff: s.handsOff(),
		ExampleInput: s.ExampleInput}
	if s.Schema != "" {
		i.Schema, _ = SchemaText(s.Schema) // check has read it
	}
	return i
}

func prefixed(key string) string { return "0x" + strings.TrimPrefix(key, "0x") }
