// SPDX-License-Identifier: GPL-2.0
/*
 * Which range counts: operations away from a pin proceed at once, whatever
 * leases stand, and a pin covers whole DAX entries, be they 4 KiB or 2 MiB.
 *
 *   offset      0        64K             2M              4M          8M
 *               |== pin ==|               |               |== op == |
 *   2M entry    |<-- all of it counts -->|
 */
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

FIXTURE(away)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h;
};

FIXTURE_VARIANT(away)
{
	enum ll_fs fs;
	const char *policy;
};

FIXTURE_VARIANT_ADD(away, ext4_break) {
	.fs = LL_EXT4, .policy = "break",
};

FIXTURE_VARIANT_ADD(away, ext4_deny) {
	.fs = LL_EXT4, .policy = "deny",
};

FIXTURE_VARIANT_ADD(away, xfs_break) {
	.fs = LL_XFS, .policy = "break",
};

FIXTURE_VARIANT_ADD(away, xfs_deny) {
	.fs = LL_XFS, .policy = "deny",
};

FIXTURE_SETUP(away)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, variant->policy));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, SIGKILL));
}

FIXTURE_TEARDOWN(away)
{
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PIN_LEN, 'f'));
	EXPECT_EQ(0, ll_holder_end(&self->h));
	ll_teardown(&self->env);
}

TEST_F(away, punch_and_zero_proceed_behind_the_pin)
{
	EXPECT_EQ(0, ll_break(OP_PUNCH, self->path, LL_FAR, LL_MIB));
	EXPECT_EQ(1, ll_filled(self->path, LL_FAR, LL_MIB, 0));
	EXPECT_EQ(-ENODATA, ll_physical(self->path, LL_FAR));
	EXPECT_EQ(0, ll_break(OP_ZERO, self->path, LL_FAR + LL_MIB, LL_MIB));
	EXPECT_EQ(1, ll_filled(self->path, LL_FAR + LL_MIB, LL_MIB, 0));
	EXPECT_EQ(1, ll_filled(self->path, LL_FAR + 2 * LL_MIB, LL_MIB, 'f'));
}

TEST_F(away, collapse_and_insert_proceed_behind_the_pin)
{
	EXPECT_EQ(0, ll_break(OP_COLLAPSE, self->path, LL_FAR, LL_MIB));
	EXPECT_EQ(LL_FILE_SIZE - LL_MIB, ll_size(self->path));
	EXPECT_EQ(0, ll_break(OP_INSERT, self->path, LL_FAR, LL_MIB));
	EXPECT_EQ(LL_FILE_SIZE, ll_size(self->path));
	EXPECT_EQ(1, ll_filled(self->path, LL_FAR, LL_MIB, 0));
}

TEST_F(away, truncate_proceeds_behind_the_pin)
{
	EXPECT_EQ(0, ll_break(OP_TRUNCATE, self->path, LL_FAR + 5, 0));
	EXPECT_EQ(LL_FAR + 5, ll_size(self->path));
	EXPECT_EQ(0, ll_break(OP_FTRUNCATE, self->path, LL_FAR, 0));
	EXPECT_EQ(LL_FAR, ll_size(self->path));
}

TEST_F(away, another_file_is_never_concerned)
{
	char other[LL_PATH];

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, other));
	EXPECT_EQ(0, ll_break(OP_O_TRUNC, other, 0, 0));
	EXPECT_EQ(0, ll_size(other));
}

/* A hole before the pin: the operation's range ends where the pin begins. */
TEST_F(away, punch_proceeds_before_the_pin)
{
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 1, LL_FAR, LL_PIN_LEN));
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, ll_break(OP_PUNCH, self->path, LL_MIB, LL_PAGE));
	EXPECT_EQ(1, ll_filled(self->path, LL_FAR, LL_PIN_LEN, 'f'));
}

/* Unaligned ends are rounded outwards, to pages: they meet the pin. */
TEST_F(away, checks_rounding_outwards_to_pages)
{
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_PUNCH, self->path, LL_PIN_LEN - 1, LL_FAR));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_ZERO, self->path, LL_PIN_LEN - 1, 1));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_TRUNCATE, self->path, LL_PIN_LEN - 1, 0));
	/* the last byte of the page behind an unaligned registration counts */
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 1, LL_FAR, 100));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_TRUNCATE, self->path, LL_FAR + 4000, 0));
	EXPECT_EQ(LL_FILE_SIZE, ll_size(self->path));
}

