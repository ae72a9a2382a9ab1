#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Install the Debian packages that building and testing need; only what is
# missing, and nothing at all where everything is there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

packages="git make gcc libc6-dev flex bison bc perl python3 rsync cpio xz-utils zstd
	libelf-dev libssl-dev ccache kmod sparse shellcheck python3-ply python3-git
	python3-sphinx python3-yaml man-db groff mandoc gnuplot-nox
	qemu-system-x86 mmdebstrap e2fsprogs util-linux procps file
	libibverbs-dev librdmacm-dev liburing-dev libcap-dev linux-libc-dev"
[ -n "${KERNEL:-}" ] || packages+=" linux-source-6.12"

# shellcheck disable=SC1091
. /etc/os-release
[ "${ID:-} ${VERSION_ID:-}" = "debian 12" ] ||
	die "this is ${PRETTY_NAME:-an unknown system}; building and testing are set up for Debian 12 (bookworm) only"

missing=()
for package in $packages; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=none
	[ "$state" = installed ] || missing+=("$package")
done

# The guest is built from the same package lists, so they must be there too.
# shellcheck disable=SC2016 # apt-get expands the format
lists=$(apt-get indextargets --format '$(ORIGIN)' 'Created-By: Packages' 2>/dev/null |
	grep -cx Debian) || lists=0
[ ${#missing[@]} -gt 0 ] || [ "$lists" = 0 ] || exit 0

[ "$(id -u)" = 0 ] ||
	die "run as root once (sudo make deps), to install: ${missing[*]:-the package lists}"

export DEBIAN_FRONTEND=noninteractive
say "installing: ${missing[*]:-package lists}"
log=$build/deps.log
mkdir -p "$build"
apt-get update >"$log" 2>&1 || {
	tail -n 5 "$log" >&2
	die "'apt-get update' failed (above): is there a network, is the mirror reachable?"
}
# apt-get update only warns when a mirror cannot be reached.
if grep -qE '^(W: Failed to fetch|Err:)' "$log"; then
	grep -E '^(W: Failed to fetch|Err:)' "$log" | head -n 5 >&2
	say "some package lists could not be fetched (above); trying with what there is"
fi
for package in "${missing[@]}"; do
	apt-cache show "$package" >/dev/null 2>&1 ||
		die "apt knows no package $package: are the Debian 12 'main' and 'updates' sources enabled, is there a network?"
done
[ ${#missing[@]} = 0 ] ||
	apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || {
	tail -n 8 "$log" >&2
	die "'apt-get install' failed (above; all of it in $log)"
}
