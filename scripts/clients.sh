#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# clients.sh core RESULTS, clients.sh all: real programs, which know nothing of layout
# leases, have the same results on the base kernel and on ours, known failures of
# the base named in clients/known.  Appends to RESULTS what check.sh counts; all
# ends with the count, and also runs them beside other processes' layout leases.
#
# ONLY="suite ..." runs only these suites; GUESTS is how many guests run at a time.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

core="pyverbs fio kernel"
all="$core lease rdma stress"
case ${1:-} in
core) suites=$core guests="base:plain patched:plain" ;;
all) suites=${ONLY:-$all} guests="base:plain patched:plain patched:held" ;;
*) die "usage: clients.sh core RESULTS | all" ;;
esac

out=$build/clients
clients=$repo/$selftests/clients
rm -rf "$out"
mkdir -p "$out/share" "$out/tools"
results=${2:-$out/results}
touch "$results"

build_programs() {
	make -s -C "$repo/$selftests" KSFT="$patched/tools/testing/selftests" OUTPUT="$out/tools" \
		"$out/tools/layout-lease" "$out/tools/aware_app" &&
		cp "$clients"/* "$out/tools/layout-lease" "$out/tools/aware_app" "$out/share/"
}

# Those of the kernel, the same for both.  ofdlocks compares structures with padding
# that it has not initialized.
build_kselftests() {
	local from=$patched/tools/testing/selftests
	make -s -C "$from/mm" OUTPUT="$out/share" \
		"$out/share/gup_longterm" "$out/share/gup_test" "$out/share/cow" &&
		make -s -C "$from/filelock" OUTPUT="$out/share" \
			USERCFLAGS=-ftrivial-auto-var-init=zero "$out/share/ofdlocks"
}

# guest VARIANT MODE
guest() {
	local name=$1-$2 script=$out/$1-$2.sh
	printf '#!/bin/sh\nexec /host/run.sh %s %s\n' "$2" "$suites" >"$script"
	"$repo/$selftests/vm/vm.sh" --kernel "$build/$1/out/arch/x86/boot/bzImage" --run "$script" \
		--share "$out/share" --timeout 3600 --log "$out/$name.console" \
		>"$out/$name" 2>"$out/$name.err" || echo "status $?" >>"$out/$name.err"
}

# healthy GUEST: it ended by itself, and its kernel has nothing to complain of.
healthy() {
	local complaints
	if complaints=$("$repo/$selftests/vm/kernel-warnings.sh" "$out/$1.console") &&
	   [ ! -s "$out/$1.err" ]; then
		echo "ok clients: $1: the guest ended well, its kernel log is clean"
		echo pass >>"$results"
	else
		{ cat "$out/$1.err"; echo "$complaints"; } | sed 's/^/# /'
		echo "not ok clients: $1: the guest was lost, or its kernel complained ($out/$1.console)"
		echo fail >>"$results"
	fi
}

for suite in $suites; do
	[ -f "$clients/$suite.sh" ] || die "there is no suite $suite"
done
if ! { build_programs && { [[ " $suites " != *" kernel "* ]] || build_kselftests; }; } \
	>"$out/build.log" 2>&1; then
	cat "$out/build.log" >&2
	die "building the programs failed (above)"
fi
echo "# real programs on both kernels: $suites"
for each in $guests; do
	while [ "$(jobs -rp | wc -l)" -ge "${GUESTS:-2}" ]; do wait -n || :; done
	guest "${each%:*}" "${each#*:}" &
done
wait
for each in $guests; do
	healthy "${each/:/-}"
done
for each in $guests; do
	name=${each/:/-}
	[ "$name" != base-plain ] || continue
	# The test of the holders is theirs alone.
	sed '/^@@ .*held\//d' "$out/$name" >"$out/compared"
	awk -v what="${name#*-}" -v suites="$suites" -v results="$results" \
		-f "$repo/scripts/clients.awk" "$clients/known" "$out/base-plain" "$out/compared"
	[ "$name" != patched-held ] ||
		if grep -qx '@@ held/the_holders_keep_their_pins pass' "$out/$name"; then
			echo "ok clients: held: the holders of the other files keep their pins"
			echo pass >>"$results"
		else
			echo "not ok clients: held: the holders of the other files lost their pins"
			echo fail >>"$results"
		fi
done
[ "$1" = core ] || count_results "$results"
