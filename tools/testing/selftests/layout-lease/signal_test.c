// SPDX-License-Identifier: GPL-2.0
/*
 * How holders are told that somebody wants to change the layout under them: by
 * which signal, who gets it, and what it says.
 */
#include <grp.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

FIXTURE(told)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h;
	struct ll_breaker b;
	int fd;		/* the holder's descriptor */
};

FIXTURE_VARIANT(told)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(told, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(told, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(told)
{
	struct ll_cmd open = { .op = H_OPEN, .slot = 1, .a = O_RDWR };
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_ret(chmod(self->path, 0666)));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_holder_start(&self->h));
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
	/* slot 1 holds the leases; a number that nobody expects by chance */
	snprintf(open.path, sizeof(open.path), "%s", self->path);
	ASSERT_EQ(0, ll_holder_send(&self->h, &open));
	ASSERT_EQ(0, ll_holder_recv(&self->h, LL_SOON, &rsp));
	self->fd = rsp.value;
}

FIXTURE_TEARDOWN(told)
{
	if (self->b.pid)
		ll_breaker_end(&self->b);
	ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

static int pinned(struct ll_holder *h, bool consent, int tell)
{
	return ll_holder_lease(h, 1, consent, tell) ?:
	       ll_holder_reg(h, 0, 0, 0, LL_PIN_LEN);
}

static int sigwait_of(struct ll_holder *h, int timeout_ms, struct ll_rsp *rsp)
{
	struct ll_cmd cmd = { .op = H_SIGWAIT, .a = timeout_ms };

	return ll_holder_send(h, &cmd) ?:
	       ll_holder_recv(h, timeout_ms + LL_SOON, rsp);
}

static int truncate_behind(struct ll_breaker *b, const char *path)
{
	return ll_breaker_start(b, OP_TRUNCATE, path, 0, 0);
}

TEST_F(told, siginfo_names_breaker_and_descriptor)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, pinned(&self->h, true, LL_SIG));
	ASSERT_EQ(0, truncate_behind(&self->b, self->path));
	EXPECT_EQ(0, sigwait_of(&self->h, LL_SOON, &rsp));
	EXPECT_EQ(LL_SIG, rsp.signo);
	EXPECT_EQ(SI_LAYOUT, rsp.code);
	EXPECT_EQ(self->b.pid, rsp.pid);
	EXPECT_EQ(0, rsp.uid);
	EXPECT_EQ(self->fd, rsp.value);
	/* told once */
	EXPECT_EQ(-ETIMEDOUT, sigwait_of(&self->h, 500, &rsp));
}

TEST_F(told, siginfo_names_the_breaking_user)
{
	struct ll_rsp rsp;
	pid_t pid;

	ASSERT_EQ(0, pinned(&self->h, true, LL_SIG));
	pid = fork();
	if (!pid) {
		if (setgroups(0, NULL) || setresuid(LL_UID, LL_UID, LL_UID))
			_exit(1);
		_exit(truncate(self->path, 0) ? 1 : 0);
	}
	EXPECT_EQ(0, sigwait_of(&self->h, LL_SOON, &rsp));
	EXPECT_EQ(SI_LAYOUT, rsp.code);
	EXPECT_EQ(pid, rsp.pid);
	EXPECT_EQ(LL_UID, rsp.uid);
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_wait_exit(pid, LL_SOON, &rsp.ret));
	EXPECT_EQ(0, rsp.ret);
}

/* The breaker is nobody to a holder in a pid namespace of its own. */
TEST_F(told, siginfo_names_no_breaker_that_is_not_visible)
{
	struct ll_cmd wait = { .op = H_SIGWAIT, .a = LL_SOON };
	struct ll_holder inner;
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, ll_ret(unshare(CLONE_NEWPID)));
	ASSERT_EQ(0, ll_holder_pin(&inner, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_send(&inner, &wait));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_holder_recv(&inner, LL_SOON, &rsp));
	EXPECT_EQ(SI_LAYOUT, rsp.code);
	EXPECT_EQ(0, rsp.pid);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&inner, LL_SOON));
}

