#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# First process of the test guest: sets up persistent memory, file systems and
# soft-RoCE, checks that they are what the tests need, runs the script (or a
# shell), reports its status to vm.sh and powers off.
set -uo pipefail

export PATH=/rig/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LC_ALL=C.UTF-8
export XFS=/mnt/xfs EXT4=/mnt/ext4 RDMA_DEV=rxe0 RDMA_IP=192.0.2.1
export SPARE=namespace2.0	# to be taken away by tests
# shellcheck disable=SC1091 # written by vm.sh: MODE, ROLE, TIMEOUT, SHARED, ...
. /rig/env
# The interface that carries RDMA; it leads nowhere, or to the other guest.
link=dummy0
if [ -n "$ROLE" ]; then
	link=eth0
	export ROLE PEER_IP=192.0.2.2
	[ "$ROLE" = server ] || { RDMA_IP=192.0.2.2 PEER_IP=192.0.2.1; }
fi

# Nothing of the guest outlives it, so there is nothing to sync (which could hang).
off() {
	echo o >/proc/sysrq-trigger
	sleep 60
	echo b >/proc/sysrq-trigger	# no ACPI power-off: a reset ends QEMU as well
	sleep 60
}

fail() {
	echo "guest setup failed: $*" >/dev/kmsg
	[ ! -e "${status:-}" ] || echo "setup $*" >"$status"
	off
}

try() {
	local text
	text=$("$@" 2>&1) || fail "'$*': $text"
}

mounts() {
	try mount -t sysfs none /sys
	mkdir -p /dev/pts /dev/shm /dev/mqueue
	try mount -t devpts -o ptmxmode=666 devpts /dev/pts
	try mount -t mqueue none /dev/mqueue
	local dir
	for dir in /dev/shm /run /tmp /var/tmp; do
		try mount -t tmpfs -o mode=1777 tmpfs "$dir"
	done
	try mount -t debugfs none /sys/kernel/debug
	try mount -t tracefs none /sys/kernel/tracing
	try mount -t cgroup2 none /sys/fs/cgroup
	[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
	[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin
	[ -e /dev/stdout ] || ln -s /proc/self/fd/1 /dev/stdout
	[ -e /dev/stderr ] || ln -s /proc/self/fd/2 /dev/stderr
	if [ "$SHARED" = 1 ]; then
		try mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 \
			host /host
	fi
	# Not cached: the other guest writes there.
	if [ -n "$ROLE" ]; then
		mkdir -p /peer
		try mount -t 9p -o trans=virtio,version=9p2000.L,cache=none notes /peer
	fi
}

# Channels to vm.sh, found by the names it gave them.
port() {
	local dir
	for dir in /sys/class/virtio-ports/*; do
		[ "$(cat "$dir/name")" = "$1" ] || continue
		echo "/dev/${dir##*/}"
		return
	done
	return 1
}

pmem() {
	local n
	for n in 0 1; do
		[ "$KEPT" = 1 ] || try ndctl create-namespace -f -e "namespace$n.0" -m fsdax -M mem
		[ -b "/dev/pmem$n" ] || fail "/dev/pmem$n did not appear"
	done
	[ "$KEPT" = 0 ] || return 0
	# Stripes of 2 MiB, so that files can have huge DAX entries.
	try mkfs.xfs -q -f -m reflink=1 -d su=2m,sw=1 /dev/pmem0
	try mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512 /dev/pmem1
}

# A mount without DAX succeeds as well: only /proc/mounts tells.
dax_mount() {
	local type=$1 dev=$2 dir=$3 have want
	try mount -t "$type" -o "$options" "$dev" "$dir"
	have=$(awk -v d="$dir" '$2 == d { print $4 }' /proc/mounts)
	for want in ${options//,/ }; do
		case ",$have," in
		*",$want,"*) ;;
		*) fail "$dir is mounted without $want: $have" ;;
		esac
	done
	chmod 777 "$dir"
}

network() {
	try ip link set lo up
	[ -e "/sys/class/net/$link" ] || [ "$link" = eth0 ] || try ip link add "$link" type dummy
	# Room for RDMA packets of 4096 bytes: there are fewer of them.
	[ "$link" = dummy0 ] || try ip link set "$link" mtu 4200
	try ip addr add "$RDMA_IP/24" dev "$link"
	try ip link set "$link" up
	try rdma link add "$RDMA_DEV" type rxe netdev "$link"
	[ -c /dev/infiniband/uverbs0 ] || fail "/dev/infiniband/uverbs0 did not appear"
	[ -c /dev/infiniband/rdma_cm ] || fail "/dev/infiniband/rdma_cm did not appear"
}

# Just before vm.sh gives up on us, say who is stuck where.
watchdog() {
	((TIMEOUT > 20)) || return 0
	(
		sleep $((TIMEOUT - 15))
		echo "rig: the script is about to time out; blocked tasks:" >/dev/kmsg
		echo w >/proc/sysrq-trigger
	) &
}

mounts
status=$(port rig.status) || fail "no status channel"
out=$(port rig.out) || fail "no output channel"
watchdog

options=dax=always
# Not grep -q: it leaves early, and pipefail would see zcat die of SIGPIPE.
if zcat /proc/config.gz | grep -x CONFIG_LAYOUT_LEASE=y >/dev/null; then
	options=$options,layout_lease=break
fi
hostname layout-lease
pmem
dax_mount xfs /dev/pmem0 "$XFS"
dax_mount ext4 /dev/pmem1 "$EXT4"
network
[ -z "$ROLE" ] || try peer meet rig.ready
try prlimit --pid $$ --memlock=unlimited:unlimited
read -r up _ </proc/uptime
echo "rig: ready after ${up}s, $options" >/dev/kmsg

cd /root || fail "no /root"
if [ "$MODE" = shell ]; then
	export TERM
	stty rows "$ROWS" cols "$COLUMNS" 2>/dev/null <>/dev/ttyS0
	printf '\nXFS=%s EXT4=%s RDMA_DEV=%s RDMA_IP=%s; /host is shared; ^D ends.\n' \
		"$XFS" "$EXT4" "$RDMA_DEV" "$RDMA_IP" >/dev/ttyS0
	setsid -cw bash -i <>/dev/ttyS0 >&0 2>&0
else
	# shellcheck disable=SC2016 # the inner shell expands it
	setsid -w /bin/bash -c 'exec "$0"' /rig/script </dev/null >"$out" 2>&1
fi
rc=$?
echo "rig: script ended with status $rc" >/dev/kmsg
echo "exit $rc" >"$status"
off
