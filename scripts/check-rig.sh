#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check-rig.sh RESULTS: the rig tests itself.  A rig that cannot see a failure
# makes every test pass.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

results=${1:?file for the results}
vm=$repo/$selftests/vm
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

judge() {
	if "${@:2}"; then
		echo "ok rig: $1"
		echo pass >>"$results"
	else
		echo "not ok rig: $1"
		echo fail >>"$results"
	fi
}

# guest NAME VARIANT SECONDS [PAIR-OPTION...] < script: in one guest, or in a pair
guest() {
	local name=$1 rig=vm.sh
	[ $# = 3 ] || rig=pair.sh
	cat >"$dir/$name.sh"
	mkdir -p "$dir/share"
	echo "from the host" >"$dir/share/file"
	"$vm/$rig" --kernel "$build/$2/out/arch/x86/boot/bzImage" --run "$dir/$name.sh" \
		--share "$dir/share" --timeout "$3" --mem 1G --log "$dir/$name.console" \
		"${@:4}" >"$dir/$name.out" 2>"$dir/$name.err" </dev/null && echo 0 >"$dir/$name.rc" ||
		echo $? >"$dir/$name.rc"
}

# ended NAME STATUS [TEXT]: the guest ended so, and its report has the text.
ended() {
	[ "$(cat "$dir/$1.rc")" = "$2" ] && grep -q -- "${3:-}" "$dir/$1.out" "$dir/$1.err" && return
	echo "# status $(cat "$dir/$1.rc"), expected $2 and '${3:-}'; it said:"
	{
		tail -n 15 "$dir/$1.out" "$dir/$1.err"
		grep -hE '(vm|pair): ' "$dir/$1.err"
	} | sed 's/^/#   /'
	return 1
}

complains() { ! "$vm/kernel-warnings.sh" "$1" >/dev/null; }

echo "# the rig itself"
printf '[    1.0] BUG: sleeping function called\n' >"$dir/bad"
printf '[    1.0] %s\n' 'rig: begin quiet_test' \
	'EXT4-fs error (device pmem2): made up' \
	'XFS (pmem2): Please unmount the filesystem: Shutting down' >"$dir/good"
printf '[    1.0] EXT4-fs error (device pmem1): made up\n' >"$dir/bad1"
printf '[    1.0] XFS (pmem0): User initiated shutdown received.\n' >"$dir/bad0"
printf '[    1.0] XFS (pmem2): Internal error made up\n' >"$dir/bad2"
judge "a complaint in a kernel log is seen" complains "$dir/bad"
judge "a complaint of ext4 is seen" complains "$dir/bad1"
judge "a shutdown of xfs is seen" complains "$dir/bad0"
judge "a failure of xfs is seen, where it may miss its device" complains "$dir/bad2"
judge "a healthy kernel log is accepted" "$vm/kernel-warnings.sh" "$dir/good"
judge "a missing kernel log is not taken for a healthy one" complains "$dir/none" 2>/dev/null

# Two invented lists of results of real programs, with all that can be wrong.
cat >"$dir/known" <<'LIST'
# a comment
s/skipped skip no such device
s/fails fail status 1
s/gone fail status 1
s/mended fail status 1
s/other fail status 2
s/either varies fail status 9
s/not_so varies fail status 9
s/many.* skip no swap
s/many.0 fail status 1
s/none.* skip no swap
t/of_a_suite_that_does_not_run fail
LIST
cat >"$dir/programs-1" <<'LIST'
@@ begin s/same
@@ s/same pass
  | @@ s/same fail
@@ s/worse pass
@@ s/better fail status 1
@@ s/vanished pass
@@ s/skipped skip no such device
@@ s/fails fail status 1
@@ s/mended pass
@@ s/other fail status 1
@@ s/new fail status 1
@@ s/either pass
@@ s/not_so pass
@@ s/many.0 fail status 1
@@ s/many.1 skip no swap
@@ s/many.2 skip no such device
@@ s/many.3 pass
@@ lease/works refused
@@ lease/fails refused
@@ lease/needs_none pass
@@ end
LIST
sed -e '/vanished/d' -e 's,worse pass,worse fail status 1,' \
	-e 's,either pass,either fail status 9,' -e 's,not_so pass,not_so fail status 8,' \
	-e 's,works refused,works pass,' -e 's,better .*,better pass,' \
	-e 's,lease/fails .*,lease/fails fail status 1,' \
	"$dir/programs-1" >"$dir/programs-2"
echo "@@ s/added pass" >>"$dir/programs-2"
sed '/@@ end/d' "$dir/programs-1" >"$dir/programs-3"
cat >"$dir/golden" <<'LIST'
ok clients: w: s/same
not ok clients: w: s/worse differs: base: pass; with the series: fail status 1
not ok clients: w: s/better differs: base: fail status 1; with the series: pass
not ok clients: w: s/vanished has a result on one kernel only: pass
not ok clients: w: s/mended passes, but is listed as known: fail status 1
not ok clients: w: s/other is known as: fail status 2; has on both: fail status 1
not ok clients: w: s/new is not listed as known, and has on both: fail status 1
not ok clients: w: s/not_so differs: base: pass; with the series: fail status 8
not ok clients: w: s/many.2 is known as: skip no swap; has on both: skip no such device
not ok clients: w: s/many.3 passes, but is listed as known: skip no swap
ok clients: w: lease/works: refused by the base, with the series: pass
not ok clients: w: lease/fails: refused by the base, with the series: fail status 1
not ok clients: w: lease/needs_none does not need a lease: it proves nothing (base: pass)
not ok clients: w: s/added has a result on one kernel only: pass
not ok clients: w: s/gone is listed as known, but there is no such test
not ok clients: w: s/none.* is listed as known, but there is no such test
ok clients: w: 5 tests that are skipped, or fail, do so on both kernels alike, as listed
LIST

# compares OTHER: the verdicts on the list OTHER
compares() {
	awk -v what=w -v suites="s lease" -v results="$dir/compared" -f "$repo/scripts/clients.awk" \
		"$dir/known" "$dir/programs-1" "$dir/$1"
}

golden() {
	compares programs-2 | diff "$dir/golden" - &&
		[ "$(count_results "$dir/compared")" = "3 passed, 14 failed" ]
}

judge "what differs between two lists of results is found" golden
compares programs-3 >"$dir/lost"
judge "a guest with real programs that was lost is seen" \
	grep -q '^not ok .* did not come to its end; it ran s/same$' "$dir/lost"

# shellcheck disable=SC2016 # the guest expands it
checks='
set -e
[ "$(cat /host/file)" = "from the host" ]
if touch /host/new 2>/dev/null; then echo "/host is writable"; exit 1; fi
[ "$XFS" = /mnt/xfs ] && [ "$EXT4" = /mnt/ext4 ]
grep " $XFS xfs " /proc/mounts | grep -q dax=always
grep " $EXT4 ext4 " /proc/mounts | grep -q dax=always
rdma link show "$RDMA_DEV/1" | grep -q "state ACTIVE"
ip addr show dev dummy0 | grep -q "$RDMA_IP/"
[ "$(ulimit -l)" = unlimited ]
[ -e /dev/fd/0 ]
count=$(grep -c layout_lease=break /proc/mounts) || count=0
echo "$count mounts with layout leases"
'
want=0
! grep -qx CONFIG_LAYOUT_LEASE=y "$build/patched/out/.config" || want=2
{
	guest ready patched 120 <<<"#!/bin/bash$checks"
	guest hang patched 30 <<<$'#!/bin/sh\necho started\nsleep 1000'
} &
guest base base 120 <<<"#!/bin/bash$checks"
guest seven patched 120 <<<$'#!/bin/sh\necho BUG: made up >/dev/kmsg\nexit 7'
guest panic patched 120 <<<$'#!/bin/sh\necho c >/proc/sysrq-trigger\nsleep 60'
wait
judge "a script that succeeds; the guest is as promised" ended ready 0 "$want mounts"
judge "the same on the base kernel, without layout leases" ended base 0 "0 mounts"
judge "a script's status 7 is returned, and a complaint of the kernel shown" \
	ended seven 7 "BUG: made up"
judge "a panic is seen" ended panic 125 "kernel panicked"
judge "a hang is seen" ended hang 124 "killed"

# shellcheck disable=SC2016 # the guests expand it
rdma='
set -e
[ "$(cat /host/file)" = "from the host" ]
rdma link show "$RDMA_DEV/1" | grep "state ACTIVE" | grep -q "netdev eth0"
ip addr show dev eth0 | grep -q "$RDMA_IP/"
case $ROLE in
server)
	rping -s -a "$RDMA_IP" -C 5 &
	until rdma resource show cm_id | grep -q "state LISTEN"; do sleep 0.1; done
	peer tell address "$RDMA_IP"
	wait $!
	timeout 60 ib_write_bw -d "$RDMA_DEV" -x 1 -n 100 &
	until grep -q ":4853 .* 0A " /proc/net/tcp*; do sleep 0.1; done
	peer tell perftest
	wait $!
	;;
