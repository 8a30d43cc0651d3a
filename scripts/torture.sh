#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Three torture campaigns of 200 purchases and 100 kills each, side by side: a campaign mostly waits. Ends with 0 if none found
# anything; otherwise the files of the failed one are kept, and its seed is printed.
#
#   scripts/torture.sh [SEED...]
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- 1 2 3
scratch=$(mktemp -d)
children=()
cleanup() {
	local child
	for child in "${children[@]}"; do
		kill -TERM "$child" 2>/dev/null || true
	done
	wait
	rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

scripts/build.sh "$scratch/agentd"
scripts/build.sh "$scratch/agentd-failpoint" failpoint
CGO_ENABLED=0 go build -o "$scratch/agentd-sandbox" ./cmd/agentd-sandbox

for seed; do
	"$scratch/agentd-sandbox" torture --purchases 200 --kills 100 --recoveries 2 --seed "$seed" \
		--agentd "$scratch/agentd" --agentd-failpoint "$scratch/agentd-failpoint" >"$scratch/out-$seed" 2>&1 &
	children+=($!)
done
failed=0
for i in "${!children[@]}"; do
	wait "${children[$i]}" || failed=1
	seeds=("$@")
	cat "$scratch/out-${seeds[$i]}"
done
children=()
exit "$failed"
