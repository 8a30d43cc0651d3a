// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzEnvironment sets one variable beside a good file: it is a key of ours, or a
// fault that names it; no fault shows a pasted key, and nothing is loaded that a
// second look would refuse.
func FuzzEnvironment(f *testing.F) {
	secret := strings.Repeat("5a", 32)
	for _, seed := range [][2]string{{"LISTEN", "127.0.0.1:1"}, {"POLICY_PER_PURCHASE", "1e400"}, {"NEEDS_0_MAX_PRICE", "-1"}, {"CHAINS_99999999_ID", "x"},
		{"POLICY_WINDOWS", "[{over: 24h, limit: 1}]"}, {"KEYS_AGENT_PRIVATE_KEY", secret}, {"ORCHESTRATION_URL", "https://u:" + secret + "@host"}, {"NO_SUCH", secret},
		{"RETENTION", "99999999999999d"}, {"CHAINS_0_TOKENS_0_DECIMALS", "256"}, {"CHAINS_0_ESCROWS", "[{address: 0x1, mode: lock}]"}, {"NEEDS_-1", ""}} {
		f.Add(seed[0], seed[1])
	}
	base, err := os.ReadFile(filepath.Join("testdata", "base.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	for name, content := range map[string]string{"api-key": "k", "agent.json": "{}", "agent-passphrase": "p", "owner.key": testKey, "token": "t",
		"price.schema.json": `{"type":"object"}`, "ca.pem": "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	path := filepath.Join(dir, "agentd.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(base), "SITE", dir)), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		if strings.ContainsAny(name, "=\x00") {
			return
		}
		cfg, err := Load(path, []string{"AGENTD_" + name + "=" + value})
		if (cfg == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want one of them", cfg, err)
		}
		if err != nil {
			var faults Faults
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			if len(err.Error()) > 64<<10+8*len(value) {
				t.Fatalf("faults of %d bytes", len(err.Error()))
			}
			if strings.Contains(err.Error(), secret) && strings.Contains(value, secret) {
				t.Fatalf("the fault shows a key: %v", err)
			}
			return
		}
		if rules := cfg.PolicyRules(); rules.PerPurchase <= 0 || rules.Lifetime <= 0 && len(rules.Windows) == 0 {
			t.Fatalf("%s=%q loads a policy without limits: %+v", name, value, rules)
		}
		for _, chain := range cfg.Chains {
			for _, token := range chain.Tokens {
				if token.Decimals > 77 {
					t.Fatalf("token of %d decimals", token.Decimals)
				}
			}
		}
	})
}
