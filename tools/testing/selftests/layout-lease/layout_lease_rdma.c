// SPDX-License-Identifier: GPL-2.0
/*
 * Registration of memory with a real RDMA device, and RDMA WRITE between two
 * queue pairs of it. The device is named by RDMA_DEV, its address by RDMA_IP;
 * with PEER_IP the other queue pair is of the machine that has that address.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout_lease_common.h"

#define PATH_MTU	IBV_MTU_1024
#define PATH_MTU_BYTES	1024

static int open_device(struct ll_rdma *r, const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	int i;

	for (i = 0; list && list[i] && !r->ctx; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			r->ctx = ibv_open_device(list[i]);
	if (list)
		ibv_free_device_list(list);
	if (r->ctx)
		return 0;
	ll_log("cannot open the RDMA device %s", name);
	return -ENODEV;
}

static int parse_gid(union ibv_gid *gid, const char *ip)
{
	*gid = (union ibv_gid){ .raw = { [10] = 0xff, [11] = 0xff } };
	if (inet_pton(AF_INET, ip, gid->raw + 12) == 1 ||
	    inet_pton(AF_INET6, ip, gid->raw) == 1)
		return 0;
	ll_log("no address: %s", ip);
	return -EINVAL;
}

static int find_gid(struct ll_rdma *r, const char *ip)
{
	const char *peer = getenv("PEER_IP");
	struct ibv_gid_entry entry;
	uint32_t i;
	int ret;

	ret = parse_gid(&r->gid, ip) ?: parse_gid(&r->peer, peer ? peer : ip);
	if (ret)
		return ret;
	for (i = 0; i < 32; i++) {
		if (ibv_query_gid_ex(r->ctx, 1, i, &entry, 0) ||
		    entry.gid_type != IBV_GID_TYPE_ROCE_V2 ||
		    memcmp(entry.gid.raw, r->gid.raw, sizeof(r->gid.raw)))
			continue;
		r->gid_index = i;
		return 0;
	}
	ll_log("the RDMA device has no RoCE v2 GID for %s", ip);
	return -ENODEV;
}

int ll_rdma_open(struct ll_rdma *r)
{
	const char *name = getenv("RDMA_DEV"), *ip = getenv("RDMA_IP");
	int ret;

	memset(r, 0, sizeof(*r));
	if (!name || !ip) {
		ll_log("RDMA_DEV and RDMA_IP are not both set");
		return -ENOENT;
	}
	ret = open_device(r, name) ?: find_gid(r, ip);
	if (ret)
		return ret;
	r->pd = ibv_alloc_pd(r->ctx);
	return r->pd ? 0 : -errno;
}

void ll_rdma_close(struct ll_rdma *r)
{
	if (r->pd)
		ibv_dealloc_pd(r->pd);
	if (r->ctx)
		ibv_close_device(r->ctx);
	memset(r, 0, sizeof(*r));
}

int ll_reg_access(struct ll_rdma *r, void *addr, size_t len, int access,
		  struct ibv_mr **mr)
{
	*mr = ibv_reg_mr(r->pd, addr, len, access);
	return *mr ? 0 : -errno;
}

int ll_reg(struct ll_rdma *r, void *addr, size_t len, struct ibv_mr **mr)
{
	return ll_reg_access(r, addr, len, IBV_ACCESS_LOCAL_WRITE |
			     IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ, mr);
}

int ll_dereg(struct ibv_mr **mr)
{
	int ret;

	if (!*mr)
		return -ENOENT;
	ret = ibv_dereg_mr(*mr);
	*mr = NULL;
	return -ret;
}

static int init_qp(struct ll_qp *q)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ,
	};

	return -ibv_modify_qp(q->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			      IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

int ll_qp_create(struct ll_rdma *r, struct ll_qp *q)
{
	struct ibv_qp_init_attr init = {
		.cap = {
			.max_send_wr = 16, .max_recv_wr = 1,
			.max_send_sge = 1, .max_recv_sge = 1,
		},
		.qp_type = IBV_QPT_RC,
	};

	*q = (struct ll_qp){ .timeout = 14, .retry_cnt = 7 };
	q->cq = ibv_create_cq(r->ctx, 32, NULL, NULL, 0);
	if (!q->cq)
		return -errno;
	init.send_cq = q->cq;
	init.recv_cq = q->cq;
	q->qp = ibv_create_qp(r->pd, &init);
	return q->qp ? init_qp(q) : -errno;
}

int ll_qp_connect(struct ll_rdma *r, struct ll_qp *q, uint32_t qpn)
{
	struct ibv_qp_attr rtr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = PATH_MTU,
		.dest_qp_num = qpn,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = {
			.is_global = 1,
			.port_num = 1,
			.grh = {
				.dgid = r->peer,
				.sgid_index = r->gid_index,
				.hop_limit = 1,
			},
		},
	};
	struct ibv_qp_attr rts = {
		.qp_state = IBV_QPS_RTS,
		.timeout = q->timeout,
		.retry_cnt = q->retry_cnt,
		.rnr_retry = 7,
		.sq_psn = q->psn,
		.max_rd_atomic = 1,
	};
	int ret;

	ret = ibv_modify_qp(q->qp, &rtr, IBV_QP_STATE | IBV_QP_AV |
			    IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			    IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	if (ret)
		return -ret;
	return -ibv_modify_qp(q->qp, &rts, IBV_QP_STATE | IBV_QP_TIMEOUT |
			      IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
			      IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
}

/*
 * Makes a queue pair that has met an error usable again, for the same peer: one
 * that is still there takes what it sends next as the continuation.
 */
