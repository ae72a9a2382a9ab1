#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The demonstration: the same unmodified RDMA program on the same file, on a
# kernel without layout leases and on one with them. Ends with status 0 only if
# every step went as announced.
#
# Called by 'make demo', which has built both kernels and the guest's root.
set -euo pipefail

demo=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../scripts/lib.sh
. "$demo/../scripts/lib.sh"

out=$build/demo
share=$out/share
vm=$repo/$selftests/vm/vm.sh

title() { printf '\n\033[1m%s\033[0m\n\n' "$*"; }

rm -rf "$out"
helpers "$share"

# boot VARIANT SCRIPT
boot() {
	"$vm" --kernel "$build/$1/out/arch/x86/boot/bzImage" --run "$demo/$2" \
		--share "$share" --timeout 200 --log "$out/$1.console" ||
		die "$1 kernel: a step did not go as announced (status $?); console: $out/$1.console"
}

title "1. A kernel without layout leases"
boot base without.sh
title "2. The same kernel with layout leases"
boot patched with.sh
printf '\n'
say "every step went as announced"
