#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# In the guest, on the kernel with layout leases: traffic into the file, and a
# truncate that wins against it.
# shellcheck source=timeline.sh
. /host/timeline.sh

PATH=/host:$PATH
break_time=10
echo $break_time >/proc/sys/fs/lease-break-time
make_file
step "$file: $mib MiB, $(grep -o 'layout_lease=[a-z]*' /proc/mounts | head -n 1)," \
	"fs.lease-break-time $break_time s"

step "\$ ${bw[*]} --mmap=$file"
timeout 30 "${bw[@]}" -D 2 -p 18801 --mmap="$file" >/tmp/server 2>&1 &
server=$!
listening 18801 $server
timeout 30 "${bw[@]}" -D 2 -p 18801 "$RDMA_IP" >/tmp/client 2>&1
wait $server && wrong "allowed without a lease"
step "without a lease: refused, as before"

step "\$ layout-lease run --file $file -- ${bw[*]} --mmap=$file"
layout-lease run --file "$file" -- "${bw[@]}" -D 2 -p 18802 --mmap="$file" >/tmp/server 2>&1 &
server=$!
listening 18802 $server
timeout 30 "${bw[@]}" -D 2 -p 18802 "$RDMA_IP" >/tmp/client 2>&1 ||
	wrong "with the lease: $(cat /tmp/server /tmp/client)"
wait $server || wrong "the server failed: $(cat /tmp/server)"
step "with the lease, into the file: $(bandwidth /tmp/client) MB/s"

step "the same, without end, and beside it an application that is aware:"
layout-lease run --file "$file" -- "${bw[@]}" -D 1 --run_infinitely -p 18803 --mmap="$file" \
	>/tmp/server 2>&1 &
server=$!
listening 18803 $server
stdbuf -oL "${bw[@]}" -D 1 --run_infinitely -p 18803 "$RDMA_IP" >/tmp/client 2>&1 &
client=$!
mkfifo /tmp/aware
aware_app "$RDMA_DEV" "$file" >/tmp/aware &
aware=$!
exec 3</tmp/aware
read -r -t 20 when text <&3 || wrong "the aware application says nothing"
at "$when" "$text"
for _ in {1..200}; do
	rate=$(bandwidth /tmp/client) && break
	sleep 0.1
done
[ -n "$rate" ] || wrong "no traffic: $(cat /tmp/client)"
step "traffic flows: $rate MB/s"

block=$(block_watch where "$file")
take_space
step "a file takes all the space there is: what is freed now is all that is free"
step "\$ truncate -s 0 $file"
now
begun=$ms
(
	truncate -s 0 "$file"
	status=$?
	now
	at "$ms" "truncate: status $status after $((ms - begun)) ms"
	exit $status
) &
breaker=$!
(
	while read -r when text; do
		at "$when" "$text"
	done <&3
) &
reader=$!

{ wait $server; } 2>/dev/null
status=$?
step "ib_write_bw, which was not aware: status $status" \
	"($([ $status != 137 ] || echo "killed by SIGKILL"))"
[ $status = 137 ] || wrong "it was not killed"
wait $breaker || wrong "truncate failed"
now
[ $((ms - begun)) -lt $((break_time * 1000)) ] || wrong "it took the whole break time"
wait $aware || wrong "the aware application ended with status $?"
wait $reader
step "the aware application: status 0, alive to the end"
[ "$(stat -c %s "$file")" = 0 ] || wrong "the file is not empty"

watch "$block" 3000
kill $client 2>/dev/null
wait $client 2>/dev/null
step "done"
exit 0
