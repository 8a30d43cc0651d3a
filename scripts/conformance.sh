#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Runs the official Python SDK, in both its generations, against agentd-sandbox. Needs Go, Python 3.11 with venv, and the
# conformance programs, which lie beside this repository in ../shared/conformance or where CONFORMANCE_DIR says.
# Argument: a folder for the two Python environments, which are kept there; none means a temporary one.
set -euo pipefail

cd "$(dirname "$0")/.."
programs=$(cd "${CONFORMANCE_DIR:-../shared/conformance}" 2>/dev/null && pwd) || {
	echo "conformance: no programs in ${CONFORMANCE_DIR:-../shared/conformance}; set CONFORMANCE_DIR" >&2
	exit 1
}
python=${PYTHON:-python3.11}

scratch=$(mktemp -d)
server=
# Ends what this script started, and nothing else.
stop_server() {
	[ -n "$server" ] || return 0
	kill -TERM "$server" 2>/dev/null || true
	wait "$server" || true
	server=
}
cleanup() {
	stop_server
	rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
environments=${1:-$scratch/venv}

# environment NAME REQUIREMENTS makes a Python environment, unless it is there with these very requirements. The last part of
# the requirements is for linting the programs, which is not done here.
environment() {
	local folder=$environments/$1 wanted=$scratch/$1.txt
	sed '/^# Only for linting/,$d' "$2" >"$wanted"
	if ! cmp -s "$wanted" "$folder/requirements.txt"; then
		rm -rf "$folder"
		"$python" -m venv "$folder"
		"$folder/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
		cp "$wanted" "$folder/requirements.txt"
	fi
}

info() { "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$scratch/info.json" "$1"; }

# drive NAME PROGRAM SERVER-FLAGS PROGRAM-FLAGS runs one program against a sandbox of its own. A check that is skipped counts as
# failed: this server offers all that the programs look for.
drive() {
	local name=$1 program=$2 server_flags=$3 program_flags=$4 tries=0 status=0
	rm -f "$scratch/info.json"
	# shellcheck disable=SC2086 # flags are words
	"$scratch/agentd-sandbox" serve $server_flags >"$scratch/info.json" &
	server=$!
	until [ -s "$scratch/info.json" ]; do
		tries=$((tries + 1))
		if [ "$tries" -gt 150 ] || ! kill -0 "$server" 2>/dev/null; then
			echo "conformance: the sandbox did not start" >&2
			return 1
		fi
		sleep 0.1
	done
	echo "--- $program against agentd-sandbox serve $server_flags"
	# shellcheck disable=SC2086
	"$environments/$name/bin/python" "$programs/$program" --base-url "$(info baseUrl)" --api-key "$(info apiKey)" \
		--owner-key "$(info ownerKey)" --agent-key "$(info agentKey)" --rpc-url "$(info rpcUrl)" --archive $program_flags \
		>"$scratch/log" || status=$?
	stop_server
	grep -v '^ok ' "$scratch/log" || true
	if [ "$status" -ne 0 ] || grep -q '^skip ' "$scratch/log"; then
		return 1
	fi
}

CGO_ENABLED=0 go build -o "$scratch/agentd-sandbox" ./cmd/agentd-sandbox
environment new "$programs/requirements.txt"
environment old "$programs/requirements-seed.txt"
identity=184467
drive new run.py "--identity $identity" "--identity-ref did:peaq:$identity"
drive new run.py "--identity $identity --strict" "--identity-ref peaqos:machine:$identity"
drive old run_seed.py "--identity $identity" ""
