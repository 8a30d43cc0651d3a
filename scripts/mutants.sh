#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Makes one fault at a time in the guard and the reservation, and fails if the tests do not notice one.
# `scripts/mutants.sh -file policy/decide.go` looks at one file. Takes some ten minutes on two cores; the tests write to
# memory where there is a /dev/shm.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -buildvcs=false"
if [ -z "${TMPDIR:-}" ] && [ -d /dev/shm ] && [ -w /dev/shm ]; then
	export TMPDIR=/dev/shm
fi
exec go run ./internal/mutants "$@"
