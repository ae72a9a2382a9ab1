// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of an RDMA context whose pins were revoked: it reaches no memory,
 * answers EIO, says so to those who wait, and can be taken apart and closed.
 * Others are not concerned.
 */
#include <poll.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_revoke.h"

#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(context)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_rdma r;		/* the context, with pins left behind */
	struct ll_left left;
	struct ll_qp q;
	struct ibv_mr *mr;		/* of anonymous memory */
	char *buf;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;		/* with the channel */
	struct ll_peer peer;
	pthread_t thread;
};

FIXTURE_VARIANT(context)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(context, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(context, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(context)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_rdma_open(&self->r));
	ASSERT_EQ(0, ll_leave(&self->r, self->path, 0, LL_PIN_LEN, 1, &self->left));
	self->buf = mmap(NULL, LL_PIN_LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, ll_reg(&self->r, self->buf, LL_PIN_LEN, &self->mr));
	self->channel = ibv_create_comp_channel(self->r.ctx);
	ASSERT_NE(NULL, self->channel);
	self->cq = ibv_create_cq(self->r.ctx, 16, NULL, self->channel, 0);
	ASSERT_NE(NULL, self->cq);
	ASSERT_EQ(0, ll_qp_create(&self->r, &self->q));
}

static int dereg(void *mr)
{
	return ibv_dereg_mr(mr);
}

static int destroy_qp(void *qp)
{
	return ibv_destroy_qp(qp);
}

static int destroy_cq(void *cq)
{
	return ibv_destroy_cq(cq);
}

static int dealloc_pd(void *pd)
{
	return ibv_dealloc_pd(pd);
}

FIXTURE_TEARDOWN(context)
{
	ll_peer_close(&self->peer);
	if (self->q.qp)
		ll_until_idle(destroy_qp, self->q.qp);
	if (self->q.cq)
		ll_until_idle(destroy_cq, self->q.cq);
	if (self->cq)
		ll_until_idle(destroy_cq, self->cq);
	if (self->channel)
		ibv_destroy_comp_channel(self->channel);
	if (self->mr)
		ll_until_idle(dereg, self->mr);
	ll_rdma_close(&self->r);
	ll_teardown(&self->env);
}

/* The holder is gone already: at once. */
static int break_it(const char *path)
{
	int64_t start = ll_now_ms();
	int ret = ll_ret(truncate(path, 0));

	if (!ret && ll_now_ms() - start > 2000)
		return -ETIME;
	return ret ?: ll_listed(path, true);
}

static int error_of(void *object)
{
	return object ? 0 : -errno;
}

TEST_F(context, creates_nothing_any_more)
{
	struct ibv_qp_init_attr init = {
		.cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1,
			 .max_recv_sge = 1 },
		.send_cq = self->cq, .recv_cq = self->cq, .qp_type = IBV_QPT_RC,
	};
	struct ibv_srq_init_attr srq = { .attr = { .max_wr = 1, .max_sge = 1 } };
	struct ibv_ah_attr ah = {
		.is_global = 1, .port_num = 1,
		.grh = { .dgid = self->r.gid, .sgid_index = self->r.gid_index,
			 .hop_limit = 1 },
	};
	struct ibv_mr *mr;

	ASSERT_EQ(0, break_it(self->path));
	EXPECT_EQ(-EIO, ll_reg(&self->r, self->buf, LL_PAGE, &mr));
	EXPECT_EQ(-EIO, error_of(ibv_alloc_pd(self->r.ctx)));
	EXPECT_EQ(-EIO, error_of(ibv_create_cq(self->r.ctx, 4, NULL, NULL, 0)));
	EXPECT_EQ(-EIO, error_of(ibv_create_comp_channel(self->r.ctx)));
	EXPECT_EQ(-EIO, error_of(ibv_create_qp(self->r.pd, &init)));
	EXPECT_EQ(-EIO, error_of(ibv_create_srq(self->r.pd, &srq)));
	EXPECT_EQ(-EIO, error_of(ibv_create_ah(self->r.pd, &ah)));
	EXPECT_EQ(-EIO, error_of(ibv_alloc_mw(self->r.pd, IBV_MW_TYPE_1)));
}

