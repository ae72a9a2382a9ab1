// SPDX-License-Identifier: GPL-2.0
/*
 * The device of a filesystem is taken away while files on it are pinned. That
 * cannot be refused, so nobody is asked to let go, and the removal waits for the
 * pins, for longer it would not be safe, and no longer.
 *
 * XFS is told of the removal itself where it has a reverse mapping, and only
 * there; ext4 is never told.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_device.h"

#define FAR_AWAY	25	/* seconds to a deadline that no device awaits */

FIXTURE(device)
{
	struct ll_spare spare;
	struct ll_env env;
	char path[LL_PATH], other_path[LL_PATH];
	struct ll_id id;
	struct ll_holder h, other;
	struct ll_breaker b;
	struct ll_uring u;
	pid_t stays;		/* a child of the holder that has its context */
	int64_t took, start;
};

FIXTURE_VARIANT(device)
{
	enum ll_fs fs;
	const char *mkfs;
};

FIXTURE_VARIANT_ADD(device, ext4) {
	.fs = LL_EXT4,
	.mkfs = "mkfs.ext4 -q -F -b 4096",
};

/* With a reverse mapping XFS itself kills all that have its files mapped. */
FIXTURE_VARIANT_ADD(device, xfs) {
	.fs = LL_XFS,
	.mkfs = "mkfs.xfs -q -f -m reflink=1,rmapbt=0",
};

FIXTURE_SETUP(device)
{
	ASSERT_EQ(0, ll_spare_mount(&self->spare, variant->fs, variant->mkfs));
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, self->other_path));
	ASSERT_EQ(0, ll_identify(self->path, &self->id));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", FAR_AWAY));
	ASSERT_EQ(0, ll_adopt());
}

/* What was mounted can be unmounted: no pin is left, and no page is missed. */
FIXTURE_TEARDOWN(device)
{
	if (self->b.pid > 0)
		ll_breaker_end(&self->b);
	ll_holder_end(&self->h);
	ll_holder_end(&self->other);
	ll_stay_end(self->stays);
	ll_uring_close(&self->u);
	if (self->u.map)
		munmap(self->u.map, LL_FILE_SIZE);
	ll_teardown(&self->env);
	EXPECT_EQ(0, ll_spare_end(&self->spare));
}

static int lease_only(struct ll_holder *h, const char *path)
{
	return ll_holder_start(h) ?: ll_holder_open(h, 0, path) ?:
	       ll_holder_lease(h, 0, true, LL_SIG);
}

/* Its kill needs no deadline, and no consent to be told first. */
TEST_F(device, holder_that_agreed_is_killed_at_once)
{
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	self->took = ll_unbind(&self->b, &self->spare);
	EXPECT_LE(0, self->took);
	EXPECT_GT(4500, self->took);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(0, ll_listed_id(&self->id, true));
}

TEST_F(device, holder_that_did_not_agree_is_told_and_revoked_at_once)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_unwilling(&self->env, &self->h, self->path, LL_SIG));
	ASSERT_EQ(0, ll_unbind_start(&self->b, &self->spare));
	EXPECT_EQ(0, ll_ask(&self->h, &rsp, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(LL_SIG, rsp.signo);
	EXPECT_EQ(SI_LAYOUT, rsp.code);
	EXPECT_EQ(self->b.pid, rsp.pid);
	EXPECT_EQ(0, ll_finish(&self->b, 4500));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(-EIO, ll_holder_reg(&self->h, 0, 1, LL_FAR, LL_PAGE));
	EXPECT_EQ(F_UNLCK, ll_hold(&self->h, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_listed_id(&self->id, true));
}

TEST_F(device, nobody_is_killed_under_deny)
{
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_pin(&self->other, self->path, false, 0));
	self->took = ll_unbind(&self->b, &self->spare);
	EXPECT_LE(0, self->took);
	EXPECT_GT(4500, self->took);
	EXPECT_EQ(0, ll_listed_id(&self->id, true));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_TRUE(ll_holder_alive(&self->other));
	EXPECT_EQ(-EIO, ll_holder_reg(&self->h, 0, 1, LL_FAR, LL_PAGE));
	EXPECT_EQ(-EIO, ll_holder_reg(&self->other, 0, 1, LL_FAR, LL_PAGE));
}

TEST_F(device, context_that_was_passed_on_is_revoked_1_s_after_the_exit)
{
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_share(&self->h, &self->stays));
	self->took = ll_unbind(&self->b, &self->spare);
	EXPECT_LE(900, self->took);
	EXPECT_GT(4500, self->took);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_TRUE(ll_stays(self->stays));
	EXPECT_EQ(0, ll_listed_id(&self->id, true));
}

