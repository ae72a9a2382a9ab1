#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# How QEMU is to emulate the processor here, one argument a line: the device
# nodes of KVM exist on machines that cannot use it.
set -euo pipefail

if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
	printf '%s\n' -accel kvm -cpu host
else
	printf '%s\n' -accel "tcg,thread=multi" -cpu "max,la57=off"
fi
