#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Builds the daemon as it is released: static, stripped, reproducible. GOOS, GOARCH and GOARM are heeded, VERSION is what
# `agentd version` prints. Arguments: the file to write, then further build tags.
#
# For size: HTTP/2 is left out (half a megabyte), functions are not padded to 32 bytes, and libraries that run at start, at a
# scrape or never are compiled without inlining; together another 0.8 MB.
set -euo pipefail

cd "$(dirname "$0")/.."
out=$1
shift
tags=$(IFS=, && echo "nethttpomithttp2${*:+,$*}")

cold=(google.golang.org/protobuf github.com/alecthomas/kong go.yaml.in github.com/santhosh-tekuri github.com/consensys)
flags=()
for module in "${cold[@]}"; do
	flags+=("-gcflags=$module/...=-l")
done

CGO_ENABLED=0 exec go build -trimpath -tags "$tags" "${flags[@]}" \
	-ldflags "-s -w -funcalign=8 -X main.version=${VERSION:-}" -o "$out" ./cmd/agentd
