// SPDX-License-Identifier: GPL-2.0
/*
 * Revocation at any moment of the life of a context: while threads of the
 * process that has it create, use and destroy objects, while it is closed, while
 * its device is removed. What must hold: the break wins, in time; no call gets
 * an answer but success, EIO or EBUSY; and the kernel says nothing.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_revoke.h"

#define RW		(PROT_READ | PROT_WRITE)
#define STORM_MS	8000
#define THREADS		3
#define MANY		200

/* What the threads of a round share. */
struct storm {
	struct ll_rdma r;
	struct ibv_cq *cq;
	struct ll_qp q;
	char *anon, *file;	/* file: of a file with a lease of this process */
	struct ibv_mr *mr[MANY];
	int next;
	int (*once)(struct storm *s);
	int stop, calls, wrong;
};

static int reg_and_dereg(struct storm *s, struct ibv_pd *pd, void *addr)
{
	struct ll_rdma r = { .ctx = s->r.ctx, .pd = pd };
	struct ibv_mr *mr;

	return ll_reg(&r, addr, 2 * LL_PAGE, &mr) ?: ll_dereg(&mr);
}

static int mr_once(struct storm *s)
{
	return reg_and_dereg(s, s->r.pd, s->anon);
}

/* What the revocation is about to destroy itself. */
static int dereg_once(struct storm *s)
{
	int i = __atomic_fetch_add(&s->next, 1, __ATOMIC_RELAXED);

	if (i < MANY)
		return ll_dereg(&s->mr[i]);
	ll_sleep_ms(1);
	return 0;
}

static int register_many(struct storm *s)
{
	int i, ret = 0;

	s->next = 0;
	for (i = 0; i < MANY && !ret; i++)
		ret = ll_reg(&s->r, s->anon, LL_PAGE, &s->mr[i]);
	return ret;
}

/* The lease may be lost together with the context. */
static int file_mr_once(struct storm *s)
{
	int ret = reg_and_dereg(s, s->r.pd, s->file);

	return ret == -EOPNOTSUPP ? 0 : ret;
}

static int qp_once(struct storm *s)
{
	struct ll_qp q;
	int ret = ll_qp_create(&s->r, &q);

	return ll_qp_destroy(&q) ?: ret;
}

static int channel_once(struct storm *s)
{
	struct ibv_comp_channel *channel = ibv_create_comp_channel(s->r.ctx);
	struct ibv_cq *cq;
	int ret = 0;

	if (!channel)
		return -errno;
	cq = ibv_create_cq(s->r.ctx, 4, NULL, channel, 0);
	if (cq)
		ret = -ibv_req_notify_cq(cq, 0);
	else
		ret = -errno;
	if (cq)
		ret = -ibv_destroy_cq(cq) ?: ret;
	/* libibverbs counts the queues of a channel */
	return channel->refcnt ? ret : -ibv_destroy_comp_channel(channel) ?: ret;
}

static int pd_once(struct storm *s)
{
	struct ibv_pd *pd = ibv_alloc_pd(s->r.ctx);
	int ret;

	if (!pd)
		return -errno;
	ret = reg_and_dereg(s, pd, s->anon);
	return -ibv_dealloc_pd(pd) ?: ret;
}

static int open_once(struct storm *s)
{
	struct ll_rdma r;
	int ret = ll_rdma_open(&r);

	(void)s;
	if (!ret)
		ll_rdma_close(&r);
	return ret == -EIO ? -EPROTO : ret;
}

static int mmap_once(struct storm *s)
{
	void *map = mmap(NULL, LL_PAGE, RW, MAP_SHARED, s->r.ctx->cmd_fd, 0);

	if (map != MAP_FAILED)
		return ll_ret(munmap(map, LL_PAGE));
	return errno == EINVAL ? 0 : -errno;
}

static int fork_once(struct storm *s)
{
	pid_t pid = fork();

	(void)s;
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(0);
	return waitpid(pid, NULL, 0) == pid ? 0 : -errno;
}

static int use_once(struct storm *s)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT, .port_num = 1,
	};
	struct ibv_qp_init_attr init;
	struct ibv_device_attr device;

	return -ibv_query_device(s->r.ctx, &device) ?:
	       -ibv_query_qp(s->q.qp, &attr, IBV_QP_STATE, &init) ?:
	       -ibv_modify_qp(s->q.qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			      IBV_QP_PORT | IBV_QP_ACCESS_FLAGS) ?:
	       -ibv_req_notify_cq(s->cq, 0);
}

static int any_once(struct storm *s)
{
	static int (*const all[])(struct storm *s) = {
		mr_once, file_mr_once, qp_once, channel_once, pd_once, open_once,
		mmap_once, fork_once, use_once,
	};

	return all[rand() % LL_ARRAY_SIZE(all)](s);
}

