// SPDX-License-Identifier: GPL-2.0
/*
 * A filesystem is frozen around a break: before it begins, while it waits, while
 * pins are revoked, while a registration faults. The freezer waits for nobody who
 * waits for a pin, holders are told and let go, pins are revoked, and only what
 * changes the filesystem waits for the thaw.
 */
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_audit.h"
#include "layout_lease_revoke.h"

#define RW	(PROT_READ | PROT_WRITE)
#define BREAK_S	20		/* nobody waits for that long */
#define A_WHILE	700

FIXTURE(freeze)
{
	struct ll_env env;
	struct ll_audit audit;
	char path[LL_PATH];
	struct ll_holder h;
	struct ll_breaker b;
	pid_t stays;
};

FIXTURE_VARIANT(freeze)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(freeze, ext4_break) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(freeze, xfs_break) {
	.fs = LL_XFS,
};

static int on_root(const char *root, unsigned long request)
{
	int fd = ll_open(root, O_RDONLY | O_DIRECTORY), ret;

	if (fd < 0)
		return fd;
	ret = ll_ret(ioctl(fd, request, 0));
	close(fd);
	return ret;
}

static int freeze(struct ll_env *env)
{
	return on_root(env->root, FIFREEZE);
}

static int thaw(struct ll_env *env)
{
	return on_root(env->root, FITHAW);
}

FIXTURE_SETUP(freeze)
{
	/* a test that was killed may have left it so */
	ASSERT_EQ(0, ll_root(variant->fs, &self->env.root));
	thaw(&self->env);
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_audit_begin(&self->audit, &self->env));
	ASSERT_LT(0, ll_audit_innocent(&self->audit));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", BREAK_S));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
}

FIXTURE_TEARDOWN(freeze)
{
	thaw(&self->env);
	ll_stay_end(self->stays);
	ll_holder_end(&self->h);
	/* which comes back with a mount, and on XFS with a thaw */
	ll_drop_reserve(self->env.root);
	EXPECT_EQ(0, ll_audit_end(&self->audit));
}

/* In milliseconds, or a negative errno. */
static int timed_freeze(struct ll_env *env)
{
	int64_t start = ll_now_ms();
	int ret = freeze(env);

	return ret ?: ll_now_ms() - start;
}

/* 0 if it waits, frozen, with the file as it was, and succeeds with the thaw. */
static int ends_with_thaw(struct ll_env *env, struct ll_breaker *b,
			  const char *path)
{
	int result;

	if (ll_breaker_wait(b, A_WHILE, &result) != -ETIMEDOUT)
		return -EALREADY;
	if (ll_filled(path, 0, LL_PIN_LEN, 'f') != 1)
		return -EUCLEAN;
	return thaw(env) ?: ll_breaker_wait(b, LL_SOON, &result) ?: result;
}

static int refill(const char *path)
{
	return ll_ret(truncate(path, LL_FILE_SIZE)) ?:
	       ll_write_fill(path, 0, LL_FILE_SIZE, 'f');
}

TEST_F_TIMEOUT(freeze, does_not_wait_for_a_breaker_and_the_holder_lets_go, 120)
{
	static const enum ll_op ops[] = {
		OP_TRUNCATE, OP_FTRUNCATE, OP_O_TRUNC, OP_PUNCH, OP_ZERO,
		OP_COLLAPSE, OP_INSERT,
	};
	size_t i;
	int took;

	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	for (i = 0; i < LL_ARRAY_SIZE(ops); i++) {
		ASSERT_EQ(0, ll_breaker_start(&self->b, ops[i], self->path, 0,
					      ops[i] < OP_PUNCH ? 0 : 2 * LL_MIB));
		ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
		took = timed_freeze(&self->env);
		EXPECT_LE(0, took);
		EXPECT_GT(LL_SOON, took);
		EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
		EXPECT_EQ(0, ll_listed(self->path, true));
		EXPECT_EQ(0, ends_with_thaw(&self->env, &self->b, self->path));
		ASSERT_EQ(0, refill(self->path));
		ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	}
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

TEST_F_TIMEOUT(freeze, break_of_an_open_file_begins_while_frozen, 120)
{
	static const enum ll_op ops[] = { OP_FTRUNCATE, OP_PUNCH };
	size_t i;

	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	for (i = 0; i < LL_ARRAY_SIZE(ops); i++) {
		ASSERT_EQ(0, freeze(&self->env));
		ASSERT_EQ(0, ll_breaker_start(&self->b, ops[i], self->path, 0,
					      LL_PIN_LEN));
		EXPECT_EQ(0, ll_hold(&self->h, .op = H_LET_GO, .a = LL_SOON));
		EXPECT_EQ(0, ll_listed(self->path, true));
		EXPECT_EQ(0, ends_with_thaw(&self->env, &self->b, self->path));
		ASSERT_EQ(0, refill(self->path));
		ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	}
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

/* By name: they want write access to the mount first, and wait for that. */
TEST_F_TIMEOUT(freeze, break_by_name_begins_with_the_thaw, 120)
{
	static const enum ll_op ops[] = { OP_TRUNCATE, OP_O_TRUNC };
	size_t i;
	int ret;

	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	for (i = 0; i < LL_ARRAY_SIZE(ops); i++) {
		ASSERT_EQ(0, freeze(&self->env));
		ASSERT_EQ(0, ll_breaker_start(&self->b, ops[i], self->path, 0, 0));
		EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT,
					      .a = A_WHILE));
		ASSERT_EQ(0, thaw(&self->env));
		EXPECT_EQ(0, ll_hold(&self->h, .op = H_LET_GO, .a = LL_SOON));
		ret = -1;
		ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
		EXPECT_EQ(0, ret);
		ASSERT_EQ(0, refill(self->path));
		ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	}
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

TEST_F_TIMEOUT(freeze, holder_that_agreed_is_killed_while_frozen, 120)
{
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, freeze(&self->env));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_FTRUNCATE, self->path, 0, 0));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_EQ(0, ends_with_thaw(&self->env, &self->b, self->path));
}

