#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# All tests: the rig tests itself, then the selftests run in a guest on the
# patched kernel, where all must pass, and on the base kernel, where exactly
# those of base.expect must pass; before, two machines, and real programs, which must
# not see a difference.  Results are shown guest by guest; the last line is the count.
# What is missing, skipped or lost is a failure, and so is a complaint of the kernel.
#
# check.sh debug|kcsan: the selftests only, on the patched source built with the
# kernel's own checkers, of which every complaint counts.
#
# ONLY=fcntl_test,... runs only these programs, the rig's own tests if it has rig, the
# two machines if it has vm2, the real programs if it has clients, the benchmark's
# rig if it has bench; TEST_LIMIT is the seconds that one program may take, GUESTS
# how many guests run at a time.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

variants=${1:-patched base}
out=$build/check
memory=2G
! has_checkers "$variants" || out=$build/check-$variants memory=4G
results=$out/results		# lines: pass|fail
tests=$build/tests
limit=${TEST_LIMIT:-900}
guests=${GUESTS:-2} batch_size=${BATCH:-8}
vm=$repo/$selftests/vm
rm -rf "$out"
mkdir -p "$out" "$tests"
: >"$results"

bzimage() { echo "$build/$1/out/arch/x86/boot/bzImage"; }
pass() { echo "ok $*"; echo pass >>"$results"; }
fail() { echo "not ok $*"; echo fail >>"$results"; }

wanted() { [[ ,${ONLY:-$1}, = *,$1,* ]]; }

build_tests() {
	local log=$out/build.log program
	make -s -C "$repo/$selftests" KSFT="$patched/tools/testing/selftests" \
		OUTPUT="$tests" >"$log" 2>&1 || {
		cat "$log" >&2
		die "building the selftests failed (above)"
	}
	# shellcheck disable=SC2016 # make expands it
	programs=$(cd "$repo/$selftests" && printf '%s\n' 'include Makefile' \
		'list-programs: ; @echo $(notdir $(TEST_GEN_PROGS))' |
		make -s --no-print-directory -f - KSFT="$patched/tools/testing/selftests" \
			OUTPUT="$tests" list-programs)
	[ -z "${ONLY:-}" ] || programs=$(tr ' ' '\n' <<<"$programs" | grep -xE "${ONLY//,/|}") || :
	[ -n "$programs" ] || wanted rig || wanted vm2 || wanted clients || wanted bench ||
		die "there are no test programs"
	for program in $programs; do
		[ -x "$tests/$program" ] || die "$program was not built"
	done
	for program in $(cd "$repo/$selftests" && find . -maxdepth 1 -name '*.expect'); do
		cp "$repo/$selftests/$program" "$tests/"
	done
	cp "$vm/run-tests.sh" "$tests/"
}

# run_batch VARIANT NUMBER PROGRAM...: in as many guests as it takes: one that is
# lost costs the program that ran, not those after it.
run_batch() {
	local variant=$1 id=$1-$2 n=0 log rc begun pending results=$out/$1-$2.results
	shift 2
	pending=$(printf '%s\n' "$@")
	while [ -n "$pending" ]; do
		n=$((n + 1))
		log=$out/$id.$n
		printf '#!/bin/sh\nexec /host/run-tests.sh %s %s\n' "$limit" \
			"$(echo "$pending" | xargs)" >"$log.sh"
		rc=0
		"$vm/vm.sh" --kernel "$(bzimage "$variant")" --run "$log.sh" --share "$tests" \
			--mem "$memory" --timeout $((120 + $(wc -w <<<"$pending") * (limit + 60))) \
			--log "$log.console" 2>"$log.err" |
			tee "$log.tap" |
			awk -v variant="$variant" -v results="$results" \
				-v expect="$repo/$selftests/base.expect" -f "$repo/scripts/tap.awk" || rc=$?
		"$vm/kernel-warnings.sh" "$log.console" >"$log.warnings" && rc_log=0 || rc_log=$?
		if [ "$rc_log" = 0 ]; then
			pass "$variant: the kernel log of guest ${id#*-}.$n is clean"
		else
			fail "$variant: the kernel complained in guest ${id#*-}.$n (all of it: $log.console)"
			annotate "$log.console" "$log.warnings"
		fi
		begun=$(sed -n 's/^@@ begin //p' "$log.tap")
		if [ "$rc" != 0 ]; then
			sed 's/^/# /' "$log.err"
			fail "$variant: guest ${id#*-}.$n was lost while it ran $(tail -n 1 <<<"${begun:-nothing}")"
			# Without progress another guest would not do better.
			[ -n "$begun" ] || return 0
		fi
		pending=$(grep -vxF -- "$begun" <<<"$pending") || pending=
		if [ "$rc" = 0 ] && [ -n "$pending" ]; then
			fail "$variant: these programs did not run: $(echo "$pending" | xargs)"
			return 0
		fi
	done
}

# run_variant VARIANT: all programs, dealt out to some guests, of which two run at
# a time: most tests wait most of the time.  What a guest reports is shown when it
# has ended, in one piece.
run_variant() {
	local variant=$1 batches i batch
	batches=$((($(wc -w <<<"$programs") + batch_size - 1) / batch_size))
	for ((i = 1; i <= batches; i++)); do
		batch=$(tr -s ' \n' '\n' <<<"$programs" |
			awk -v i="$i" -v n="$batches" 'NF && NR % n == i % n' | xargs)
		while [ "$(jobs -rp | wc -l)" -ge "$guests" ]; do wait -n || :; done
		echo "# $variant: guest $i of $batches runs $batch"
		{
			# shellcheck disable=SC2086 # one word per program
			run_batch "$variant" "$i" $batch >"$out/$variant-$i.out"
			flock 7
			cat "$out/$variant-$i.out"
			: >"$out/$variant-$i.ended"
		} 7>"$out/shown" &
	done
}

# collect_variant VARIANT: its results, once its guests have ended
collect_variant() {
	local file
	for file in "$out/$1"-*.out; do
		file=${file%.out}
		if [ -e "$file.ended" ]; then
			cat "$file.results" >>"$results"
		else
			fail "$1: guest ${file##*-} was not looked at to its end"
		fi
	done
}

# The kernel's complaints, each with the test program that was running.
annotate() {
	local line text owner
	head -n 20 "$2" | while IFS=: read -r line text; do
		owner=$(head -n "$line" "$1" | grep -a 'rig: begin ' | tail -n 1 | sed 's/.*rig: begin //') || owner=
		echo "# during ${owner:-start}: $text"
	done
}

say "building the selftests"
build_tests
if ! has_checkers "$variants"; then
	! wanted rig || "$repo/scripts/check-rig.sh" "$results"
	! wanted vm2 || "$repo/scripts/check-vm2.sh" "$results"
	! wanted clients || "$repo/scripts/clients.sh" core "$results"
	! wanted bench || "$repo/scripts/check-bench.sh" "$results"
fi
ran=()
for variant in $variants; do
	if [ "$variant" = base ] && [ ! -f "$repo/$selftests/base.expect" ]; then
		fail "base: base.expect is missing: it lists what must pass without the series"
		continue
	fi
	run_variant "$variant"
	ran+=("$variant")
done
wait
for variant in "${ran[@]}"; do
	collect_variant "$variant"
done
count_results "$results"