TEST_F(context, answers_EIO)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };
	struct ibv_qp_init_attr init;
	struct ibv_device_attr device;
	struct ibv_port_attr port;

	ASSERT_EQ(0, break_it(self->path));
	EXPECT_EQ(EIO, ibv_query_device(self->r.ctx, &device));
	EXPECT_EQ(EIO, ibv_query_port(self->r.ctx, 1, &port));
	EXPECT_EQ(EIO, ibv_modify_qp(self->q.qp, &attr, IBV_QP_STATE));
	EXPECT_EQ(EIO, ibv_query_qp(self->q.qp, &attr, IBV_QP_STATE, &init));
	EXPECT_EQ(EIO, ibv_req_notify_cq(self->cq, 0));
	EXPECT_NE(0, ibv_resize_cq(self->cq, 64));
	EXPECT_NE(0, ibv_rereg_mr(self->mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL,
				  0, IBV_ACCESS_LOCAL_WRITE));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, LL_PAGE, RW, MAP_SHARED,
				   self->r.ctx->cmd_fd, 0));
	EXPECT_EQ(EIO, errno);
	/* and it stays so */
	ll_sleep_ms(300);
	EXPECT_EQ(EIO, ibv_query_device(self->r.ctx, &device));
	EXPECT_EQ(EIO, ibv_modify_qp(self->q.qp, &attr, IBV_QP_STATE));
}

TEST_F(context, can_be_taken_apart_in_order)
{
	ASSERT_EQ(0, break_it(self->path));
	EXPECT_EQ(0, ll_until_idle(destroy_qp, self->q.qp));
	EXPECT_EQ(0, ll_until_idle(destroy_cq, self->q.cq));
	EXPECT_EQ(0, ll_until_idle(destroy_cq, self->cq));
	EXPECT_EQ(0, ll_until_idle(dereg, self->mr));
	EXPECT_EQ(0, ibv_destroy_comp_channel(self->channel));
	EXPECT_EQ(0, ll_until_idle(dealloc_pd, self->r.pd));
	EXPECT_EQ(0, ibv_close_device(self->r.ctx));
	memset(&self->q, 0, sizeof(self->q));
	memset(&self->r, 0, sizeof(self->r));
	self->cq = NULL;
	self->mr = NULL;
	self->channel = NULL;
}

TEST_F(context, can_be_taken_apart_against_the_order)
{
	ASSERT_EQ(0, break_it(self->path));
	ll_sleep_ms(300);
	EXPECT_EQ(0, ll_until_idle(dealloc_pd, self->r.pd));
	self->r.pd = NULL;
	EXPECT_EQ(0, ll_until_idle(dereg, self->mr));
	EXPECT_EQ(0, ll_until_idle(destroy_cq, self->cq));
	EXPECT_EQ(0, ll_until_idle(destroy_cq, self->q.cq));
	EXPECT_EQ(0, ll_until_idle(destroy_qp, self->q.qp));
	memset(&self->q, 0, sizeof(self->q));
	self->cq = NULL;
	self->mr = NULL;
}

/* The handles are used again by nobody, and a second time is an error. */
TEST_F(context, can_be_closed_as_it_is)
{
	ASSERT_EQ(0, break_it(self->path));
	EXPECT_EQ(0, close(self->r.ctx->cmd_fd));
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
	EXPECT_EQ(0, close(self->channel->fd));
	EXPECT_EQ(0, close(self->r.ctx->async_fd));
	memset(&self->q, 0, sizeof(self->q));
	memset(&self->r, 0, sizeof(self->r));
	self->cq = NULL;
	self->mr = NULL;
	self->channel = NULL;
}

TEST_F(context, says_once_that_it_is_dead)
{
	char other[LL_PATH];

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, other));
	ASSERT_EQ(0, ll_leave(&self->r, other, 0, LL_PIN_LEN, 1, NULL));
	EXPECT_EQ(-ETIMEDOUT, ll_next_event(self->r.ctx, 0));
	ASSERT_EQ(0, break_it(self->path));
	EXPECT_EQ(IBV_EVENT_DEVICE_FATAL, ll_next_event(self->r.ctx, LL_SOON));
	EXPECT_EQ(-ETIMEDOUT, ll_next_event(self->r.ctx, 300));
	/* other breaks, later commands */
	ASSERT_EQ(0, break_it(other));
	EXPECT_EQ(-EIO, error_of(ibv_alloc_pd(self->r.ctx)));
	EXPECT_EQ(0, ll_until_idle(destroy_qp, self->q.qp));
	self->q.qp = NULL;
	EXPECT_EQ(-ETIMEDOUT, ll_next_event(self->r.ctx, 500));
}

static void *wait_for_completion(void *arg)
{
	struct ibv_cq *cq;
	void *context;

	if (!ibv_get_cq_event(arg, &cq, &context))
		return NULL;
	return (void *)(long)errno;
}

static void *wait_for_event(void *arg)
{
	struct ibv_async_event event;

	if (ibv_get_async_event(arg, &event))
		return (void *)(long)-1;
	ibv_ack_async_event(&event);
	return (void *)(long)event.event_type;
}

static void *join(pthread_t thread)
{
	struct timespec end;
	void *ret;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += LL_SOON / 1000;
	return pthread_timedjoin_np(thread, &ret, &end) ? (void *)(long)-ETIMEDOUT :
							  ret;
}

