// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/wallet"
)

// maxKeyFile bounds keystore, passphrase and schema files.
const maxKeyFile = 1 << 20

// openKey opens a configured key. No error holds a part of it.
func openKey(k config.Key) (*wallet.Wallet, error) {
	switch {
	case k.KeystoreFile != "":
		store, err := readFile(k.KeystoreFile)
		if err != nil {
			return nil, err
		}
		passphrase, err := readFile(k.PassphraseFile)
		if err != nil {
			return nil, err
		}
		return wallet.Load(store, passphrase)
	case k.PrivateKeyFile != "":
		text, err := readFile(k.PrivateKeyFile)
		if err != nil {
			return nil, err
		}
		return wallet.FromPrivateKey(text)
	case !k.PrivateKey.IsZero():
		return wallet.FromPrivateKey([]byte(k.PrivateKey.Reveal()))
	default:
		return nil, errors.New("no key is configured")
	}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the owner's configuration names it
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, maxKeyFile)
	}
	return data, nil
}

// transportOf returns the one transport of the daemon: with the usual proxy
// variables, and the owner's certificate authority beside the system's.
func transportOf(given http.RoundTripper, caFile string) (http.RoundTripper, error) {
	if given != nil {
		return given, nil
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 64, MaxIdleConnsPerHost: 32,
		IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 60 * time.Second,
	}
	if caFile == "" {
		return t, nil
	}
	pem, err := readFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without a system pool trusts the owner's alone
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authority: %s holds no certificate", caFile)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// probeClient asks local runtimes; their tokens follow no redirect.
func probeClient(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, Timeout: probeLimit, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// pairingSettings are the owner's wishes for the pairing.
func pairingSettings(cfg *config.Config) pairing.Settings {
	p := &cfg.Pairing
	s := pairing.Settings{Provider: p.Provider, Role: p.Role, Description: p.Description, AgentDID: p.AgentDID}
	if p.PushPolicy {
		s.Push = &pairing.Push{
			PerTransaction: cfg.Policy.PerPurchase, Daily: tightestDay(cfg.Policy.Windows), Currency: cfg.Policy.Currency,
			AllowedSkills: cfg.Policy.Allow.Skills, DeniedSkills: cfg.Policy.Deny.Skills,
			AllowedServices: cfg.Policy.Allow.Services, DeniedServices: cfg.Policy.Deny.Services,
		}
	}
	return s
}

// tightestDay returns the lowest limit of the windows of at most a day; 0 is none.
func tightestDay(windows []config.Window) money.Value {
	lowest := money.Value(0)
	for _, w := range windows {
		day := w.Calendar == config.CalendarDay || (w.Calendar == config.CalendarNone && w.Over == 24*time.Hour)
		if !day && (w.Calendar != config.CalendarNone || w.Over > 24*time.Hour) {
			continue
		}
		if lowest == 0 || w.Limit < lowest {
			lowest = w.Limit
		}
	}
	return lowest
}

// needsOf converts the configured needs.
func needsOf(cfg *config.Config) ([]market.Need, error) {
	needs := make([]market.Need, 0, len(cfg.Needs))
	for i := range cfg.Needs {
		n := &cfg.Needs[i]
		need := market.Need{
			Name: n.Name, Input: n.Input, MaxPrice: n.MaxPrice, HasMaxPrice: n.HasMaxPrice, Select: selectionOf(n.Select),
			Search: market.Search{
				ServiceType: n.Search.ServiceType, Operation: n.Search.Operation, Skill: n.Search.Skill, Region: n.Search.Region,
				Capabilities: n.Search.Capabilities, MaxResults: n.Search.MaxResults, NativeOnly: n.Search.NativeOnly,
				AllowExternalHandoff: n.Search.AllowExternalHandoff,
			},
			Accept:  market.Acceptance{MaxBytes: int64(n.Accept.MaxBytes)},
			Deliver: market.Delivery{File: n.Deliver.File, Keep: n.Deliver.Keep},
			Hold:    n.OnReject == config.RejectHold, Deadline: n.Deadline, Credentials: credentialsOf(n.ProviderCredentials),
		}
		if n.Accept.SchemaFile != "" {
			schema, err := readFile(n.Accept.SchemaFile)
			if err != nil {
				return nil, fmt.Errorf("need %s: acceptance schema: %w", n.Name, err)
			}
			need.Accept.Schema = schema
		}
		needs = append(needs, need)
	}
	return needs, nil
}

func selectionOf(s config.Select) market.Selection {
	switch s.Mode {
	case config.SelectBestScore:
		return market.BestScore
	case config.SelectWeighted:
		return market.Selection{Price: s.Price, Score: s.Score}
	default:
		return market.Cheapest
	}
}

// tokensOf lists the owner's tokens with their domains.
func tokensOf(cfg *config.Config) []market.Token {
	var tokens []market.Token
	for i := range cfg.Chains {
		for _, t := range cfg.Chains[i].Tokens {
			tokens = append(tokens, market.Token{Asset: t.Asset(cfg.Chains[i].ID), DomainName: t.EIP712.Name, DomainVersion: t.EIP712.Version})
		}
	}
	return tokens
}

// wellKnownNames are the names that the official command line gives to chains.
// A name counts only if its chain is configured.
func wellKnownNames() map[string]money.ChainID {
	return map[string]money.ChainID{
		"peaq": "eip155:3338", "agung": "eip155:9990", "base": "eip155:8453", "ethereum": "eip155:1", "eth": "eip155:1",
		"polygon": "eip155:137", "arbitrum": "eip155:42161", "optimism": "eip155:10", "bsc": "eip155:56",
	}
}

// chainNames maps what the Market may call a configured chain to its id. What
// the owner says wins over what is customary.
func chainNames(cfg *config.Config) map[string]money.ChainID {
	names := map[string]money.ChainID{}
	for name, id := range wellKnownNames() {
		if slices.ContainsFunc(cfg.Chains, func(c config.Chain) bool { return c.ID == id }) {
			names[name] = id
		}
	}
	for i := range cfg.Chains {
		id := cfg.Chains[i].ID
		names[strings.ToLower(string(id))] = id
		if name := cfg.Chains[i].Name; name != "" {
			names[strings.ToLower(name)] = id
		}
	}
	return names
}
