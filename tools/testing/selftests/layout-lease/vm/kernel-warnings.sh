#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Print the lines of a kernel log that no healthy kernel prints; exit with 1
# if there are any, 0 if there are none, 2 if the log cannot be read.
set -uo pipefail

[ $# = 1 ] || { echo "usage: $0 LOG" >&2; exit 2; }
[ -s "$1" ] || { echo "$0: $1 is missing or empty: nothing to scan" >&2; exit 2; }

patterns='WARNING:|BUG:|Oops|Kernel panic|general protection fault|Call Trace:'
patterns+='|INFO: task .* blocked for more than|rcu: INFO:|soft lockup|hard LOCKUP'
patterns+='|possible recursive locking|possible circular locking|inconsistent lock state'
patterns+='|suspicious RCU usage|held lock freed|bad unlock balance'
patterns+='|scheduling while atomic|sleeping function called from invalid'
patterns+='|refcount_t:|list_(add|del) corruption|UBSAN:|KASAN:|KFENCE:|unreferenced object'
patterns+='|Bad page state|bad pte|page dumped because|kernel BUG at|stack-protector'
patterns+='|double fault|Corruption of in-memory data|XFS .*(Internal error|Shutting down|shutdown)'
patterns+='|EXT4-fs error|EXT4-fs warning'

# What KCSAN sees between functions of which none is part of the series is not about
# it: soft-RoCE and the journals have such races at any time.
races='BUG: KCSAN: '
ours='(^|[^a-z])_*(layout|dax_layout|pin_user_pages_leased|uverbs_layout|io_layout)_'

# A test's own marker may quote anything; the kernel's lines are the rest.  The
# device that tests take away from under its filesystem is pmem2, and a filesystem
# may say that it misses it; one that has only its files there is on a loop device.
other='rig: |EXT4-fs (error|warning) \(device pmem2\)'
other+='|XFS \((pmem2|loop[0-9]+)\): .*(shutdown|Shutdown|Shutting down)'
! grep -nEa "$patterns" "$1" | grep -vEa "$other" |
	awk -v races="$races" -v ours="$ours" '$0 !~ races || $0 ~ ours { print; n++ }
		END { exit !n }'
