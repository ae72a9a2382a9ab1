# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared with lib.sh and run.sh
#
# What is hard on files, mappings, locks and leases, on DAX.
for root in "$XFS" "$EXT4"; do
	fs=${root##*/}
	mkdir -p "$root/stress"
	for stressor in lease fpunch fallocate mmap msync fcntl lockf sigio; do
		more=()
		[ $stressor != mmap ] || more=(--mmap-bytes 16M --mmap-file)
		program "$fs.stress-ng.$stressor" 300 stress-ng --verify --timeout 2 \
			--temp-path "$root/stress" --$stressor 1 "${more[@]}"
	done
	program "$fs.fio_libpmem" 300 fio --name=pmem --filename="$root/pmem" --ioengine=libpmem \
		--rw=randwrite --size=4M --bs=16k --direct=1 --sync=1 --verify=crc32c \
		--verify_fatal=1
	program "$fs.fio_mmap" 300 fio --name=mmap --filename="$root/pmem" --ioengine=mmap \
		--rw=randrw --size=4M --bs=16k --verify=crc32c --verify_fatal=1
	rm -rf "$root/stress" "$root/pmem"
done
