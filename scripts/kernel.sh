#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# kernel.sh VARIANT: configure and build build/VARIANT/linux in build/VARIANT/out.
# Both variants have the same options but CONFIG_LAYOUT_LEASE*, and share one
# compiler cache with all clones of this repository.  Two more, "debug" and "kcsan",
# are the patched source with vm/VARIANT.config on top.
#
# kernel.sh VARIANT sparse: check the files that the series adds with sparse.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

variant=${1:?variant}
src=$build/$variant/linux
out=$build/$variant/out
basedir=$build/$variant
case $variant in
base|patched|mutants) ;;
debug|kcsan) src=$patched basedir=$build ;;
*) die "VARIANT is 'patched' (the default), 'base', 'debug' or 'kcsan', not '$variant'" ;;
esac
[ -e "$src/Makefile" ] || die "there is no $src: run 'make tree'"
lock

mkdir -p "$out"
kernel_env "$basedir"

kmake() {
	make -C "$src" O="$out" CC="ccache gcc" HOSTCC="ccache gcc" LOCALVERSION= "$@"
}

# The fragment: what the guest needs, and what the selftests ask for.
fragment=$out/fragment
{
	cat "$repo/$selftests/vm/kernel.config"
	if [ -f "$repo/$selftests/config" ]; then
		if grep -rqs '^config LAYOUT_LEASE$' "$src/fs/Kconfig" "$src/mm/Kconfig"; then
			cat "$repo/$selftests/config"
		else
			sed '/^CONFIG_LAYOUT_LEASE/d' "$repo/$selftests/config"
		fi
	fi
	! has_checkers "$variant" || cat "$repo/$selftests/vm/$variant.config"
} >"$fragment"

log=$out/build.log
KCONFIG_ALLCONFIG=$fragment kmake allnoconfig >"$log" 2>&1 ||
	{ tail -n 20 "$log" >&2; die "configuring the $variant kernel failed (all of it: $log)"; }
lost=$(grep -E '^CONFIG_' "$fragment" | sort -u | grep -vxFf "$out/.config") || lost=
[ -z "$lost" ] || die "these options did not survive Kconfig (a dependency is missing, or a name changed):
$lost"

if [ "${2:-}" = sparse ]; then
	commit=$(kgit -C "$base" rev-parse refs/heads/base)
	objects=$(kgit -C "$src" diff --name-only --diff-filter=A "$commit" -- '*.c' |
		grep -vE '^(tools|Documentation|samples)/|_kunit\.c$' | sed 's/\.c$/.o/') || objects=
	[ -n "$objects" ] || { say "the series adds no kernel sources: nothing to check"; exit 0; }
	# shellcheck disable=SC2086 # one word per object
	(cd "$out" && rm -f $objects)
	# shellcheck disable=SC2086 # one word per object
	kmake -j"$(nproc)" C=1 CF=-D__CHECK_ENDIAN__ $objects 2>&1 | tee "$out/sparse.log" |
		grep -E '(warning|error):' && die "sparse has complaints (above)"
	grep -q '^ *CHECK ' "$out/sparse.log" || { cat "$out/sparse.log" >&2; die "sparse did not run"; }
	say "sparse: $(grep -c '^ *CHECK ' "$out/sparse.log") files, no complaint"
	exit 0
fi

need_space "$out" 2 "building a kernel"
say "building the $variant kernel (log: ${log#"$repo"/})"
start=$SECONDS
if ! kmake -j"$(nproc)" bzImage >>"$log" 2>&1; then
	grep -nE '(error|Error|warning):|\*\*\*|No space left' "$log" | head -n 20 >&2
	die "building the $variant kernel failed (first errors above, all of it in $log)"
fi
if { [ "$variant" = patched ] || has_checkers "$variant"; } && grep -qE ': warning: ' "$log"; then
	grep -E ': warning: ' "$log" >&2
	die "the compiler warned (above): the series must build without warnings"
fi
say "the $variant kernel is ready after $((SECONDS - start)) s"
