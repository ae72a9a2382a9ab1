# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # used by those who source this
#
# Shared by the guest's scripts (sourced, not run): a timeline in milliseconds,
# and the two ends of ib_write_bw, perftest's RDMA WRITE bandwidth test.

root=$XFS
file=$root/demo
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

# What is freed from here on is all that is free on that filesystem.
take_space() {
	block_watch fill "$root/rest" || wrong "the filesystem cannot be filled"
}

# watch BLOCK MILLISECONDS: a new file takes the blocks that were freed, of which
# BLOCK was the first, and is watched for so long. After take_space.
watch() {
	local taken passes
	taken=$(block_watch take "$root/new" "$1" $((mib << 20))) ||
		wrong "the freed blocks are nowhere"
	rm "$root/rest"
	block_watch paint "$root/new" || wrong "the new file cannot be written"
	step "a new file owns the freed blocks ($taken), filled with a pattern"
	passes=$(block_watch hold "$root/new" "$2") || wrong "a freed block changed"
	step "$(($2 / 1000)) s later: $passes"
}

# listening PORT PID: waits until that server does, on TCP or by the connection
# manager of RDMA.
listening() {
	local hex
	hex=$(printf %04X "$1")
	now
	local end=$((ms + 20000))
	until grep -q ":$hex .* 0A " /proc/net/tcp /proc/net/tcp6 ||
	      rdma resource show cm_id | grep -q "state LISTEN .*:$1 "; do
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
