# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared with lib.sh and run.sh
#
# RDMA programs over soft-RoCE, both ends on this machine.
port=18800

# perftest PROGRAM OPTION...
perftest() {
	local ends where
	port=$((port + 1))
	where=$port
	[[ $* != *-R* ]] || where=cm
	ends="$1 -F -d $RDMA_DEV -x $gid -p $port -n 100 ${*:2}"
	pair "$(tr -s ' -' . <<<"$*")" 300 $where "$ends" "$ends $RDMA_IP"
}

for kind in write read send; do
	perftest ib_${kind}_bw
	perftest ib_${kind}_lat
done
perftest ib_write_bw -b
perftest ib_write_bw -R
perftest ib_send_bw -c UD
for kind in CMP_AND_SWAP FETCH_AND_ADD; do
	perftest ib_atomic_bw -A $kind
	perftest ib_atomic_lat -A $kind
done

pair rping 300 cm "rping -s -a $RDMA_IP -p 18900 -C 20 -V" \
	"rping -c -a $RDMA_IP -p 18900 -C 20 -V"
pair rping.own_qp 300 cm "rping -s -a $RDMA_IP -p 18901 -C 20 -V -q" \
	"rping -c -a $RDMA_IP -p 18901 -C 20 -V -q"
pair rstream 300 cm "rstream -b $RDMA_IP -p 18902 -I 10 -C 10 -S 4096 -T v" \
	"rstream -s $RDMA_IP -p 18902 -I 10 -C 10 -S 4096 -T v"
for how in rc uc ud srq; do
	port=$((port + 1))
	ends="ibv_${how}_pingpong -d $RDMA_DEV -g $gid -p $port -n 100"
	pair ibv_${how}_pingpong 300 $port "$ends" "$ends $RDMA_IP"
done
port=$((port + 1))
ends="ibv_rc_pingpong -d $RDMA_DEV -g $gid -p $port -n 100 -e -c"
pair ibv_rc_pingpong.events 300 $port "$ends" "$ends $RDMA_IP"

for qperf in rc_bw rc_lat rc_bi_bw rc_rdma_read_bw rc_rdma_write_bw rc_rdma_write_poll_lat \
	rc_fetch_add_mr ver_rc_compare_swap ver_rc_fetch_add; do
	port=$((port + 1))
	endless=1 pair qperf.$qperf 300 $port "qperf -lp $port" \
		"qperf -lp $port -cm 1 -t 2 $RDMA_IP $qperf"
done

# Not fio's verb=send: it wants no retries, so it fails where the receiver is late.
says='err= 0'
for verb in write read; do
	port=$((port + 1))
	ends="fio --ioengine=rdma --bs=64k --size=1M --port=$port --name=rdma"
	pair fio_rdma.$verb 300 cm "$ends --rw=read --iodepth=4" \
		"$ends --rw=write --verb=$verb --iodepth=1 --hostname=$RDMA_IP"
done
says=
