#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Build the root file system of the test guest: Debian 12 with the packages
# below in one raw ext4 image.  It is built once and kept in the cache
# directory, under a name that changes with this file.  Prints the image's
# path; progress goes to stderr.
set -euo pipefail

PACKAGES="rdma-core ibverbs-providers ibverbs-utils rdmacm-utils perftest
	ndctl xfsprogs e2fsprogs fio liburing2 iproute2 util-linux procps kmod
	strace python3-pyverbs jq mount bash coreutils findutils grep sed gawk
	libcap2-bin attr lsof trace-cmd nfs-kernel-server qperf stress-ng libpmem1"

cache=${LAYOUT_LEASE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/layout-lease}
name=rootfs-$(sha256sum <"$0" | cut -c1-16).ext4
image=$cache/$name

say() { echo "rootfs: $*" >&2; }
die() { say "$*"; exit 1; }

if [ -s "$image" ]; then
	echo "$image"
	exit 0
fi

[ "$(id -u)" = 0 ] || die "building the guest needs root (it unpacks a Debian system)"
for tool in mmdebstrap mke2fs flock; do
	command -v "$tool" >/dev/null || die "$tool is missing; 'make deps' installs it"
done

mkdir -p "$cache"
exec 9>"$cache/rootfs.lock"
flock 9
if [ -s "$image" ]; then		# somebody else built it meanwhile
	echo "$image"
	exit 0
fi

tmp=$(mktemp -d "$cache/rootfs.XXXXXX")
trap 'rm -rf --one-file-system "$tmp"' EXIT
chmod 755 "$tmp"

# The guest is made from what this machine's apt already uses, so mirrors and
# proxies need no configuration of their own.
# shellcheck disable=SC2016 # the format is expanded by apt-get
apt-get indextargets --format \
	'$(ORIGIN)|$(RELEASE)|deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
	'Created-By: Packages' |
	awk -F'|' '$1 == "Debian" && $2 ~ /^bookworm(-updates|-security)?$/ { print $3 }' |
	sort -u >"$tmp/sources"
[ -s "$tmp/sources" ] ||
	die "apt has no package lists of Debian 12 (bookworm): run 'apt-get update'"
apt-config dump Acquire |
	grep -E '^Acquire::(http|https|Retries|Check-)[^ ]* "[^"]+";' >"$tmp/aptopt" ||
	echo 'Acquire::Retries "2";' >"$tmp/aptopt"

say "building $name (a few minutes, once)"
if ! mmdebstrap --variant=essential --mode=root --format=directory \
	--aptopt="$tmp/aptopt" --include="$(echo "$PACKAGES" | xargs | tr ' ' ,)" \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-include=/usr/share/doc/rdma-core*' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	bookworm "$tmp/guest" - <"$tmp/sources" >"$tmp/log" 2>&1; then
	tail -n 20 "$tmp/log" >&2
	die "mmdebstrap failed (see above): is the mirror reachable, is the disk full?"
fi

# All that the image knows of the rig: where to find the real init.
mkdir -p "$tmp/guest"/{rig,host,mnt/xfs,mnt/ext4}
cat >"$tmp/guest/sbin/rig" <<'STUB'
#!/bin/sh
mount -t proc none /proc
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 rig /rig
exec /bin/bash /rig/init.sh
STUB
chmod 755 "$tmp/guest/sbin/rig"
echo layout-lease >"$tmp/guest/etc/hostname"

size=$(($(du -sm "$tmp/guest" | cut -f1) * 5 / 4 + 512))
mke2fs -q -t ext4 -L rig -m 0 -O ^has_journal -d "$tmp/guest" "$tmp/image" "${size}M" >&2
mv "$tmp/image" "$image"
say "built $image ($(du -m "$image" | cut -f1) MB)"
find "$cache" -maxdepth 1 -name 'rootfs-*.ext4' ! -name "$name" -mtime +7 -delete
echo "$image"
