#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# vm.sh run|pair|shell: boot the kernel of $VARIANT for 'make vm', 'make vm2' and
# 'make shell'; the variables of the make command line become options of the rig's
# vm.sh or pair.sh.  The guest finds the command layout-lease in its PATH.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

variant=${VARIANT:-patched}
rig=vm.sh
options='[SHARE=dir] [MEM=2G] [SMP=2] [COUNTED=1] [CMDLINE=...] [TIMEOUT=600] [VARIANT=base]'
case ${1:-} in
run) [ -n "${RUN:-}" ] || die "which script? make vm RUN=script.sh $options" ;;
pair)
	rig=pair.sh
	[ -n "${RUN:-}" ] || die "which script? make vm2 RUN=script.sh $options
It runs in two guests on one wire: ROLE is server or client there, PEER_IP the address
of the other guest, and 'peer' is how they wait for each other.  For a start:
make vm2 RUN=demo/two-machines.sh"
	;;
shell) ;;
*) die "usage: vm.sh run|pair|shell" ;;
esac

args=(--kernel "$build/$variant/out/arch/x86/boot/bzImage" --bin "$build/tools/layout-lease")
mkdir -p "$build/tools"
make -s -C "$repo/tools/layout-lease" OUTPUT="$build/tools/" >"$build/tools/log" 2>&1 || {
	cat "$build/tools/log" >&2
	die "building layout-lease failed (above)"
}
if [ "$1" = shell ]; then
	args+=(--shell)
else
	args+=(--run "$RUN" --timeout "${TIMEOUT:-600}")
fi
if [ "$1" = pair ] && [ -z "${SHARE:-}" ]; then
	SHARE=$build/vm2
	helpers "$SHARE"
fi
args+=(--log "${LOG:-$build/$variant/console.log}" --mem "${MEM:-2G}" --smp "${SMP:-2}")
[ "${COUNTED:-0}" = 0 ] || args+=(--counted)
[ -z "${PLUGIN:-}" ] || args+=(--plugin "$PLUGIN")
[ -z "${SHARE:-}" ] || args+=(--share "$SHARE")
[ -z "${CMDLINE:-}" ] || args+=(--cmdline "$CMDLINE")

rc=0
"$repo/$selftests/vm/$rig" "${args[@]}" || rc=$?
[ "$rc" = 0 ] || say "status $rc"
exit "$rc"
