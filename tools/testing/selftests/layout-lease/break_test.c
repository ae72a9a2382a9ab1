// SPDX-License-Identifier: GPL-2.0
/*
 * Operations that take blocks away from a pinned range: the ways in which they
 * win under "break", that they fail under "deny", and that a process never
 * breaks itself. Every operation of the contract's table, on both filesystems.
 */
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

FIXTURE(subtractive)
{
	struct ll_env env;
	char path[LL_PATH];
};

FIXTURE_VARIANT(subtractive)
{
	enum ll_fs fs;
	enum ll_op op;
	off_t len;
};

FIXTURE_VARIANT_ADD(subtractive, ext4_truncate) {
	.fs = LL_EXT4, .op = OP_TRUNCATE,
};

FIXTURE_VARIANT_ADD(subtractive, ext4_ftruncate) {
	.fs = LL_EXT4, .op = OP_FTRUNCATE,
};

FIXTURE_VARIANT_ADD(subtractive, ext4_o_trunc) {
	.fs = LL_EXT4, .op = OP_O_TRUNC,
};

FIXTURE_VARIANT_ADD(subtractive, ext4_punch) {
	.fs = LL_EXT4, .op = OP_PUNCH, .len = LL_PAGE,
};

FIXTURE_VARIANT_ADD(subtractive, ext4_zero) {
	.fs = LL_EXT4, .op = OP_ZERO, .len = LL_PAGE,
};

FIXTURE_VARIANT_ADD(subtractive, ext4_collapse) {
	.fs = LL_EXT4, .op = OP_COLLAPSE, .len = LL_PAGE,
};

FIXTURE_VARIANT_ADD(subtractive, ext4_insert) {
	.fs = LL_EXT4, .op = OP_INSERT, .len = LL_PAGE,
};

FIXTURE_VARIANT_ADD(subtractive, xfs_truncate) {
	.fs = LL_XFS, .op = OP_TRUNCATE,
};

FIXTURE_VARIANT_ADD(subtractive, xfs_ftruncate) {
	.fs = LL_XFS, .op = OP_FTRUNCATE,
};

FIXTURE_VARIANT_ADD(subtractive, xfs_o_trunc) {
	.fs = LL_XFS, .op = OP_O_TRUNC,
};

FIXTURE_VARIANT_ADD(subtractive, xfs_punch) {
	.fs = LL_XFS, .op = OP_PUNCH, .len = LL_PAGE,
};

FIXTURE_VARIANT_ADD(subtractive, xfs_zero) {
	.fs = LL_XFS, .op = OP_ZERO, .len = LL_PAGE,
};

FIXTURE_VARIANT_ADD(subtractive, xfs_collapse) {
	.fs = LL_XFS, .op = OP_COLLAPSE, .len = LL_PAGE,
};

FIXTURE_VARIANT_ADD(subtractive, xfs_insert) {
	.fs = LL_XFS, .op = OP_INSERT, .len = LL_PAGE,
};

FIXTURE_SETUP(subtractive)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
}

FIXTURE_TEARDOWN(subtractive)
{
	ll_teardown(&self->env);
}

/* The operation was done: the first page is no longer what it was. */
static int changed(const char *path)
{
	return ll_size(path) == 0 || ll_filled(path, 0, LL_PAGE, 'f') == 0 ||
	       ll_size(path) == (int64_t)(LL_FILE_SIZE - LL_PAGE);
}

TEST_F(subtractive, kills_at_once_a_holder_that_wants_no_warning)
{
	int64_t start = ll_now_ms();
	struct ll_holder h;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, SIGKILL));
	EXPECT_EQ(0, ll_break(variant->op, self->path, 0, variant->len));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&h, LL_SOON));
	EXPECT_GT(20000, ll_now_ms() - start);
	EXPECT_TRUE(changed(self->path));
}

TEST_F(subtractive, kills_a_deaf_holder_at_the_deadline)
{
	struct ll_holder h;
	int64_t start;

	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, LL_SIG));
	start = ll_now_ms();
	EXPECT_EQ(0, ll_break(variant->op, self->path, 0, variant->len));
	EXPECT_LE(950, ll_now_ms() - start);
	EXPECT_GT(4000, ll_now_ms() - start);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&h, LL_SOON));
	EXPECT_TRUE(changed(self->path));
}

