// SPDX-License-Identifier: GPL-2.0
/*
 * Revocation on another driver: soft iWARP. Nothing of it is in a driver.
 */
#include <stdlib.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_revoke.h"

#define RW	(PROT_READ | PROT_WRITE)
#define DEVICE	"siw-layout"

FIXTURE(siw)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_rdma r, other;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	char *buf;
	int64_t start;
};

FIXTURE_VARIANT(siw)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(siw, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(siw, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(siw)
{
	struct ibv_qp_init_attr init = {
		.cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1,
			 .max_recv_sge = 1 },
		.qp_type = IBV_QPT_RC,
	};

	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ll_shell("ip link add dummy8 type dummy; ip link set dummy8 up");
	ASSERT_EQ(0, ll_shell("rdma link add " DEVICE " type siw netdev dummy8"));
	ASSERT_EQ(0, ll_rdma_open_dev(&self->r, DEVICE));
	ASSERT_EQ(0, ll_rdma_open_dev(&self->other, DEVICE));
	self->buf = mmap(NULL, LL_PIN_LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, ll_reg(&self->r, self->buf, LL_PIN_LEN, &self->mr));
	self->channel = ibv_create_comp_channel(self->r.ctx);
	ASSERT_NE(NULL, self->channel);
	self->cq = ibv_create_cq(self->r.ctx, 8, NULL, self->channel, 0);
	ASSERT_NE(NULL, self->cq);
	init.send_cq = self->cq;
	init.recv_cq = self->cq;
	self->qp = ibv_create_qp(self->r.pd, &init);
	ASSERT_NE(NULL, self->qp);
}

FIXTURE_TEARDOWN(siw)
{
	if (self->qp)
		ibv_destroy_qp(self->qp);
	if (self->cq)
		ibv_destroy_cq(self->cq);
	if (self->channel)
		ibv_destroy_comp_channel(self->channel);
	if (self->mr)
		ibv_dereg_mr(self->mr);
	ll_rdma_close(&self->r);
	ll_rdma_close(&self->other);
	ll_shell("rdma link delete " DEVICE " && ip link del dummy8");
	ll_teardown(&self->env);
}

TEST_F(siw, pins_of_a_holder_that_is_gone_are_revoked_at_once)
{
	ASSERT_EQ(0, ll_leave(&self->r, self->path, 0, LL_PIN_LEN, 20, NULL));
	EXPECT_EQ(20, ll_listed(self->path, true));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(2000, ll_now_ms() - self->start);
	EXPECT_EQ(0, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_listed(self->path, false));
}

TEST_F(siw, unwilling_holder_is_revoked_at_the_deadline)
{
	struct ll_breaker b;
	struct ibv_mr *mr;
	char *map;
	int fd, ret;

	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	fd = ll_open(self->path, O_RDWR);
	map = ll_map_fd(fd, LL_FILE_SIZE, RW, MAP_SHARED, 0);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, ll_take(fd, false, 0));
	ASSERT_EQ(0, ll_reg(&self->r, map, LL_PIN_LEN, &mr));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	self->start = ll_now_ms();
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_LE(900, ll_now_ms() - self->start);
	EXPECT_GT(3000, ll_now_ms() - self->start);
	EXPECT_EQ(F_UNLCK, ll_ret(fcntl(fd, F_GETLEASE)));
	EXPECT_EQ(0, ibv_dereg_mr(mr));
	ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	ASSERT_EQ(0, ll_take(fd, true, LL_SIG));
	EXPECT_EQ(-EIO, ll_reg(&self->r, map, LL_PIN_LEN, &mr));
	EXPECT_EQ(0, ll_reg(&self->other, map, LL_PIN_LEN, &mr));
	EXPECT_EQ(0, ibv_dereg_mr(mr));
	munmap(map, LL_FILE_SIZE);
	close(fd);
}

TEST_F(siw, revoked_context_answers_EIO_and_can_be_taken_apart)
{
	struct ibv_device_attr device;
	struct ibv_mr *mr;

	ASSERT_EQ(0, ll_leave(&self->r, self->path, 0, LL_PIN_LEN, 1, NULL));
	ASSERT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(-EIO, ll_reg(&self->r, self->buf, LL_PAGE, &mr));
	EXPECT_EQ(EIO, ibv_query_device(self->r.ctx, &device));
	EXPECT_EQ(NULL, ibv_alloc_pd(self->r.ctx));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(IBV_EVENT_DEVICE_FATAL, ll_next_event(self->r.ctx, LL_SOON));
	EXPECT_EQ(-ETIMEDOUT, ll_next_event(self->r.ctx, 300));
	EXPECT_EQ(0, ibv_destroy_qp(self->qp));
	EXPECT_EQ(0, ibv_destroy_cq(self->cq));
	EXPECT_EQ(0, ibv_destroy_comp_channel(self->channel));
	EXPECT_EQ(0, ibv_dereg_mr(self->mr));
	EXPECT_EQ(0, ibv_dealloc_pd(self->r.pd));
	EXPECT_EQ(0, ibv_close_device(self->r.ctx));
	memset(&self->r, 0, sizeof(self->r));
	self->qp = NULL;
	self->cq = NULL;
	self->channel = NULL;
	self->mr = NULL;
	/* somebody else's is as it was */
	EXPECT_EQ(0, ibv_query_device(self->other.ctx, &device));
	EXPECT_EQ(0, ll_reg(&self->other, self->buf, LL_PAGE, &mr));
	EXPECT_EQ(0, ibv_dereg_mr(mr));
}

TEST_HARNESS_MAIN
