#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check-vm2.sh RESULTS: demo/two-machines.sh as tests, on the kernel with the series
# and on the one without.  Each step that it judges is one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

results=${1:?file for the results}
out=$build/check/vm2
mkdir -p "$out"
helpers "$out/share"

# steps VARIANT: the steps of both machines.  It fails if they are fewer than was said,
# or none is about what this kernel is there to show.
steps() {
	local point="the freed blocks keep"
	[ "$1" = patched ] || point="into a file is refused"
	awk -v variant="$1" -v results="$results" -v point="$point" '
	{ role = $1; sub(/:$/, "", role) }
	/^(server|client): +[+-][0-9]+ ms  ok  / {
		sub(/^[^ ]+ +[^ ]+ ms  ok  /, "")
		sub(/ \([^)]*\)$/, "")		# times and the like
		shown += $0 ~ point
		print "ok vm2: " variant " " role ": " $0
		print "pass" >>results
		seen++
		next
	}
	/^(server|client): .* steps as announced$/ { said += $4; ends++ }
	{ print "# " $0; fflush() }
	END { exit !(ends == 2 && seen == said && shown > 0) }'
}

for variant in patched base; do
	echo "# two machines, $variant kernel"
	log=$out/$variant
	if "$repo/$selftests/vm/pair.sh" --kernel "$build/$variant/out/arch/x86/boot/bzImage" \
			--run "$repo/demo/two-machines.sh" --share "$out/share" --timeout 300 \
			--log "$log.console" 2>"$log.err" | steps "$variant"; then
		echo "ok vm2: $variant: every step went as announced"
		echo pass >>"$results"
	else
		sed 's/^/# /' "$log.err"
		echo "not ok vm2: $variant: a step did not go as announced (consoles: $log.console.*)"
		echo fail >>"$results"
	fi
done
