// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// text returns the configuration that init writes. Values are quoted as JSON
// strings, which are YAML strings too.
func (c *initCmd) text(p initPaths) (string, error) {
	tokens, err := c.tokens()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Configuration of agentd. Every key, with its default, is in docs/reference/configuration.md; every key can be\n" +
		"# overridden by the environment: policy.per_purchase is AGENTD_POLICY_PER_PURCHASE.\n" +
		"# `agentd check` names everything that is wrong here; `agentd check --online` asks the Market and the chains too.\n\n")
	if p.stateDir == "" {
		b.WriteString("# State and socket are where the systemd unit has them: $STATE_DIRECTORY and $RUNTIME_DIRECTORY.\n")
	} else {
		fmt.Fprintf(&b, "# Ledger and tokens; back it up.\nstate_dir: %s\n", quoted(p.stateDir))
		fmt.Fprintf(&b, "# The commands find the daemon here.\nadmin: {socket: %s}\n", quoted(p.socket))
	}
	b.WriteString("listen: 127.0.0.1:9470       # /metrics, /livez and /readyz; \"\" turns it off\n" +
		"mode: buy                    # observe: decide and record, never pay\n\n" +
		"orchestration:\n")
	fmt.Fprintf(&b, "  url: %s\n", quoted(c.MarketURL))
	if p.apiKeyRef != "" {
		fmt.Fprintf(&b, "  api_key_file: %s\n", quoted(p.apiKeyRef))
	} else {
		b.WriteString("  # api_key_file: /path/to/api-key     # where the Market demands the platform key\n")
	}
	if c.AllowHTTP {
		b.WriteString("  allow_http: true             # plain http can be read and changed on the way\n")
	}
	b.WriteString("\nkeys:\n")
	fmt.Fprintf(&b, "  agent: {keystore_file: %s, passphrase_file: %s}\n", quoted(p.keystoreRef), quoted(p.passphraseRef))
	if p.ownerKeyRef != "" {
		fmt.Fprintf(&b, "  owner: {private_key_file: %s}\n", quoted(p.ownerKeyRef))
	}
	c.machineText(&b)
	c.policyText(&b)
	c.chainText(&b, tokens)
	b.WriteString(`
needs:
  # One need per thing that the machine buys. Try it with: agentd explain price; agentd buy price --wait
  - name: price
    # schedule: "@every 10m"             # cron, in UTC; without one it is bought on request only
    search: {service_type: oracle.price-feed, operation: latest-price, native_only: true}
    input: {pair: PEAQ/USD}
    max_price: "0.10"
    select: cheapest                     # best-score, or weights: {price: 0.7, score: 0.3}
    # accept: {schema_file: /path/to/price.schema.json}   # a result that fails is disputed
    # deliver: {file: /path/to/price.json, keep: 10}
    deadline: 5m
`)
	return b.String(), nil
}

func (c *initCmd) machineText(b *strings.Builder) {
	b.WriteString("\nmachine:\n")
	if c.MachineID != "" {
		fmt.Fprintf(b, "  id: %s\n", quoted(c.MachineID))
	}
	if c.IdentityRef != "" {
		fmt.Fprintf(b, "  identity_ref: %s\n", quoted(c.IdentityRef))
	}
	name := c.DisplayName
	if name == "" {
		name = hostname()
	}
	if c.OwnerKeyFile != "" && c.IdentityRef != "" {
		fmt.Fprintf(b, "  identity_key: owner\n  # Registers the machine if it has no record yet.\n"+
			"  register: {display_name: %s, owner_id: %s, machine_type: robot, runtime_profile: linux-native}\n", quoted(name), quoted(c.OwnerID))
	}
	fmt.Fprintf(b, "  agent: {label: %s}\n\npairing: {provider: custom, role: buyer, description: %s}\n", quoted(name), quoted(name+" buyer"))
	b.WriteString("\n# heartbeat:                 # tells the Market which local runtimes this machine offers\n" +
		"#   endpoints: [{provider_key: qvac, url: http://127.0.0.1:8000}]\n")
}

