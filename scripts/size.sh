#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Builds the daemon for every architecture it is made for, into dist/, and prints the sizes. Fails where one does not build
# or the amd64 binary is above the bound of docs/benchmarks.md. Arguments: the architectures to build; none means all.
set -euo pipefail

cd "$(dirname "$0")/.."
bound=25000000 # bytes, stripped, amd64
all=(amd64 arm64 armv7 armv6 riscv64)
[ $# -gt 0 ] || set -- "${all[@]}"

mkdir -p dist
for arch in "$@"; do
	goarch=$arch goarm=
	case "$arch" in
	amd64 | arm64 | riscv64) ;;
	armv7) goarch=arm goarm=7 ;;
	armv6) goarch=arm goarm=6 ;;
	*)
		echo "size: unknown architecture $arch, one of: ${all[*]}" >&2
		exit 64
		;;
	esac
	out=dist/agentd-linux-$arch
	GOOS=linux GOARCH=$goarch GOARM=$goarm scripts/build.sh "$out"
	bytes=$(stat -c %s "$out")
	printf '%-9s %5d.%d MB  %s\n' "$arch" $((bytes / 1000000)) $((bytes % 1000000 / 100000)) "$out"
	if [ "$arch" = amd64 ] && [ "$bytes" -gt "$bound" ]; then
		echo "size: amd64 has $bytes bytes, the bound is $bound" >&2
		exit 1
	fi
done
