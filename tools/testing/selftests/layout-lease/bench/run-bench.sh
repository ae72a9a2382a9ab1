#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run-bench.sh [PROGRAM...]: runs in the guest, from the directory that has the
# programs, all or those named.  What they print goes to stdout; the first one
# that fails ends it.
set -euo pipefail

dir=$(cd "$(dirname "$0")" && pwd)
# The same addresses each time.
echo 0 >/proc/sys/kernel/randomize_va_space

for program in "${@:-ordinary register break memory wakeup fsync devdax}"; do
	for name in $program; do
		case $name in
		devdax)
			# The last: takes the device of a filesystem.
			umount "$XFS"
			ndctl create-namespace -f -e namespace0.0 -m devdax -M mem >/dev/null
			"$dir/bench_register" /dev/dax0.0
			;;
		*) "$dir/bench_$name" ;;
		esac || { echo "run-bench: $name failed" >&2; exit 1; }
		echo "run-bench: $name done at $(cut -d' ' -f1 /proc/uptime)" >&2
	done
done
