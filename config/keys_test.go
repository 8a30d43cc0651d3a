// SPDX-License-Identifier: Apache-2.0

package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agentd-project/agentd/money"
)

// change is a value that differs from the base configuration's, with what else
// must be set for it to be valid.
type change struct {
	value string
	with  []string
}

// changes has an entry for every key; TestEveryKeyCounts fails if one is missing.
func changes() map[string]change {
	all := map[string]change{
		"state_dir": {value: "/srv/agentd"}, "log.level": {value: "debug"}, "log.format": {value: "console"},
		"listen": {value: ""}, "admin.socket": {value: "/tmp/a.sock"}, "mode": {value: "observe"}, "retention": {value: "40d"},

		"orchestration.url":          {value: "https://other.example/base"},
		"orchestration.api_key_file": {value: "SITE/other"},
		"orchestration.ca_file":      {value: "SITE/ca.pem"},
		"orchestration.allow_http":   {value: "true"},
		"orchestration.proof":        {value: "recorded"},

		"keys.agent.keystore_file":    {value: "SITE/other"},
		"keys.agent.passphrase_file":  {value: "SITE/other"},
		"keys.agent.private_key_file": {value: "SITE/owner.key", with: []string{"AGENTD_KEYS_AGENT={}"}},
		"keys.owner.keystore_file":    {value: "SITE/agent.json", with: []string{"AGENTD_KEYS_OWNER={passphrase_file: SITE/other}"}},
		"keys.owner.passphrase_file":  {value: "SITE/other", with: []string{"AGENTD_KEYS_OWNER={keystore_file: SITE/agent.json}"}},
		"keys.owner.private_key_file": {value: "SITE/other"},

		"machine.id": {value: "mach_2"}, "machine.identity_ref": {value: "peaqos:machine:7"}, "machine.identity_key": {value: "agent"},
		"machine.register.display_name":       {value: "dock-8"},
		"machine.register.owner_id":           {value: "other"},
		"machine.register.machine_type":       {value: "charger"},
		"machine.register.runtime_profile":    {value: "ros2"},
		"machine.register.capabilities":       {value: "lift, carry"},
		"machine.register.labels":             {value: "site=north,row=4"},
		"machine.agent.label":                 {value: "dock-8"},
		"machine.agent.allowed_provider_keys": {value: "qvac,ollama"},
		"machine.agent.id":                    {value: "agent_1", with: []string{"AGENTD_MACHINE_AGENT_TOKEN_FILE=SITE/token"}},
		"machine.agent.token_file":            {value: "SITE/token", with: []string{"AGENTD_MACHINE_AGENT_ID=agent_1"}},

		"pairing.key": {value: "owner"}, "pairing.provider": {value: "other"}, "pairing.role": {value: "operator"},
		"pairing.description": {value: "other"}, "pairing.push_policy": {value: "false"},
		"pairing.agent_did": {value: "did:pkh:eip155:1:0x036CbD53842c5426634e7929541eC2318f3dCF7e"},

		"heartbeat.interval": {value: "20s"}, "heartbeat.lease": {value: "2m"},
		"heartbeat.endpoints[].provider_key":    {value: "ollama"},
		"heartbeat.endpoints[].url":             {value: "http://192.0.2.1:8000"},
		"heartbeat.endpoints[].probe_path":      {value: "/up"},
		"heartbeat.endpoints[].network_scope":   {value: "lan"},
		"heartbeat.endpoints[].label":           {value: "other"},
		"heartbeat.endpoints[].model_alias":     {value: "large"},
		"heartbeat.endpoints[].auth.type":       {value: "api-key"},
		"heartbeat.endpoints[].auth.token_file": {value: "SITE/other"},

		"chains[].id": {value: "eip155:9990"}, "chains[].name": {value: "agung"}, "chains[].rpc": {value: "http://127.0.0.1:8545"},
		"chains[].final.confirmations":      {value: "12"},
		"chains[].final.tag":                {value: "finalized", with: []string{"AGENTD_CHAINS_0_FINAL={}"}},
		"chains[].gas.max_fee_per_gas_gwei": {value: "0.000000001"},
		"chains[].gas.per_day":              {value: "0.6"},
		"chains[].gas.low_balance":          {value: "0.2"},
		"chains[].verify_from_block":        {value: "12345678901"},
		"chains[].tokens[].symbol":          {value: "USDC"},
		"chains[].tokens[].address":         {value: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"},
		"chains[].tokens[].decimals":        {value: "18"},
		"chains[].tokens[].currency":        {value: "EUR"},
		"chains[].tokens[].low_balance":     {value: "0.000001"},
		"chains[].tokens[].eip712.name":     {value: "USD Coin"},
		"chains[].tokens[].eip712.version":  {value: "2"},
		"chains[].escrows[].address":        {value: "0x00000000000000000000000000000000000000e6"},
		"chains[].escrows[].mode":           {value: "contract"},

		"policy.currency": {value: "EUR"}, "policy.per_purchase": {value: "4.999999"}, "policy.lifetime": {value: "999"},
		"policy.windows[].over": {value: "12h"}, "policy.windows[].limit": {value: "19"},
		"policy.windows[].calendar": {value: "day", with: []string{`AGENTD_POLICY_WINDOWS=[{calendar: month, limit: "20"}]`}},
		"policy.count[].over":       {value: "2h"}, "policy.count[].limit": {value: "29"},
		"policy.quiet_hours":    {value: "22:00-06:00,12:00-13:30"},
		"policy.approval.above": {value: "0"}, "policy.approval.ttl": {value: "1h"},
		"policy.payees": {value: "approve"}, "policy.max_authorization": {value: "60s"}, "policy.expires": {value: "2028-01-01T12:00:00+02:00"},
		"policy.allow.tokens": {value: "usdt"}, "policy.deny.tokens": {value: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"},

		"needs[].name": {value: "other"}, "needs[].schedule": {value: "*/5 * * * *"},
		"needs[].search.service_type": {value: "storage.object"}, "needs[].search.operation": {value: "put"},
		"needs[].search.skill": {value: "skill"}, "needs[].search.region": {value: "eu"},
		"needs[].search.capabilities": {value: "a,b"}, "needs[].search.max_results": {value: "3"},
		"needs[].search.native_only":            {value: "false"},
		"needs[].search.allow_external_handoff": {value: "true", with: []string{"AGENTD_NEEDS_0_SEARCH_NATIVE_ONLY=false"}},
		"needs[].input":                         {value: `{"pair":"PEAQ/EUR","depth":0.10}`},
		"needs[].max_price":                     {value: "0.11"}, "needs[].select": {value: "{price: 0.7, score: 0.3}"},
		"needs[].accept.schema_file": {value: "SITE/other.schema.json"}, "needs[].accept.max_bytes": {value: "64KiB"},
		"needs[].deliver.file": {value: "/tmp/price.json"}, "needs[].deliver.keep": {value: "0"},
		"needs[].on_reject": {value: "hold"}, "needs[].deadline": {value: "10m"},
	}
	for key, value := range map[string]string{
		"refund_after":      "36h",
		"contract.lock":     "deposit(address payee, bytes32 order, uint256 amount)",
		"contract.release":  "pay(bytes32 order)",
		"contract.refund":   "back(bytes32 order)",
		"contract.locked":   "Deposited(bytes32 indexed order)",
		"contract.released": "Paid(bytes32 indexed order)",
		"contract.refunded": "Back(bytes32 indexed order)",
	} {
		all["chains[].escrows[]."+key] = change{value: value, with: []string{"AGENTD_CHAINS_0_ESCROWS_0_MODE=contract"}}
	}
	for _, list := range []string{"policy.allow.", "policy.deny."} {
		all[list+"rails"] = change{value: "x402"}
		all[list+"payees"] = change{value: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"}
		for _, name := range []string{"service_types", "services", "skills", "providers", "operations"} {
			all[list+name] = change{value: "one,two"}
		}
	}
	for _, key := range KeyPaths() {
		if strings.HasPrefix(key, "needs[].provider_credentials.") {
			all[key] = change{value: "SITE/other"}
		}
	}
	return all
}

// TestEveryKeyCounts sets every key that exists, by the environment and by the
// file, and sees its value change, and the rules of the guard if it is theirs.
func TestEveryKeyCounts(t *testing.T) {
	all := changes()
	for _, key := range KeyPaths() {
		c, ok := all[key]
		if !ok {
			t.Errorf("the key %s has no test", key)
			continue
		}
		delete(all, key)
		t.Run(key, func(t *testing.T) {
			s := newSite(t)
			path := strings.ReplaceAll(key, "[]", "[0]")
			before, err := Load(s.file, s.env(slices.Clone(c.with)...))
			if err != nil { // what is set beside it is only valid with it
				before = s.load(t)
			}
			after := s.load(t, append(slices.Clone(c.with), EnvName(path)+"="+c.value)...)
			if old, now := field(t, before, path), field(t, after, path); reflect.DeepEqual(old, now) {
				t.Errorf("%s=%s changes nothing: it is %v", EnvName(path), c.value, now)
			}
			isRule := strings.HasPrefix(key, "policy.") || key == "mode"
			if isRule && reflect.DeepEqual(before.PolicyRules(), after.PolicyRules()) {
				t.Error("the guard's rules are the same")
			}
			compareWithFile(t, s, path, c, after)
		})
	}
	for key := range all {
		t.Errorf("there is a test of the key %s, which does not exist", key)
	}
}

// compareWithFile sets the same key in the file and wants the same result.
func compareWithFile(t *testing.T, s site, path string, c change, want *Config) {
	t.Helper()
	root, err := parseYAML(readText(t, s.file))
	if err != nil {
		t.Fatal(err)
	}
	l := newLoader(s.file, s.env())
	steps, ok := resolve(configType, strings.TrimPrefix(EnvName(path), envPrefix))
	if !ok {
		t.Fatalf("%s is not found by its environment name", path)
	}
	if got := pathOf(steps); got != path {
		t.Errorf("%s stands for the key %s, want %s", EnvName(path), got, path)
	}
	for name, value := range environment(s.env(slices.Clone(c.with)...)) {
		if rest, ours := strings.CutPrefix(name, envPrefix); ours {
			more, _ := resolve(configType, rest)
			l.put(root, setting{env: name, value: value, steps: more})
		}
	}
	l.put(root, setting{env: "file", value: strings.ReplaceAll(c.value, "SITE", s.dir), steps: steps})
	s.write(t, "agentd.yaml", marshal(t, root))
	if diff := cmp.Diff(want, s.load(t), cmp.Comparer(func(a, b money.Amount) bool { return a == b })); diff != "" {
		t.Errorf("the file means something else than the environment (-environment +file):\n%s", diff)
	}
}

// field returns the value at a key path.
func field(t *testing.T, c *Config, path string) any {
	t.Helper()
	v := reflect.ValueOf(c).Elem()
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' }) {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return nil
			}
			v = v.Elem()
		}
		if digits, isIndex := strings.CutSuffix(part, "]"); isIndex {
			i, err := strconv.Atoi(digits)
			if err != nil || i >= v.Len() {
				return nil
			}
			v = v.Index(i)
			continue
		}
		m, ok := memberOf(v.Type(), part)
		if !ok {
			t.Fatalf("no field for %s", path)
		}
		v = v.Field(m.index)
	}
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v.Interface()
}

// TestEnvironmentNamesAreUnique wants one key for every name.
func TestEnvironmentNamesAreUnique(t *testing.T) {
	seen := make(map[string]string)
	for _, key := range KeyPaths() {
		name := EnvName(key)
		if other, taken := seen[name]; taken {
			t.Errorf("%s stands for %s and %s", name, key, other)
		}
		seen[name] = key
	}
}
