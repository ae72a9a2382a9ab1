// SPDX-License-Identifier: GPL-2.0
/*
 * RDMA FLUSH to persistence reaches leased files: the peer, and not fsync(2),
 * makes durable what it has written.
 *
 * libibverbs has FLUSH since version 45 of rdma-core. With an older one the
 * request is posted as an RDMA WRITE without data, and rewritten in the send
 * queue, which soft-RoCE shares with its library, before the kernel is told.
 */
#include <infiniband/verbs.h>
#include <rdma/rdma_user_rxe.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_revoke.h"

#define WR_FLUSH		14		/* IB_UVERBS_WR_FLUSH */
#define FLUSH_PERSISTENT	2		/* IB_FLUSH_PERSISTENT */
#define ACCESS_PERSISTENT	(1 << 9)	/* IB_UVERBS_ACCESS_FLUSH_PERSISTENT */
#define ACCESS			(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE)
#define COOKIE			0x6c61796f75746670ULL

/* Takes the place of wr.rdma in struct rxe_send_wr. */
struct flush_wr {
	uint64_t remote_addr;
	uint32_t length;
	uint32_t rkey;
	uint8_t type;
	uint8_t level;		/* 0: a range */
};

FIXTURE(flush)
{
	struct ll_env env;
	char path[LL_PATH];
	int fd;
	char *map, *source;
	struct ll_rdma r;
	struct ll_qp to, from;
	struct ibv_mr *mr, *smr;
};

FIXTURE_VARIANT(flush)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(flush, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(flush, xfs) {
	.fs = LL_XFS,
};

/* A queue pair whose requests are made one part at a time. */
static int create_extended(struct ll_rdma *r, struct ll_qp *q)
{
	struct ibv_qp_init_attr_ex init = {
		.cap = {
			.max_send_wr = 16, .max_recv_wr = 1,
			.max_send_sge = 1, .max_recv_sge = 1,
		},
		.qp_type = IBV_QPT_RC,
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.pd = r->pd,
		.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE,
	};
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT, .port_num = 1 };

	q->cq = ibv_create_cq(r->ctx, 32, NULL, NULL, 0);
	if (!q->cq)
		return -errno;
	init.send_cq = q->cq;
	init.recv_cq = q->cq;
	q->qp = ibv_create_qp_ex(r->ctx, &init);
	if (!q->qp)
		return -errno;
	return -ibv_modify_qp(q->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			      IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

static int allow_flush(struct ll_qp *q)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTS,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE | ACCESS_PERSISTENT,
	};

	return -ibv_modify_qp(q->qp, &attr, IBV_QP_STATE | IBV_QP_ACCESS_FLAGS);
}

FIXTURE_SETUP(flush)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	self->fd = ll_huge_leased(&self->env, self->path, 0, &self->map);
	ASSERT_LE(0, self->fd);
	self->source = mmap(NULL, LL_PIN_LEN, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->source);
	ASSERT_EQ(0, ll_rdma_open(&self->r));
	ASSERT_EQ(0, ll_qp_create(&self->r, &self->to));
	ASSERT_EQ(0, create_extended(&self->r, &self->from));
	ASSERT_EQ(0, ll_qp_connect(&self->r, &self->to, self->from.qp->qp_num));
	ASSERT_EQ(0, ll_qp_connect(&self->r, &self->from, self->to.qp->qp_num));
	ASSERT_EQ(0, allow_flush(&self->to));
	ASSERT_EQ(0, ll_reg(&self->r, self->source, LL_PIN_LEN, &self->smr));
}

FIXTURE_TEARDOWN(flush)
{
	ll_qp_destroy(&self->from);
	ll_qp_destroy(&self->to);
	ll_dereg(&self->mr);
	ll_dereg(&self->smr);
	ll_rdma_close(&self->r);
	ll_teardown(&self->env);
}

/* The request in the send queue of one of this process' queue pairs. */
static struct rxe_send_wqe *find_request(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	uint64_t *at, *found = NULL;
	char line[512];

	if (!f)
		return NULL;
	while (!found && fgets(line, sizeof(line), f)) {
		if (!strstr(line, "/dev/infiniband/uverbs") ||
		    sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		for (at = (uint64_t *)start; !found && at < (uint64_t *)end; at++)
			if (*at == COOKIE)
				found = at;
	}
	fclose(f);
	return (struct rxe_send_wqe *)found;
}

/* The status of a FLUSH of this range, or a negative errno. */
static int flush(struct ll_qp *q, struct ibv_mr *mr, size_t len)
{
	struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(q->qp);
	struct flush_wr wr = {
		.remote_addr = (uintptr_t)mr->addr, .length = len, .rkey = mr->rkey,
		.type = FLUSH_PERSISTENT,
	};
	int64_t end = ll_now_ms() + LL_SOON;
	struct rxe_send_wqe *wqe;
	struct ibv_wc wc;
	int ret;

	ibv_wr_start(qp);
	qp->wr_id = COOKIE;
	qp->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(qp, mr->rkey, (uintptr_t)mr->addr);
	wqe = find_request();
	if (!wqe) {
		ibv_wr_abort(qp);
		return -ENOENT;
	}
	wqe->wr.opcode = WR_FLUSH;
	memcpy(&wqe->wr.wr, &wr, sizeof(wr));
	ret = ibv_wr_complete(qp);
	if (ret)
		return -ret;
	while ((ret = ibv_poll_cq(q->cq, 1, &wc)) == 0)
		if (ll_now_ms() > end)
			return -ETIMEDOUT;
	/* the next one is to be found as well */
	wqe->wr.wr_id = 0;
	if (ret < 0 || wc.wr_id != COOKIE)
		return -EIO;
	return wc.status;
}

TEST_F(flush, to_persistence_succeeds_on_a_leased_file)
{
	int i, stop = 0;

	ASSERT_EQ(0, ll_reg_access(&self->r, self->map, LL_PIN_LEN,
				   ACCESS | ACCESS_PERSISTENT, &self->mr));
	for (i = 0; i < 2; i++) {
		memset(self->source, 'a' + i, LL_PIN_LEN);
		ASSERT_EQ(0, ll_rdma_write(&self->from, self->smr,
					   (uintptr_t)self->mr->addr, self->mr->rkey,
					   LL_PIN_LEN, &stop));
		EXPECT_EQ(IBV_WC_SUCCESS, flush(&self->from, self->mr, LL_PIN_LEN));
		EXPECT_EQ(1, ll_filled(self->path, 0, LL_PIN_LEN, 'a' + i));
	}
}

/* So it was a FLUSH, and not the WRITE that it was posted as. */
TEST_F(flush, of_a_registration_without_it_is_refused)
{
	ASSERT_EQ(0, ll_reg_access(&self->r, self->map, LL_PIN_LEN, ACCESS, &self->mr));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, flush(&self->from, self->mr, LL_PIN_LEN));
}

TEST_F(flush, ordinary_memory_is_not_persistent)
{
	struct ibv_mr *other;

	EXPECT_EQ(0, ll_reg_access(&self->r, self->map, LL_PIN_LEN,
				   ACCESS | ACCESS_PERSISTENT, &self->mr));
	EXPECT_EQ(-EINVAL, ll_reg_access(&self->r, self->source, LL_PIN_LEN,
					 ACCESS | ACCESS_PERSISTENT, &other));
}

TEST_HARNESS_MAIN
