#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In the guest, on the kernel without layout leases: RDMA works, but not into a
# file that could be truncated.
# shellcheck source=timeline.sh
. /host/timeline.sh

make_file
step "$file: $mib MiB, $(grep -o 'dax=[a-z]*' /proc/mounts | head -n 1)"

step "\$ ${bw[*]}"
timeout 30 "${bw[@]}" -D 2 -p 18801 >/tmp/server 2>&1 &
server=$!
listening 18801 $server
timeout 30 "${bw[@]}" -D 2 -p 18801 "$RDMA_IP" >/tmp/client 2>&1 ||
	wrong "RDMA does not work at all: $(cat /tmp/client)"
wait $server
step "into anonymous memory: $(bandwidth /tmp/client) MB/s"

step "\$ ${bw[*]} --mmap=$file"
timeout 30 "${bw[@]}" -D 2 -p 18802 --mmap="$file" >/tmp/server 2>&1 &
server=$!
listening 18802 $server
timeout 30 "${bw[@]}" -D 2 -p 18802 "$RDMA_IP" >/tmp/client 2>&1
wait $server
status=$?
grep ' MR$' /tmp/server | quote
[ $status != 0 ] || wrong "it was not refused"
[ $status != 124 ] || wrong "it did not end: $(cat /tmp/client)"
step "into the file: refused (status $status)"