TEST_F(subtractive, spares_a_holder_that_lets_go)
{
	struct ll_cmd let_go = { .op = H_LET_GO, .a = LL_SOON };
	struct ll_holder h;
	struct ll_rsp rsp;
	int64_t start;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_send(&h, &let_go));
	start = ll_now_ms();
	EXPECT_EQ(0, ll_break(variant->op, self->path, 0, variant->len));
	EXPECT_GT(20000, ll_now_ms() - start);
	EXPECT_EQ(0, ll_holder_recv(&h, LL_SOON, &rsp));
	EXPECT_EQ(LL_SIG, rsp.signo);
	EXPECT_EQ(SI_LAYOUT, rsp.code);
	EXPECT_TRUE(changed(self->path));
	/* the lease stands, and can pin again */
	EXPECT_EQ(LL_EXCL, ll_hold(&h, .op = H_GETLEASE));
	ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	EXPECT_EQ(0, ll_holder_reg(&h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(subtractive, is_ETXTBSY_under_deny)
{
	int64_t start = ll_now_ms();
	struct ll_holder h;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, false, LL_SIG));
	EXPECT_EQ(-ETXTBSY, ll_break(variant->op, self->path, 0, variant->len));
	EXPECT_GT(20000, ll_now_ms() - start);
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&h, .op = H_SIGWAIT));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PIN_LEN, 'f'));
	EXPECT_EQ(LL_FILE_SIZE, ll_size(self->path));
	/* nothing is left pending */
	EXPECT_EQ(0, ll_holder_reg(&h, 0, 1, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_holder_dereg(&h, 0));
	EXPECT_EQ(0, ll_holder_dereg(&h, 1));
	EXPECT_EQ(0, ll_break(variant->op, self->path, 0, variant->len));
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(subtractive, is_EDEADLK_for_the_holder_itself)
{
	struct ll_cmd cmd = {
		.op = H_BREAK, .mr = variant->op, .b = variant->len,
	};
	struct ll_holder h;

	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, SIGKILL));
	snprintf(cmd.path, sizeof(cmd.path), "%s", self->path);
	EXPECT_EQ(-EDEADLK, ll_holder_do(&h, &cmd));
	EXPECT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-EDEADLK, ll_holder_do(&h, &cmd));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PIN_LEN, 'f'));
	EXPECT_EQ(LL_FILE_SIZE, ll_size(self->path));
	EXPECT_EQ(0, ll_holder_reg(&h, 0, 1, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_holder_dereg(&h, 0));
	EXPECT_EQ(0, ll_holder_dereg(&h, 1));
	EXPECT_EQ(0, ll_holder_do(&h, &cmd));
	EXPECT_TRUE(changed(self->path));
	EXPECT_EQ(0, ll_holder_end(&h));
}

/* EDEADLK wins even where somebody else's pin is in the range as well. */
TEST_F(subtractive, checks_ordering_EDEADLK_before_ETXTBSY_and_kill)
{
	struct ll_cmd cmd = {
		.op = H_BREAK, .mr = variant->op, .b = variant->len,
	};
	struct ll_holder h, other;

	ASSERT_EQ(0, ll_holder_pin(&other, self->path, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, SIGKILL));
	snprintf(cmd.path, sizeof(cmd.path), "%s", self->path);
	EXPECT_EQ(-EDEADLK, ll_holder_do(&h, &cmd));
	EXPECT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-EDEADLK, ll_holder_do(&h, &cmd));
	EXPECT_TRUE(ll_holder_alive(&other));
	EXPECT_EQ(0, ll_holder_dereg(&h, 0));
	EXPECT_EQ(-ETXTBSY, ll_holder_do(&h, &cmd));
	EXPECT_EQ(0, ll_holder_end(&h));
	EXPECT_EQ(0, ll_holder_end(&other));
}