/* A standard signal carries the same. */
TEST_F(told, any_signal_will_do)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, pinned(&self->h, true, SIGUSR2));
	ASSERT_EQ(0, truncate_behind(&self->b, self->path));
	EXPECT_EQ(0, sigwait_of(&self->h, LL_SOON, &rsp));
	EXPECT_EQ(SIGUSR2, rsp.signo);
	EXPECT_EQ(SI_LAYOUT, rsp.code);
	EXPECT_EQ(self->fd, rsp.value);
}

TEST_F(told, sigio_is_the_default_of_a_consenting_holder)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, pinned(&self->h, true, 0));
	ASSERT_EQ(0, truncate_behind(&self->b, self->path));
	EXPECT_EQ(0, sigwait_of(&self->h, LL_SOON, &rsp));
	EXPECT_EQ(SIGIO, rsp.signo);
}

TEST_F(told, nothing_reaches_a_holder_that_did_not_opt_in)
{
	struct ll_rsp rsp;
	int ret;

	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, pinned(&self->h, false, 0));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	ASSERT_EQ(0, truncate_behind(&self->b, self->path));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&self->b, 500, &ret));
	EXPECT_EQ(-ETIMEDOUT, sigwait_of(&self->h, 0, &rsp));
	/* it is pending all the same */
	EXPECT_EQ(-EAGAIN, ll_holder_reg(&self->h, 0, 1, 0, LL_PAGE));
}

TEST_F(told, a_signal_of_its_choice_reaches_a_holder_that_did_not_opt_in)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, pinned(&self->h, false, LL_SIG));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	ASSERT_EQ(0, truncate_behind(&self->b, self->path));
	EXPECT_EQ(0, sigwait_of(&self->h, LL_SOON, &rsp));
	EXPECT_EQ(LL_SIG, rsp.signo);
	EXPECT_EQ(SI_LAYOUT, rsp.code);
}

TEST_F(told, setown_redirects_the_signal_but_not_the_kill)
{
	struct ll_holder other;
	struct ll_rsp rsp;
	int ret;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	ASSERT_EQ(0, ll_holder_start(&other));
	ASSERT_EQ(0, pinned(&self->h, true, LL_SIG));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETOWN, .slot = 1, .a = other.pid));
	ASSERT_EQ(0, truncate_behind(&self->b, self->path));
	EXPECT_EQ(0, sigwait_of(&other, LL_SOON, &rsp));
	EXPECT_EQ(LL_SIG, rsp.signo);
	EXPECT_EQ(SI_LAYOUT, rsp.code);
	EXPECT_EQ(self->b.pid, rsp.pid);
	EXPECT_EQ(-ETIMEDOUT, sigwait_of(&self->h, 0, &rsp));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	self->b.pid = 0;
	EXPECT_EQ(0, ret);
	EXPECT_TRUE(ll_holder_alive(&other));
	EXPECT_EQ(0, ll_holder_end(&other));
}

/*
 * SIGKILL as the signal to be told by goes to the one who took the lease, even
 * where F_SETOWN names somebody else.
 */
TEST_F(told, setown_does_not_redirect_an_immediate_kill)
{
	struct ll_holder other;

	ASSERT_EQ(0, ll_holder_start(&other));
	ASSERT_EQ(0, pinned(&self->h, true, SIGKILL));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETOWN, .slot = 1, .a = other.pid));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_TRUE(ll_holder_alive(&other));
	EXPECT_EQ(0, ll_holder_end(&other));
}

/* F_SETOWN may name anybody: who may not signal the target, tells nobody. */
TEST_F(told, setown_obeys_permissions)
{
	struct ll_holder other;
	struct ll_rsp rsp;
	int ret;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	ASSERT_EQ(0, ll_holder_start(&other));
	ASSERT_EQ(0, ll_ret(chown(self->path, LL_UID, LL_UID)));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UID, .a = LL_UID));
	ASSERT_EQ(0, pinned(&self->h, true, LL_SIG));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETOWN, .slot = 1, .a = other.pid));
	ASSERT_EQ(0, truncate_behind(&self->b, self->path));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	self->b.pid = 0;
	EXPECT_EQ(-ETIMEDOUT, sigwait_of(&other, 0, &rsp));
	EXPECT_EQ(0, ll_holder_end(&other));
}

