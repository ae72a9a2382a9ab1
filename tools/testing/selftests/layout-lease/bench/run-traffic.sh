#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run-traffic.sh ROUNDS: runs in the guest.  perftest between two queue pairs of
# the device: the end that the data goes to has anonymous memory, or a leased
# file.  Both take turns, so that what changes meanwhile changes for both; the
# rows are medians.
set -euo pipefail

rounds=$1
file=$XFS/traffic
port=18800

fail() { echo "run-traffic: $*" >&2; exit 1; }

gid() {
	ibv_devinfo -v -d "$RDMA_DEV" |
		sed -n "s/.*GID\[ *\([0-9]*\)\].*:ffff:$RDMA_IP, RoCE v2.*/\1/p"
}

# once TEST KIND: what it says, a number
once() {
	local test=$1 kind=$2 server client pid hex
	local args=("$test" -d "$RDMA_DEV" -x "$index" -p $((++port)))
	case $test in
	*_bw) args+=(-s 65536 -D "$seconds") ;;
	*_lat) args+=(-s 64 -D "$seconds") ;;
	esac
	server=("${args[@]}") client=("${args[@]}" "$RDMA_IP")
	# Data goes to the server, or in a read to the client.
	case $kind.$test in
	leased.ib_read*) client=("${lease[@]}" "${args[@]}" "--mmap=$file" "$RDMA_IP") ;;
	leased.*) server=("${lease[@]}" "${args[@]}" "--mmap=$file") ;;
	esac
	timeout 60 "${server[@]}" >/tmp/server 2>&1 &
	pid=$!
	hex=$(printf %04X $port)
	until grep -q ":$hex .* 0A " /proc/net/tcp /proc/net/tcp6; do
		kill -0 $pid 2>/dev/null || fail "$test: no server: $(cat /tmp/server)"
		sleep 0.1
	done
	if ! timeout 60 "${client[@]}" >/tmp/client 2>&1 || ! wait $pid; then
		if [ "$kind" = anon ] || [ ${#lease[@]} -gt 0 ] ||
			! grep -hqi "couldn't \(allocate\|create\) MR" /tmp/server /tmp/client; then
			fail "$test: $(cat /tmp/server /tmp/client)"
		fi
		echo EOPNOTSUPP
		return
	fi
	# bytes, iterations, peak, average; with -D latency: bytes, iterations, average
	awk -v column="$([ "$test" = ib_write_lat ] && echo 3 || echo 4)" \
		'$1 ~ /^(65536|64)$/ && NF >= 3 { value = $column }
		END { if (!value) exit 1; print value }' /tmp/client ||
		fail "$test: $(cat /tmp/client)"
}

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

index=$(gid)
[ -n "$index" ] || fail "no RoCE v2 address $RDMA_IP on $RDMA_DEV"
seconds=${SECONDS_EACH:-2}
lease=()
[ ! -e /proc/layout_leases ] || lease=(layout-lease run --file "$file" --)
dd if=/dev/zero of="$file" bs=1M count=64 status=none

for test in ib_write_bw ib_read_bw ib_write_lat; do
	rm -f /tmp/anon /tmp/leased
	for ((i = 0; i < rounds; i++)); do
		for kind in anon leased; do
			value=$(once $test $kind)
			echo "$value" >>/tmp/$kind
		done
	done
	for kind in anon leased; do
		printf 'bench\t%s.%s\t%s\n' $test $kind "$(median /tmp/$kind)"
	done
done
