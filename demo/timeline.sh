# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # used by those who source this
#
# Shared by the guest's scripts (sourced, not run): a timeline in milliseconds,
# and the two ends of ib_write_bw, perftest's RDMA WRITE bandwidth test.

file=$XFS/demo
mib=64

# Milliseconds since boot, as CLOCK_MONOTONIC has them, without a process.
now() {
	local up
	read -r up _ </proc/uptime
	ms=${up/./}0
}

now
start=$ms

# at MS TEXT...: a line of the timeline.
at() {
	printf '%+8d ms  %s\n' $(($1 - start)) "${*:2}"
}

step() {
	now
	at "$ms" "$@"
}

wrong() {
	step "WRONG: $*"
	exit 1
}

quote() { sed 's/^/             | /'; }

# The index of the RoCE v2 address among the port's.
gid_index() {
	local ports=/sys/class/infiniband/$RDMA_DEV/ports/1 want i
	# shellcheck disable=SC2046,SC2183 # four numbers
	want=$(printf '0000:0000:0000:0000:0000:ffff:%02x%02x:%02x%02x' $(tr . ' ' <<<"$RDMA_IP"))
	for i in "$ports"/gids/*; do
		i=${i##*/}
		[ "$(cat "$ports/gids/$i" 2>/dev/null)" = "$want" ] &&
			[ "$(cat "$ports/gid_attrs/types/$i")" = "RoCE v2" ] &&
			echo "$i" && return
	done
	return 1
}

gid=$(gid_index) || wrong "no RoCE v2 address $RDMA_IP on $RDMA_DEV"
bw=(ib_write_bw -d "$RDMA_DEV" -x "$gid")

make_file() {
	rm -f "$file"
	dd if=/dev/zero of="$file" bs=1M count=$mib status=none
}

# listening PORT PID: waits until that server does.
listening() {
	local hex
	hex=$(printf %04X "$1")
	now
	local end=$((ms + 20000))
	until grep -q ":$hex .* 0A " /proc/net/tcp /proc/net/tcp6; do
		kill -0 "$2" 2>/dev/null || wrong "the server is gone: $(cat /tmp/server)"
		now
		[ "$ms" -lt $end ] || wrong "the server does not listen: $(cat /tmp/server)"
	done
}

# The result line of ib_write_bw: bytes, iterations, peak, average, rate.
bandwidth() {
	awk '$1 == 65536 && NF >= 4 { rate = $4 } END { if (!rate) exit 1; print rate }' \
		"$1"
}
