#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check-bench.sh RESULTS: 'make bench' works, and its table can be believed.
# Nothing here depends on how long anything takes.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

results=${1:?file for the results}
out=$build/bench/quick
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

judge() {
	if "${@:2}"; then
		echo "ok bench: $1"
		echo pass >>"$results"
	else
		echo "not ok bench: $1"
		echo fail >>"$results"
	fi
}

# table GOALS BASE OURS: each a few lines, with blanks for the tabs
table() {
	printf 'k\tinstr\t%s\ttext\n' "$1" >"$dir/goals"
	tr ' ' '\t' <<<"$2" >"$dir/base"
	tr ' ' '\t' <<<"$3" >"$dir/ours"
	awk -f "$repo/scripts/bench/table.awk" -v out="$dir/tsv" "$dir/goals" \
		base=1 "$dir/base" ours=1 "$dir/ours" >"$dir/table" 2>"$dir/err"
}

# met YES GOAL BASE OURS
met() {
	table "$2" "bench k $3" "bench k $4" &&
		[ "$(awk -F '\t' 'NR == 2 { print $8 }' "$dir/tsv")" = "$1" ]
}

both_ways() {
	met yes same 1000 1004 && met yes same 1000 900 && met no same 1000 1006 && met no same 1000 EIO &&
		met yes "plus 15" 1000 1015 && met no "plus 15" 1000 1016 &&
		met yes "upto 1" EIO 1 && met no "upto 1" EIO 2 &&
		met yes "most 1.5 base:k" 100 150 && met no "most 1.5 base:k" 100 151 &&
		met yes "least 0.98 base:k" 100 98 && met no "least 0.98 base:k" 100 97
}

refused() {
	! table same "$1" "$2" && grep -q -- "$3" "$dir/err" && return
	echo "# no complaint '$3'"
	return 1
}

measured() {
	PROFILE=1 "$repo/scripts/bench.sh" --quick >"$dir/out" 2>&1 && return
	sed 's/^/# /' "$dir/out"
	return 1
}

# Among the rows must be one that only the kernel with the series can fill.
told_apart() {
	awk -F '\t' '$2 == "reg.leased_2m.xfs" && $4 == "EOPNOTSUPP" && $5 > 0 { found = 1 }
		END { exit !found }' "$out/results.tsv"
}

# What the functions have is what the row has.  Not to the last instruction: one that
# faults is counted twice, and a tick may make another run the median.
adds_up() {
	awk -F '\t' -v OFS='\t' 'FNR == 1 { file++; next }
		file == 1 && $3 == $1 { sum[$1] += $6 }
		file == 2 && $3 == "instr" && $2 in sum {
			rows++
			off = sum[$2] - $5
			if (off * off > $5 * $5 / 10000) {
				print "# " $2, $5, sum[$2]
				bad = 1
			}
		}
		END { exit bad || rows < 50 }' "$out/profile.tsv" "$out/results.tsv"
}

judge "a goal is met or not, on either side of its limit" both_ways
judge "a row that is missing on one kernel is seen" \
	refused "bench k 1" "" "k was not measured on ours"
judge "a row that nobody knows is seen" \
	refused "bench k 1" $'bench k 1\nbench other 1' "other is in no line of goals"
judge "a row that comes twice is seen" \
	refused $'bench k 1\nbench k 1' "bench k 1" "k was measured twice on base"
judge "a row without a value is seen" refused "bench k 1" "bench k -" "no value"
judge "each row is measured on both kernels" measured
judge "a leased file can be registered on one of them only" told_apart
judge "a profile adds up to what its row says" adds_up
