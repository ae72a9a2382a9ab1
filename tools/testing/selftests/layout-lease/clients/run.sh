#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh plain|held SUITE...: runs in the guest, from the directory that has the
# suites and programs.  Held: while other processes hold exclusive layout leases,
# with pins, on other files of both filesystems, which must not mind.
set -uo pipefail

dir=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$dir/lib.sh"
PATH=$dir:$PATH
mode=$1
shift

# hold MOUNT-POINT
hold() {
	file "$1/held" 8
	timeout 3600 aware_app "$RDMA_DEV" "$1/held" >"/tmp/held${1//\//-}" 2>&1 &
	local end=$((SECONDS + 60))
	until grep -q registered "/tmp/held${1//\//-}"; do
		[ $SECONDS -lt $end ] || { cat "/tmp/held${1//\//-}"; exit 98; }
		sleep 0.1
	done
}

# Some tests want huge pages.
echo 32 >/proc/sys/vm/nr_hugepages
[ "$mode" = plain ] || { hold "$XFS"; hold "$EXT4"; }
for suite; do
	# shellcheck disable=SC1090 # one of those beside this file
	. "$dir/$suite.sh"
done
if [ "$mode" = held ]; then
	suite=held
	begin the_holders_keep_their_pins
	have=$(grep -c "^pid=[1-9][0-9]* pin .*/held$" /proc/layout_leases)
	cat /proc/layout_leases
	if [ "$have" = 2 ] && ! grep told /tmp/held*; then
		verdict the_holders_keep_their_pins pass
	else
		verdict the_holders_keep_their_pins fail "$have pins are listed"
	fi
fi
echo "@@ end"
