#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Boot a kernel in QEMU with emulated NVDIMMs and soft-RoCE, run a script in
# it as root, show its output and exit with its status.  A guest that panics,
# hangs or vanishes is a failure (status 124: out of time, 125: anything else),
# reported with the end of its console log.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)

usage() {
	cat <<USAGE
usage: vm.sh --kernel BZIMAGE (--run SCRIPT | --shell) [options]
  --share DIR      the guest sees DIR read-only at /host
  --bin FILE       a command for the guest's PATH (once)
  --mem SIZE       guest memory besides the NVDIMMs (default 2G)
  --smp N          processors (default 2)
  --counted        emulate one processor whose clock counts instructions: 1 ns each
  --plugin SPEC    a plugin for QEMU's emulator: FILE,NAME=VALUE...
  --cmdline WORDS  more kernel parameters
  --timeout SEC    kill the guest after so long (default 600)
  --log FILE       keep the console log there (default: kept only after a failure)
  --role ROLE      server or client: one of the two guests of pair.sh
  --pair DIR       where these meet: the link between them, and their notes
  --nvdimm FILE    what the NVDIMMs have is in FILE.0 to FILE.2, and outlives the
                   guest, whatever its end; if they exist, what they have is mounted
  --pidfile FILE   QEMU's process id goes there
USAGE
}

die() { echo "vm: $*" >&2; exit 125; }

kernel='' run='' share='' bin='' mem=2G smp=2 cmdline='' timeout=600 log='' mode=run
role='' pair='' counted=0 plugin='' nvdimm='' pidfile=''
while [ $# -gt 0 ]; do
	case $1 in
	--shell) mode=shell; shift; continue ;;
	--counted) counted=1; shift; continue ;;
	--help|-h) usage; exit 0 ;;
	--kernel|--run|--share|--bin|--mem|--smp|--cmdline|--timeout|--log|--role|--pair|\
	--nvdimm|--pidfile|--plugin)
		[ $# -ge 2 ] || die "$1 needs a value"
		printf -v "${1#--}" %s "$2"
		shift 2 ;;
	*) usage >&2; die "unknown option $1" ;;
	esac
done

[ -n "$kernel" ] || die "--kernel is missing"
[ -r "$kernel" ] || die "no kernel at $kernel: build it first"
[ "$mode" = shell ] || [ -n "$run" ] || die "--run SCRIPT (or --shell) is missing"
[ -z "$run" ] || [ -r "$run" ] || die "no script at $run"
[ -z "$share" ] || [ -d "$share" ] || die "no directory at $share"
[ -z "$bin" ] || [ -x "$bin" ] || die "no command at $bin"
case $role in
server|client) [ -d "$pair/notes" ] || die "--role wants --pair, a directory of pair.sh" ;;
'') ;;
*) die "--role wants server or client, not '$role'" ;;
esac
[[ $smp =~ ^[1-9][0-9]*$ ]] || die "--smp wants a number, not '$smp'"
[[ $timeout =~ ^[1-9][0-9]*$ ]] || die "--timeout wants seconds, not '$timeout'"
mib=$(($(numfmt --from=iec "$mem" 2>/dev/null || echo 0) / 1048576))
((mib >= 512)) || die "--mem wants a size of 512M or more, not '$mem'"
command -v qemu-system-x86_64 >/dev/null ||
	die "qemu-system-x86_64 is missing; 'make deps' installs it"
image=$("$here/rootfs.sh")

dir=$(mktemp -d "${TMPDIR:-/tmp}/layout-lease-vm.XXXXXX")
log=${log:-$dir/console.log}
pidfile=${pidfile:-$dir/pid}
: >"$pidfile"
: >"$log" || die "cannot write the console log $log"
keep=0

