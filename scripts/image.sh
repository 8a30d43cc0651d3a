#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Builds the container image from the Dockerfile without a container engine and without a registry: the first stage is
# replaced by a folder with what that stage makes. Then runs `agentd version` in it as its own user with a read-only root.
# Needs root and buildah.
set -euo pipefail

cd "$(dirname "$0")/.."
work=$(mktemp -d)
container=
store=("--storage-driver" vfs "--root" "$work/store" "--runroot" "$work/run")

cleanup() {
	if [ -n "$container" ]; then
		buildah "${store[@]}" umount "$container" >/dev/null 2>&1 || true
	fi
	rm -rf "$work"
}
trap cleanup EXIT

out=$work/build/out
mkdir -p "$out/etc/ssl/certs" "$out/usr/bin" "$out/var/lib/agentd"
cp /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/"
scripts/build.sh "$out/usr/bin/agentd"

build() {
	buildah "${store[@]}" bud --isolation chroot --format docker --timestamp 0 \
		--build-arg TARGETOS=linux --build-arg "TARGETARCH=$(go env GOARCH)" \
		--build-context "build=$work/build" --quiet --tag "$1" . >/dev/null
}
inspect() { buildah "${store[@]}" inspect --type image --format "$2" "$1"; }

# The layers must be the same twice; the image's id is not, for this format records a container's name.
build agentd:test
build agentd:again
first=$(inspect agentd:test '{{.OCIv1.RootFS.DiffIDs}}')
second=$(inspect agentd:again '{{.OCIv1.RootFS.DiffIDs}}')
if [ "$first" != "$second" ]; then
	echo "image: two builds of the same files differ: $first $second" >&2
	exit 1
fi

user=$(inspect agentd:test '{{.Docker.Config.User}}')
health=$(inspect agentd:test '{{.Docker.Config.Healthcheck}}')
case "$user" in
"" | 0 | 0:* | root*)
	echo "image: runs as root (user '$user')" >&2
	exit 1
	;;
esac
case "$health" in
*healthcheck*) ;;
*)
	echo "image: no HEALTHCHECK ('$health')" >&2
	exit 1
	;;
esac

container=$(buildah "${store[@]}" from --pull-never agentd:test)
root=$(buildah "${store[@]}" mount "$container")
# A mount namespace of our own: the read-only view disappears with the process.
# shellcheck disable=SC2016 # the inner shell expands
unshare --mount --propagation private bash -euc '
	root=$1 user=$2
	mount --bind "$root" "$root"
	mount -o remount,bind,ro,nosuid,nodev "$root"
	if chroot --userspec="$user" "$root" /usr/bin/agentd version >"$3/version"; then
		cat "$3/version"
	else
		echo "image: agentd version failed" >&2
		exit 1
	fi
	if (: >"$root/var/lib/agentd/probe") 2>/dev/null; then
		echo "image: the root is writable" >&2
		exit 1
	fi
' image "$root" "$user" "$work"
owner=$(stat -c %u:%g "$root/var/lib/agentd")
if [ "$owner" != "$user" ]; then
	echo "image: the state folder belongs to $owner, not to $user" >&2
	exit 1
fi
test -s "$root/etc/ssl/certs/ca-certificates.crt"
echo "image: runs as $user, root read-only, layers $first, $(du -sh --apparent-size "$root" | cut -f1)"
