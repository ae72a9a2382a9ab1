#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In each of two guests, as the command 'peer': how their scripts wait for each
# other and tell each other things.
#
#   peer tell NAME [TEXT]...     leave a note for the other guest
#   peer wait NAME [SECONDS]     wait for such a note of the other guest; print its text
#   peer meet NAME [SECONDS]     both of it: returns when both guests have come here
#
# Notes are files in a directory of the host, mounted at /peer: they need no
# network, and a note that was left stays.  A wait fails after SECONDS (120 if it
# is not said), and at once when the other guest has ended without such a note.
set -euo pipefail

die() { echo "peer: $*" >&2; exit 1; }

[ $# -ge 2 ] || { sed -n 's/^#   //p' "$0" >&2; exit 2; }
what=$1 name=$2
shift 2
[[ $name =~ ^[A-Za-z0-9_.-]+$ ]] || die "not a name: '$name'"
case $ROLE in
server) other=client ;;
client) other=server ;;
*) die "ROLE is '$ROLE'" ;;
esac

# Whole at once: the other guest must not read half a note.
tell() {
	printf '%s\n' "$*" >"/peer/new.$ROLE"
	mv "/peer/new.$ROLE" "/peer/note.$ROLE.$name"
}

# Without a process in the loop: the other guest has the use of the processors.
wait_for() {
	local note=/peer/note.$other.$name seconds=${1:-120} end ended
	end=$((SECONDS + seconds))
	exec {never}<> <(:)
	while :; do
		# in this order: it may have left the note just before it ended
		ended=
		[ ! -e "/peer/ended.$other" ] || read -r ended <"/peer/ended.$other"
		[ ! -e "$note" ] || { cat "$note"; return; }
		[ -z "$ended" ] || die "the $other ended (status $ended) before '$name'"
		((SECONDS < end)) || die "the $other did not say '$name' within $seconds s"
		read -r -t 0.1 -u "$never" || :
	done
}

case $what in
tell) tell "$@" ;;
wait) wait_for "$@" ;;
meet)
	tell
	wait_for "$@" >/dev/null
	;;
*) die "tell, wait or meet, not '$what'" ;;
esac
