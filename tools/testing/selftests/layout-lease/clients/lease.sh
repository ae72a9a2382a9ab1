# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared with lib.sh and run.sh
#
# Unmodified programs that register memory of a DAX file.  With a layout lease it
# works, and is refused where the kernel has none; without one it is refused by both.
# Refused by "layout-lease run" is status 125.

# both_ways TEST KIND ARGUMENT...: with a lease by KIND, and without one, by a program
# that fails, and not by hanging
both_ways() {
	local name=$1 kind=$2
	shift 2
	file "$dax" 8
	"with_$kind" "$name" "layout-lease run --file $dax --" "$@"
	file "$dax" 8
	begin "$name.without_a_lease_is_refused"
	("with_$kind" tried "" "$@") >/tmp/tried
	sed '/^@@/d' /tmp/tried
	if grep '^@@ .*/tried fail ' /tmp/tried | grep -qv 'no end after'; then
		verdict "$name.without_a_lease_is_refused" pass
	else
		verdict "$name.without_a_lease_is_refused" fail "$(grep '/tried ' /tmp/tried)"
	fi
	rm -f "$dax"
}

# shellcheck disable=SC2086 # words
with_program() { program "$1" 300 $2 "${@:3}"; }

# with_server TEST RUN WHERE SERVER CLIENT
with_server() { pair "$1" 300 "$3" "$2 $4" "$5"; }

port=18700
for root in "$XFS" "$EXT4"; do
	fs=${root##*/}
	dax=$root/leased
	for bw in ib_write_bw ib_read_bw ib_send_bw; do
		port=$((port + 1))
		ends="$bw -F -d $RDMA_DEV -x $gid -p $port -n 100"
		both_ways "$fs.$bw.mmap" server $port "$ends --mmap=$dax" "$ends $RDMA_IP"
	done
	port=$((port + 1))
	ends="fio --ioengine=rdma --thread --bs=64k --size=1M --port=$port --name=lease"
	says='err= 0'
	both_ways "$fs.fio_rdma.iomem" server cm \
		"$ends --rw=read --iodepth=4 --iomem=mmapshared:$dax" \
		"$ends --rw=write --verb=write --iodepth=1 --hostname=$RDMA_IP"
	both_ways "$fs.fio_uring.iomem" program fio --name=lease --thread --ioengine=io_uring \
		--fixedbufs=1 --rw=randwrite --size=4M --bs=16k --iodepth=8 --direct=1 \
		--verify=crc32c --verify_fatal=1 --filename="$root/fio" --iomem="mmapshared:$dax"
	says=
	rm -f "$root/fio"
	both_ways "$fs.pyverbs_mr" program python3 "$dir/dax_mr.py" "$RDMA_DEV" "$dax"
done
