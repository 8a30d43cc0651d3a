#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Boots a real systemd in a container tree, installs agentd there as docs/how-to/systemd.md says, buys from a sandbox under the
# hardened unit, and tries who may do what, the watchdog, and a broken configuration. Needs root, Debian, debootstrap and
# systemd-container. Argument: a folder for the tree, which is kept there; none means a temporary one.
set -euo pipefail

cd "$(dirname "$0")/.."
work=$(mktemp -d)
child=
mounted=

cleanup() {
	if [ -n "$child" ]; then
		kill -TERM "$child" 2>/dev/null || true
		wait "$child" 2>/dev/null || true
	fi
	[ -z "$mounted" ] || umount "$mounted"
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

base=${1:-$work/base}
if [ ! -e "$base/usr/lib/systemd/systemd" ]; then
	mirror=$(find /etc/apt -name '*.list' -o -name '*.sources' | xargs cat |
		sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' | head -n 1)
	release=$(. /etc/os-release && echo "$VERSION_CODENAME")
	rm -rf --one-file-system "$base"
	mkdir -p "$base"
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus "$release" "$base" "$mirror" >"$work/debootstrap.log" 2>&1 ||
		{ tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
fi
tree=$work/tree
cp -a --reflink=auto "$base" "$tree"

CGO_ENABLED=0 go build -o "$tree/usr/bin/" ./cmd/agentd ./cmd/agentd-sandbox
install -D -m 0644 deploy/systemd/agentd.service "$tree/usr/lib/systemd/system/agentd.service"
install -D -m 0644 deploy/systemd/sysusers.d/agentd.conf "$tree/usr/lib/sysusers.d/agentd.conf"
install -d -m 0755 "$tree/etc/agentd"
install -d -m 0700 "$tree/etc/agentd/credentials"
install -D -m 0644 deploy/systemd/agentd.service.d/more-credentials.conf.example \
	"$tree/etc/systemd/system/agentd.service.d/more-credentials.conf"
cat >"$tree/etc/systemd/system/agentd.service.d/quick.conf" <<'UNIT'
[Service]
WatchdogSec=5s
RestartSec=1s
UNIT
cat >"$tree/etc/systemd/system/sandbox.service" <<'UNIT'
[Service]
ExecStart=/usr/bin/agentd-sandbox serve --listen 127.0.0.1:8480 --rpc-port 8545
UNIT
cat >"$tree/etc/systemd/system/check.service" <<'UNIT'
[Unit]
After=basic.target dbus.service
[Service]
Type=oneshot
ExecStart=/bin/bash /check.sh
StandardOutput=file:/result
StandardError=inherit
UNIT
mkdir -p "$tree/etc/systemd/system/multi-user.target.wants"
ln -s /etc/systemd/system/check.service "$tree/etc/systemd/system/multi-user.target.wants/check.service"

cat >"$tree/check.sh" <<'CHECK'
trap 'systemctl --no-block poweroff' EXIT
failed=0
# expect STATUS USER WORDS... runs a command as a user and compares its exit status.
expect() {
	local want=$1 who=$2 got=0
	shift 2
	su -s /bin/bash "$who" -c "$*" >/tmp/out 2>&1 || got=$?
	if [ "$got" -eq "$want" ]; then
		echo "ok $who: $* ($got)"
	else
		echo "FAIL $who: $*: exit $got, want $want"
		cat /tmp/out
		failed=1
	fi
}
# same WHAT GOT WANT
same() {
	if [ "$2" = "$3" ]; then echo "ok $1: $2"; else echo "FAIL $1: $2, want $3"; failed=1; fi
}
# await WORDS... waits for a command to succeed, at most 30 s.
await() {
	local n
	for n in $(seq 150); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.2
	done
	echo "FAIL waited in vain: $*"
	failed=1
}
property() { systemctl show agentd --property "$1" --value; }

systemd-sysusers
for user in decider caller stranger; do useradd -m "$user"; done
usermod -aG agentd,agentd-admin decider
usermod -aG agentd caller
systemctl start sandbox
cd /etc/agentd
umask 077
echo sandbox-platform-key >credentials/api-key
printf '1%.0s' $(seq 64) >credentials/owner-key
printf '2%.0s' $(seq 64) >/run/agent-key
await bash -c 'exec 3<>/dev/tcp/127.0.0.1/8480'
agentd init --systemd --dir /etc/agentd --market-url http://127.0.0.1:8480 \
	--api-key-file credentials/api-key --owner-key-file credentials/owner-key --agent-key-file /run/agent-key \
	--identity-ref did:peaq:184467 --rpc http://127.0.0.1:8545 --chain-id eip155:84532 \
	--token USDC:0x036CbD53842c5426634e7929541eC2318f3dCF7e:6:USDC:2 || failed=1
cat >>agentd.yaml <<'YAML'
  - name: location
    search: {service_type: data.location, operation: fix}
    input: {receiver: base-1}
YAML
systemctl start agentd || failed=1
same state "$(property ActiveState)" active
uid=$(stat -c %u /proc/"$(property MainPID)")
same "dynamic user" "$([ "$uid" -ge 61184 ] && [ "$uid" -le 65519 ] && echo yes || echo "uid $uid")" yes
same capabilities "$(sed -n 's/^CapBnd:\t//p' /proc/"$(property MainPID)"/status)" 0000000000000000
same socket "$(stat -c '%a %G' /run/agentd/agentd.sock)" "660 agentd"
same "socket's folder" "$(stat -c '%a %G' /run/agentd)" "750 agentd"
same "state's folder" "$(stat -c %a /var/lib/private/agentd)" 700
await agentd healthcheck --ready

expect 0 caller agentd status
expect 0 caller agentd buy location --wait
expect 0 caller agentd pause
expect 77 caller agentd resume
expect 77 stranger agentd status
expect 0 decider agentd resume
expect 0 root agentd ledger verify

kill -STOP "$(property MainPID)"
await bash -c '[ "$(systemctl show agentd --property NRestarts --value)" -ge 1 ]'
await agentd healthcheck --ready
same "restarts by the watchdog" "$(property NRestarts)" 1
expect 0 root agentd ledger verify

echo 'no such key: 1' >>agentd.yaml
systemctl restart agentd 2>/dev/null
sleep 3
same "status of a wrong configuration" "$(property ExecMainStatus) $(property ActiveState) $(property NRestarts)" "78 failed 0"
[ "$failed" -eq 0 ] || journalctl -u agentd --no-pager -o cat | tail -n 40
echo "done $failed"
CHECK

# nspawn wants a bus of its host, which a container or a CI machine may lack; with these two it does without.
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
mounted=/run/systemd/nspawn
timeout 300 systemd-nspawn -q -D "$tree" --boot --register=no --keep-unit --private-network --console=pipe \
	</dev/null >"$work/console" 2>&1 &
child=$!
wait "$child" || true
child=
cat "$tree/result" || { tail -n 40 "$work/console" >&2; exit 1; }
grep -qx 'done 0' "$tree/result"
