# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # used by those who source this
#
# Shared by the suites of clients (sourced, in the guest): one verdict per test,
# as a line "@@ SUITE/TEST VERDICT REASON" on stdout, after "@@ begin SUITE/TEST".
# A verdict is pass, fail, skip, or refused, where the kernel has no layout leases.
# What a test said is on stdout too, for who wants to know why.

log=/tmp/client.log
server_log=/tmp/client-server.log
gid=$(ibv_devinfo -v -d "$RDMA_DEV" |
	sed -n "s/.*GID\[ *\([0-9]*\)\]:.*:$RDMA_IP, RoCE v2.*/\1/p")

begin() {
	echo "@@ begin $suite/$1"
	echo "rig: begin $suite/$1" >/dev/kmsg
}

verdict() { echo "@@ $suite/$1 ${*:2}"; }

# judge TEST STATUS LIMIT ENDS: of a program whose output is in $log.  Where $says is
# set, status 0 is not enough: each end must say this.
judge() {
	local said
	sed 's/^/  | /' "$log"
	said=$(grep -c -- "${says:-}" "$log") || said=0
	case $2 in
	0)
		if [ -z "${says:-}" ] || [ "$said" = "$4" ]; then
			verdict "$1" pass
		else
			verdict "$1" fail "not all ends say '$says'"
		fi
		;;
	124|137) verdict "$1" fail "no end after $3 s" ;;
	125) verdict "$1" refused ;;
	*) verdict "$1" fail "status $2" ;;
	esac
}

# program TEST SECONDS COMMAND...
program() {
	local rc=0
	begin "$1"
	timeout -k 5 "$2" "${@:3}" >"$log" 2>&1 </dev/null || rc=$?
	judge "$1" "$rc" "$2" 1
}

# listens WHERE: a server does, on this TCP port, or "cm": of the RDMA CM
listens() {
	if [ "$1" = cm ]; then
		rdma resource show cm_id | grep -q 'state LISTEN'
	else
		grep -q ":$(printf %04X "$1") .* 0A " /proc/net/tcp /proc/net/tcp6
	fi
}

# pair TEST SECONDS WHERE SERVER CLIENT: two ends, each a line of words; the server
# is ready when it listens.
pair() {
	local end server rc=0 rc_client=0
	begin "$1"
	# shellcheck disable=SC2086 # words
	timeout -k 5 "$2" $4 >"$server_log" 2>&1 </dev/null &
	server=$!
	end=$((SECONDS + $2))
	until listens "$3" || ! kill -0 "$server" 2>/dev/null || [ $SECONDS -ge $end ]; do
		sleep 0.05
	done
	if kill -0 "$server" 2>/dev/null; then
		# shellcheck disable=SC2086 # words
		timeout -k 5 "$2" $5 >"$log" 2>&1 </dev/null || rc_client=$?
	else
		echo "the server did not start" >"$log"
	fi
	# Where $endless is set, the server is not expected to end by itself.
	[ -z "${endless:-}" ] || kill "$server" 2>/dev/null
	wait "$server" || rc=$?
	[ -z "${endless:-}" ] || [ $rc != 143 ] || rc=0
	sed 's/^/server: /' "$server_log" >>"$log"
	[ $rc = 125 ] || [ $rc_client = 0 ] || rc=$rc_client
	judge "$1" "$rc" "$2" 2
}

# file PATH MIB: a file with blocks
file() {
	rm -f "$1"
	dd if=/dev/zero of="$1" bs=1M count="$2" status=none
}
