#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run-tests.sh LIMIT PROGRAM...: runs in the guest, from the directory that has
# the test programs.  Marks begin and end of each on stdout, and in the kernel log
# so that a complaint there has an owner.  A program may take LIMIT seconds.
set -uo pipefail

dir=$(cd "$(dirname "$0")" && pwd)
limit=$1
shift

# A kernel that looks for leaks is told when to, and says so in its log: in the end,
# since it looks for a minute.  Twice: what is on its way through a queue counts as
# leaked once.
leaks() {
	[ -e /sys/kernel/debug/kmemleak ] || return 0
	echo "rig: begin looking for leaks" >/dev/kmsg
	sleep 6		# younger objects are not looked at
	echo scan >/sys/kernel/debug/kmemleak
	echo scan >/sys/kernel/debug/kmemleak
	while IFS= read -r line; do
		echo "$line" >/dev/kmsg
	done </sys/kernel/debug/kmemleak
}

# With its checkers a kernel takes as many times longer.
for checker in kmemleak kcsan; do
	[ ! -e "/sys/kernel/debug/$checker" ] || export LL_SLOW=6
done

for program; do
	echo "rig: begin $program" >/dev/kmsg
	echo "@@ begin $program"
	timeout -k 10 "$limit" "$dir/$program" </dev/null 2>&1 &
	running=$!
	# timeout itself waits for ever for a process that cannot be killed.
	sleep $((limit + 30)) &
	guard=$!
	wait -n -p first "$running" "$guard"
	rc=$?
	if [ "$first" = "$guard" ]; then
		echo w >/proc/sysrq-trigger
		echo "@@ end $program stuck"
		exit 99
	fi
	kill "$guard"
	wait "$guard" 2>/dev/null
	echo "@@ end $program $rc"
	echo "rig: end $program $rc" >/dev/kmsg
done
leaks
exit 0
