#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run-calls.sh start PID: get ready to trace the kernel functions that this process
# calls, which begins when 1 is written to tracing_on.
# run-calls.sh show KEY: those called most, as lines "profile KEY COUNT FUNCTION".
set -euo pipefail

cd /sys/kernel/tracing
case $1 in
start)
	echo 0 >tracing_on
	echo 262144 >buffer_size_kb
	echo "$2" >set_ftrace_pid
	echo function >current_tracer
	echo >trace
	;;
show)
	awk -v key="$2" '/ <-/ { n[$(NF - 1)]++ }
		END { for (f in n) printf "profile\t%s\t%d\t%s\n", key, n[f], f }' trace |
		sort -t $'\t' -k 3,3rn -k 4,4 | awk 'NR <= 16'
	echo nop >current_tracer
	echo 1408 >buffer_size_kb
	echo >set_ftrace_pid
	;;
esac
