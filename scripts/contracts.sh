#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Compiles sandbox/contracts/*.sol and writes the artifacts beside them; with --check it compares them instead and fails where
# they differ. Needs node and npm; what npm installs stays in a temporary directory.
set -eu

usage() {
	echo "usage: scripts/contracts.sh [--check]" >&2
	exit 64
}

check=no
case "${1-}" in
"") ;;
--check) check=yes ;;
*) usage ;;
esac
[ $# -le 1 ] || usage

dir=$(CDPATH='' cd -- "$(dirname -- "$0")/../sandbox/contracts" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cp "$dir/package.json" "$dir/package-lock.json" "$tmp/"
(cd "$tmp" && npm ci --ignore-scripts --no-audit --no-fund --silent)
mkdir "$tmp/out"
node "$dir/compile.js" "$dir" "$tmp/node_modules" "$tmp/out"

for name in TestToken Escrow; do
	if [ "$check" = no ]; then
		cp "$tmp/out/$name.json" "$dir/$name.json"
	elif ! cmp -s "$tmp/out/$name.json" "$dir/$name.json"; then
		echo "sandbox/contracts/$name.json is stale: run scripts/contracts.sh" >&2
		exit 1
	fi
done
[ "$check" = no ] || echo "contract artifacts are fresh"
