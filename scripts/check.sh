#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# All tests: the rig tests itself, then the selftests run in a guest on the
# patched kernel, where all must pass, and on the base kernel, where exactly
# those of base.expect must pass; before, two machines, and real programs, which must
# not see a difference.  Results are shown as they come; the last line is the count.
# What is missing, skipped or lost is a failure, and so is a complaint of the kernel.
#
# check.sh debug: the selftests only, on the patched source built with the kernel's
# own checkers, of which every complaint counts.
#
# ONLY=fcntl_test,... runs only these programs, the two machines if it has vm2, the
# real programs if it has clients, the benchmark's rig if it has bench; TEST_LIMIT is
# the seconds that one program may take.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

variants=${1:-patched base}
out=$build/check
memory=2G
[ "$variants" != debug ] || out=$build/check-debug memory=4G
results=$out/results		# lines: pass|fail
tests=$out/tests
limit=${TEST_LIMIT:-900}
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
	[ -n "$programs" ] || wanted vm2 || wanted clients || wanted bench || die "there are no test programs"
	for program in $programs; do
		[ -x "$tests/$program" ] || die "$program was not built"
	done
	for program in $(cd "$repo/$selftests" && find . -maxdepth 1 -name '*.expect'); do
		cp "$repo/$selftests/$program" "$tests/"
	done
	cp "$vm/run-tests.sh" "$tests/"
}

# run_variant VARIANT: all programs, in as many guests as it takes: one that is
# lost costs the program that ran, not those after it.
run_variant() {
	local variant=$1 pending=$programs n=0 log rc begun
	while [ -n "$pending" ]; do
		n=$((n + 1))
		log=$out/$variant-$n
		printf '#!/bin/sh\nexec /host/run-tests.sh %s %s\n' "$limit" \
			"$(echo "$pending" | xargs)" >"$out/script"
		rc=0
		"$vm/vm.sh" --kernel "$(bzimage "$variant")" --run "$out/script" --share "$tests" \
			--mem "$memory" --timeout $((120 + $(wc -w <<<"$pending") * (limit + 60))) \
			--log "$log.console" 2>"$log.err" |
			tee "$log.tap" |
			awk -v variant="$variant" -v results="$results" \
				-v expect="$repo/$selftests/base.expect" -f "$repo/scripts/tap.awk" || rc=$?
		"$vm/kernel-warnings.sh" "$log.console" >"$log.warnings" && rc_log=0 || rc_log=$?
		if [ "$rc_log" = 0 ]; then
			pass "$variant: the kernel log of guest $n is clean"
		else
			fail "$variant: the kernel complained in guest $n (all of it: $log.console)"
			annotate "$log.console" "$log.warnings"
		fi
		begun=$(sed -n 's/^@@ begin //p' "$log.tap")
		if [ "$rc" != 0 ]; then
			sed 's/^/# /' "$log.err"
			fail "$variant: guest $n was lost while it ran $(tail -n 1 <<<"${begun:-nothing}")"
			# Without progress another guest would not do better.
			[ -n "$begun" ] || return 0
		fi
		pending=$(tr ' ' '\n' <<<"$pending" | grep -vxF -- "$begun") || pending=
		if [ "$rc" = 0 ] && [ -n "$pending" ]; then
			fail "$variant: these programs did not run: $(echo "$pending" | xargs)"
			return 0
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
if [ "$variants" != debug ]; then
	"$repo/scripts/check-rig.sh" "$results"
	! wanted vm2 || "$repo/scripts/check-vm2.sh" "$results"
	! wanted clients || "$repo/scripts/clients.sh" core "$results"
	! wanted bench || "$repo/scripts/check-bench.sh" "$results"
fi
for variant in $variants; do
	if [ "$variant" = base ] && [ ! -f "$repo/$selftests/base.expect" ]; then
		fail "base: base.expect is missing: it lists what must pass without the series"
		continue
	fi
	echo "# selftests on the $variant kernel"
	run_variant "$variant"
done
count_results "$results"
