// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func readText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func marshal(t *testing.T, root *yaml.Node) string {
	t.Helper()
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	if err := enc.Encode(root); err != nil {
		t.Fatal(err)
	}
	return showVariables(b.String())
}

// TestFaultsAllAtOnce loads a file in which nearly everything is wrong and wants
// every fault, by line.
func TestFaultsAllAtOnce(t *testing.T) {
	s := newSite(t)
	if err := os.Chmod(filepath.Join(s.dir, "api-key"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.write(t, "bad.schema.json", `{"type": 7}`)
	s.file = s.write(t, "agentd.yaml", strings.ReplaceAll(readText(t, filepath.Join("testdata", "faults.yaml")), "SITE", s.dir))
	faults := s.faults(t,
		"AGENTD_POLICY_PER_PURCHSE=1", "AGENTD_SERVICE_HOST=10.0.0.1", "AGENTD_CHAINS_7_RPC=https://x.example",
		"AGENTD_HEARTBEAT_LEASE=2h", "AGENTD_PAIRING_PUSH_POLICY=maybe")
	got := strings.ReplaceAll(faults.Error(), s.dir, "SITE") + "\n"
	golden := filepath.Join("testdata", "faults.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(readText(t, golden), got); diff != "" {
		t.Errorf("faults differ (-want +got):\n%s", diff)
	}
}

// TestFault has one fault in each case and wants its key and words.
func TestFault(t *testing.T) {
	tests := []struct {
		name, env, key, found, allowed string
	}{
		{"http beyond loopback", "AGENTD_ORCHESTRATION_URL=http://192.0.2.7", "orchestration.url", "http://192.0.2.7", "https"},
		{"url with a user", "AGENTD_ORCHESTRATION_URL=https://me:secret@market.example", "orchestration.url", `"https://market.example"`, "without user"},
		{"url without a host", "AGENTD_ORCHESTRATION_URL=market.example", "orchestration.url", "no URL", "with a host"},
		{"http rpc", "AGENTD_CHAINS_0_RPC=https://ok.example,http://192.0.2.7/secret", "chains[0].rpc[1]", `"http://192.0.2.7"`, "loopback"},
		{"price that is no number", "AGENTD_NEEDS_0_MAX_PRICE=NaN", "needs[0].max_price", "NaN", "decimal number"},
		{"negative limit", "AGENTD_POLICY_PER_PURCHASE=-1", "policy.per_purchase", "-1", "from 0"},
		{"too many digits", "AGENTD_POLICY_PER_PURCHASE=1.0000001", "policy.per_purchase", "1.0000001", "at most 6 digits"},
		{"limit of zero", "AGENTD_POLICY_PER_PURCHASE=0", "policy.per_purchase", "0", "above 0"},
		{"low balance finer than the token", "AGENTD_CHAINS_0_TOKENS_0_LOW_BALANCE=0.0000001", "chains[0].tokens[0].low_balance", "0.0000001", "as the token has"},
		{"gas finer than wei", "AGENTD_CHAINS_0_GAS_PER_DAY=0.0000000000000000001", "chains[0].gas.per_day", "0.0000000000000000001", "18 digits"},
		{"unknown rail", "AGENTD_POLICY_ALLOW_RAILS=x402,card", "policy.allow.rails[1]", "card", "wdk-usdt-transfer"},
		{"wrong checksum", "AGENTD_CHAINS_0_TOKENS_0_ADDRESS=0x036cbD53842c5426634e7929541eC2318f3dCF7e", "chains[0].tokens[0].address", "0x036cbD", "checksum"},
		{"payee that is no address", "AGENTD_POLICY_ALLOW_PAYEES=alice", "policy.allow.payees[0]", "alice", "40 hexadecimal"},
		{"misspelt token", "AGENTD_POLICY_ALLOW_TOKENS=USTD", "policy.allow.tokens[0]", "USTD", "USDT"},
		{"chain of another kind", "AGENTD_CHAINS_0_ID=solana:mainnet", "chains[0].id", "solana:mainnet", "eip155:NUMBER"},
		{"cron with a time zone", "AGENTD_NEEDS_0_SCHEDULE=CRON_TZ=Europe/Berlin 0 6 * * *", "needs[0].schedule", "time zone", "UTC"},
		{"cron that panics the parser", "AGENTD_NEEDS_0_SCHEDULE=TZ=UTC", "needs[0].schedule", "time zone", "UTC"},
		{"every below a second", "AGENTD_NEEDS_0_SCHEDULE=@every 10ms", "needs[0].schedule", "at least 1s", "from 1s"},
		{"time that never comes", "AGENTD_NEEDS_0_SCHEDULE=0 0 31 2 *", "needs[0].schedule", "never comes", "cron spec"},
		{"quiet hours", "AGENTD_POLICY_QUIET_HOURS=22-6", "policy.quiet_hours[0]", "22-6", "22:00-06:00"},
		{"retention within a window", "AGENTD_RETENTION=720h", "retention", "30d", "longest window of the policy, 30d"},
		{"lease too long", "AGENTD_HEARTBEAT_LEASE=3601s", "heartbeat.lease", "1h0m1s", "10s to 1h"},
		{"lease too short", "AGENTD_HEARTBEAT={lease: 9s, interval: 3s}", "heartbeat.lease", "9s", "10s to 1h"},
		{"interval as long as the lease", "AGENTD_HEARTBEAT_INTERVAL=90s", "heartbeat.interval", "1m30s", "less than the lease"},
		{"deadline of nothing", "AGENTD_NEEDS_0_DEADLINE=0s", "needs[0].deadline", "0s", "from 1s"},
		{"weights of nothing", "AGENTD_NEEDS_0_SELECT={price: 0, score: 0}", "needs[0].select", "no weight", "best-score"},
		{"unknown choice", "AGENTD_NEEDS_0_SELECT=cheap", "needs[0].select", "cheap", "cheapest"},
		{"schema that is none", "AGENTD_NEEDS_0_ACCEPT_SCHEMA_FILE=SITE/agent-passphrase", "needs[0].accept.schema_file", "no JSON Schema", "a JSON Schema"},
		{"input that is no object", "AGENTD_NEEDS_0_INPUT=[1]", "needs[0].input", "a list", "JSON object"},
		{"missing secret", "AGENTD_ORCHESTRATION_API_KEY_FILE=SITE/none", "orchestration.api_key_file", "no such file", "0600"},
		{"variable that is not set", "AGENTD_ORCHESTRATION_API_KEY_FILE=${RUNTIME_DIRECTORY}/key", "orchestration.api_key_file", "not set", "variable"},
		{"variable of another kind", "AGENTD_ORCHESTRATION_API_KEY_FILE=${HOME}/key", "orchestration.api_key_file", "${HOME}", "CREDENTIALS_DIRECTORY"},
		{"identity", "AGENTD_MACHINE_IDENTITY_REF=did:peaq:007", "machine.identity_ref", "did:peaq:007", "did:peaq:<decimal>"},
		{"identity past 256 bits", "AGENTD_MACHINE_IDENTITY_REF=did:peaq:" + strings.Repeat("9", 78), "machine.identity_ref", "did:peaq:9", "<decimal>"},
		{"keystore without a passphrase", "AGENTD_KEYS_AGENT={keystore_file: SITE/agent.json}", "keys.agent.passphrase_file", "nothing", "passphrase"},
		{"two kinds of key", "AGENTD_KEYS_AGENT_PRIVATE_KEY_FILE=SITE/owner.key", "keys.agent", "a keystore and a private key", "private_key_file"},
		{"no key", "AGENTD_KEYS_AGENT={}", "keys.agent", "no key", "keystore_file"},
		{"payee list without payees", "AGENTD_POLICY_PAYEES=list", "policy.payees", "empty allow.payees", "pin"},
		{"index with a gap", "AGENTD_NEEDS_2_NAME=x", "needs[2].name", "index 2", "from 0 to 1"},
		{"handoff that is native", "AGENTD_NEEDS_0_SEARCH_ALLOW_EXTERNAL_HANDOFF=true", "needs[0].search.allow_external_handoff", "native_only", "one of the two"},
		{"yaml that is none", "AGENTD_CHAINS={a: [", "chains", "did not find", "YAML"},
		{"socket path too long", "AGENTD_ADMIN_SOCKET=/" + strings.Repeat("s", 101), "admin.socket", "102 bytes", "100 bytes"},
		{"listen without a port", "AGENTD_LISTEN=127.0.0.1", "listen", "127.0.0.1", "HOST:PORT"},
		{"need without a name", "AGENTD_NEEDS_0_NAME=", "needs[0].name", "nothing", "lower-case"},
		{"token without decimals", "AGENTD_CHAINS_0_TOKENS=[{symbol: A, address: 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913, currency: USD}]", "chains[0].tokens[0].decimals", "nothing", "decimals"},
		{"escrow twice", "AGENTD_CHAINS_0_ESCROWS=[{address: 0x00000000000000000000000000000000000000e5}, {address: 0x00000000000000000000000000000000000000e5}]", "chains[0].escrows[1].address", "a second time", "each escrow once"},
		{"escrow that is the token", "AGENTD_CHAINS_0_ESCROWS_0_ADDRESS=0x036CbD53842c5426634e7929541eC2318f3dCF7e", "chains[0].escrows[0].address", "token USDT", "own address"},
		{"escrow of an unknown mode", "AGENTD_CHAINS_0_ESCROWS_0_MODE=lock", "chains[0].escrows[0].mode", "lock", "transfer, contract"},
		{"refund from a plain transfer", "AGENTD_CHAINS_0_ESCROWS_0_REFUND_AFTER=48h", "chains[0].escrows[0].refund_after", "mode contract", "mode: contract"},
		{"contract of a plain transfer", "AGENTD_CHAINS_0_ESCROWS_0_CONTRACT_LOCK=lock(bytes32 order, address payee, uint256 amount)", "chains[0].escrows[0].contract", "mode contract", "mode: contract"},
		{"refund at once", "AGENTD_CHAINS_0_ESCROWS_0={address: 0xe5000000000000000000000000000000000000e5, mode: contract, refund_after: 1s}", "chains[0].escrows[0].refund_after", "1s", "10s to 365d"},
		{"refund in fractions", "AGENTD_CHAINS_0_ESCROWS_0={address: 0xe5000000000000000000000000000000000000e5, mode: contract, refund_after: 1h500ms}", "chains[0].escrows[0].refund_after", "1h0m0.5s", "whole seconds"},
		{"escrow interface: lock without a payee", "AGENTD_CHAINS_0_ESCROWS_0={address: 0xe5000000000000000000000000000000000000e5, mode: contract, contract: {lock: \"lock(bytes32 order, uint256 amount)\"}}", "chains[0].escrows[0].contract.lock", "argument \"payee\" is missing", "arguments are named"},
		{"escrow interface: unknown argument", "AGENTD_CHAINS_0_ESCROWS_0={address: 0xe5000000000000000000000000000000000000e5, mode: contract, contract: {lock: \"lock(bytes32 order, address payee, uint256 amount, uint256 fee)\"}}", "chains[0].escrows[0].contract.lock", "argument \"fee\"", "arguments are named"},
		{"escrow interface: amount of another type", "AGENTD_CHAINS_0_ESCROWS_0={address: 0xe5000000000000000000000000000000000000e5, mode: contract, contract: {lock: \"lock(bytes32 order, address payee, uint128 amount)\"}}", "chains[0].escrows[0].contract.lock", "uint128", "arguments are named"},
		{"escrow interface: no signature", "AGENTD_CHAINS_0_ESCROWS_0={address: 0xe5000000000000000000000000000000000000e5, mode: contract, contract: {refund: refund}}", "chains[0].escrows[0].contract.refund", "not a signature", "arguments are named"},
		{"escrow interface: event without the order", "AGENTD_CHAINS_0_ESCROWS_0={address: 0xe5000000000000000000000000000000000000e5, mode: contract, contract: {released: \"Released(bytes32 order)\"}}", "chains[0].escrows[0].contract.released", "indexed order", "arguments are named"},
		{"escrow interface: one method for two", "AGENTD_CHAINS_0_ESCROWS_0={address: 0xe5000000000000000000000000000000000000e5, mode: contract, contract: {release: \"end(bytes32 order)\", refund: \"end(bytes32 order)\"}}", "chains[0].escrows[0].contract", "are one", "that differ"},
		{"decimals out of range", "AGENTD_CHAINS_0_TOKENS_0_DECIMALS=37", "chains[0].tokens[0].decimals", "37", "from 0 to 36"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			faults := s.faults(t, tt.env)
			if len(faults) != 1 {
				t.Fatalf("%d faults, want one:\n%v", len(faults), faults)
			}
			f := faults[0]
			name, _, _ := strings.Cut(tt.env, "=")
			if f.Key != tt.key || !strings.Contains(f.Found, tt.found) || !strings.Contains(f.Allowed, tt.allowed) {
				t.Errorf("got %v\nwant key %s, found %q, allowed %q", f, tt.key, tt.found, tt.allowed)
			}
			if f.Source != name && f.Line == 0 {
				t.Errorf("the fault stands at %q:%d, want the variable or a line", f.Source, f.Line)
			}
		})
	}
}

// TestPolicyWithoutLimits refuses what would be unlimited.
func TestPolicyWithoutLimits(t *testing.T) {
	tests := []struct {
		name, policy string
		keys         []string
	}{
		{"nothing at all", "{currency: USD}", []string{"policy.per_purchase", "policy.windows"}},
		{"no window", "{currency: USD, per_purchase: 1}", []string{"policy.windows"}},
		{"no limit per purchase", "{currency: USD, windows: [{over: 24h, limit: 5}]}", []string{"policy.per_purchase"}},
		{"a window without a limit", "{currency: USD, per_purchase: 1, windows: [{over: 24h}]}", []string{"policy.windows[0].limit"}},
		{"a count limit only", "{currency: USD, per_purchase: 1, count: [{over: 1h, limit: 3}]}", []string{"policy.windows"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var keys []string
			for _, f := range newSite(t).faults(t, "AGENTD_POLICY="+tt.policy) {
				keys = append(keys, f.Key)
			}
			if diff := cmp.Diff(tt.keys, keys); diff != "" {
				t.Errorf("keys with a fault (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoSecretInFaults pastes keys where they do not belong and looks for them
// in what is said about it.
func TestNoSecretInFaults(t *testing.T) {
	tests := []struct{ name, env string }{
		{"key instead of its file", "AGENTD_KEYS_OWNER_PRIVATE_KEY_FILE=" + testKey},
		{"key with a prefix", "AGENTD_KEYS_OWNER_PRIVATE_KEY_FILE=0x" + testKey},
		{"key as an id", "AGENTD_MACHINE_IDENTITY_REF=" + testKey},
		{"key as a choice", "AGENTD_MODE=" + testKey},
		{"bad private key in the environment", "PEAQOS_PRIVATE_KEY=" + testKey[:60]},
		{"rpc url with a key", "AGENTD_CHAINS_0_RPC=ftp://rpc.example/" + testKey[:32]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			env := s.env(tt.env)
			if strings.HasPrefix(tt.env, "PEAQOS_") {
				env = append(env, "AGENTD_KEYS_AGENT={}")
			}
			_, err := Load(s.file, env)
			if err == nil {
				t.Fatal("no fault")
			}
			if strings.Contains(err.Error(), testKey[:20]) {
				t.Errorf("the key is in the fault: %v", err)
			}
		})
	}
}