TEST_F(subtractive, tells_a_plain_holder_and_waits_for_it)
{
	struct ll_holder h;
	int64_t start;

	ASSERT_EQ(0, ll_holder_start(&h));
	ASSERT_EQ(0, ll_holder_open(&h, 0, self->path));
	ASSERT_EQ(0, ll_hold(&h, .op = H_SETSIG, .a = SIGKILL));
	ASSERT_EQ(0, ll_hold(&h, .op = H_SETLEASE, .a = F_LAYOUT));
	start = ll_now_ms();
	EXPECT_EQ(0, ll_break(variant->op, self->path, 0, variant->len));
	EXPECT_LE(950, ll_now_ms() - start);
	EXPECT_GT(4000, ll_now_ms() - start);
	EXPECT_TRUE(ll_holder_alive(&h));
	EXPECT_EQ(0, ll_hold(&h, .op = H_SIGWAIT));
	EXPECT_EQ(F_UNLCK, ll_hold(&h, .op = H_GETLEASE));
	EXPECT_EQ(-EAGAIN, ll_hold(&h, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_TRUE(changed(self->path));
	EXPECT_EQ(0, ll_holder_end(&h));
}

FIXTURE(holders)
{
	struct ll_env env;
	char path[LL_PATH];
};

FIXTURE_VARIANT(holders)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(holders, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(holders, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(holders)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
}

FIXTURE_TEARDOWN(holders)
{
	ll_teardown(&self->env);
}

TEST_F(holders, two_unaware_ones_are_both_killed)
{
	struct ll_holder a, b;

	ASSERT_EQ(0, ll_holder_pin(&a, self->path, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_pin(&b, self->path, true, SIGKILL));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a, LL_SOON));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&b, LL_SOON));
}

TEST_F(holders, the_aware_one_lives_and_the_deaf_one_is_killed)
{
	struct ll_cmd let_go = { .op = H_LET_GO, .a = LL_SOON };
	struct ll_holder aware, deaf;
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_holder_pin(&aware, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_pin(&deaf, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_send(&aware, &let_go));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_holder_recv(&aware, LL_SOON, &rsp));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&deaf, LL_SOON));
	EXPECT_EQ(LL_EXCL, ll_hold(&aware, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_holder_end(&aware));
}

TEST_F(holders, only_those_with_a_pin_in_the_range_are_concerned)
{
	struct ll_holder near, far, idle;

	ASSERT_EQ(0, ll_holder_pin(&near, self->path, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_start(&far));
	ASSERT_EQ(0, ll_holder_open(&far, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&far, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_reg(&far, 0, 0, LL_FAR, LL_PIN_LEN));
	ASSERT_EQ(0, ll_holder_start(&idle));
	ASSERT_EQ(0, ll_holder_open(&idle, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&idle, 0, true, SIGKILL));
	EXPECT_EQ(0, ll_break(OP_PUNCH, self->path, LL_FAR, LL_PAGE));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&far, LL_SOON));
	EXPECT_TRUE(ll_holder_alive(&near));
	EXPECT_TRUE(ll_holder_alive(&idle));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&near, .op = H_SIGWAIT));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&idle, .op = H_SIGWAIT));
	EXPECT_EQ(LL_EXCL, ll_hold(&idle, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_holder_end(&near));
	EXPECT_EQ(0, ll_holder_end(&idle));
}

TEST_F(holders, one_that_exits_in_time_ends_the_wait)
{
	struct ll_breaker b;
	struct ll_holder h;
	int ret;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, ll_hold(&h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&b, 100, &ret));
	EXPECT_EQ(0, ll_holder_end(&h));
	ASSERT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
}

TEST_F(holders, without_a_deadline_nobody_is_killed)
{
	struct ll_breaker b;
	struct ll_holder h;
	int ret;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 0));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, ll_hold(&h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&b, 2500, &ret));
	EXPECT_TRUE(ll_holder_alive(&h));
	EXPECT_EQ(0, ll_holder_dereg(&h, 0));
	ASSERT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(holders, all_but_the_last_pin_gone_still_waits)
{
	struct ll_breaker b;
	struct ll_holder h;
	int ret;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&h, 0, 1, 0, LL_PAGE));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, ll_hold(&h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(0, ll_holder_dereg(&h, 0));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&b, 200, &ret));
	EXPECT_EQ(0, ll_holder_dereg(&h, 1));
	ASSERT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_HARNESS_MAIN
