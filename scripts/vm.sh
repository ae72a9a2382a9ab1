#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# vm.sh run|shell: boot the kernel of $VARIANT for 'make vm' and 'make shell';
# the variables of the make command line become options of the rig's vm.sh.  The
# guest finds the command layout-lease in its PATH.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

variant=${VARIANT:-patched}
args=(--kernel "$build/$variant/out/arch/x86/boot/bzImage" --bin "$build/tools/layout-lease")
mkdir -p "$build/tools"
make -s -C "$repo/tools/layout-lease" OUTPUT="$build/tools/" >"$build/tools/log" 2>&1 || {
	cat "$build/tools/log" >&2
	die "building layout-lease failed (above)"
}
case ${1:-} in
run)
	[ -n "${RUN:-}" ] || die "which script? make vm RUN=script.sh [SHARE=dir] [MEM=2G] [SMP=2] [CMDLINE=...] [TIMEOUT=600] [VARIANT=base]"
	args+=(--run "$RUN" --timeout "${TIMEOUT:-600}")
	;;
shell) args+=(--shell) ;;
*) die "usage: vm.sh run|shell" ;;
esac
args+=(--log "${LOG:-$build/$variant/console.log}" --mem "${MEM:-2G}" --smp "${SMP:-2}")
[ -z "${SHARE:-}" ] || args+=(--share "$SHARE")
[ -z "${CMDLINE:-}" ] || args+=(--cmdline "$CMDLINE")

rc=0
"$repo/$selftests/vm/vm.sh" "${args[@]}" || rc=$?
[ "$rc" = 0 ] || say "status $rc"
exit "$rc"
