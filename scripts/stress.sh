#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# stress.sh: the stress test in a guest, for DURATION seconds from SEED, and then a
# look at the filesystems that it has left.  VARIANT is patched, debug or kcsan.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

duration=${DURATION:-600}
seed=${SEED:-$(date +%s)}
variant=${VARIANT:-patched}
[[ $duration =~ ^[1-9][0-9]*$ ]] || die "DURATION is in seconds, not '$duration'"
[[ $seed =~ ^[0-9]+$ ]] || die "SEED is a number, not '$seed'"
out=$build/stress
memory=2G
! has_checkers "$variant" || memory=4G
mkdir -p "$out/share"

make -s -C "$repo/$selftests" KSFT="$patched/tools/testing/selftests" \
	OUTPUT="$out/share" "$out/share/stress" >"$out/build.log" 2>&1 || {
	cat "$out/build.log" >&2
	die "building the stress test failed (above)"
}
cat >"$out/script" <<SCRIPT
#!/bin/bash
set -o pipefail
rc=0
/host/stress $duration $seed || rc=1
if [ -e /sys/kernel/debug/kmemleak ]; then
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	echo scan >/sys/kernel/debug/kmemleak
	cat /sys/kernel/debug/kmemleak >/dev/kmsg
fi
umount "\$XFS" && umount "\$EXT4" || rc=1
xfs_repair -n /dev/pmem0 >/tmp/log 2>&1 && echo "xfs_repair -n: clean" || { rc=1; cat /tmp/log; }
e2fsck -fn /dev/pmem1 >/tmp/log 2>&1 && echo "e2fsck -fn: clean" || { rc=1; cat /tmp/log; }
exit \$rc
SCRIPT
say "seed $seed, $duration s (again with SEED=$seed)"
rc=0
"$repo/$selftests/vm/vm.sh" --kernel "$build/$variant/out/arch/x86/boot/bzImage" \
	--run "$out/script" --share "$out/share" --mem "$memory" \
	--timeout $((duration + 600)) --log "$out/console.log" || rc=$?
"$repo/$selftests/vm/kernel-warnings.sh" "$out/console.log" >/dev/null || rc=1
[ "$rc" = 0 ] && result=passed || result="FAILED (status $rc, console: $out/console.log)"
say "seed $seed: $result"
exit "$rc"