static void *storm_thread(void *arg)
{
	struct storm *s = arg;
	int ret;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		ret = s->once(s);
		__atomic_add_fetch(&s->calls, 1, __ATOMIC_RELAXED);
		if (!ret || ret == -EIO || ret == -EBUSY)
			continue;
		if (!__atomic_fetch_add(&s->wrong, 1, __ATOMIC_RELAXED))
			ll_log("in the storm: %s", strerror(-ret));
	}
	return NULL;
}

FIXTURE(race)
{
	struct ll_env env;
	char path[LL_PATH], other[LL_PATH];
	struct storm s;
	int fd;
	int64_t end, start, longest;
};

FIXTURE_VARIANT(race)
{
	enum ll_fs fs;
	int (*once)(struct storm *s);
};

FIXTURE_VARIANT_ADD(race, registrations) {
	.fs = LL_XFS, .once = mr_once,
};

FIXTURE_VARIANT_ADD(race, registrations_of_a_file) {
	.fs = LL_EXT4, .once = file_mr_once,
};

FIXTURE_VARIANT_ADD(race, deregistrations) {
	.fs = LL_XFS, .once = dereg_once,
};

FIXTURE_VARIANT_ADD(race, queue_pairs) {
	.fs = LL_XFS, .once = qp_once,
};

FIXTURE_VARIANT_ADD(race, channels) {
	.fs = LL_EXT4, .once = channel_once,
};

FIXTURE_VARIANT_ADD(race, protection_domains) {
	.fs = LL_XFS, .once = pd_once,
};

FIXTURE_VARIANT_ADD(race, other_contexts) {
	.fs = LL_EXT4, .once = open_once,
};

FIXTURE_VARIANT_ADD(race, mappings) {
	.fs = LL_XFS, .once = mmap_once,
};

FIXTURE_VARIANT_ADD(race, forks) {
	.fs = LL_EXT4, .once = fork_once,
};

FIXTURE_VARIANT_ADD(race, use) {
	.fs = LL_XFS, .once = use_once,
};

FIXTURE_VARIANT_ADD(race, everything) {
	.fs = LL_EXT4, .once = any_once,
};

FIXTURE_SETUP(race)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, self->other));
	self->s.once = variant->once;
	self->s.anon = mmap(NULL, LL_PIN_LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	self->fd = ll_open(self->other, O_RDWR);
	ASSERT_LE(0, self->fd);
	self->s.file = ll_map_fd(self->fd, LL_PIN_LEN, RW, MAP_SHARED, 0);
	ASSERT_NE(NULL, self->s.file);
}

FIXTURE_TEARDOWN(race)
{
	close(self->fd);
	munmap(self->s.file, LL_PIN_LEN);
	ll_teardown(&self->env);
}

static void close_storm(struct storm *s)
{
	ll_qp_destroy(&s->q);
	if (s->cq)
		ibv_destroy_cq(s->cq);
	s->cq = NULL;
	ll_rdma_close(&s->r);
}

/* A context with pins left behind, used by threads, is revoked. */
static int revoke_in_storm(struct storm *s, const char *path, int64_t *took)
{
	pthread_t thread[THREADS];
	int ret, i, n = 0;
	int64_t start;

	s->stop = 0;
	ret = ll_rdma_open(&s->r) ?: ll_qp_create(&s->r, &s->q);
	if (ret)
		return ret;
	s->cq = ibv_create_cq(s->r.ctx, 4, NULL, NULL, 0);
	/* before there are threads: a fork leaves their locks behind */
	ret = s->cq ? ll_leave(&s->r, path, 0, LL_PIN_LEN, 3, NULL) : -ENOMEM;
	if (!ret && s->once == dereg_once)
		ret = register_many(s);
	while (!ret && n < THREADS)
		ret = -pthread_create(&thread[n++], NULL, storm_thread, s);
	usleep(rand() % 20000);
	start = ll_now_ms();
	ret = ret ?: ll_ret(truncate(path, 0));
	*took = ll_now_ms() - start;
	ll_sleep_ms(rand() % 20);
	__atomic_store_n(&s->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	close_storm(s);
	return ret ?: ll_ret(truncate(path, LL_FILE_SIZE));
}

TEST_F_TIMEOUT(race, loses_against_revocation, 120)
{
	int64_t took;
	int rounds;

	self->end = ll_now_ms() + STORM_MS;
	for (rounds = 0; ll_now_ms() < self->end || rounds < 5; rounds++) {
		/* it may have gone with the context of the last round */
		ll_take(self->fd, true, SIGKILL);
		ASSERT_EQ(0, revoke_in_storm(&self->s, self->path, &took));
		if (took > self->longest)
			self->longest = took;
	}
	EXPECT_GT(5000, self->longest);
	EXPECT_EQ(0, self->s.wrong);
	EXPECT_LT(rounds, self->s.calls);
	TH_LOG("%d rounds, %d calls, at most %lld ms", rounds, self->s.calls,
	       (long long)self->longest);
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
}

TEST_HARNESS_MAIN
