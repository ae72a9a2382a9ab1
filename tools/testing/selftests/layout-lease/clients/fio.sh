# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared with lib.sh and run.sh
#
# fio with io_uring and registered buffers: writes and verifies.

# fixed TEST FILE OPTION...
fixed() {
	program "$1" 300 fio --name="$1" --filename="$2" --ioengine=io_uring --fixedbufs=1 \
		--rw=randwrite --size=4M --bs=16k --iodepth=8 --direct=1 \
		--verify=crc32c --verify_fatal=1 --do_verify=1 --random_generator=lfsr "${@:3}"
}

truncate -s 16M /tmp/disk
disk=$(losetup -f --show /tmp/disk)
for root in "$XFS" "$EXT4"; do
	fs=${root##*/}
	fixed "$fs.fixedbufs" "$root/fio"
	fixed "$fs.fixedbufs.registerfiles" "$root/fio" --registerfiles=1
	fixed "$fs.fixedbufs.sqthread_poll" "$root/fio" --sqthread_poll=1 --registerfiles=1
	fixed "$fs.fixedbufs.buffered" "$root/fio" --direct=0
	fixed "$fs.fixedbufs.shared_memory" "$root/fio" --iomem=shm
	rm -f "$root/fio"
done
fixed block_device.fixedbufs "$disk"
fixed block_device.fixedbufs.sqthread_poll "$disk" --sqthread_poll=1 --registerfiles=1
losetup -d "$disk"
rm -f /tmp/disk