func (c *initCmd) policyText(b *strings.Builder) {
	rails := "[not-required, wallet, wdk-usdt-transfer, x402]"
	fmt.Fprintf(b, `
# What the daemon may spend. Nothing is unlimited by omission; raise with care, test with: agentd policy test FILE
policy:
  currency: %s
  per_purchase: %s
  # Rolling; {calendar: month, limit: …} is a UTC month.
  windows: [{over: 24h, limit: %s}]
  count: [{over: 1h, limit: 60}]
  # approval: {above: "0.50"}             # above it a person is asked: agentd approve ID
  payees: pin                             # per provider only its first payee; approve: ask a person for each new one
  allow: {rails: %s}
`, quoted(c.Currency), quoted(c.PerPurchase), quoted(c.PerDay), rails)
}

func (c *initCmd) chainText(b *strings.Builder, tokens []initToken) {
	if len(c.RPC) == 0 {
		b.WriteString("\n# No chain, so only what is free can be bought.\n" +
			"# chains:\n#   - id: eip155:3338\n#     name: peaq\n#     rpc: [https://…]\n" +
			"#     tokens: [{symbol: USDT, address: 0x…, decimals: 6, currency: USD, eip712: {name: Tether USD, version: \"1\"}}]\n")
		return
	}
	fmt.Fprintf(b, "\nchains:\n  - id: %s\n", quoted(c.ChainID))
	name := c.ChainName
	if name == "" && c.ChainID == "eip155:3338" {
		name = "peaq"
	}
	if name != "" {
		fmt.Fprintf(b, "    name: %s\n", quoted(name))
	}
	urls := make([]string, len(c.RPC))
	for i, u := range c.RPC {
		urls[i] = quoted(u)
	}
	fmt.Fprintf(b, "    rpc: [%s]\n    final: {confirmations: 3}            # or {tag: finalized}\n", strings.Join(urls, ", "))
	b.WriteString("    gas: {max_fee_per_gas_gwei: \"200\", per_day: \"0.05\", low_balance: \"0.01\"}   # in the chain's own coin\n")
	if len(tokens) == 0 {
		b.WriteString("    tokens: []                           # nothing can be paid for until a token stands here\n")
		return
	}
	b.WriteString("    tokens:                              # one token counts as one unit of its currency\n")
	for _, t := range tokens {
		fmt.Fprintf(b, "      - {symbol: %s, address: %s, decimals: %s, currency: %s", quoted(t.symbol), quoted(t.address), t.decimals, quoted(c.Currency))
		if t.name != "" {
			fmt.Fprintf(b, ", eip712: {name: %s, version: %s}", quoted(t.name), quoted(t.version))
		}
		b.WriteString("}\n")
	}
}

// initToken is one --token.
type initToken struct {
	symbol, address, decimals, name, version string
}

func (c *initCmd) tokens() ([]initToken, error) {
	var tokens []initToken
	for _, text := range c.Token {
		parts := strings.Split(text, ":")
		if len(parts) != 3 && len(parts) != 5 {
			return nil, fail(exitUsage, "--token %q: not SYMBOL:ADDRESS:DECIMALS or SYMBOL:ADDRESS:DECIMALS:EIP712NAME:EIP712VERSION", text)
		}
		t := initToken{symbol: parts[0], address: parts[1], decimals: quoted(parts[2])}
		if len(parts) == 5 {
			t.name, t.version = parts[3], parts[4]
		}
		tokens = append(tokens, t)
	}
	if len(tokens) > 0 && len(c.RPC) == 0 {
		return nil, fail(exitUsage, "--token needs --rpc, the chain that it is on")
	}
	return tokens, nil
}

// quoted spells a text as a JSON string.
func quoted(text string) string {
	data, _ := json.Marshal(text) // a string always marshals
	return string(data)
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "agentd"
	}
	return name
}