/* The holder is not to be killed; somebody else has its context, too. */
TEST_F_TIMEOUT(freeze, pins_are_revoked_while_frozen, 120)
{
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, false, LL_SIG));
	ASSERT_EQ(0, ll_share(&self->h, &self->stays));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_FTRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	ASSERT_EQ(0, freeze(&self->env));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_EQ(0, ll_comes_to_list(self->path, false, 0));
	EXPECT_EQ(0, ends_with_thaw(&self->env, &self->b, self->path));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_TRUE(ll_stays(self->stays));
	/* its context is gone */
	EXPECT_EQ(-EIO, ll_holder_dereg(&self->h, 0) ?:
			ll_holder_reg(&self->h, 0, 1, 0, LL_PIN_LEN));
}

/* Nothing is written then: of pages that are mapped for writing, a pin is one. */
TEST_F_TIMEOUT(freeze, registration_waits_for_the_thaw, 120)
{
	struct ll_cmd reg = { .op = H_REG, .b = LL_PIN_LEN };
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_holder_start(&self->h));
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, LL_SIG));
	ASSERT_EQ(0, freeze(&self->env));
	ASSERT_EQ(0, ll_holder_send(&self->h, &reg));
	EXPECT_EQ(-ETIMEDOUT, ll_holder_recv(&self->h, A_WHILE, &rsp));
	EXPECT_EQ(0, ll_listed(self->path, true));
	/* the list of its leases is not held up */
	EXPECT_EQ(1, ll_listed(self->path, false));
	ASSERT_EQ(0, thaw(&self->env));
	EXPECT_EQ(0, ll_holder_recv(&self->h, LL_SOON, &rsp));
	EXPECT_EQ(1, ll_listed(self->path, true));
}

/* It cannot be killed there, and so leaves nothing that would have to go. */
TEST_F_TIMEOUT(freeze, registration_of_a_killed_holder_ends_with_the_thaw, 120)
{
	struct ll_cmd reg = { .op = H_REG, .b = LL_PIN_LEN };

	ASSERT_EQ(0, ll_holder_start(&self->h));
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, LL_SIG));
	ASSERT_EQ(0, freeze(&self->env));
	ASSERT_EQ(0, ll_holder_send(&self->h, &reg));
	ll_sleep_ms(A_WHILE);
	ASSERT_EQ(0, ll_ret(kill(self->h.pid, SIGKILL)));
	EXPECT_EQ(-ETIMEDOUT, ll_holder_wait(&self->h, A_WHILE));
	/* a break does not begin before the thaw, or does not wait for it */
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_FTRUNCATE, self->path, 0, 0));
	EXPECT_EQ(0, ends_with_thaw(&self->env, &self->b, self->path));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(0, ll_listed(self->path, true));
}

TEST_F_TIMEOUT(freeze, pin_that_stands_is_no_obstacle, 120)
{
	int took;

	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	took = timed_freeze(&self->env);
	EXPECT_LE(0, took);
	EXPECT_GT(LL_SOON, took);
	EXPECT_EQ(1, ll_listed(self->path, true));
	/* and can be given up, with its lease and its file */
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(0, ll_listed(self->path, false));
	ASSERT_EQ(0, thaw(&self->env));
}

TEST_HARNESS_MAIN
