#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In two guests: the client writes by RDMA into a leased file on the server while
# that file is truncated there. The client learns of it by what RDMA has for that, a
# completion or the end of a program, and nothing else; the blocks that were freed
# never change again, though it keeps trying.
#
# Called by 'make vm2 RUN=demo/two-machines.sh'. A line that begins with "ok" is a
# step that was judged. On a kernel without layout leases it shows that the file is
# refused there, and that everything else works.
# shellcheck source=timeline.sh
. /host/timeline.sh

PATH=/host:$PATH
mib=8
steps=0

ok() {
	steps=$((steps + 1))
	step "ok  $*"
}

# A process in the background that talks in lines. start COMMAND...
start() {
	coproc TALK { "$@"; }
	talk=$TALK_PID
	# not those of the shell's own, which it closes when the process ends
	exec {from}<&"${TALK[0]}" {to}>&"${TALK[1]}"
	local end=${TALK[1]}
	exec {end}>&-
}

# hear WHAT: its next line, in $line
hear() {
	line=
	read -r -t 60 line <&"$from" || wrong "$1: nothing"
}

say() { echo "$*" >&"$to"; }

# It reads the end of its input, and ends. finish WHAT
finish() {
	exec {to}>&-
	hear "$1"
	exec {from}<&-
	wait "$talk" || wrong "$1: status $?"
}

# A connection of the connection manager that has nothing to do with the file.
server_ping() {
	rping -s -a "$RDMA_IP" >/tmp/rping 2>&1 &
	rping=$!
	listening 7174 $rping
}

client_ping() {
	stdbuf -oL rping -c -a "$PEER_IP" -v -C 1000000 >/tmp/rping 2>&1 &
	rping=$!
	until [ "$(pings)" -gt 3 ]; do
		kill -0 $rping 2>/dev/null || wrong "rping: $(cat /tmp/rping)"
		sleep 0.1
	done
}

pings() { grep -c 'ping data' /tmp/rping; }

# more_than PINGS: it has gone on
more_than() {
	[ "$(pings)" -gt "$1" ] || wrong "rping does not go on: $(tail -n 3 /tmp/rping)"
	ok "$fs: rping on another connection goes on during the break"
}

# As for any process that is killed: the kernel says goodbye for it.
client_ping_killed() {
	kill -KILL "$rping" || wrong "rping ended: $(tail -n 3 /tmp/rping)"
	wait "$rping" 2>/dev/null
	peer tell "$fs.killed"
}

server_ping_killed() {
	local end
	peer wait "$fs.killed" >/dev/null || wrong "rping was not killed"
	now
	end=$((ms + 30000))
	until grep -q 'DISCONNECT EVENT' /tmp/rping; do
		now
		[ "$ms" -lt $end ] || wrong "rping was not told: $(cat /tmp/rping)"
		sleep 0.1
	done
	ok "$fs: rping gets a disconnect event when its peer is killed"
	kill "$rping" 2>/dev/null
	wait "$rping" 2>/dev/null
}

remount() { mount -o "remount,layout_lease=$1" "$root" || wrong "remount to $1"; }

# The file, with all other space taken; its first block is $block.
new_file() {
	make_file
	block=$(block_watch where "$file")
	take_space
}

# broken CASE: the file is truncated
broken() {
	peer tell "$1.breaking"
	step "\$ truncate -s 0 $file"
	now
	local begun=$ms
	truncate -s 0 "$file" || wrong "truncate failed"
	now
	step "truncate: status 0 after $((ms - begun)) ms"
	peer tell "$1.broken"
}

