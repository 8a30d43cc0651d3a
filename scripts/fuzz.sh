#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Runs every fuzz target for some seconds: fuzz.sh [seconds] [packages]. Default: 5 seconds, all packages. Each package's test
# is built once, with our own code instrumented; as many targets run at a time as there are processors, with one worker each.
# A crasher is copied to the package's testdata/fuzz (commit it: it is a test from then on), and the script fails.
set -euo pipefail

cd "$(dirname "$0")/.."
seconds=${1:-5}
shift || true
case "$seconds" in
'' | *[!0-9]* | 0)
	echo "fuzz: the seconds are a whole number above 0, not \"$seconds\"" >&2
	exit 64
	;;
esac
[ $# -gt 0 ] || set -- ./...

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
corpus=$(go env GOCACHE)/fuzz
module=$(go list -m)

# One line for each target: directory, binary, name.
grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u >"$work/with"
go list -f '{{.Dir}} {{.ImportPath}}' "$@" | while read -r dir package; do
	grep -qx "./${dir#"$PWD"/}" "$work/with" || continue
	binary=$work/$(echo "$package" | tr / _).test
	# What -fuzz does for a whole build, for our packages only: guided by our branches, and built in seconds.
	go test -c -ldflags='-s -w' -gcflags="$module/...=-d=libfuzzer" -o "$binary" "$package"
	(cd "$dir" && "$binary" -test.list '^Fuzz') | grep '^Fuzz' | while read -r target; do
		echo "$dir $binary $target ${package#"$module"/}"
	done
done >"$work/targets"
[ -s "$work/targets" ] || {
	echo "fuzz: no targets" >&2
	exit 1
}

one() {
	local dir=$1 binary=$2 target=$3 package=$4 log
	log=$work/log.$(echo "$package" | tr / _).$target
	local code=0
	(cd "$dir" && "$binary" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "${seconds}s" -test.fuzzminimizetime 5s -test.parallel 1 \
		-test.fuzzcachedir "$corpus/$module/$package" -test.timeout 0) >"$log" 2>&1 || code=$?
	local last
	last=$(grep -o 'execs: [0-9]*' "$log" | tail -1 || true)
	if [ "$code" -ne 0 ]; then
		printf '%-22s %-20s FAILED\n' "$package" "$target"
		cat "$log" >&2
		return 1
	fi
	printf '%-22s %-20s %s\n' "$package" "$target" "${last:-execs: 0}"
}
export -f one
export work seconds corpus module

# xargs fails with 123 where a target failed.
xargs -P "$(nproc)" -L1 bash -c 'one "$@"' fuzz <"$work/targets" || {
	echo "fuzz: a target failed; the input is in its package's testdata/fuzz" >&2
	exit 1
}
echo "fuzz: $(wc -l <"$work/targets") targets, $seconds s each, no findings"
