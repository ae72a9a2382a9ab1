// SPDX-License-Identifier: GPL-2.0
/*
 * The administrator's bit: the mount option layout_lease=off|break|deny, what
 * each value allows, and what changing it does to leases and pins that stand.
 */
#include <sys/mount.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

FIXTURE(policy)
{
	struct ll_env env;
	char path[LL_PATH];
};

FIXTURE_VARIANT(policy)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(policy, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(policy, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(policy)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
}

FIXTURE_TEARDOWN(policy)
{
	ll_teardown(&self->env);
}

static int shown(struct ll_env *env, const char *policy)
{
	char option[32];

	snprintf(option, sizeof(option), "layout_lease=%s", policy);
	return ll_mount_option(env->root, option);
}

TEST_F(policy, option_is_shown_in_proc_mounts)
{
	EXPECT_EQ(1, shown(&self->env, "break"));
	EXPECT_EQ(0, shown(&self->env, "deny"));
	EXPECT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(1, shown(&self->env, "deny"));
	EXPECT_EQ(0, shown(&self->env, "break"));
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
	EXPECT_EQ(0, shown(&self->env, "deny"));
	EXPECT_EQ(0, shown(&self->env, "break"));
}

TEST_F(policy, unknown_value_is_EINVAL_and_changes_nothing)
{
	EXPECT_EQ(-EINVAL, ll_policy(&self->env, "perhaps"));
	EXPECT_EQ(-EINVAL, ll_policy(&self->env, ""));
	EXPECT_EQ(-EINVAL, ll_remount(self->env.root, "layout_lease"));
	EXPECT_EQ(1, shown(&self->env, "break"));
}

TEST_F(policy, remount_without_the_option_keeps_the_policy)
{
	struct ll_holder h;

	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, SIGKILL));
	EXPECT_EQ(0, ll_remount(self->env.root, NULL));
	EXPECT_EQ(1, shown(&self->env, "deny"));
	EXPECT_EQ(0, ll_holder_dereg(&h, 0));
	EXPECT_EQ(0, ll_remount(self->env.root, NULL));
	EXPECT_EQ(1, shown(&self->env, "deny"));
	EXPECT_EQ(LL_EXCL, ll_hold(&h, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(policy, off_refuses_leases_and_pins)
{
	struct ll_holder h;

	ASSERT_EQ(0, ll_policy(&self->env, "off"));
	ASSERT_EQ(0, ll_holder_start(&h));
	ASSERT_EQ(0, ll_holder_open(&h, 0, self->path));
	EXPECT_EQ(-EOPNOTSUPP, ll_hold(&h, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_lease(&h, 0, true, SIGKILL));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&h, 0, 0, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	EXPECT_EQ(0, ll_holder_lease(&h, 0, true, SIGKILL));
	EXPECT_EQ(0, ll_holder_reg(&h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(policy, off_is_EBUSY_while_pins_stand)
{
	struct ll_holder h;

	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, SIGKILL));
	EXPECT_EQ(-EBUSY, ll_remount(self->env.root, "layout_lease=off"));
	EXPECT_EQ(1, shown(&self->env, "break"));
	EXPECT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-EBUSY, ll_remount(self->env.root, "layout_lease=off"));
	EXPECT_EQ(1, shown(&self->env, "deny"));
	EXPECT_EQ(LL_EXCL, ll_hold(&h, .op = H_GETLEASE));
	/* and the refusal has not damaged the pin: it still denies */
	EXPECT_EQ(-ETXTBSY, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_holder_dereg(&h, 0));
	EXPECT_EQ(0, ll_remount(self->env.root, "layout_lease=off"));
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(policy, off_drops_idle_leases)
{
	struct ll_holder excl, plain;

	ASSERT_EQ(0, ll_holder_start(&excl));
	ASSERT_EQ(0, ll_holder_open(&excl, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&excl, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_start(&plain));
	ASSERT_EQ(0, ll_holder_open(&plain, 0, self->path));
	ASSERT_EQ(0, ll_hold(&plain, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(0, ll_remount(self->env.root, "layout_lease=off"));
	EXPECT_EQ(F_UNLCK, ll_hold(&excl, .op = H_GETLEASE));
	EXPECT_EQ(F_UNLCK, ll_hold(&plain, .op = H_GETLEASE));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	EXPECT_EQ(F_UNLCK, ll_hold(&excl, .op = H_GETLEASE));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&excl, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(-EAGAIN, ll_hold(&plain, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_EQ(0, ll_holder_end(&excl));
	EXPECT_EQ(0, ll_holder_end(&plain));
}

TEST_F(policy, change_while_pinned_governs_the_next_operation)
{
	struct ll_holder h;

	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, SIGKILL));
	EXPECT_EQ(-ETXTBSY, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_policy(&self->env, "break"));
	EXPECT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-ETXTBSY, ll_ret(truncate(self->path, 0)));
	EXPECT_TRUE(ll_holder_alive(&h));
	EXPECT_EQ(0, ll_policy(&self->env, "break"));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&h, LL_SOON));
}

TEST_F(policy, change_while_a_break_waits_does_not_govern_it)
{
	struct ll_breaker b;
	struct ll_holder h;
	int ret;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, ll_hold(&h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&b, 100, &ret));
	EXPECT_EQ(0, ll_holder_dereg(&h, 0));
	ASSERT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(policy, lease_without_consent_is_never_killed)
{
	struct ll_breaker b;
	struct ll_holder h;
	int ret;

	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, false, 0));
	EXPECT_EQ(-ETXTBSY, ll_ret(truncate(self->path, 0)));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	/* F_SETSIG alone is not consent: that is what the lease latched */
	ASSERT_EQ(0, ll_hold(&h, .op = H_SETSIG, .a = SIGKILL));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, ll_holder_wait(&h, 2500));
	ll_holder_dereg(&h, 0);
	ASSERT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(policy, taking_the_lease_again_latches_consent)
{
	struct ll_holder h;

	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, false, 0));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	EXPECT_EQ(-EPERM, ll_hold(&h, .op = H_SETLEASE, .a = LL_EXCL));
	EXPECT_EQ(0, ll_holder_lease(&h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&h, LL_SOON));
}

TEST_F(policy, consent_survives_deny_and_another_signal)
{
	struct ll_holder h;

	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	/* again, with a signal that is no consent: takes nothing back */
	EXPECT_EQ(0, ll_hold(&h, .op = H_SETLEASE, .a = LL_EXCL));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&h, LL_SOON));
}

TEST_F(policy, child_of_fork_outlives_the_kill)
{
	struct ll_holder h;
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_holder_start(&h));
	ASSERT_EQ(0, ll_holder_open(&h, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_send(&h, &(struct ll_cmd){ .op = H_FORK_STAY }));
	ASSERT_EQ(0, ll_holder_recv(&h, LL_SOON, &rsp));
	ASSERT_EQ(0, ll_holder_reg(&h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&h, LL_SOON));
	EXPECT_EQ(0, ll_ret(kill(rsp.pid, 0)));
	EXPECT_EQ(0, ll_ret(kill(rsp.pid, SIGKILL)));
}

TEST_HARNESS_MAIN
