// SPDX-License-Identifier: GPL-2.0
/*
 * The removal of a device that has to wait for a long time: what is told meanwhile
 * to the holder, to whoever looks at it, and in the kernel log.
 *
 * The test itself is the holder. A registration of it, of a part of the file and
 * of a page that nobody provides, keeps its pin until the test provides the page.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_device.h"

#define BREAK_DEVICE	11	/* LAYOUT_BREAK_DEVICE */
#define WARNS_MS	30000	/* how often a removal says that it waits */

/* A registration by a thread. */
struct reg {
	struct ll_rdma r;
	char *map;
	struct ibv_mr *mr;
	pthread_t thread;
};

FIXTURE(wait)
{
	struct ll_spare spare;
	struct ll_env env;
	char path[LL_PATH];
	struct ll_id id;
	struct reg reg;
	struct ll_stuck at;
	struct ll_breaker b;
	sigset_t told;
	int fd, log;		/* /dev/kmsg, from now on */
	int64_t start;
};

FIXTURE_VARIANT(wait)
{
	enum ll_fs fs;
	const char *mkfs;
};

FIXTURE_VARIANT_ADD(wait, ext4) {
	.fs = LL_EXT4,
	.mkfs = "mkfs.ext4 -q -F -b 4096",
};

FIXTURE_VARIANT_ADD(wait, xfs) {
	.fs = LL_XFS,
	.mkfs = "mkfs.xfs -q -f -m reflink=1,rmapbt=0",
};

static void *reg_thread(void *arg)
{
	struct reg *reg = arg;

	/* Whether it still succeeds does not matter: the context is revoked. */
	ll_reg(&reg->r, reg->map, LL_PIN_LEN + LL_PAGE, &reg->mr);
	return NULL;
}

FIXTURE_SETUP(wait)
{
	struct timespec soon = { .tv_sec = LL_SOON / 1000 };

	ASSERT_EQ(0, ll_spare_mount(&self->spare, variant->fs, variant->mkfs));
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "deny"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_identify(self->path, &self->id));
	self->fd = ll_open(self->path, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ll_take(self->fd, false, LL_SIG));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	self->reg.map = ll_map_fd(self->fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE,
				  MAP_SHARED, 0);
	ASSERT_NE(NULL, self->reg.map);
	ASSERT_EQ(0, ll_rdma_open(&self->reg.r));
	ASSERT_EQ(0, ll_stuck_open(&self->at, self->reg.map + LL_PIN_LEN, 1));
	sigemptyset(&self->told);
	sigaddset(&self->told, LL_SIG);
	ASSERT_EQ(0, ll_ret(sigprocmask(SIG_BLOCK, &self->told, NULL)));
	self->log = ll_kmsg();
	ASSERT_LE(0, self->log);

	ASSERT_EQ(0, pthread_create(&self->reg.thread, NULL, reg_thread, &self->reg));
	ASSERT_EQ(0, ll_stuck_wait(&self->at));
	self->start = ll_now_ms();
	ASSERT_EQ(0, ll_unbind_start(&self->b, &self->spare));
	ASSERT_EQ(LL_SIG, ll_ret(sigtimedwait(&self->told, NULL, &soon)));
}

/* The removal goes on as soon as the pin is gone. */
FIXTURE_TEARDOWN(wait)
{
	EXPECT_EQ(0, ll_stuck_resolve(&self->at, 0));
	EXPECT_EQ(0, pthread_join(self->reg.thread, NULL));
	EXPECT_EQ(0, ll_finish(&self->b, LL_SOON));
	EXPECT_EQ(0, ll_listed_id(&self->id, true));
	EXPECT_EQ(-EIO, ll_reg(&self->reg.r, self->reg.map, LL_PAGE, &self->reg.mr));
	ll_stuck_close(&self->at, 1);
	ll_rdma_close(&self->reg.r);
	munmap(self->reg.map, LL_FILE_SIZE);
	close(self->fd);
	close(self->log);
	ll_teardown(&self->env);
	EXPECT_EQ(0, ll_spare_end(&self->spare));
}

TEST_F(wait, holder_learns_that_it_is_the_device)
{
	struct ll_break_info info;

	memset(&info, 0xff, sizeof(info));
	ASSERT_EQ(0, ll_ret(fcntl(self->fd, F_GETLAYOUTBREAK, &info)));
	EXPECT_EQ(BREAK_DEVICE, info.reason);
	EXPECT_EQ(self->b.pid, info.pid);
	EXPECT_EQ(0, info.uid);
	EXPECT_EQ(0, info.start);
	EXPECT_EQ(-1, info.end);
	EXPECT_EQ(1, info.pins);
	/* there is no time left */
	EXPECT_LT(0, info.deadline_ns);
	EXPECT_GE(ll_now_ms(), info.deadline_ns / 1000000);
}

TEST_F(wait, fdinfo_tells_that_it_is_the_device)
{
	struct ll_pending p[2];

	ASSERT_EQ(1, ll_fdinfo_breaks(getpid(), self->fd, p, 2));
	EXPECT_STREQ("device", p[0].reason);
	EXPECT_EQ(0ULL, p[0].start);
	EXPECT_EQ(LL_TO_END, p[0].end);
	EXPECT_EQ(self->b.pid, p[0].breaker);
	EXPECT_EQ(0, p[0].left);
}

/* Does the kernel log have this line? */
static bool logged(int log, const char *line)
{
	char text[1024];
	bool found = false;

	while (ll_kmsg_next(log, text, sizeof(text)))
		found |= !strcmp(text, line);
	return found;
}

TEST_F_TIMEOUT(wait, removal_says_after_30_s_that_it_waits, 90)
{
	char line[256], comm[32];

	ASSERT_LT(0, ll_read(comm, sizeof(comm), "/proc/%d/comm", self->b.pid));
	snprintf(line, sizeof(line), "layout_lease: process %d (%s) removes a device, %s",
		 self->b.pid, strtok(comm, "\n"),
		 "and has waited 30 s for pins in 1 files: see /proc/layout_leases");
	EXPECT_EQ(-ETIMEDOUT, ll_finish(&self->b, WARNS_MS - 3000 -
					(ll_now_ms() - self->start)));
	EXPECT_FALSE(logged(self->log, line));
	EXPECT_EQ(-ETIMEDOUT, ll_finish(&self->b, 6000));
	EXPECT_TRUE(logged(self->log, line));
	EXPECT_EQ(1, ll_listed_id(&self->id, true));
}

TEST_HARNESS_MAIN