# shellcheck disable=SC2317 # called by the trap
cleanup() {
	[ ! -s "$pidfile" ] || kill "$(cat "$pidfile")" 2>/dev/null || :
	[ "$keep" = 1 ] || rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

mkdir "$dir/rig" "$dir/rig/bin"
cp "$here/init.sh" "$dir/rig/init.sh"
[ -z "$bin" ] || cp "$bin" "$dir/rig/bin/"
[ -z "$role" ] || cp "$here/peer.sh" "$dir/rig/bin/peer"
if [ -n "$run" ]; then
	cp "$run" "$dir/rig/script"
	chmod 755 "$dir/rig/script"
fi
kept=0
if [ -n "$nvdimm" ]; then
	[ ! -s "$nvdimm.0" ] || kept=1
	truncate -s 1026M "$nvdimm".{0,1,2}
fi
rows=24 columns=80
[ "$mode" = run ] || { [ -t 0 ] && read -r rows columns < <(stty size); } || :
cat >"$dir/rig/env" <<ENV
MODE=$mode
ROLE=$role
KEPT=$kept
SHARED=$((${#share} > 0))
TIMEOUT=$timeout
TERM=${TERM:-vt100}
ROWS=$rows
COLUMNS=$columns
ENV

# Time is what the guest does, not what the host does meanwhile.
if [ "$counted" = 1 ]; then
	smp=1
	accel=(-accel "tcg,thread=single" -icount "shift=0,sleep=off" -cpu "max,la57=off")
else
	mapfile -t accel < <("$here/accel.sh")
fi
# A busy host delays the interrupts by which an emulated guest checks its timer.
[[ ${accel[*]} == *kvm* ]] || cmdline="no_timer_check $cmdline"

# backend N: the memory of NVDIMM N, which need not be the Nth that the guest finds
backend() {
	if [ -n "$nvdimm" ]; then
		echo "memory-backend-file,id=nv$1,size=1026M,mem-path=$nvdimm.$1,share=on,align=2M"
	else
		echo "memory-backend-ram,id=nv$1,size=1026M"
	fi
}

qemu=(qemu-system-x86_64 -M "q35,nvdimm=on" "${accel[@]}"
	-nodefaults -no-user-config -display none -no-reboot -pidfile "$pidfile"
	-smp "$smp" -m "${mib}M,slots=4,maxmem=$((mib + 4096))M"
	-object "$(backend 0)"
	-device "nvdimm,id=nvdimm0,memdev=nv0,label-size=256K"
	-object "$(backend 1)"
	-device "nvdimm,id=nvdimm1,memdev=nv1,label-size=256K"
	-object "$(backend 2)"
	-device "nvdimm,id=nvdimm2,memdev=nv2,label-size=256K"
	-drive "file=$image,format=raw,if=virtio,snapshot=on"
	-device virtio-rng-pci -device virtio-serial-pci
	-virtfs "local,path=$dir/rig,mount_tag=rig,security_model=none,readonly=on"
	-chardev "file,id=out,path=/dev/fd/3"
	-device "virtserialport,chardev=out,name=rig.out"
	-chardev "file,id=status,path=$dir/status"
	-device "virtserialport,chardev=status,name=rig.status"
	-kernel "$kernel"
	-append "console=ttyS0 root=/dev/vda rw init=/sbin/rig panic=-1 oops=panic \
printk.devkmsg=on ignore_loglevel $cmdline")
[ -z "$plugin" ] || qemu+=(-plugin "$plugin")
[ -z "$share" ] ||
	qemu+=(-virtfs "local,path=$share,mount_tag=host,security_model=none,readonly=on")
# One guest listens, the other connects; a name in a directory of this pair's own
# cannot be taken, as a port could.
if [ -n "$role" ]; then
	end=off mac=52:54:00:00:02:02
	[ "$role" = client ] || end=on mac=52:54:00:00:02:01
	qemu+=(-netdev "stream,id=link,server=$end,addr.type=unix,addr.path=$pair/link"
		-device "virtio-net-pci,netdev=link,mac=$mac,romfile="
		-virtfs "local,path=$pair/notes,mount_tag=notes,security_model=none")
fi

export TMPDIR=$dir		# where QEMU keeps what the guest writes to its root
: >"$dir/status"
if [ "$mode" = shell ]; then
	qemu+=(-chardev "stdio,id=con,signal=off,logfile=$log" -serial chardev:con)
	rc=0
	"${qemu[@]}" 3>/dev/null || rc=$?
else
	qemu+=(-serial "file:$log")
	# Through a pipe: QEMU would truncate a plain file, and the pipe's end
	# tells that QEMU is gone, however it went.
	{
		rc=0
		timeout --foreground -k 5 "$timeout" "${qemu[@]}" \
			3>&1 >"$dir/qemu.log" 2>&1 </dev/null || rc=$?
		echo "$rc" >"$dir/rc"
	} | cat &
	wait $! || :
	rc=$(cat "$dir/rc")
fi

read -r what text <"$dir/status" || :
case ${what:-} in
exit)
	"$here/kernel-warnings.sh" "$log" >"$dir/warnings" || {
		[ "$log" != "$dir/console.log" ] || keep=1
		echo "vm: the guest's kernel complained; see $log:" >&2
		head -n 5 "$dir/warnings" >&2
	}
	exit "$text"
	;;
setup) why="guest setup failed: $text" ;;
*)
	if grep -qa 'Kernel panic' "$log"; then
		why="the guest's kernel panicked"
	elif [ "$rc" = 124 ] || [ "$rc" = 137 ]; then
		why="no end after $timeout s: killed"
	elif [ "$rc" = 0 ]; then
		why="the guest went away without a status"
	else
		why="QEMU failed ($rc): $(cat "$dir/qemu.log" 2>/dev/null)"
	fi
	;;
esac

[ "$log" != "$dir/console.log" ] || keep=1
{
	echo "vm: $why"
	echo "vm: the last lines of its console ($log):"
	tail -n "${TAIL:-40}" "$log"
	echo "vm: $why"
} >&2
[ "$rc" = 124 ] || [ "$rc" = 137 ] || exit 125
exit 124
