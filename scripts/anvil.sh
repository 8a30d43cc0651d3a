#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Runs the tests of the transaction sender on anvil: reorganisations, dropped and replaced transactions on a second kind of node.
# Needs Go and npm. Argument: a folder for what npm installs, which is kept there; none means a temporary one.
set -euo pipefail

cd "$(dirname "$0")/.."
[ $# -le 1 ] || {
	echo "usage: scripts/anvil.sh [FOLDER]" >&2
	exit 64
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
folder=${1:-$scratch/anvil}

# Installed anew only where the lock file is another one. The program lies in the package for the platform and needs no install script.
if ! cmp -s scripts/anvil/package-lock.json "$folder/installed.json"; then
	rm -rf "$folder"
	mkdir -p "$folder"
	cp scripts/anvil/package.json scripts/anvil/package-lock.json "$folder/"
	(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent)
	cp scripts/anvil/package-lock.json "$folder/installed.json"
fi
anvil=$(find "$folder/node_modules/@foundry-rs" -type f -path '*/bin/anvil' -print -quit)
if [ -z "$anvil" ]; then
	echo "anvil: there is no program for this platform in $folder" >&2
	exit 1
fi
[ -x "$anvil" ] || chmod +x "$anvil"
"$anvil" --version | head -n 1

# The tests start and end anvil themselves. Without it they would be skipped, which is a failure here.
status=0
AGENTD_ANVIL=$(cd "$(dirname "$anvil")" && pwd)/anvil go test -count=1 -timeout 5m -v -run '^TestAnvil' ./payments/evm >"$scratch/log" 2>&1 || status=$?
grep -E '^ *--- ' "$scratch/log" || true
if [ "$status" -ne 0 ]; then
	tail -n 40 "$scratch/log" >&2
	exit "$status"
fi
if grep -q -- '--- SKIP' "$scratch/log" || ! grep -q -- '--- PASS: TestAnvil' "$scratch/log"; then
	echo "anvil: tests were skipped" >&2
	exit 1
fi
