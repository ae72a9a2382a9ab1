// SPDX-License-Identifier: GPL-2.0
/*
 * Revocation of much, and at bad moments: of many contexts and registrations,
 * of objects that threads never leave alone, of a context that is just being
 * closed, on a device that is just being removed.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_revoke.h"

#define RW		(PROT_READ | PROT_WRITE)
#define CONTEXTS	24
#define MANY		1000
#define THREADS		4
#define ROUNDS		40

FIXTURE(load)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_rdma r[CONTEXTS];
	struct ll_breaker b;
	int64_t start;
};

FIXTURE_VARIANT(load)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(load, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(load, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(load)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
}

FIXTURE_TEARDOWN(load)
{
	int i;

	for (i = 0; i < CONTEXTS; i++)
		ll_rdma_close(&self->r[i]);
	ll_teardown(&self->env);
}

TEST_F_TIMEOUT(load, many_contexts_are_revoked_together, 60)
{
	int i;

	for (i = 0; i < CONTEXTS; i++) {
		ASSERT_EQ(0, ll_rdma_open(&self->r[i]));
		ASSERT_EQ(0, ll_leave(&self->r[i], self->path, i * LL_PIN_LEN,
				      LL_PIN_LEN, 2, NULL));
	}
	EXPECT_EQ(2 * CONTEXTS, ll_listed(self->path, true));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(5000, ll_now_ms() - self->start);
	EXPECT_EQ(0, ll_listed(self->path, true));
	for (i = 0; i < CONTEXTS; i++)
		EXPECT_EQ(IBV_EVENT_DEVICE_FATAL,
			  ll_next_event(self->r[i].ctx, LL_SOON));
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
}

/* Those with nothing in the range keep their pins. */
TEST_F_TIMEOUT(load, only_contexts_in_the_range_are_revoked, 60)
{
	int i;

	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, ll_rdma_open(&self->r[i]));
		ASSERT_EQ(0, ll_leave(&self->r[i], self->path,
				      i % 2 ? LL_FAR : 0, LL_PIN_LEN, 1, NULL));
	}
	EXPECT_EQ(0, ll_break(OP_PUNCH, self->path, LL_FAR, LL_PAGE));
	EXPECT_EQ(4, ll_listed(self->path, true));
	for (i = 0; i < 8; i++)
		EXPECT_EQ(i % 2 ? IBV_EVENT_DEVICE_FATAL : -ETIMEDOUT,
			  ll_next_event(self->r[i].ctx, i % 2 ? LL_SOON : 100));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PIN_LEN, 'f'));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
}

TEST_F_TIMEOUT(load, a_thousand_registrations_are_revoked, 120)
{
	ASSERT_EQ(0, ll_rdma_open(&self->r[0]));
	ASSERT_EQ(0, ll_leave(&self->r[0], self->path, 0, LL_PAGE, MANY, NULL));
	EXPECT_EQ(MANY, ll_listed(self->path, true));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	TH_LOG("in %lld ms", (long long)(ll_now_ms() - self->start));
	EXPECT_GT(LL_SOON, ll_now_ms() - self->start);
	EXPECT_EQ(0, ll_listed(self->path, true));
}

/* What threads of the process do to an object, all the time. */
struct pest {
	struct ibv_mr *mr;
	struct ibv_qp *qp;
	int stop;
};

static void *pester(void *arg)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT, .port_num = 1 };
	struct ibv_qp_init_attr init;
	struct pest *p = arg;

	while (!__atomic_load_n(&p->stop, __ATOMIC_RELAXED)) {
		ibv_rereg_mr(p->mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0,
			     IBV_ACCESS_LOCAL_WRITE);
		ibv_query_qp(p->qp, &attr, IBV_QP_STATE, &init);
	}
	return NULL;
}

