// SPDX-License-Identifier: GPL-2.0
/*
 * The audit of the attacks finds what an attack could leave behind, and finds
 * nothing where nothing was left.
 */
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_audit.h"

#define SHORT	500	/* ms: what is waited for does not come */

FIXTURE(audit)
{
	struct ll_env env;
	struct ll_audit a;
	struct ll_holder h;
	char path[LL_PATH];
	pid_t innocent;
};

FIXTURE_VARIANT(audit)
{
	enum ll_fs fs;
	const char *damage;
};

/* A block in use that belongs to no file. */
FIXTURE_VARIANT_ADD(audit, ext4) {
	.fs = LL_EXT4,
	.damage = "debugfs -w -R 'setb 20000' %s >/dev/null 2>&1",
};

/* As many free blocks fewer than there are. */
FIXTURE_VARIANT_ADD(audit, xfs) {
	.fs = LL_XFS,
	.damage = "xfs_db -x -c 'agf 0' -c 'write -d freeblks 7' %s >/dev/null 2>&1",
};

FIXTURE_SETUP(audit)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_audit_begin(&self->a, &self->env));
	self->innocent = ll_audit_innocent(&self->a);
	ASSERT_LT(0, self->innocent);
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
}

FIXTURE_TEARDOWN(audit)
{
	ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

TEST_F_TIMEOUT(audit, nothing_is_found_where_nothing_was_left, 90)
{
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, SIGKILL));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(0, ll_audit_end(&self->a));
}

TEST_F_TIMEOUT(audit, pin_is_found, 90)
{
	self->a.patience = SHORT;
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	EXPECT_EQ(-EBUSY, ll_audit_end(&self->a));
}

TEST_F_TIMEOUT(audit, lease_is_found, 90)
{
	self->a.patience = SHORT;
	ASSERT_EQ(0, ll_holder_start(&self->h));
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(-EBUSY, ll_audit_end(&self->a));
}

/* Without a lease: it is the unmounting that tells. */
TEST_F_TIMEOUT(audit, open_file_is_found, 90)
{
	self->a.patience = SHORT;
	ASSERT_EQ(0, ll_holder_start(&self->h));
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
	/* its blocks stay as long */
	EXPECT_EQ(-ENOSPC, ll_audit_end(&self->a));
}

TEST_F_TIMEOUT(audit, block_that_does_not_come_back_is_found, 90)
{
	char path[LL_PATH];
	int64_t free;

	self->a.patience = SHORT;
	snprintf(path, sizeof(path), "%s/lost", self->env.root);
	free = ll_free_blocks(self->env.root);
	ASSERT_LE(0, ll_ret(close(ll_open(path, O_RDWR | O_CREAT))));
	ASSERT_EQ(0, ll_write_fill(path, 0, LL_PAGE, 'x'));
	EXPECT_GT(free, ll_free_blocks(self->env.root));
	EXPECT_EQ(-ENOSPC, ll_audit_end(&self->a));
	EXPECT_EQ(0, ll_ret(unlink(path)));
}

TEST_F_TIMEOUT(audit, damaged_filesystem_is_found, 90)
{
	self->a.damage = variant->damage;
	EXPECT_EQ(-EUCLEAN, ll_audit_end(&self->a));
}

TEST_F_TIMEOUT(audit, innocent_that_was_killed_is_found, 90)
{
	ASSERT_EQ(0, ll_audit_innocents(&self->a));
	ASSERT_EQ(0, ll_ret(kill(self->innocent, SIGKILL)));
	ll_sleep_ms(100);
	EXPECT_EQ(-ESRCH, ll_audit_end(&self->a));
}

TEST_F_TIMEOUT(audit, innocent_that_was_stopped_is_found, 90)
{
	ASSERT_EQ(0, ll_ret(kill(self->innocent, SIGSTOP)));
	ll_sleep_ms(100);
	EXPECT_EQ(-ESRCH, ll_audit_end(&self->a));
}

TEST_F_TIMEOUT(audit, innocent_that_was_signalled_is_found, 90)
{
	ASSERT_EQ(0, ll_ret(kill(self->innocent, LL_SIG)));
	EXPECT_EQ(-ESRCH, ll_audit_end(&self->a));
}

TEST_HARNESS_MAIN
