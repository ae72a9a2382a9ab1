#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Two guests of vm.sh on one wire: the same script runs in both, and finds in
# $ROLE whether it is the server or the client, and in $PEER_IP where the other
# is.  Shows the output of both, each line with the role in front.  Ends with 0 if
# both scripts did and no kernel complained, else with the status of the guest
# that failed first; 125 stands for a complaint too, which vm.sh merely shows.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)

usage() {
	cat <<USAGE
usage: pair.sh --kernel BZIMAGE --run SCRIPT [options of vm.sh]
  --log FILE       keep the console logs, as FILE.server and FILE.client
  --grace SEC      what a guest has, once the other one has failed (default 30)
and not --shell, --role, --pair
USAGE
}

die() { echo "pair: $*" >&2; exit 125; }

args=() log='' grace=30
while [ $# -gt 0 ]; do
	case $1 in
	--help|-h) usage; exit 0 ;;
	--shell|--role|--pair) usage >&2; die "$1 is not for two guests" ;;
	--log|--grace)
		[ $# -ge 2 ] || die "$1 needs a value"
		printf -v "${1#--}" %s "$2"
		shift 2 ;;
	*) args+=("$1"); shift ;;
	esac
done
[[ $grace =~ ^[1-9][0-9]*$ ]] || die "--grace wants seconds, not '$grace'"

dir=$(mktemp -d "${TMPDIR:-/tmp}/layout-lease-pair.XXXXXX")
log=${log:-$dir/console.log}
# what the address of a socket has room for
((${#dir} < 100)) || { rmdir "$dir"; die "the name of TMPDIR is too long"; }
mkdir "$dir/notes"
keep=0
declare -A role_of=() status=()
shown=()

# shellcheck disable=SC2317 # called by the trap
cleanup() {
	[ ${#role_of[@]} = 0 ] || kill "${!role_of[@]}" 2>/dev/null || :
	[ ${#role_of[@]} = 0 ] || wait "${!role_of[@]}" 2>/dev/null || :
	[ "$keep" = 1 ] || rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# boot ROLE
boot() {
	local n
	for n in out err; do
		mkfifo "$dir/$1.$n"
	done
	sed -u "s/^/$1: /" <"$dir/$1.out" &
	shown+=($!)
	sed -u "s/^/$1: /" <"$dir/$1.err" >&2 &
	shown+=($!)
	"$here/vm.sh" "${args[@]}" --role "$1" --pair "$dir" --log "$log.$1" \
		>"$dir/$1.out" 2>"$dir/$1.err" </dev/null &
	role_of[$!]=$1
}

# The socket exists before it can be connected to.
listening() {
	awk -v path="$dir/link" '$4 == "00010000" && $8 == path { found = 1 }
		END { exit !found }' /proc/net/unix
}

# ended PID STATUS: so that the other guest's script need not wait for this one
ended() {
	local role=${role_of[$1]}
	status[$role]=$2
	unset "role_of[$1]"
	echo "$2" >"$dir/notes/new"
	mv "$dir/notes/new" "$dir/notes/ended.$role"
	[ "$2" != 0 ] || return 0
	echo "pair: the $role failed (status $2)" >&2
	if [ -z "$first" ]; then
		first=$role
		sleep "$grace" &
		guard=$!
	fi
}

first='' guard=''
boot server
server=$!
until listening; do
	kill -0 "$server" 2>/dev/null || break
	sleep 0.05
done
[ ! -e "/proc/$server" ] || boot client

while [ ${#role_of[@]} -gt 0 ]; do
	rc=0
	# shellcheck disable=SC2086 # no guard: no word
	wait -n -p pid "${!role_of[@]}" $guard || rc=$?
	if [ "$pid" = "$guard" ]; then
		echo "pair: the ${role_of[*]} goes on without it: killed" >&2
		guard=
		kill "${!role_of[@]}"
	else
		ended "$pid" "$rc"
	fi
done
[ -z "$guard" ] || kill "$guard" 2>/dev/null || :
wait "${shown[@]}"

for role in server client; do
	[ "${status[$role]:-}" = 0 ] || continue
	"$here/kernel-warnings.sh" "$log.$role" >/dev/null || {
		echo "pair: the $role's kernel complained" >&2
		first=${first:-$role}
		[ "$first" != "$role" ] || status[$role]=125
	}
done
[ -n "$first" ] || exit 0
[ "$log" != "$dir/console.log" ] || keep=1
exit "${status[$first]}"