client)
	[ "$(peer wait address)" = "$PEER_IP" ]
	[ "$PEER_IP" != "$RDMA_IP" ]
	rping -c -a "$PEER_IP" -C 5
	peer wait perftest
	timeout 60 ib_write_bw -d "$RDMA_DEV" -x 1 -n 100 "$PEER_IP"
	;;
esac
peer meet end
! peer wait never 1 2>/dev/null
echo "$ROLE is done"
'
# shellcheck disable=SC2016
# One pair at a time: two busy guests are as many as a small host can bear.
guest two patched 120 --grace 30 <<<"#!/bin/bash$rdma"
guest complains patched 120 --grace 30 \
	<<<$'#!/bin/sh\n[ $ROLE = server ] || echo BUG: made up >/dev/kmsg\nexit 0'
guest one-fails patched 120 --grace 30 \
	<<<$'#!/bin/sh\n[ $ROLE = server ] || exit 7\npeer wait never || exit 3\nexit 0'
guest lost patched 120 --grace 3 \
	<<<$'#!/bin/sh\n[ $ROLE = server ] || echo c >/proc/sysrq-trigger\nsleep 1000'
judge "two guests reach each other over RDMA" ended two 0 "server: server is done"
judge "both of them end" ended two 0 "client: client is done"
judge "status 7 of one guest's script is that of the pair" ended one-fails 7 "client failed"
judge "the other's script need not wait for it" \
	ended one-fails 7 "the client ended (status 7) before 'never'"
judge "a lost guest is seen" ended lost 125 "client: vm: the guest's kernel panicked"
judge "the other one does not go on without it" \
	ended lost 125 "the server goes on without it: killed"
judge "a complaint of one kernel fails the pair" \
	ended complains 125 "the client's kernel complained"