FIXTURE(entry)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h;
};

FIXTURE_VARIANT(entry)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(entry, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(entry, xfs) {
	.fs = LL_XFS,
};

static int pin_one_page(struct ll_holder *h, const char *path, int shift,
			int tell)
{
	return ll_holder_start(h) ?: ll_holder_open(h, 0, path) ?:
	       ll_hold(h, .op = H_UNMAP) ?:
	       ll_hold(h, .op = H_MAP, .a = PROT_READ | PROT_WRITE,
		       .b = MAP_SHARED, .c = LL_FAR, .mr = shift) ?:
	       ll_holder_lease(h, 0, true, tell) ?:
	       ll_holder_reg(h, 0, 0, 0, LL_PAGE);
}

FIXTURE_SETUP(entry)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "deny"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_huge_file(&self->env, self->path));
}

FIXTURE_TEARDOWN(entry)
{
	ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

TEST_F(entry, neighbour_in_a_huge_entry_is_pinned)
{
	ASSERT_EQ(0, pin_one_page(&self->h, self->path, 0, SIGKILL));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_PUNCH, self->path, LL_MIB, LL_PAGE));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_TRUNCATE, self->path,
				     LL_PMD_LEN - LL_PAGE, 0));
	EXPECT_EQ(0, ll_break(OP_PUNCH, self->path, LL_PMD_LEN, LL_PAGE));
	EXPECT_EQ(0, ll_break(OP_TRUNCATE, self->path, LL_PMD_LEN, 0));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PMD_LEN, 'f'));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

TEST_F(entry, what_lies_before_a_page_in_a_huge_entry_is_pinned)
{
	ASSERT_EQ(0, pin_one_page(&self->h, self->path, 0, SIGKILL));
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, LL_MIB, LL_PAGE));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_PUNCH, self->path, 0, LL_PAGE));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_PUNCH, self->path, LL_MIB + LL_PAGE,
				     LL_PAGE));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PMD_LEN, 'f'));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

TEST_F(entry, neighbour_in_a_huge_entry_escalates)
{
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	ASSERT_EQ(0, pin_one_page(&self->h, self->path, 0, SIGKILL));
	EXPECT_EQ(0, ll_break(OP_PUNCH, self->path, LL_MIB, LL_PAGE));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(1, ll_filled(self->path, LL_MIB, LL_PAGE, 0));
}

TEST_F(entry, neighbour_in_a_huge_entry_is_EDEADLK_for_the_holder)
{
	struct ll_cmd cmd = {
		.op = H_BREAK, .mr = OP_PUNCH, .a = LL_MIB, .b = LL_PAGE,
	};

	ASSERT_EQ(0, pin_one_page(&self->h, self->path, 0, SIGKILL));
	snprintf(cmd.path, sizeof(cmd.path), "%s", self->path);
	EXPECT_EQ(-EDEADLK, ll_holder_do(&self->h, &cmd));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, ll_holder_do(&self->h, &cmd));
}

/* The address does not allow a huge entry, so the page is one of its own. */
TEST_F(entry, neighbour_of_a_small_entry_is_free)
{
	ASSERT_EQ(0, pin_one_page(&self->h, self->path, 1, SIGKILL));
	EXPECT_EQ(0, ll_break(OP_PUNCH, self->path, LL_PAGE, LL_PAGE));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_PUNCH, self->path, 0, LL_PAGE));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PAGE, 'f'));
	EXPECT_EQ(1, ll_filled(self->path, LL_PAGE, LL_PAGE, 0));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

TEST_F(entry, new_pin_meets_the_pending_break_of_its_huge_entry)
{
	struct ll_breaker b;
	struct ll_holder other;
	int ret;

	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	ASSERT_EQ(0, pin_one_page(&self->h, self->path, 0, LL_SIG));
	ASSERT_EQ(0, ll_holder_start(&other));
	ASSERT_EQ(0, ll_holder_open(&other, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&other, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_PUNCH, self->path, LL_MIB, LL_PAGE));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	/* not in the range, but in an entry that reaches into it */
	EXPECT_EQ(-EAGAIN, ll_holder_reg(&other, 0, 0, LL_PIN_LEN, LL_PAGE));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_holder_end(&other));
}

TEST_HARNESS_MAIN