TEST_F(told, setting_sigkill_again_before_the_break_means_no_warning)
{
	int64_t start;

	ASSERT_EQ(0, pinned(&self->h, true, LL_SIG));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETSIG, .slot = 1, .a = SIGKILL));
	start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(20000, ll_now_ms() - start);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
}

TEST_F(told, plain_holder_gets_its_signal)
{
	struct ll_rsp rsp;
	int ret;

	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETSIG, .slot = 1, .a = LL_SIG));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .slot = 1, .a = F_LAYOUT));
	ASSERT_EQ(0, truncate_behind(&self->b, self->path));
	EXPECT_EQ(0, sigwait_of(&self->h, LL_SOON, &rsp));
	EXPECT_EQ(LL_SIG, rsp.signo);
	EXPECT_EQ(SI_LAYOUT, rsp.code);
	EXPECT_EQ(self->b.pid, rsp.pid);
	EXPECT_EQ(self->fd, rsp.value);
	EXPECT_EQ(F_UNLCK, ll_hold(&self->h, .op = H_GETLEASE, .slot = 1));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .slot = 1, .a = F_UNLCK));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	self->b.pid = 0;
	EXPECT_EQ(0, ret);
}

TEST_F(told, plain_holder_gets_sigio_by_default_and_for_sigkill)
{
	static const int signals[] = { 0, SIGKILL };
	struct ll_rsp rsp;
	size_t i;
	int ret;

	for (i = 0; i < LL_ARRAY_SIZE(signals); i++) {
		ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETSIG, .slot = 1,
				     .a = signals[i]));
		ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .slot = 1,
				     .a = F_LAYOUT));
		ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path,
					      LL_FAR - i * LL_PAGE, 0));
		EXPECT_EQ(0, sigwait_of(&self->h, LL_SOON, &rsp));
		EXPECT_EQ(SIGIO, rsp.signo);
		EXPECT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .slot = 1,
				     .a = F_UNLCK));
		ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
		self->b.pid = 0;
		EXPECT_EQ(0, ret);
	}
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

TEST_F(told, plain_holder_is_told_under_deny_too)
{
	int64_t start;

	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .slot = 1, .a = F_LAYOUT));
	start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_LE(950, ll_now_ms() - start);
	EXPECT_GT(4000, ll_now_ms() - start);
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT));
	EXPECT_EQ(F_UNLCK, ll_hold(&self->h, .op = H_GETLEASE, .slot = 1));
	EXPECT_EQ(-EAGAIN, ll_hold(&self->h, .op = H_SETLEASE, .slot = 1,
				   .a = F_UNLCK));
}

TEST_F(told, plain_holder_does_not_break_itself)
{
	struct ll_cmd cmd = { .op = H_BREAK, .mr = OP_TRUNCATE, .a = LL_FAR };
	int64_t start = ll_now_ms();
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .slot = 1, .a = F_LAYOUT));
	snprintf(cmd.path, sizeof(cmd.path), "%s", self->path);
	EXPECT_EQ(0, ll_holder_do(&self->h, &cmd));
	EXPECT_GT(20000, ll_now_ms() - start);
	EXPECT_EQ(-ETIMEDOUT, sigwait_of(&self->h, 0, &rsp));
	EXPECT_EQ(F_LAYOUT, ll_hold(&self->h, .op = H_GETLEASE, .slot = 1));
}

/* The lease is gone with the descriptor: nobody is told, nobody waits. */
TEST_F(told, plain_lease_ends_with_close)
{
	int64_t start = ll_now_ms();
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .slot = 1, .a = F_LAYOUT));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_CLOSE, .slot = 1));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(20000, ll_now_ms() - start);
	EXPECT_EQ(-ETIMEDOUT, sigwait_of(&self->h, 0, &rsp));
}

TEST_HARNESS_MAIN
