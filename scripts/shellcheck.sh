#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Run shellcheck over all shell scripts of this repository.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

cd "$repo"
mapfile -t files < <(git ls-files -co --exclude-standard | while read -r path; do
	[ -f "$path" ] && head -c 64 "$path" | head -n 1 | grep -qE '^#!/bin/(ba)?sh' && echo "$path"
done)
[ ${#files[@]} -gt 0 ] || die "found no scripts"
shellcheck -x -P SCRIPTDIR "${files[@]}"
say "${#files[@]} scripts, no complaint"
