#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Starts a sandbox and a daemon, buys once on a free and once on a paid rail, and hands a live scrape to
# `promtool check metrics`; then looks for every metric that docs/reference/metrics.md names. PROMTOOL names the program.
set -euo pipefail

cd "$(dirname "$0")/.."
promtool=${PROMTOOL:-promtool}
work=$(mktemp -d)
umask 077
pids=()

cleanup() {
	local status=$? pid
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null || true
	done
	[ "$status" -eq 0 ] || tail -n 30 "$work"/*.log >&2 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# await runs a command until it succeeds, at most 30 s.
await() {
	local deadline=$((SECONDS + 30))
	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$deadline" ]; then
			echo "metrics: waited in vain for: $*" >&2
			return 1
		fi
		sleep 0.1
	done
}

# member prints a text or number of the sandbox's one JSON object.
member() { grep -o "\"$1\":\"\?[^\",}]*" "$work/market.json" | head -n 1 | sed 's/^[^:]*:"\{0,1\}//'; }

go build -o "$work/" ./cmd/agentd ./cmd/agentd-sandbox

"$work/agentd-sandbox" serve --strict >"$work/market.json" 2>"$work/sandbox.log" &
pids+=($!)
await grep -q baseUrl "$work/market.json"

member apiKey >"$work/api-key"
member ownerKey >"$work/owner.key"
member agentKey >"$work/agent.key"
cat >"$work/agentd.yaml" <<YAML
state_dir: $work/state
listen: 127.0.0.1:0
admin: {socket: $work/agentd.sock}
log: {format: json}
orchestration: {url: "$(member baseUrl)", api_key_file: api-key}
keys:
  agent: {private_key_file: agent.key}
  owner: {private_key_file: owner.key}
machine:
  identity_ref: $(member identityRef)
  register: {display_name: metrics, owner_id: ci, machine_type: robot, runtime_profile: linux-native}
heartbeat:
  endpoints: [{provider_key: qvac, url: "$(member baseUrl)", probe_path: /api/v1/health, label: probe, model_alias: none}]
chains:
  - id: $(member chain)
    rpc: ["$(member rpcUrl)"]
    final: {confirmations: 1}
    tokens: [{symbol: USDC, address: "$(member token)", decimals: 6, currency: USD, eip712: {name: USDC, version: "2"}}]
policy:
  currency: USD
  per_purchase: "0.04"
  windows: [{over: 24h, limit: "20"}]
  count: [{over: 1h, limit: 100}]
  expires: 2100-01-01
needs:
  - {name: free, search: {service_type: oracle.price-feed, operation: latest-price}, input: {pair: PEAQ/USD}}
  - {name: transfer, search: {service_type: storage.object, operation: put}, input: {name: a, content: b}}
  - {name: x402, search: {service_type: data.location, operation: fix}, input: {receiver: base-1}}
  - {name: dear, search: {service_type: compute.marketplace, operation: run}, input: {image: "sum:1", args: ["1", "2"]}}
YAML

mkdir "$work/state"
"$work/agentd" run --config "$work/agentd.yaml" 2>"$work/agentd.log" &
pids+=($!)
await grep -q 'metrics listener started' "$work/agentd.log"
url=http://$(sed -n 's/.*metrics listener started.*"address":"\([^"]*\)".*/\1/p' "$work/agentd.log" | head -n 1)
await curl -fsS "$url/readyz"

for need in free transfer x402; do
	"$work/agentd" buy "$need" --wait --config "$work/agentd.yaml"
done
# One that the policy refuses, for the series of refusals.
"$work/agentd" buy dear --wait --config "$work/agentd.yaml" || [ $? -eq 3 ]

curl -fsS "$url/metrics" >"$work/scrape"
"$promtool" check metrics <"$work/scrape"

status=0
for name in $(sed -n 's/^| `\(agentd_[a-z0-9_]*\).*/\1/p' docs/reference/metrics.md); do
	if ! grep -q "^# TYPE ${name%_total}\(_total\)\? " "$work/scrape"; then
		echo "metrics: $name is not in the scrape" >&2
		status=1
	fi
done
[ "$status" -eq 0 ] || exit "$status"
echo "metrics: $(grep -c '^# TYPE agentd_' "$work/scrape") families of our own, promtool has nothing to say"
