#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Cut the power of a guest at random moments, while files are pinned, written to
# by RDMA, truncated and synced, and see what is left: both filesystems recover
# when they are mounted, no block belongs to two files, xfs_repair and e2fsck find
# nothing, and what fsync has acknowledged is there.
#
# QEMU is killed, and the memory of the NVDIMMs is that of two files.  So whatever
# the guest has stored survives, also what was in its caches: this proves that the
# order in which metadata changes is sound, not that data is flushed.
# durability_test looks at that.
#
# ROUNDS=50, SEED=number (printed; the same seed gives the same loads and delays).
set -euo pipefail
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-50}
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
RANDOM=$seed
out=$build/powerloss
kernel=$build/patched/out/arch/x86/boot/bzImage
rm -rf "$out"
mkdir -p "$out/share"
make -s -C "$repo/$selftests" KSFT="$patched/tools/testing/selftests" \
	OUTPUT="$out/share" "$out/share/power_load" >"$out/build.log" 2>&1 ||
	{ cat "$out/build.log" >&2; die "building power_load failed (above)"; }

cat >"$out/share/check.sh" <<'CHECK'
#!/bin/bash
# After the cut: the log was recovered by the mount that has been done already.
# check.sh ACK_EXT4 ACK_XFS
set -euo pipefail
bad() { echo "failed $*"; exit 1; }

# Physical extents of all files, in order: none begins before its predecessor ends.
overlaps() {
	find "$1" -xdev -type f -size +0 -exec filefrag -v -b4096 {} + |
		sed -nE 's/^ *[0-9]+: +[0-9]+\.\. *[0-9]+: +([0-9]+)\.\. *([0-9]+):.*/\1 \2/p' |
		sort -n | awk '{ n++ } $1 <= last { print "block " $1 " is in two files" }
			$2 > last { last = $2 } END { if (!n) print "there are no extents" }'
}

for fs in ext4 xfs; do
	dir=/mnt/$fs
	text=$(overlaps "$dir")
	[ -z "$text" ] || bad "$fs: $text"
	[ "$fs" = ext4 ] && ack=$1 || ack=$2
	/host/power_load check "$fs" "$dir/power" "$ack"
	umount "$dir" || bad "$fs: umount"
done
e2fsck -fn /dev/pmem1 >/tmp/fsck 2>&1 || bad "e2fsck: $(cat /tmp/fsck)"
xfs_repair -n /dev/pmem0 >/tmp/fsck 2>&1 || bad "xfs_repair: $(cat /tmp/fsck)"
mount -o "$OPTIONS" /dev/pmem1 /mnt/ext4
mount -o "$OPTIONS" /dev/pmem0 /mnt/xfs
echo sound
CHECK
cat >"$out/share/load.sh" <<'LOAD'
#!/bin/bash
# load.sh SEED
echo 30 >/proc/sys/fs/lease-break-time
/host/power_load load ext4 /mnt/ext4/power "$1" &
/host/power_load load xfs /mnt/xfs/power "$1" &
wait -n
LOAD
chmod 755 "$out/share/"*.sh

# The last number that was acknowledged on a filesystem.
acked() {
	{ cat "$out"/*.out 2>/dev/null || :; } | awk -v fs="$1" '$1 == "ack" && $2 == fs && NF == 3 {
		if ($3 > last) last = $3 } END { print last + 0 }'
}

# boot ROUND COMMANDS: a guest that runs them, in the background.
boot() {
	printf '#!/bin/bash\nset -e\nexport OPTIONS=dax=always,layout_lease=break\n%s\n' "$2" \
		>"$out/script"
	: >"$out/$1.out"
	"$repo/$selftests/vm/vm.sh" --kernel "$kernel" --run "$out/script" --share "$out/share" \
		--nvdimm "$out/nvdimm" --pidfile "$out/pid" --timeout 600 \
		--log "$out/$1.console" >"$out/$1.out" 2>"$out/$1.err" &
	guest=$!
}

# seen ROUND PATTERN: waits until the guest has said so; false if it ends first.
seen() {
	until grep -qa -- "$2" "$out/$1.out"; do
		kill -0 "$guest" 2>/dev/null || return 1
		sleep 0.1
	done
}

lost() {
	tail -n 20 "$out/$1.out" "$out/$1.err" >&2
	die "round $1 of seed $seed failed: $2 (all of it: $out/$1.*)"
}

say "$rounds rounds, SEED=$seed"
for ((round = 1; round <= rounds; round++)); do
	check=''
	[ "$round" = 1 ] || check="/host/check.sh $(acked ext4) $(acked xfs)"
	delay=$((RANDOM % 4000))
	boot "$round" "$check
/host/load.sh $((seed % 100000 + round))"
	for what in ${check:+sound} "ack ext4" "ack xfs"; do
		seen "$round" "$what" || lost "$round" "the guest ended, and has not said '$what'"
	done
	sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
	grep -qa '^failed' "$out/$round.out" && lost "$round" "see above"
	kill -KILL "$(cat "$out/pid")"
	wait "$guest" || :
	"$repo/$selftests/vm/kernel-warnings.sh" "$out/$round.console" >&2 ||
		lost "$round" "the kernel complained"
	echo "round $round: cut $delay ms after the first numbers; acknowledged so far:" \
		"ext4 $(acked ext4), xfs $(acked xfs)"
done
boot last "/host/check.sh $(acked ext4) $(acked xfs)"
wait "$guest" || lost last "the last check"
grep -qxa sound "$out/last.out" || lost last "the last check"
rm -f "$out"/nvdimm.*
echo "$rounds rounds, nothing lost: ext4 $(acked ext4), xfs $(acked xfs) numbers acknowledged"
