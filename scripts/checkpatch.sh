#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# checkpatch --strict over the mailable series and over each new file as a whole.
# Any complaint fails.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# Not applicable here: FILE_PATH_CHANGES asks for MAINTAINERS in each patch that
# adds a file; CAMELCASE and BIT_MACRO are about lines that continue a list of
# ext4, xfs or the VFS (Opt_..., 1 << n) in the form that it has.
ignore=FILE_PATH_CHANGES,CAMELCASE,BIT_MACRO

cd "$patched"
from=$(kgit -C "$base" rev-parse refs/heads/base)
bad=0 count=0

check() {
	local what=$1 text
	shift
	count=$((count + 1))
	if ! text=$(perl scripts/checkpatch.pl --strict --no-summary --terse --show-types \
			--ignore "$ignore" "$@" 2>&1) || [ -n "$text" ]; then
		echo "== $what"
		echo "$text"
		bad=$((bad + 1))
	fi
}

for patch in "$build"/series/*.patch; do
	case $patch in */0000-*) continue ;; esac
	check "${patch##*/}" "$patch"
done
while read -r path; do
	check "$path" -f "$path"
done < <(kgit diff --name-only --diff-filter=A "$from" HEAD -- '*.c' '*.h' '*.S' '*.rst' '*Kconfig' '*Makefile')

[ "$count" -gt 0 ] || die "nothing to check"
[ "$bad" = 0 ] || die "$bad of $count patches and files have complaints (above)"
say "$count patches and files, no complaint"