TEST_F(device, context_of_a_holder_that_is_gone_is_revoked_at_once)
{
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_share(&self->h, &self->stays));
	ASSERT_EQ(0, ll_holder_end(&self->h));
	self->took = ll_unbind(&self->b, &self->spare);
	EXPECT_LE(0, self->took);
	EXPECT_GT(4500, self->took);
	EXPECT_TRUE(ll_stays(self->stays));
	EXPECT_EQ(0, ll_listed_id(&self->id, true));
}

/* A killed holder that hangs in the kernel, here in another, frozen filesystem. */
TEST_F(device, holder_that_does_not_die_is_revoked_5_s_after_the_kill)
{
	struct ll_cmd hang = {
		.op = H_BREAK, .mr = OP_TRUNCATE, .a = 2 * LL_FILE_SIZE,
	};
	struct ll_pending p[2];
	struct ll_env frozen;

	ASSERT_EQ(0, ll_setup(&frozen, variant->fs == LL_XFS ? LL_EXT4 : LL_XFS,
			      "break"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", FAR_AWAY));
	ASSERT_EQ(0, ll_file(&frozen, "g", LL_FILE_SIZE, hang.path));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_shell("fsfreeze -f %s", frozen.root));
	ASSERT_EQ(0, ll_holder_send(&self->h, &hang));
	ll_sleep_ms(200);
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_unbind_start(&self->b, &self->spare));
	EXPECT_EQ(-ETIMEDOUT, ll_finish(&self->b, 2500));
	/* meanwhile it is seen by everybody */
	EXPECT_EQ(1, ll_breaks(p, 2));
	EXPECT_EQ(self->h.pid, p[0].pid);
	EXPECT_EQ(self->id.ino, p[0].id.ino);
	EXPECT_STREQ("device", p[0].reason);
	EXPECT_EQ(0ULL, p[0].start);
	EXPECT_EQ(LL_TO_END, p[0].end);
	EXPECT_EQ(self->b.pid, p[0].breaker);
	EXPECT_EQ(0, p[0].left);
	EXPECT_EQ(1, p[0].pins);
	EXPECT_STREQ("waiting", p[0].state);
	EXPECT_EQ(0, ll_finish(&self->b, 2 * LL_SOON));
	EXPECT_LE(4900, ll_now_ms() - self->start);
	EXPECT_GT(9000, ll_now_ms() - self->start);
	EXPECT_TRUE(ll_holder_alive(&self->h));
	ASSERT_EQ(0, ll_shell("fsfreeze -u %s", frozen.root));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	ll_teardown(&frozen);
}

/* It cannot exit before its own pins are gone. */
TEST_F(device, holder_that_removes_the_device_itself_is_killed)
{
	struct ll_cmd unbind = { .op = H_BREAK, .mr = OP_UNBIND };
	struct ll_rsp rsp;

	snprintf(unbind.path, sizeof(unbind.path), "%s", self->spare.driven);
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_send(&self->h, &unbind));
	EXPECT_GT(0, ll_holder_recv(&self->h, 2 * LL_SOON, &rsp));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(-ENOENT, ll_spare_driven(&self->spare));
	EXPECT_EQ(0, ll_listed_id(&self->id, true));
}

TEST_F(device, lease_without_a_pin_is_left_alone_but_allows_none_any_more)
{
	ASSERT_EQ(0, lease_only(&self->h, self->path));
	ASSERT_EQ(0, lease_only(&self->other, self->other_path));
	ASSERT_EQ(0, ll_holder_reg(&self->other, 0, 0, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_holder_dereg(&self->other, 0));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	self->took = ll_unbind(&self->b, &self->spare);
	EXPECT_LE(0, self->took);
	EXPECT_GT(4500, self->took);
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_TRUE(ll_holder_alive(&self->other));
	EXPECT_EQ(-EAGAIN, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(-EAGAIN, ll_holder_reg(&self->other, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(LL_EXCL, ll_hold(&self->h, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_UNLCK));
}

/* One that is spared itself, in a file in which somebody else is not. */
TEST_F(device, file_that_was_pinned_allows_no_pin_any_more)
{
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, lease_only(&self->other, self->path));
	EXPECT_LE(0, ll_unbind(&self->b, &self->spare));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(-EAGAIN, ll_holder_reg(&self->other, 0, 0, LL_FAR, LL_PAGE));
	EXPECT_EQ(0, ll_hold(&self->other, .op = H_SETSIG, .a = SIGKILL));
	EXPECT_EQ(-EAGAIN, ll_hold(&self->other, .op = H_SETLEASE, .a = LL_EXCL));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->other, .op = H_SIGWAIT, .a = 200));
	EXPECT_EQ(0, ll_hold(&self->other, .op = H_SETLEASE, .a = F_UNLCK));
}

/* All at the same time, not one after the other. */
TEST_F(device, pins_on_several_files_go)
{
	char path[LL_PATH], name[16];
	struct ll_holder h[6] = {};
	pid_t stays[6];
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(h); i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		ASSERT_EQ(0, ll_file(&self->env, name, LL_MIB, path));
		ASSERT_EQ(0, ll_holder_pin(&h[i], path, true, LL_SIG));
		ASSERT_EQ(0, ll_share(&h[i], &stays[i]));
	}
	self->took = ll_unbind(&self->b, &self->spare);
	EXPECT_LE(900, self->took);
	EXPECT_GT(5000, self->took);
	for (i = 0; i < LL_ARRAY_SIZE(h); i++) {
		EXPECT_EQ(SIGKILL, ll_holder_wait(&h[i], LL_SOON));
		EXPECT_TRUE(ll_stays(stays[i]));
		ll_stay_end(stays[i]);
	}
}