# verbs NAME HOLDER STATUS: one of the holders of remote_file(1); what the other
# machine gets is STATUS.
server_verbs() {
	local name=$fs-$1
	new_file
	[ "$1" != deaf ] || server_ping
	[ "$2" != unasked ] || remount deny
	start remote_file serve "$2" "$file"
	hear "remote_file serve"
	peer tell "$name.address" "$line"
	say "$(peer wait "$name.qpn")"
	hear "connecting"
	peer tell "$name.ready"
	peer wait "$name.flows" >/dev/null || wrong "no traffic"
	case $1 in
	spared)
		step "\$ mount -o remount,layout_lease=break $root"
		remount break
		;;
	lever)
		step "\$ layout-lease revoke --file $file"
		layout-lease revoke --file "$file" >/tmp/revoke || wrong "revoke failed"
		;;
	esac
	broken "$name"
	watch "$block" 2000
	ok "$name: the freed blocks keep what their new owner wrote"
	peer tell "$name.watched"
	say "judge"
	finish "$name"
	ok "$name: $line"
	[ "$1" != deaf ] || server_ping_killed
	remount break
	rm "$root/new"
}

client_verbs() {
	local name=$fs-$1 address count
	address=$(peer wait "$name.address") || wrong "$name: no address"
	[ "$1" != deaf ] || client_ping
	start remote_file write
	hear "remote_file write"
	peer tell "$name.qpn" "$line"
	peer wait "$name.ready" >/dev/null || wrong "$name: not connected"
	say "$address"
	hear "$name: writing"
	step "$name: RDMA WRITEs flow"
	peer tell "$name.flows"
	peer wait "$name.breaking" >/dev/null || wrong "$name: no break"
	[ "$1" != deaf ] || count=$(pings)
	peer wait "$name.broken" >/dev/null || wrong "$name: no end of the break"
	[ "$1" != deaf ] || more_than "$count"
	hear "$name: a completion with an error"
	[ "${line% *}" = "$3" ] || wrong "$name: ${line% *} instead of $3"
	[ "${line##* }" -lt 20000 ] || wrong "$name: it took ${line##* } ms"
	ok "$name: ${line% *} (after ${line##* } ms)"
	peer wait "$name.watched" >/dev/null || wrong "$name: not watched"
	finish "$name"
	ok "$name: in vain it keeps trying ($line times)"
	[ "$1" != deaf ] || client_ping_killed
}

# perftest NAME PORT OPTION...: an unmodified program under "layout-lease run"
server_perftest() {
	local name=$fs-$1 port=$2 server status
	new_file
	step "\$ layout-lease run --file $file -- ib_write_bw ${*:3} --mmap=$file"
	{
		layout-lease run --file "$file" -- "${bw[@]}" "${@:3}" -p "$port" --mmap="$file"
		echo $? >/tmp/status
	} >/tmp/server 2>&1 &
	server=$!
	listening "$port" $server
	peer tell "$name.ready"
	peer wait "$name.flows" >/dev/null || wrong "$name: no traffic"
	broken "$name"
	wait $server
	status=$(cat /tmp/status)
	[ "$status" = 137 ] || wrong "$name: the holder ended with status $status: $(cat /tmp/server)"
	ok "$name: the holder, ib_write_bw, was killed by SIGKILL"
	watch "$block" 1000
	ok "$name: the freed blocks keep what their new owner wrote"
	rm "$root/new"
}

sent_packets() { cat "/sys/class/infiniband/$RDMA_DEV/ports/1/hw_counters/sent_pkts"; }

client_perftest() {
	local name=$fs-$1 client status begun sent
	peer wait "$name.ready" >/dev/null || wrong "$name: no server"
	sent=$(sent_packets)
	timeout 60 "${bw[@]}" "${@:3}" -p "$2" "$PEER_IP" >/tmp/client 2>&1 &
	client=$!
	until [ "$(sent_packets)" -gt $((sent + 500)) ]; do
		kill -0 $client 2>/dev/null || wrong "$name: no traffic: $(cat /tmp/client)"
		sleep 0.1
	done
	step "$name: ib_write_bw writes"
	peer tell "$name.flows"
	peer wait "$name.broken" >/dev/null || wrong "$name: not truncated"
	now
	begun=$ms
	wait $client
	status=$?
	now
	grep -iE 'complet|error|fail|could|unable' /tmp/client | quote
	[ $status != 0 ] || wrong "$name: ib_write_bw ended well"
	[ $status != 124 ] || wrong "$name: ib_write_bw went on: $(cat /tmp/client)"
	[ $((ms - begun)) -lt 40000 ] || wrong "$name: it took $((ms - begun)) ms"
	ok "$name: ib_write_bw fails (status $status, $((ms - begun)) ms after the truncate)"
}

