// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"
	"reflect"
	"time"

	"github.com/agentd-project/agentd/money"
)

// defaulter is a section of a list, or an optional one, that has defaults.
type defaulter interface{ setDefaults() }

// applyDefaults sets the defaults of a fresh section.
func applyDefaults(pointer reflect.Value) {
	if d, ok := pointer.Interface().(defaulter); ok {
		d.setDefaults()
	}
}

// defaults returns the configuration of an empty file.
func defaults(env map[string]string) *Config {
	runtime := firstDirectory(env["RUNTIME_DIRECTORY"])
	if runtime == "" {
		runtime = "/run/agentd"
	}
	return &Config{
		StateDir:      firstDirectory(env["STATE_DIRECTORY"]),
		Log:           Log{Level: LevelInfo},
		Listen:        "127.0.0.1:9470",
		Admin:         Admin{Socket: filepath.Join(runtime, "agentd.sock")},
		Mode:          ModeBuy,
		Retention:     400 * day,
		Orchestration: Orchestration{Proof: ProofRPC},
		Machine:       Machine{IdentityKey: KeyOwner, Agent: MachineAgent{Label: "agentd"}},
		Pairing:       Pairing{Key: KeyAgent, Provider: "custom", Role: "buyer", Description: "agentd", PushPolicy: true},
		Heartbeat:     Heartbeat{Interval: 30 * time.Second, Lease: 90 * time.Second},
		Policy:        Policy{Approval: Approval{TTL: day}, Payees: PayeesPin, MaxAuthorization: 10 * time.Minute},
	}
}

func (e *Endpoint) setDefaults() {
	e.NetworkScope = ScopeLoopback
	e.Auth.Type = AuthNone
}

func (c *Chain) setDefaults() {
	c.Gas = Gas{
		MaxFeePerGas: mustParse("200", 9),
		PerDay:       mustParse("0.05", 18),
		LowBalance:   mustParse("0.01", 18),
	}
}

func (n *Need) setDefaults() {
	n.Search.MaxResults = 20
	n.Select = Select{Mode: SelectCheapest}
	n.Accept.MaxBytes = 1000_000
	n.OnReject = RejectDispute
	n.Deadline = 5 * time.Minute
}

// mustParse reads a constant of this file.
func mustParse(text string, decimals uint8) money.Amount {
	a, err := money.Parse(text, decimals)
	if err != nil {
		panic("config: a default that is no amount: " + text)
	}
	return a
}

// complete fills in what depends on other keys.
func (l *loader) complete() {
	for i := range l.cfg.Chains {
		if f := &l.cfg.Chains[i].Final; f.Confirmations == 0 && f.Tag == "" && !l.isSet(at("chains", i, "final.confirmations")) {
			f.Confirmations = 3
		}
	}
	for i := range l.cfg.Heartbeat.Endpoints {
		e := &l.cfg.Heartbeat.Endpoints[i]
		if e.ProbePath == "" {
			e.ProbePath = "/health"
			if e.ProviderKey == "qvac" {
				e.ProbePath = "/v1/models"
			}
		}
	}
	agent := &l.cfg.Machine.Agent
	if len(agent.AllowedProviderKeys) == 0 {
		for _, e := range l.cfg.Heartbeat.Endpoints {
			if e.ProviderKey != "" {
				agent.AllowedProviderKeys = append(agent.AllowedProviderKeys, e.ProviderKey)
			}
		}
	}
	for i := range l.cfg.Needs {
		l.cfg.Needs[i].HasMaxPrice = l.isSet(at("needs", i, "max_price"))
	}
}
