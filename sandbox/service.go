// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

const anyRegion = "global"

//go:embed schemas/*.json
var schemaFiles embed.FS

// Field describes one member of an input or a result.
type Field struct {
	Key         string `json:"key"`
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
}

// When the seller settles an x402 authorisation.
const (
	SettleAtExecute = "execute" // before the result leaves; the default
	SettleLater     = "later"   // SettleDelayMS after it
	SettleNever     = "never"
)

// Which escrow a buyer on an escrow rail is told.
const (
	EscrowContract = "contract" // the contract on the chain; the default
	EscrowKeeper   = "keeper"   // the address of a keeper, who takes plain transfers
)

// Service is one offer with the knobs of its provider. All of it may be changed while the Market runs.
type Service struct {
	ID            string   `json:"id"`
	SkillKey      string   `json:"skillKey"`
	ProviderKey   string   `json:"providerKey"`
	ProviderLabel string   `json:"providerLabel"`
	ServiceType   string   `json:"serviceType"`
	Operation     string   `json:"operation"`
	Name          string   `json:"name"`
	Description   string   `json:"description"`
	Region        string   `json:"region"`
	Capabilities  []string `json:"capabilities"`
	// Rails are those that a buyer may use, the default first.
	Rails []string `json:"rails"`
	// Price is per call in whole units of Currency; one unit is one token. Zero is free.
	Price    money.Value    `json:"price"`
	Currency string         `json:"currency"`
	Payee    common.Address `json:"payee"`
	// Score is the quote's score as decimal text, default 0.9.
	Score string `json:"score,omitempty"`
	// HidePrice leaves the amount out of the quote; the intent names it.
	HidePrice bool `json:"hidePrice,omitempty"`
	// Unlisted takes the service out of list and search, not out of orders.
	Unlisted bool `json:"unlisted,omitempty"`
	// HandoffURL makes execution a handoff (202) to this URL.
	HandoffURL string `json:"handoffUrl,omitempty"`

	Inputs       []Field         `json:"inputs"`
	Outputs      []Field         `json:"outputs"`
	ExampleInput json.RawMessage `json:"exampleInput"`
	// Schema names the embedded JSON Schema of the result.
	Schema string `json:"schema,omitempty"`
	// Result is answered instead of the provider's own data.
	Result json.RawMessage `json:"result,omitempty"`

	// LatencyMS is how long the provider works, in milliseconds.
	LatencyMS int `json:"latencyMs,omitempty"`
	// Failure makes every run fail with this message.
	Failure string `json:"failure,omitempty"`
	// Unreachable makes execute fail with ENDPOINT_UNREACHABLE before anything is settled.
	Unreachable bool `json:"unreachable,omitempty"`
	// Settle is one of the Settle constants, "" is SettleAtExecute.
	Settle        string `json:"settle,omitempty"`
	SettleDelayMS int    `json:"settleDelayMs,omitempty"`
	// Escrow is one of the Escrow constants, "" is EscrowContract.
	Escrow string `json:"escrow,omitempty"`
	// MaxTimeoutSeconds is how long an x402 authorisation must live, default 300.
	MaxTimeoutSeconds int `json:"maxTimeoutSeconds,omitempty"`
}

func (s *Service) handsOff() bool { return s.HandoffURL != "" }

func (s *Service) free() bool { return s.Rails[0] == "not-required" }

func (s *Service) executionMode() string {
	if s.handsOff() {
		return "external-handoff"
	}
	return "native"
}

func (s *Service) integrationStatus() string {
	if s.handsOff() {
		return "partner-required"
	}
	return "native"
}

func (s *Service) timeoutSeconds() int {
	if s.MaxTimeoutSeconds > 0 {
		return s.MaxTimeoutSeconds
	}
	return 300
}

// check completes a service and says what is wrong with it.
func (s *Service) check() error {
	setText(&s.Region, anyRegion)
	setText(&s.Currency, "USD")
	setText(&s.Score, "0.9")
	setText(&s.Settle, SettleAtExecute)
	if s.Capabilities == nil {
		s.Capabilities = []string{}
	}
	if len(s.ExampleInput) == 0 {
		s.ExampleInput = json.RawMessage("{}")
	}
	if err := blank([2]string{"skillKey", s.SkillKey}, [2]string{"providerKey", s.ProviderKey},
		[2]string{"serviceType", s.ServiceType}, [2]string{"operation", s.Operation}); err != nil {
		return err
	}
	if len(s.Rails) == 0 {
		return errors.New("a service needs at least one rail")
	}
	for _, rail := range s.Rails {
		if !slices.Contains(railNames(), rail) {
			return fmt.Errorf("unknown rail %q", rail)
		}
	}
	if s.Price < 0 || s.free() != (s.Price == 0) {
		return errors.New("a service has a price above zero, or the rail not-required and none")
	}
	if !slices.Contains([]string{SettleAtExecute, SettleLater, SettleNever}, s.Settle) {
		return fmt.Errorf("unknown settle %q", s.Settle)
	}
	if !slices.Contains([]string{"", EscrowContract, EscrowKeeper}, s.Escrow) {
		return fmt.Errorf("unknown escrow %q", s.Escrow)
	}
	if s.LatencyMS < 0 || s.SettleDelayMS < 0 || !json.Valid([]byte(s.Score)) {
		return errors.New("latencyMs and settleDelayMs are not negative, score is a number")
	}
	if s.Schema != "" {
		if _, err := SchemaText(s.Schema); err != nil {
			return err
		}
	}
	return nil
}

// SchemaText returns the JSON Schema of a default service's result by its name, without ".json".
func SchemaText(name string) (json.RawMessage, error) {
	text, err := schemaFiles.ReadFile("schemas/" + name + ".json")
	if err != nil {
		return nil, fmt.Errorf("sandbox: no schema %q", name)
	}
	return text, nil
}

func (m *Market) addService(s Service) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("sandbox: service %s: %w", s.Operation, err)
	}
	if s.ID == "" {
		s.ID = "svc_" + strings.NewReplacer(".", "-", "_", "-").Replace(s.ServiceType+"-"+s.Operation)
	}
	if _, known := m.services.get(s.ID); known {
		return fmt.Errorf("sandbox: two services have the id %s", s.ID)
	}
	m.services.put(s.ID, &s)
	return nil
}

// UpdateService changes a service through edit; a change that makes no service is refused and undone.
func (m *Market) UpdateService(id string, edit func(*Service)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, known := m.services.get(id)
	if !known {
		return notFound("service", id)
	}
	changed := *s
	edit(&changed)
	changed.ID = s.ID
	if err := changed.check(); err != nil {
		return fmt.Errorf("sandbox: service %s: %w", id, err)
	}
	*s = changed
	m.journal.state("service.changed", id, changed)
	return nil
}

func railNames() []string {
	return []string{"not-required", "wallet", "xvv42", "mpp", "x402", "vault-stripe", "escrow", "offchain-record", "external",
		"onchain-escrow", "wdk-usdt-transfer"}
}

// onToken says whether a rail moves the chain's token.
func onToken(rail string) bool {
	return slices.Contains([]string{"wallet", "wdk-usdt-transfer", "x402", "escrow", "onchain-escrow"}, rail)
}

func isEscrow(rail string) bool { return rail == "escrow" || rail == "onchain-escrow" }