TEST_F(context, wakes_who_waits_for_a_completion)
{
	ASSERT_EQ(0, ibv_req_notify_cq(self->cq, 0));
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, wait_for_completion,
				    self->channel));
	ll_sleep_ms(200);
	ASSERT_EQ(0, break_it(self->path));
	EXPECT_EQ((void *)(long)EIO, join(self->thread));
}

TEST_F(context, refuses_who_would_wait_for_a_completion)
{
	struct pollfd p = { .fd = self->channel->fd, .events = POLLIN };

	ASSERT_EQ(0, ibv_req_notify_cq(self->cq, 0));
	EXPECT_EQ(0, poll(&p, 1, 0));
	ASSERT_EQ(0, break_it(self->path));
	EXPECT_EQ(1, poll(&p, 1, LL_SOON));
	EXPECT_EQ(POLLERR, p.revents & POLLERR);
	EXPECT_EQ((void *)(long)EIO, wait_for_completion(self->channel));
}

TEST_F(context, wakes_who_waits_for_an_event)
{
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, wait_for_event,
				    self->r.ctx));
	ll_sleep_ms(200);
	ASSERT_EQ(0, break_it(self->path));
	EXPECT_EQ((void *)(long)IBV_EVENT_DEVICE_FATAL, join(self->thread));
}

TEST_F(context, keeps_no_pin)
{
	struct ll_said none = { .pid = -1 };

	EXPECT_FALSE(ll_fdinfo_shows(&none, getpid(), self->r.ctx->cmd_fd));
	ASSERT_EQ(0, break_it(self->path));
	EXPECT_TRUE(ll_fdinfo_shows(&none, getpid(), self->r.ctx->cmd_fd));
}

/* What it had registered of ordinary memory is dead as well. */
TEST_F(context, takes_no_writes_to_anonymous_memory)
{
	int done;

	self->peer.addr = (uintptr_t)self->buf;
	self->peer.rkey = self->mr->rkey;
	ASSERT_EQ(0, ll_peer_open(&self->peer, &self->r, &self->q));
	ASSERT_EQ(0, ll_peer_start(&self->peer));
	ASSERT_EQ('d', self->buf[LL_PAGE - 1]);
	ASSERT_EQ(0, break_it(self->path));
	ll_sleep_ms(300);
	done = __atomic_load_n(&self->peer.done, __ATOMIC_RELAXED);
	memset(self->buf, '1', LL_PIN_LEN);
	ll_sleep_ms(500);
	EXPECT_EQ(done, __atomic_load_n(&self->peer.done, __ATOMIC_RELAXED));
	EXPECT_EQ('1', self->buf[0]);
	EXPECT_EQ(0, memcmp(self->buf, self->buf + 1, LL_PIN_LEN - 1));
}

TEST_F(context, freed_blocks_never_change_again)
{
	int64_t block = ll_physical(self->path, 0);

	ASSERT_LE(0, block);
	self->peer.addr = self->left.addr;
	self->peer.rkey = self->left.rkey;
	ASSERT_EQ(0, ll_peer_open(&self->peer, &self->r, &self->q));
	ASSERT_EQ(0, ll_peer_write(&self->peer, 0, LL_PAGE, 'd'));
	ASSERT_EQ(1, ll_filled(self->path, 0, LL_PAGE, 'd'));
	ASSERT_EQ(0, ll_take_all_space(&self->env));
	ASSERT_EQ(0, ll_peer_start(&self->peer));
	ASSERT_EQ(0, break_it(self->path));
	EXPECT_EQ(0, ll_watch_blocks(&self->env, block));
}

/* Another context of the same process on the same device, traffic and all. */
TEST_F(context, others_of_the_process_go_on)
{
	struct ll_rdma r;
	struct ll_qp q;
	struct ibv_mr *mr, *more;

	ASSERT_EQ(0, ll_rdma_open(&r));
	ASSERT_EQ(0, ll_qp_create(&r, &q));
	ASSERT_EQ(0, ll_reg(&r, self->buf, LL_PIN_LEN, &mr));
	self->peer.addr = (uintptr_t)self->buf;
	self->peer.rkey = mr->rkey;
	ASSERT_EQ(0, ll_peer_open(&self->peer, &r, &q));
	ASSERT_EQ(0, ll_peer_start(&self->peer));
	ASSERT_EQ(0, break_it(self->path));
	ll_sleep_ms(300);
	ll_peer_stop(&self->peer);
	EXPECT_EQ(0, ll_peer_write(&self->peer, 0, LL_PAGE, '3'));
	EXPECT_EQ('3', self->buf[0]);
	EXPECT_EQ(0, ll_reg(&r, self->buf, LL_PAGE, &more));
	EXPECT_EQ(0, ll_dereg(&more));
	EXPECT_EQ(-ETIMEDOUT, ll_next_event(r.ctx, 0));
	EXPECT_EQ(0, ll_qp_destroy(&q));
	EXPECT_EQ(0, ll_dereg(&mr));
	ll_rdma_close(&r);
}