TEST_F_TIMEOUT(load, objects_in_constant_use_are_destroyed, 60)
{
	pthread_t thread[THREADS];
	struct pest p = { .stop = 0 };
	struct ll_qp q;
	char *map;
	int fd, i, ret;

	ASSERT_EQ(0, ll_rdma_open(&self->r[0]));
	ASSERT_EQ(0, ll_qp_create(&self->r[0], &q));
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	fd = ll_open(self->path, O_RDWR);
	map = ll_map_fd(fd, LL_FILE_SIZE, RW, MAP_SHARED, 0);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, ll_take(fd, false, 0));
	ASSERT_EQ(0, ll_reg(&self->r[0], map, LL_PIN_LEN, &p.mr));
	p.qp = q.qp;
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, pester, &p));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_GT(4000, ll_now_ms() - self->start);
	__atomic_store_n(&p.stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	munmap(map, LL_FILE_SIZE);
	close(fd);
	ll_qp_destroy(&q);
}

/* The only process that has a context, with pins left behind. */
static pid_t start_keeper(const char *path, int count)
{
	struct ll_rdma r;
	int p[2], ret;
	char byte;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid) {
		ret = ll_rdma_open(&r) ?:
		      ll_leave(&r, path, 0, LL_PIN_LEN, count, NULL);
		if (ret || write(p[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(p[1]);
	ret = read(p[0], &byte, 1);
	close(p[0]);
	return ret == 1 ? pid : -EIO;
}

TEST_F_TIMEOUT(load, last_close_races_with_revocation, 120)
{
	int i, ret, status;
	pid_t pid;

	for (i = 0; i < ROUNDS; i++) {
		pid = start_keeper(self->path, 1 + i % 8);
		ASSERT_LT(0, pid);
		ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path,
					      0, 0));
		usleep(rand() % 4000);
		kill(pid, SIGKILL);
		EXPECT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
		EXPECT_EQ(0, ret);
		ASSERT_EQ(0, ll_wait_exit(pid, LL_SOON, &status));
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	}
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
}

/* An owner that is closed by itself, while the holder lives and lets go. */
TEST_F_TIMEOUT(load, close_of_the_context_by_its_holder_races_with_revocation, 120)
{
	struct ibv_mr *mr;
	char *map;
	int fd, i, ret;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, ll_rdma_open(&self->r[0]));
		ASSERT_EQ(0, ll_policy(&self->env, "deny"));
		fd = ll_open(self->path, O_RDWR);
		map = ll_map_fd(fd, LL_FILE_SIZE, RW, MAP_SHARED, 0);
		ASSERT_NE(NULL, map);
		ASSERT_EQ(0, ll_take(fd, false, 0));
		ASSERT_EQ(0, ll_reg(&self->r[0], map, LL_PIN_LEN, &mr));
		ASSERT_EQ(0, ll_policy(&self->env, "break"));
		ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path,
					      0, 0));
		usleep(996000 + rand() % 8000);
		close(self->r[0].ctx->cmd_fd);
		EXPECT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
		EXPECT_EQ(0, ret);
		close(self->r[0].ctx->async_fd);
		munmap(map, LL_FILE_SIZE);
		close(fd);
		memset(&self->r[0], 0, sizeof(self->r[0]));
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	}
}

static int remove_device(pid_t *pid)
{
	*pid = fork();
	/* without the context */
	if (!*pid)
		_exit(execlp("rdma", "rdma", "link", "delete", "rxe-gone", NULL));
	return *pid < 0 ? -errno : 0;
}

/* Removal waits for whoever has the device open; both end. */
TEST_F_TIMEOUT(load, device_removal_races_with_revocation, 120)
{
	int i, status;
	pid_t pid;

	ll_shell("rdma link delete rxe-gone 2>/dev/null");
	ll_shell("ip link add dummy9 type dummy && ip link set dummy9 up");
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, ll_shell("rdma link add rxe-gone type rxe netdev %s",
				      "dummy9"));
		ASSERT_EQ(0, ll_rdma_open_dev(&self->r[0], "rxe-gone"));
		ASSERT_EQ(0, ll_leave(&self->r[0], self->path, 0, LL_PIN_LEN, 5,
				      NULL));
		ASSERT_EQ(0, remove_device(&pid));
		usleep(rand() % 100000);
		EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
		if (i % 2)
			ll_sleep_ms(100);
		ll_rdma_close(&self->r[0]);
		ASSERT_EQ(0, ll_wait_exit(pid, LL_SOON, &status));
		EXPECT_EQ(0, status);
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	}
	ll_shell("ip link del dummy9");
}

TEST_HARNESS_MAIN
