#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# The same purchases by one daemon, by a loop on the official Python SDK and by the official CLI, side by side on one local
# Market, and what it takes: CPU, wall time, durable commits, fsyncs (with strace, where it is installed), purchases per second.
# Needs Go and Python 3.11 with venv. Takes about five minutes, and two more the first time. Arguments: a folder for the
# Python environment, which is kept there (- for a temporary one), and flags of `agentd-sandbox bench compare`.
set -euo pipefail

cd "$(dirname "$0")/.."
python=${PYTHON:-python3.11}
requirements=scripts/peers/requirements.txt

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

environment=${1:--}
[ $# -eq 0 ] || shift
[ "$environment" != - ] || environment=$scratch/venv

# The environment is made anew unless it has these very requirements.
if ! cmp -s "$requirements" "$environment/requirements.txt"; then
	rm -rf "$environment"
	"$python" -m venv "$environment"
	"$environment/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
	cp "$requirements" "$environment/requirements.txt"
fi

scripts/build.sh "$scratch/agentd"
CGO_ENABLED=0 go build -o "$scratch/agentd-sandbox" ./cmd/agentd-sandbox
"$scratch/agentd-sandbox" bench compare --agentd "$scratch/agentd" --python "$environment/bin/python" --cli "$environment/bin/peaqos" "$@"
