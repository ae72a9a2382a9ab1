// SPDX-License-Identifier: GPL-2.0
/*
 * fcntl(F_GETLAYOUTBREAK): what a holder that was told can find out. The test
 * program itself is the holder here, and has its signal blocked.
 */
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

#ifndef F_GETLAYOUTBREAK
#define F_GETLAYOUTBREAK	(1024 + 32)
#endif

#define NS_PER_S		1000000000L

/*
 * As in the kernel's include/uapi/linux/layout_lease.h, but signed, as what the
 * tests expect is: ~0ULL is -1 here.
 */
#define REASON_TRUNCATE		1
#define REASON_PUNCH_HOLE	2

struct break_info {
	int reason, flags, pid, uid;
	long start, end, deadline_ns;
	int pins, reserved[5];
};

FIXTURE(info)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_rdma rdma;
	struct ibv_mr *mr[2];
	struct break_info info;
	sigset_t told;
	char *map;
	int fd;
};

FIXTURE_VARIANT(info)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(info, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(info, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(info)
{
	ASSERT_EQ(64, (int)sizeof(self->info));
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_rdma_open(&self->rdma));
	sigemptyset(&self->told);
	sigaddset(&self->told, LL_SIG);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &self->told, NULL));
	self->fd = ll_open(self->path, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ll_take(self->fd, true, LL_SIG));
	self->map = ll_map_fd(self->fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_SHARED, 0);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(0, ll_reg(&self->rdma, self->map, LL_PIN_LEN, &self->mr[0]));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
}

FIXTURE_TEARDOWN(info)
{
	ll_rdma_close(&self->rdma);
	close(self->fd);
	ll_teardown(&self->env);
}

static int get(int fd, struct break_info *info)
{
	return ll_ret(fcntl(fd, F_GETLAYOUTBREAK, info));
}

static long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int told(const sigset_t *set)
{
	struct timespec soon = { .tv_sec = LL_SOON / 1000 };

	return ll_ret(sigtimedwait(set, NULL, &soon));
}

TEST_F(info, nothing_pending_is_ENODATA)
{
	EXPECT_EQ(-ENODATA, get(self->fd, &self->info));
	EXPECT_EQ(-ENODATA, ll_ret(fcntl(self->fd, F_GETLAYOUTBREAK, NULL)));
}

TEST_F(info, open_file_without_lease_is_EINVAL)
{
	int fd = ll_open(self->path, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EINVAL, get(fd, &self->info));
	EXPECT_EQ(0, ll_setlease(fd, F_LAYOUT));
	EXPECT_EQ(-ENODATA, get(fd, &self->info));
	close(fd);
}

TEST_F(info, pending_break_is_described)
{
	struct ll_breaker b;
	long begin;
	int i, ret;

	ASSERT_EQ(0, ll_reg(&self->rdma, self->map + LL_FAR, LL_PAGE,
			    &self->mr[1]));
	begin = now_ns();
	/* from the second page into the third */
	ASSERT_EQ(0, ll_breaker_start(&b, OP_PUNCH, self->path, LL_PAGE + 1,
				      LL_PAGE));
	ASSERT_EQ(LL_SIG, told(&self->told));
	memset(&self->info, 0xff, sizeof(self->info));
	ASSERT_EQ(0, get(self->fd, &self->info));
	EXPECT_EQ(REASON_PUNCH_HOLE, self->info.reason);
	EXPECT_EQ(0, self->info.flags);
	EXPECT_EQ(b.pid, self->info.pid);
	EXPECT_EQ(0, self->info.uid);
	EXPECT_EQ(LL_PAGE, self->info.start);
	EXPECT_EQ(3 * LL_PAGE, self->info.end);
	EXPECT_LE(begin + 20 * NS_PER_S, self->info.deadline_ns);
	EXPECT_GE(now_ns() + 20 * NS_PER_S, self->info.deadline_ns);
	EXPECT_EQ(1, self->info.pins);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(0, self->info.reserved[i]);
	EXPECT_EQ(-EFAULT, ll_ret(fcntl(self->fd, F_GETLAYOUTBREAK, NULL)));

	EXPECT_EQ(0, ll_dereg(&self->mr[0]));
	EXPECT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(-ENODATA, get(self->fd, &self->info));
	EXPECT_EQ(0, ll_dereg(&self->mr[1]));
}

TEST_F(info, truncate_reaches_to_the_end_and_may_have_no_deadline)
{
	struct ll_breaker b;
	int ret;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 0));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, LL_PAGE + 1,
				      0));
	ASSERT_EQ(LL_SIG, told(&self->told));
	ASSERT_EQ(0, get(self->fd, &self->info));
	EXPECT_EQ(REASON_TRUNCATE, self->info.reason);
	EXPECT_EQ(LL_PAGE, self->info.start);
	EXPECT_EQ(-1, self->info.end);
	EXPECT_EQ(0, self->info.deadline_ns);
	EXPECT_EQ(0, ll_dereg(&self->mr[0]));
	EXPECT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
}

TEST_F(info, oldest_break_comes_first)
{
	struct ll_breaker punch, truncate;
	int ret;

	ASSERT_EQ(0, ll_breaker_start(&punch, OP_PUNCH, self->path, 0, LL_PAGE));
	ASSERT_EQ(LL_SIG, told(&self->told));
	ASSERT_EQ(0, ll_breaker_start(&truncate, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(LL_SIG, told(&self->told));
	ASSERT_EQ(0, get(self->fd, &self->info));
	EXPECT_EQ(REASON_PUNCH_HOLE, self->info.reason);
	EXPECT_EQ(punch.pid, self->info.pid);
	/* the breaker is gone, what it began is pending for a while */
	ll_breaker_end(&punch);
	ASSERT_EQ(0, get(self->fd, &self->info));
	EXPECT_EQ(REASON_PUNCH_HOLE, self->info.reason);
	EXPECT_EQ(1, self->info.pins);
	EXPECT_EQ(0, ll_dereg(&self->mr[0]));
	EXPECT_EQ(0, ll_breaker_wait(&truncate, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	ASSERT_EQ(0, get(self->fd, &self->info));
	EXPECT_EQ(0, self->info.pins);
}

TEST_HARNESS_MAIN
