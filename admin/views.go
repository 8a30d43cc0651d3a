// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"time"
)

// PolicyView is the policy in force.
type PolicyView struct {
	// Local are the rules of the configuration.
	Local json.RawMessage `json:"local"`
	// Remote are the rules that the Market holds for the pairing and the
	// machine, as last read; null while none were.
	Remote json.RawMessage `json:"remote,omitempty"`
	// RemoteRead is when Remote was read.
	RemoteRead time.Time `json:"remoteRead,omitzero"`
	Budget     Budget    `json:"budget"`
}

// LedgerReport is the result of a verification.
type LedgerReport struct {
	OK        bool `json:"ok"`
	Entries   int  `json:"entries"`
	Purchases int  `json:"purchases"`
	// Compacted is the number of purchases of which only a receipt is left.
	Compacted int `json:"compacted,omitempty"`
	// Settled are the sums per token of ledger and chain.
	Settled []SettledSum `json:"settled"`
	// Head is the hash of the last entry.
	Head string `json:"head"`
	// Findings are sentences, one for each disagreement; none if OK.
	Findings []string `json:"findings,omitempty"`
	// Unchecked names what could not be compared, such as a chain that did not
	// answer. It does not make the report OK.
	Unchecked []string `json:"unchecked,omitempty"`
}

// SettledSum compares what the ledger and the chain say of one token, in whole units.
type SettledSum struct {
	Chain   string `json:"chain"`
	Token   string `json:"token"`
	Ledger  string `json:"ledger"`
	OnChain string `json:"onChain,omitempty"`
	// Open is what purchases under way have moved and the ledger still holds as
	// reserved; empty if nothing is under way.
	Open      string `json:"open,omitempty"`
	Transfers int    `json:"transfers"`
}

// MarketKind is a kind of record at the Market.
type MarketKind string

// The kinds. Those with an id return one record: order, search, service, skill.
const (
	MarketServices  MarketKind = "services"
	MarketSkills    MarketKind = "skills"
	MarketSearches  MarketKind = "searches"
	MarketOrders    MarketKind = "orders"
	MarketOrder     MarketKind = "order"
	MarketPolicies  MarketKind = "policies"
	MarketAudit     MarketKind = "audit"
	MarketEndpoints MarketKind = "endpoints"
	MarketAgents    MarketKind = "agents"
	MarketPairings  MarketKind = "pairings"
	MarketReadiness MarketKind = "readiness"
)

// MarketKinds lists every kind.
func MarketKinds() []MarketKind {
	return []MarketKind{
		MarketServices, MarketSkills, MarketSearches, MarketOrders, MarketOrder, MarketPolicies,
		MarketAudit, MarketEndpoints, MarketAgents, MarketPairings, MarketReadiness,
	}
}

// MarketQuery asks for records of the Market.
type MarketQuery struct {
	Kind MarketKind `json:"kind"`
	// ID names one record. It is required for order and searches (the Market
	// lists no searches), optional for services and skills, and unused elsewhere.
	ID string `json:"id,omitempty"`
	// Limit is the largest number of records, 1 to 500; 0 is 100.
	Limit int `json:"limit,omitempty"`
	// ServiceType and Provider narrow services.
	ServiceType string `json:"serviceType,omitempty"`
	Provider    string `json:"provider,omitempty"`
}