/* Pins that it has in other places go with the first break, whatever is next. */
TEST_F(context, is_revoked_once_for_all_files)
{
	char other[LL_PATH];

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, other));
	ASSERT_EQ(0, ll_leave(&self->r, other, 0, LL_PIN_LEN, 3, NULL));
	EXPECT_EQ(3, ll_listed(other, true));
	ASSERT_EQ(0, break_it(self->path));
	EXPECT_EQ(0, ll_comes_to_list(other, true, 0));
	EXPECT_EQ(0, ll_comes_to_list(other, false, 0));
	EXPECT_EQ(0, break_it(other));
	EXPECT_EQ(0, break_it(self->path));
}

/* Two breakers at once, of two files under one context. */
TEST_F(context, is_revoked_by_two_at_once)
{
	struct ll_breaker a, b;
	char other[LL_PATH];
	int ret;

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, other));
	ASSERT_EQ(0, ll_leave(&self->r, other, 0, LL_PIN_LEN, 3, NULL));
	ASSERT_EQ(0, ll_breaker_start(&a, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_PUNCH, other, 0, LL_PAGE));
	EXPECT_EQ(0, ll_breaker_wait(&a, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
}

/* A queue pair that sends from two places, in the state to be connected. */
static int create_two_sge(struct ll_rdma *r, struct ll_qp *q)
{
	struct ibv_qp_init_attr init = {
		.cap = { .max_send_wr = 4, .max_recv_wr = 1, .max_send_sge = 2,
			 .max_recv_sge = 1 },
		.qp_type = IBV_QPT_RC,
	};
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT, .port_num = 1 };

	q->cq = ibv_create_cq(r->ctx, 8, NULL, NULL, 0);
	if (!q->cq)
		return -errno;
	init.send_cq = q->cq;
	init.recv_cq = q->cq;
	q->qp = ibv_create_qp(r->pd, &init);
	if (!q->qp)
		return -errno;
	return -ibv_modify_qp(q->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			      IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

/*
 * A peer that stops in the middle of a message keeps the registration busy for
 * the queue pair that waits for the rest, and that is older here.
 */
TEST_F(context, half_a_message_does_not_hold_it_up)
{
	struct ibv_sge sge[2] = {
		{ .addr = (uintptr_t)self->buf, .length = LL_PAGE },
		{ .addr = (uintptr_t)self->buf, .length = LL_PAGE, .lkey = ~0U },
	};
	struct ibv_send_wr *bad, wr = {
		.sg_list = sge, .num_sge = 2, .opcode = IBV_WR_RDMA_WRITE,
		.send_flags = IBV_SEND_SIGNALED,
	};
	struct ll_peer *p = &self->peer;
	struct ll_left left;
	struct ibv_wc wc;
	int64_t end;
	int done = 0;

	ASSERT_EQ(0, ll_leave(&self->r, self->path, 0, LL_PIN_LEN, 1, &left));
	ASSERT_EQ(0, ll_rdma_open(&p->r));
	ASSERT_EQ(0, create_two_sge(&p->r, &p->q));
	ASSERT_EQ(0, ll_reg(&p->r, self->buf, LL_PIN_LEN, &p->mr));
	ASSERT_EQ(0, ll_qp_connect(&p->r, &p->q, self->q.qp->qp_num));
	ASSERT_EQ(0, ll_qp_connect(&self->r, &self->q, p->q.qp->qp_num));
	sge[0].lkey = p->mr->lkey;
	wr.wr.rdma.remote_addr = left.addr;
	wr.wr.rdma.rkey = left.rkey;
	memset(self->buf, 'd', LL_PAGE);
	ASSERT_EQ(0, ibv_post_send(p->q.qp, &wr, &bad));
	for (end = ll_now_ms() + LL_SOON; ll_now_ms() < end && !done; )
		done = ibv_poll_cq(p->q.cq, 1, &wc);
	ASSERT_EQ(1, done);
	EXPECT_NE(IBV_WC_SUCCESS, (int)wc.status);
	/* the first half arrives, perhaps after the error is known */
	while (ll_filled(self->path, 0, LL_PAGE / 2, 'd') != 1 && ll_now_ms() < end)
		ll_sleep_ms(1);
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PAGE / 2, 'd'));
	EXPECT_EQ(0, break_it(self->path));
}

TEST_HARNESS_MAIN
