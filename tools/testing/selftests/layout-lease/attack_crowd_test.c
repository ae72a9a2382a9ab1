// SPDX-License-Identifier: GPL-2.0
/*
 * Many at once around one pinned file: breakers while its holder exits, openers
 * that truncate while it is unlinked, and others that are renamed over it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_audit.h"
#include "layout_lease_revoke.h"

#define ROUNDS	10
#define BREAK_S	20		/* nobody waits for that long */

static const enum ll_op ops[] = {
	OP_TRUNCATE, OP_FTRUNCATE, OP_PUNCH, OP_ZERO, OP_O_TRUNC, OP_TRUNCATE,
	OP_PUNCH, OP_O_TRUNC,
};

#define MANY	LL_ARRAY_SIZE(ops)

FIXTURE(crowd)
{
	struct ll_env env;
	struct ll_audit audit;
	char path[LL_PATH];
	struct ll_holder h;
	struct ll_breaker b[MANY];
	unsigned int seed;
};

FIXTURE_VARIANT(crowd)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(crowd, ext4_break) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(crowd, xfs_break) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(crowd)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_audit_begin(&self->audit, &self->env));
	ASSERT_LT(0, ll_audit_innocent(&self->audit));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", BREAK_S));
	ll_name(&self->env, "f", self->path);
}

FIXTURE_TEARDOWN(crowd)
{
	ll_holder_end(&self->h);
	EXPECT_EQ(0, ll_audit_end(&self->audit));
}

static int start(struct ll_breaker *b, enum ll_op op, const char *path)
{
	return ll_breaker_start(b, op, path, 0, LL_PAGE);
}

/* Breaks that wait must end with the exit, those that come later find nothing. */
TEST_F_TIMEOUT(crowd, breakers_proceed_when_the_holder_exits_between_them, 120)
{
	static const struct ll_cmd exits = { .op = H_EXIT };
	size_t i, moment;
	int64_t begun;
	int n, ret;

	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	for (n = 0; n < ROUNDS; n++) {
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
		ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
		begun = ll_now_ms();
		moment = rand_r(&self->seed) % (MANY + 1);
		for (i = 0; i <= MANY; i++) {
			if (i == moment && n % 2)
				kill(self->h.pid, SIGKILL);
			else if (i == moment)
				ll_holder_send(&self->h, &exits);
			if (i < MANY)
				ASSERT_EQ(0, start(&self->b[i], ops[i], self->path));
		}
		EXPECT_EQ(n % 2 * SIGKILL, ll_holder_wait(&self->h, LL_SOON));
		for (i = 0; i < MANY; i++) {
			ret = -1;
			ASSERT_EQ(0, ll_breaker_wait(&self->b[i], LL_SOON, &ret));
			EXPECT_EQ(0, ret) {
				TH_LOG("breaker %zu of round %d", i, n);
			}
		}
		/* not one of them waited for a deadline */
		EXPECT_GT(BREAK_S * 1000, ll_now_ms() - begun);
		EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	}
}

/* Who has opened it waits for the pin; whoever comes later finds no file. */
TEST_F_TIMEOUT(crowd, openers_that_truncate_wait_and_unlink_does_not, 120)
{
	int n, ret, waited = 0;
	int64_t begun;
	size_t i;

	for (n = 0; n < ROUNDS; n++) {
		ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
		ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
		for (i = 0; i < MANY; i++) {
			ASSERT_EQ(0, start(&self->b[i], OP_O_TRUNC, self->path));
			if (i == rand_r(&self->seed) % MANY) {
				begun = ll_now_ms();
				ret = ll_ret(unlink(self->path));
				EXPECT_TRUE(!ret || ret == -ENOENT);
				EXPECT_GT(BREAK_S * 1000 / 2, ll_now_ms() - begun);
			}
		}
		unlink(self->path);
		EXPECT_EQ(-ENOENT, ll_size(self->path));
		EXPECT_TRUE(ll_holder_alive(&self->h));
		EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
		for (i = 0; i < MANY; i++) {
			ret = -1;
			ASSERT_EQ(0, ll_breaker_wait(&self->b[i], LL_SOON, &ret));
			EXPECT_TRUE(!ret || ret == -ENOENT) {
				TH_LOG("open: %d", ret);
			}
			waited += !ret;
		}
		EXPECT_EQ(0, ll_holder_end(&self->h));
	}
	EXPECT_LT(0, waited);
}

/* The name goes to another file at once; a truncate that waits is for the old one. */
TEST_F_TIMEOUT(crowd, rename_over_the_file_breaks_nothing, 120)
{
	char other[LL_PATH];
	int64_t begun;
	int n, ret;

	for (n = 0; n < ROUNDS; n++) {
		ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
		ASSERT_EQ(0, ll_file(&self->env, "g", LL_MIB, other));
		ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
		if (n % 2) {
			ASSERT_EQ(0, start(&self->b[0], OP_FTRUNCATE, self->path));
			ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT,
					     .a = LL_SOON));
		}
		begun = ll_now_ms();
		EXPECT_EQ(0, ll_ret(rename(other, self->path)));
		EXPECT_GT(BREAK_S * 1000 / 2, ll_now_ms() - begun);
		EXPECT_EQ(LL_MIB, ll_size(self->path));
		/* the other one has no lease, and no pin */
		EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
		EXPECT_EQ(0, ll_listed(self->path, true));
		if (!(n % 2))
			EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT,
						      .a = 50));
		EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
		ret = -1;
		if (n % 2)
			ASSERT_EQ(0, ll_breaker_wait(&self->b[0], LL_SOON, &ret));
		EXPECT_EQ(n % 2 ? 0 : -1, ret);
		EXPECT_EQ(0, ll_holder_end(&self->h));
		ASSERT_EQ(0, ll_ret(unlink(self->path)));
	}
}

TEST_HARNESS_MAIN