verbs() {
	case $ROLE in
	server) server_verbs "$@" ;;
	client) client_verbs "$@" ;;
	esac
}

perftest() {
	case $ROLE in
	server) server_perftest "$@" ;;
	client) client_perftest "$@" ;;
	esac
}

each() {
	step "$root, $(grep -o 'layout_lease=[a-z]*' /proc/mounts | head -n 1)," \
		"fs.lease-break-time $break_time s"
	verbs aware aware IBV_WC_REM_ACCESS_ERR
	verbs deaf deaf IBV_WC_RETRY_EXC_ERR
	verbs gone gone IBV_WC_RETRY_EXC_ERR
	verbs spared unasked IBV_WC_RETRY_EXC_ERR
	verbs lever unasked IBV_WC_RETRY_EXC_ERR
	perftest perftest-cm 18801 -R --retry_count=6 -D 1 --run_infinitely
	# Here retry_cnt is 7, which soft-RoCE takes as "for ever"; but when its 20
	# seconds are over it has something to tell its peer, over TCP. Once is enough.
	[ "$fs" != xfs ] || perftest perftest 18802 -u 18 -D 20
}

# Without layout leases. plain NAME PORT SERVER-OPTION...: ib_write_bw once, between
# the machines; in $status how it has ended
plain() {
	case $ROLE in
	server)
		timeout 60 "${bw[@]}" -D 1 -p "$2" "${@:3}" >/tmp/out 2>&1 &
		listening "$2" $!
		peer tell "$1"
		;;
	client)
		peer wait "$1" >/dev/null || wrong "$1: no server"
		timeout 60 "${bw[@]}" -D 1 -p "$2" "$PEER_IP" >/tmp/out 2>&1 &
		;;
	esac
	wait $!
	status=$?
	[ $status != 124 ] || wrong "$1: it did not end: $(cat /tmp/out)"
}

without() {
	case $ROLE in
	server)
		rping -s -a "$RDMA_IP" -C 10 >/tmp/out 2>&1 &
		listening 7174 $!
		peer tell rping
		;;
	client)
		peer wait rping >/dev/null || wrong "no rping there"
		rping -c -a "$PEER_IP" -C 10 >/tmp/out 2>&1 &
		;;
	esac
	wait $! || wrong "rping failed: $(cat /tmp/out)"
	ok "rping works"
	plain anonymous 18801
	[ $status = 0 ] || wrong "ib_write_bw failed: $(cat /tmp/out)"
	ok "ib_write_bw into anonymous memory works"
	for root in "$XFS" "$EXT4"; do
		fs=${root##*/} file=$root/demo
		[ "$ROLE" = client ] || make_file
		plain "$fs" 18802 --mmap="$file"
		grep ' MR$' /tmp/out | quote
		[ $status != 0 ] || wrong "$fs: ib_write_bw into a file was not refused"
		ok "$fs: ib_write_bw into a file is refused (status $status)"
	done
}

if grep -q layout_lease=break /proc/mounts; then
	break_time=2
	echo $break_time >/proc/sys/fs/lease-break-time
	for root in "$XFS" "$EXT4"; do
		fs=${root##*/} file=$root/demo
		each
	done
else
	without
fi
peer meet end || wrong "the other machine failed"
step "$steps steps as announced"
exit 0
