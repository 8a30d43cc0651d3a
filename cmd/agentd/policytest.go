// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"go.yaml.in/yaml/v3"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// maxCases bounds the file of a policy test.
const maxCases = 4 << 20

// policyCase is one hypothetical purchase and the verdict that the owner wants.
type policyCase struct {
	Name        string `yaml:"name"`
	Need        string `yaml:"need"`
	Service     string `yaml:"service"`
	ServiceType string `yaml:"service_type"`
	Skill       string `yaml:"skill"`
	Provider    string `yaml:"provider"`
	Operation   string `yaml:"operation"`
	Rail        string `yaml:"rail"`
	// Token is a symbol or an address of a configured token, Chain a name or id.
	Token string `yaml:"token"`
	Chain string `yaml:"chain"`
	Payee string `yaml:"payee"`
	Price string `yaml:"price"`
	// Currency is the policy's if absent.
	Currency string `yaml:"currency"`
	MaxPrice string `yaml:"max_price"`
	// Handoff says that an external provider takes the order on.
	Handoff bool `yaml:"handoff"`
	// At is the time of the decision, now if absent.
	At string `yaml:"at"`
	// Spent is what windows hold already, by name: 24h, day, month, lifetime.
	Spent map[string]string `yaml:"spent"`
	// Count is how many purchases count limits hold already, by name: 1h.
	Count map[string]int64 `yaml:"count"`
	// Pinned is the payee that the provider was paid at first.
	Pinned string `yaml:"pinned"`
	// PayeeKnown says that the provider was paid at this payee before.
	PayeeKnown bool `yaml:"payee_known"`
	Approved   bool `yaml:"approved"`
	Paused     bool `yaml:"paused"`
	// Want is allowed (or allow), or a reason.
	Want string `yaml:"want"`
}

// verdictResult is the outcome of one case.
type verdictResult struct {
	Name string `json:"name"`
	Got  string `json:"got"`
	Want string `json:"want"`
	OK   bool   `json:"ok"`
}

// readCases reads a list of cases, strictly.
func readCases(path string) ([]policyCase, error) {
	f, err := os.Open(path) //nolint:gosec // the path is the caller's
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	dec := yaml.NewDecoder(io.LimitReader(f, maxCases))
	dec.KnownFields(true)
	var cases []policyCase
	if err := dec.Decode(&cases); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fail(exitUsage, "%s: no purchases", path)
		}
		return nil, fail(exitUsage, "%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return cases, nil
}

// judge decides every case. The rules are those of the configuration; nothing of
// the Market's policies is known here, which may only refuse more.
func judge(cfg *config.Config, cases []policyCase) ([]verdictResult, error) {
	rules := cfg.PolicyRules()
	results := make([]verdictResult, 0, len(cases))
	for i := range cases {
		c := &cases[i]
		name := c.Name
		if name == "" {
			name = fmt.Sprintf("case %d", i+1)
		}
		want := c.Want
		if want == "allow" {
			want = string(policy.Allowed)
		}
		if !policy.Reason(want).Valid() {
			return nil, fail(exitUsage, "%s: want %q is neither allowed nor a reason", name, c.Want)
		}
		request, state, at, err := c.compile(cfg, rules)
		if err != nil {
			return nil, fail(exitUsage, "%s: %s", name, err)
		}
		got := string(policy.Decide(rules, nil, request, state, at, true).Reason)
		results = append(results, verdictResult{Name: name, Got: got, Want: want, OK: got == want})
	}
	return results, nil
}

// compile turns a case into what the guard takes.
func (c *policyCase) compile(cfg *config.Config, rules *policy.Rules) (*policy.Request, *policy.State, time.Time, error) {
	request := &policy.Request{
		Purchase: "test", Need: c.Need, Service: c.Service, Skill: c.Skill, Provider: c.Provider, ServiceType: c.ServiceType,
		Operation: c.Operation, Rail: c.Rail, Native: !c.Handoff, Currency: c.Currency, Approved: c.Approved,
	}
	if request.Currency == "" {
		request.Currency = rules.Currency
	}
	at := time.Now().UTC()
	var errs []error
	note := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	var err error
	if c.Price == "" {
		request.PriceUnknown = true
	} else {
		request.Value, err = money.ParseValueUp(c.Price)
		note("price", err)
	}
	if c.MaxPrice != "" {
		request.HasMaxPrice = true
		request.MaxPrice, err = money.ParseValue(c.MaxPrice)
		note("max_price", err)
	}
	if c.At != "" {
		at, err = time.Parse(time.RFC3339, c.At)
		note("at", err)
		at = at.UTC()
	}
	if c.Payee != "" {
		request.HasPayee = true
		request.Payee, err = parseAddress(c.Payee)
		note("payee", err)
	}
	note("token", c.token(cfg, request))
	state, err := c.state(rules, at)
	note("spent", err)
	return request, state, at, errors.Join(errs...)
}

func parseAddress(text string) (common.Address, error) {
	if !common.IsHexAddress(text) {
		return common.Address{}, fmt.Errorf("%q is no address", text)
	}
	return common.HexToAddress(text), nil
}

// token finds the token among the configured ones. A case without a token pays
// with the first token of the chain, or of all chains.
func (c *policyCase) token(cfg *config.Config, request *policy.Request) error {
	chain := money.ChainID(c.Chain)
	if id, ok := cfg.ChainAliases()[c.Chain]; ok {
		chain = id
	}
	for _, a := range cfg.Assets() {
		if c.Chain != "" && a.Chain != chain {
			continue
		}
		if c.Token != "" && !strings.EqualFold(a.Symbol, c.Token) && !strings.EqualFold(a.Address.Hex(), c.Token) {
			continue
		}
		request.Chain, request.Token, request.Symbol, request.HasToken = a.Chain, a.Address, a.Symbol, true
		return nil
	}
	if c.Token != "" || c.Chain != "" {
		return fmt.Errorf("%q on %q is not configured", c.Token, c.Chain)
	}
	return nil
}

// state builds what the ledger would say.
func (c *policyCase) state(rules *policy.Rules, at time.Time) (*policy.State, error) {
	s := &policy.State{
		At: at, Paused: c.Paused, LedgerVerified: true, PayeeKnown: c.PayeeKnown, Approved: c.Approved,
		Spent: make([]money.Value, len(rules.Windows)), Counts: make([]int64, len(rules.Counts)),
	}
	spent := make(map[string]money.Value, len(c.Spent))
	for name, text := range c.Spent {
		value, err := money.ParseValue(text)
		if err != nil {
			return nil, err
		}
		spent[name] = value
	}
	s.Lifetime = spent["lifetime"]
	delete(spent, "lifetime")
	for i, w := range rules.Windows {
		s.Spent[i] = spent[w.String()]
		delete(spent, w.String())
	}
	for name := range spent {
		return nil, fmt.Errorf("the policy has no window %q", name)
	}
	counts := make(map[string]bool)
	for i, n := range rules.Counts {
		s.Counts[i] = c.Count[n.String()]
		counts[n.String()] = true
	}
	for name := range c.Count {
		if !counts[name] {
			return nil, fmt.Errorf("the policy has no count limit %q", name)
		}
	}
	if c.Pinned != "" {
		pinned, err := parseAddress(c.Pinned)
		if err != nil {
			return nil, err
		}
		s.PayeePinned, s.HasPin = pinned, true
	}
	return s, nil
}
