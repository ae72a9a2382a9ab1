#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Remove build/, unless build/patched/linux has edits that exist nowhere else.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ -d "$build" ] || exit 0
lock
if [ -f "$built" ] && [ -e "$patched/.git" ] && [ "${FORCE:-}" != 1 ]; then
	if [ "$(kgit -C "$patched" rev-parse HEAD)" != "$(sed -n 's/^commit=//p' "$built")" ] ||
	   [ -n "$(kgit -C "$patched" status --porcelain)" ]; then
		die "build/patched/linux has edits that patches/ does not have: 'make refresh' saves them, FORCE=1 removes them"
	fi
fi
rm -rf "$build"
