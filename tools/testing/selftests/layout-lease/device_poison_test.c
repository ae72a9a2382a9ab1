// SPDX-License-Identifier: GPL-2.0
/*
 * A page goes bad while it is pinned. Whoever has it mapped gets SIGBUS, with or
 * without layout leases; whoever has it pinned loses the pin, as if the device
 * were about to go, while the one who reports it waits for nothing.
 *
 * The holders have unmapped the file: they shall not die of that signal.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_device.h"

#define FAR_AWAY	25	/* seconds to a deadline that no device awaits */

FIXTURE(poison)
{
	struct ll_spare spare;
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h, other;
	struct ll_breaker b;
	struct ll_uring u;
	pid_t stays;		/* a child of the holder that has its context */
	int64_t pfn, start;
};

FIXTURE_VARIANT(poison)
{
	enum ll_fs fs;
	const char *mkfs;
};

FIXTURE_VARIANT_ADD(poison, ext4) {
	.fs = LL_EXT4,
	.mkfs = "mkfs.ext4 -q -F -b 4096",
};

FIXTURE_VARIANT_ADD(poison, xfs) {
	.fs = LL_XFS,
	.mkfs = "mkfs.xfs -q -f -m reflink=1,rmapbt=0",
};

/* Here it is XFS that sends SIGBUS. */
FIXTURE_VARIANT_ADD(poison, xfs_rmapbt) {
	.fs = LL_XFS,
	.mkfs = "mkfs.xfs -q -f -m reflink=1,rmapbt=1",
};

FIXTURE_SETUP(poison)
{
	ASSERT_EQ(0, ll_spare_mount(&self->spare, variant->fs, variant->mkfs));
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	self->pfn = ll_pfn(self->path, 0);
	ASSERT_LT(0, self->pfn);
	ASSERT_EQ(0, ll_sysctl("lease-break-time", FAR_AWAY));
	ASSERT_EQ(0, ll_adopt());
}

FIXTURE_TEARDOWN(poison)
{
	if (self->b.pid > 0)
		ll_breaker_end(&self->b);
	ll_holder_end(&self->h);
	ll_holder_end(&self->other);
	ll_stay_end(self->stays);
	ll_uring_close(&self->u);
	ll_teardown(&self->env);
	EXPECT_EQ(0, ll_spare_end(&self->spare));
}

static int pin_and_unmap(struct ll_holder *h, const char *path)
{
	return ll_holder_pin(h, path, true, LL_SIG) ?:
	       ll_hold(h, .op = H_UNMAP);
}

static int unwilling_and_unmap(struct ll_env *env, struct ll_holder *h,
			       const char *path)
{
	return ll_unwilling(env, h, path, LL_SIG) ?: ll_hold(h, .op = H_UNMAP);
}

TEST_F(poison, holder_that_agreed_is_killed)
{
	ASSERT_EQ(0, pin_and_unmap(&self->h, self->path));
	EXPECT_EQ(0, ll_corrupt(self->pfn));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
}

TEST_F(poison, holder_that_did_not_agree_is_told_and_revoked)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, unwilling_and_unmap(&self->env, &self->h, self->path));
	EXPECT_EQ(0, ll_corrupt(self->pfn));
	EXPECT_EQ(0, ll_ask(&self->h, &rsp, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(LL_SIG, rsp.signo);
	EXPECT_EQ(SI_LAYOUT, rsp.code);
	EXPECT_EQ(getpid(), rsp.pid);
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_MAP, .a = PROT_READ | PROT_WRITE,
			     .b = MAP_SHARED, .c = LL_FILE_SIZE));
	EXPECT_EQ(-EIO, ll_holder_reg(&self->h, 0, 1, LL_FAR, LL_PAGE));
}

TEST_F(poison, nobody_is_killed_under_deny)
{
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, pin_and_unmap(&self->h, self->path));
	EXPECT_EQ(0, ll_corrupt(self->pfn));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

/* The pins stand for another second, and nobody is there who waits for that. */
TEST_F(poison, report_waits_for_no_pin)
{
	ASSERT_EQ(0, pin_and_unmap(&self->h, self->path));
	ASSERT_EQ(0, ll_share(&self->h, &self->stays));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_corrupt(self->pfn));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_LE(900, ll_now_ms() - self->start);
	EXPECT_TRUE(ll_stays(self->stays));
}

TEST_F(poison, madvise_is_a_report_too)
{
	ASSERT_EQ(0, pin_and_unmap(&self->h, self->path));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_HWPOISON, self->path, 0, 0));
	EXPECT_EQ(0, ll_finish(&self->b, LL_SOON));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
}

TEST_F(poison, who_has_pinned_another_page_is_left_alone)
{
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_start(&self->other));
	ASSERT_EQ(0, ll_holder_open(&self->other, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&self->other, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&self->other, 0, 0, LL_FAR, LL_PIN_LEN));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	ASSERT_EQ(0, ll_hold(&self->other, .op = H_UNMAP));
	EXPECT_EQ(0, ll_corrupt(self->pfn));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 1) - 1);
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->other, .op = H_SIGWAIT, .a = 200));
	EXPECT_TRUE(ll_holder_alive(&self->other));
	EXPECT_EQ(0, ll_holder_dereg(&self->other, 0));
}

/* The break is over then, and pins are possible again. */
TEST_F(poison, break_ends_with_the_last_pin)
{
	struct ll_pending p[2];
	int64_t end = ll_now_ms() + LL_SOON;

	ASSERT_EQ(0, pin_and_unmap(&self->h, self->path));
	EXPECT_EQ(0, ll_corrupt(self->pfn));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	while (ll_breaks(p, 2) > 0 && ll_now_ms() < end)
		ll_sleep_ms(20);
	EXPECT_EQ(0, ll_breaks(p, 2));
	ASSERT_EQ(0, ll_holder_start(&self->other));
	ASSERT_EQ(0, ll_holder_open(&self->other, 0, self->path));
	EXPECT_EQ(0, ll_holder_lease(&self->other, 0, true, LL_SIG));
	EXPECT_EQ(0, ll_holder_reg(&self->other, 0, 0, LL_FAR, LL_PIN_LEN));
}

TEST_F(poison, buffers_of_a_ring_are_revoked)
{
	int zero = ll_open("/dev/zero", O_RDONLY);
	char *map;

	ASSERT_EQ(0, ll_uring_unwilling(&self->env, &self->u, self->path, 0));
	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	map = self->u.map;
	ASSERT_EQ(0, ll_ret(munmap(map, LL_FILE_SIZE)));
	ASSERT_EQ(10, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED, .fd = zero,
			    .addr = map, .len = 10, .buf = 0));
	EXPECT_EQ(0, ll_corrupt(self->pfn));
	EXPECT_EQ(0, ll_pins_gone(self->path, LL_SOON));
	EXPECT_EQ(-EFAULT, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
				 .fd = zero, .addr = map, .len = 10, .buf = 0));
	close(zero);
}

/* Once the device is about to go nothing remains to be done for a page of it. */
TEST_F(poison, device_can_be_removed_afterwards)
{
	struct ll_id id;

	ASSERT_EQ(0, unwilling_and_unmap(&self->env, &self->h, self->path));
	ASSERT_EQ(0, ll_identify(self->path, &id));
	EXPECT_EQ(0, ll_corrupt(self->pfn));
	EXPECT_EQ(0, ll_corrupt(self->pfn));
	EXPECT_LE(0, ll_unbind(&self->b, &self->spare));
	EXPECT_EQ(0, ll_listed_id(&id, true));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

TEST_HARNESS_MAIN