TEST_F(device, other_device_does_not_matter)
{
	enum ll_fs fs = variant->fs == LL_XFS ? LL_EXT4 : LL_XFS;
	struct ll_env elsewhere;
	char path[LL_PATH];

	ASSERT_EQ(0, ll_setup(&elsewhere, fs, "break"));
	ASSERT_EQ(0, ll_file(&elsewhere, "f", LL_FILE_SIZE, path));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_pin(&self->other, path, true, LL_SIG));
	EXPECT_LE(0, ll_unbind(&self->b, &self->spare));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_TRUE(ll_holder_alive(&self->other));
	EXPECT_EQ(0, ll_holder_reg(&self->other, 0, 1, LL_FAR, LL_PAGE));
	EXPECT_EQ(2, ll_listed(path, true));
	EXPECT_EQ(0, ll_holder_end(&self->other));
	ll_teardown(&elsewhere);
}

/* Nobody sees the filesystem any more, but its pins are found. */
TEST_F(device, filesystem_that_was_unmounted_lazily_is_no_exception)
{
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_share(&self->h, &self->stays));
	ASSERT_EQ(0, ll_ret(umount2(self->env.root, MNT_DETACH)));
	self->took = ll_unbind(&self->b, &self->spare);
	EXPECT_LE(900, self->took);
	EXPECT_GT(4500, self->took);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_TRUE(ll_stays(self->stays));
	/* for the end of the test: the same place, with nothing of it */
	ASSERT_EQ(0, ll_ret(mount("none", self->env.root, "tmpfs", 0, NULL)));
}

TEST_F(device, buffers_of_a_ring_are_revoked_and_the_ring_lives)
{
	char *mem = ll_anon(LL_PIN_LEN);
	int zero = ll_open("/dev/zero", O_RDONLY);

	ASSERT_EQ(0, ll_uring_unwilling(&self->env, &self->u, self->path, 0));
	ASSERT_EQ(0, io_uring_register_buffers_sparse(&self->u.ring, 2));
	ASSERT_EQ(0, ll_uring_update(&self->u, 0, mem, LL_PIN_LEN));
	ASSERT_EQ(0, ll_uring_update(&self->u, 1, self->u.map, LL_PIN_LEN));
	ASSERT_EQ(10, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED, .fd = zero,
			    .addr = self->u.map, .len = 10, .buf = 1));
	self->took = ll_unbind(&self->b, &self->spare);
	EXPECT_LE(0, self->took);
	EXPECT_GT(4500, self->took);
	EXPECT_EQ(-EFAULT, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
				 .fd = zero, .addr = self->u.map, .len = 10,
				 .buf = 1));
	EXPECT_EQ(10, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED, .fd = zero,
			    .addr = mem, .len = 10, .buf = 0));
	close(zero);
}

/* A plain lease has nothing to hold on to. */
TEST_F(device, plain_lease_is_told_and_gone)
{
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_start(&self->other));
	ASSERT_EQ(0, ll_holder_open(&self->other, 0, self->path));
	ASSERT_EQ(0, ll_hold(&self->other, .op = H_SETLEASE, .a = F_LAYOUT));
	self->took = ll_unbind(&self->b, &self->spare);
	EXPECT_LE(0, self->took);
	EXPECT_GT(4500, self->took);
	EXPECT_EQ(0, ll_hold(&self->other, .op = H_SIGWAIT));
	EXPECT_EQ(F_UNLCK, ll_hold(&self->other, .op = H_GETLEASE));
}

TEST_HARNESS_MAIN