int ll_qp_reconnect(struct ll_rdma *r, struct ll_qp *q, uint32_t qpn)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET };

	return -ibv_modify_qp(q->qp, &attr, IBV_QP_STATE) ?: init_qp(q) ?:
	       ll_qp_connect(r, q, qpn);
}

int ll_qp_destroy(struct ll_qp *q)
{
	int ret = 0;

	if (q->qp)
		ret = -ibv_destroy_qp(q->qp);
	if (q->cq)
		ret = ret ?: -ibv_destroy_cq(q->cq);
	memset(q, 0, sizeof(*q));
	return ret;
}

/*
 * One RDMA WRITE and its completion; -EIO when the peer did not take it,
 * -ECANCELED when somebody sets *stop meanwhile.
 */
int ll_rdma_write(struct ll_qp *q, struct ibv_mr *src, uint64_t addr,
		  uint32_t rkey, size_t len, const int *stop)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)src->addr, .length = len, .lkey = src->lkey,
	};
	struct ibv_send_wr *bad, wr = {
		.sg_list = &sge, .num_sge = 1,
		.opcode = IBV_WR_RDMA_WRITE,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = { .remote_addr = addr, .rkey = rkey },
	};
	int64_t begun = ll_now_ms(), now;
	struct ibv_wc wc;
	int ret;

	ret = ibv_post_send(q->qp, &wr, &bad);
	if (ret)
		return -ret;
	while ((ret = ibv_poll_cq(q->cq, 1, &wc)) == 0) {
		if (__atomic_load_n(stop, __ATOMIC_RELAXED))
			return -ECANCELED;
		now = ll_now_ms();
		if (now > begun + LL_SOON)
			return -ETIMEDOUT;
		/* soon, or after a timeout of the device */
		if (now > begun + 50)
			ll_sleep_ms(5);
	}
	if (ret < 0)
		return ret;
	q->status = wc.status;
	if (wc.status != IBV_WC_SUCCESS)
		return -EIO;
	q->psn = (q->psn + (len + PATH_MTU_BYTES - 1) / PATH_MTU_BYTES) & 0xffffff;
	return 0;
}
