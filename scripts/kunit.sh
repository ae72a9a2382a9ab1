#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# KUnit: the kernel's own tools/testing/kunit/kunit.py builds a small kernel with
# the tests of fs/tests, and runs them in QEMU as it boots.  The last line is the
# count.  What is skipped or lost is a failure, and so is a complaint of the kernel.
#
# ONLY=SUITE.TEST runs only these; ARGS has more arguments for kunit.py, such as
# --kernel_args=layout_pin.kunit_seed=N.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

tree=${TREE:-$patched}
out=${OUT:-$build/kunit}
vm=$repo/$selftests/vm
[ -e "$tree/fs/tests/.kunitconfig" ] || die "$tree has no fs/tests/.kunitconfig: run 'make tree'"
lock
need_space "$out" 1 "a kernel for KUnit"
kernel_env "$build"

log=$out/kunit.log
args=(run "${ONLY:-}" --arch=x86_64 --kunitconfig=fs/tests --build_dir="$out"
	--jobs="$(nproc)" --make_options "CC=ccache gcc" --make_options "HOSTCC=ccache gcc"
	--timeout=600 --qemu_args="$("$vm/accel.sh" | xargs)")
[ -n "${ONLY:-}" ] || unset "args[1]"
rm -f "$out/test.log"
say "building a kernel with the tests, and running it (log: ${log#"$repo"/})"
start=$SECONDS
# shellcheck disable=SC2086 # ARGS is words
python3 "$tree/tools/testing/kunit/kunit.py" "${args[@]}" ${ARGS:-} >"$log" 2>&1 && rc=0 || rc=$?
grep -E '^\[[0-9:]+\] ' "$log" | sed 's/^[^ ]* //' || :
summary=$(sed -n 's/.*Testing complete\. Ran \([0-9]* tests: .*\)/\1/p' "$log")
[ -n "$summary" ] || { tail -n 20 "$log" >&2; die "kunit.py gave no results (above; all of it: $log)"; }
grep -o 'layout_pin\.kunit_seed=.*' "$out/test.log" || :

ran=${summary%% *}
passed=$(grep -oE 'passed: [0-9]+' <<<"$summary" | grep -oE '[0-9]+') || passed=0
errors=$(grep -oE 'errors: [0-9]+' <<<"$summary" | grep -oE '[0-9]+') || errors=0
failed=$((ran - passed + errors))
[ "$rc" = 0 ] || [ "$failed" -gt 0 ] || { echo "not ok kunit.py: status $rc"; failed=1; }
# A suite that was not built in is not missed by kunit.py.
[ -n "${ONLY:-}" ] || while read -r suite; do
	grep -q "# Subtest: $suite\$" "$out/test.log" ||
		{ echo "not ok $suite: did not run"; failed=$((failed + 1)); }
done < <(sed -n 's/^\t\.name = "\(layout_[a-z]*\)",$/\1/p' "$tree"/fs/tests/layout_*_kunit.c)
"$vm/kernel-warnings.sh" "$out/test.log" ||
	{ echo "not ok the kernel complained (all of it: $out/test.log)"; failed=$((failed + 1)); }
say "took $((SECONDS - start)) s"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
