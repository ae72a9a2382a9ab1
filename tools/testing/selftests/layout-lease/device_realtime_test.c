// SPDX-License-Identifier: GPL-2.0
/*
 * An XFS has two devices with files on them. The one that goes away here is the
 * realtime device, and the other is not even for DAX.
 */
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_device.h"

FIXTURE(realtime)
{
	struct ll_spare spare;
	struct ll_env env;
	char path[LL_PATH];
	struct ll_id id;
	struct ll_holder h;
	struct ll_breaker b;
	int64_t took;
};

/* The flags of a file, FS_XFLAG_*. */
static int64_t xflags(const char *path)
{
	int fd = ll_open(path, O_RDONLY), ret;
	struct fsxattr attr = {};

	if (fd < 0)
		return fd;
	ret = ll_ret(ioctl(fd, FS_IOC_FSGETXATTR, &attr));
	close(fd);
	return ret ? ret : (int64_t)attr.fsx_xflags;
}

FIXTURE_SETUP(realtime)
{
	ASSERT_EQ(0, ll_spare_mount_realtime(&self->spare));
	ASSERT_EQ(0, ll_setup(&self->env, LL_XFS, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_TRUE(xflags(self->path) & FS_XFLAG_REALTIME);
	ASSERT_EQ(0, ll_identify(self->path, &self->id));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
}

FIXTURE_TEARDOWN(realtime)
{
	if (self->b.pid > 0)
		ll_breaker_end(&self->b);
	ll_holder_end(&self->h);
	ll_teardown(&self->env);
	EXPECT_EQ(0, ll_spare_end(&self->spare));
}

TEST_F(realtime, truncate_waits_for_a_pin)
{
	int ret = -1;

	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&self->b, 200, &ret));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_LET_GO, .a = LL_SOON));
	EXPECT_EQ(0, ll_finish(&self->b, LL_SOON));
	EXPECT_EQ(0, ll_size(self->path));
}

TEST_F(realtime, pins_go_before_the_device_does)
{
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	self->took = ll_unbind(&self->b, &self->spare);
	EXPECT_LE(0, self->took);
	EXPECT_GT(4500, self->took);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(0, ll_listed_id(&self->id, true));
}

TEST_F(realtime, nothing_can_be_pinned_once_the_device_is_gone)
{
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_LE(0, ll_unbind(&self->b, &self->spare));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(-EAGAIN, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
}

TEST_HARNESS_MAIN
