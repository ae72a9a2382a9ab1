// SPDX-License-Identifier: GPL-2.0
/*
 * Who loses pins by revocation, and when: what a kill does not free, because
 * somebody else has the context open as well; and those who never agreed to be
 * killed.
 *
 *   told         deadline: kill         exit        exit + 1 s   kill + 5 s
 *     |----------------|-----------------|--------------|  or  ------|
 *                      | revoked here, where nobody had agreed
 */
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_revoke.h"

#define FAR_AWAY	25	/* seconds to a deadline that no test awaits */

FIXTURE(revoke)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h, other;
	struct ll_breaker b;
	pid_t stays;		/* a child of the holder that has its context */
	int64_t start;
};

FIXTURE_VARIANT(revoke)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(revoke, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(revoke, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(revoke)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", FAR_AWAY));
	ASSERT_EQ(0, ll_adopt());
}

FIXTURE_TEARDOWN(revoke)
{
	if (self->b.pid > 0)
		ll_breaker_end(&self->b);
	ll_holder_end(&self->h);
	ll_holder_end(&self->other);
	ll_stay_end(self->stays);
	ll_teardown(&self->env);
}

/* A holder that agreed, and a child of it that has its context. */
static int shared(struct ll_holder *h, const char *path, int tell, pid_t *stays)
{
	return ll_holder_pin(h, path, true, tell) ?: ll_share(h, stays);
}

static int start_truncate(struct ll_breaker *b, const char *path,
			  int64_t *start)
{
	*start = ll_now_ms();
	return ll_breaker_start(b, OP_TRUNCATE, path, 0, 0);
}

/* The breaker's result, once it has one. */
static int finish(struct ll_breaker *b, int timeout_ms)
{
	int result, ret = ll_breaker_wait(b, timeout_ms, &result);

	if (ret == -ETIMEDOUT)
		return ret;
	b->pid = 0;
	return ret ?: result;
}

TEST_F(revoke, pins_of_a_holder_that_is_gone_are_revoked_at_once)
{
	ASSERT_EQ(0, shared(&self->h, self->path, LL_SIG, &self->stays));
	ASSERT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(1, ll_listed(self->path, true));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(2000, ll_now_ms() - self->start);
	EXPECT_EQ(0, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_listed(self->path, false));
	EXPECT_TRUE(ll_stays(self->stays));
	EXPECT_EQ(0, ll_size(self->path));
}

TEST_F(revoke, holder_that_nobody_has_reaped_is_gone)
{
	ASSERT_EQ(0, shared(&self->h, self->path, LL_SIG, &self->stays));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_EXIT));
	ll_sleep_ms(200);
	EXPECT_EQ(0, ll_ret(kill(self->h.pid, 0)));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(2000, ll_now_ms() - self->start);
	EXPECT_EQ(0, ll_holder_wait(&self->h, LL_SOON));
}

/* The same by the other way to share: sent to somebody, who just keeps it. */
TEST_F(revoke, descriptor_that_was_sent_away_is_revoked_and_its_keeper_lives)
{
	char byte;
	struct ll_rdma r;
	int s[2];

	ASSERT_EQ(0, ll_ret(socketpair(AF_UNIX, SOCK_STREAM, 0, s)));
	self->stays = fork();
	if (!self->stays) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ll_recv_fd(s[1]) < 0 || write(s[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ASSERT_EQ(0, ll_rdma_open(&r));
	ASSERT_EQ(0, ll_leave(&r, self->path, 0, LL_PIN_LEN, 1, NULL));
	ASSERT_EQ(0, ll_send_fd(s[0], r.ctx->cmd_fd));
	ASSERT_EQ(1, read(s[0], &byte, 1));
	/* its objects stay: only the descriptors of this process go */
	close(r.ctx->cmd_fd);
	close(r.ctx->async_fd);
	EXPECT_EQ(1, ll_listed(self->path, true));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(2000, ll_now_ms() - self->start);
	EXPECT_TRUE(ll_stays(self->stays));
}

TEST_F(revoke, pins_of_a_holder_that_exits_are_revoked_1_s_later)
{
	ASSERT_EQ(0, shared(&self->h, self->path, LL_SIG, &self->stays));
	ASSERT_EQ(0, start_truncate(&self->b, self->path, &self->start));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(-ETIMEDOUT, finish(&self->b, 1500));
	self->start = ll_now_ms();
	ASSERT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(0, finish(&self->b, LL_SOON));
	EXPECT_LE(900, ll_now_ms() - self->start);
	EXPECT_GT(3000, ll_now_ms() - self->start);
	EXPECT_TRUE(ll_stays(self->stays));
}

/* An exit needs no deadline: it is the holder's own. */
TEST_F(revoke, pins_of_a_holder_that_exits_are_revoked_without_a_deadline_too)
{
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 0));
	ASSERT_EQ(0, shared(&self->h, self->path, LL_SIG, &self->stays));
	ASSERT_EQ(0, start_truncate(&self->b, self->path, &self->start));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(-ETIMEDOUT, finish(&self->b, 1500));
	ASSERT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(0, finish(&self->b, 3000));
	EXPECT_TRUE(ll_stays(self->stays));
}

TEST_F(revoke, pins_that_outlive_a_kill_are_revoked_1_s_after_the_exit)
{
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, shared(&self->h, self->path, LL_SIG, &self->stays));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_LE(1900, ll_now_ms() - self->start);
	EXPECT_GT(4500, ll_now_ms() - self->start);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_TRUE(ll_stays(self->stays));
}

TEST_F(revoke, pins_that_outlive_an_immediate_kill_are_revoked)
{
	ASSERT_EQ(0, shared(&self->h, self->path, SIGKILL, &self->stays));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(4000, ll_now_ms() - self->start);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_TRUE(ll_stays(self->stays));
}

/* A killed holder that hangs in the kernel, here in another, frozen filesystem. */
TEST_F(revoke, pins_of_a_holder_that_does_not_die_are_revoked_5_s_after_the_kill)
{
	struct ll_cmd hang = {
		.op = H_BREAK, .mr = OP_TRUNCATE, .a = 2 * LL_FILE_SIZE,
	};
	struct ll_env frozen;

	ASSERT_EQ(0, ll_setup(&frozen, variant->fs == LL_XFS ? LL_EXT4 : LL_XFS,
			      "break"));
	ASSERT_EQ(0, ll_file(&frozen, "g", LL_FILE_SIZE, hang.path));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_shell("fsfreeze -f %s", frozen.root));
	ASSERT_EQ(0, ll_holder_send(&self->h, &hang));
	ll_sleep_ms(200);
	self->start = ll_now_ms();
	EXPECT_EQ(0, start_truncate(&self->b, self->path, &self->start));
	EXPECT_EQ(0, finish(&self->b, 2 * LL_SOON));
	EXPECT_LE(5900, ll_now_ms() - self->start);
	EXPECT_GT(8500, ll_now_ms() - self->start);
	EXPECT_TRUE(ll_holder_alive(&self->h));
	ASSERT_EQ(0, ll_shell("fsfreeze -u %s", frozen.root));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	ll_teardown(&frozen);
}

TEST_F(revoke, stopped_holder_is_killed)
{
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, shared(&self->h, self->path, LL_SIG, &self->stays));
	ASSERT_EQ(0, ll_ret(kill(self->h.pid, SIGSTOP)));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(4500, ll_now_ms() - self->start);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_TRUE(ll_stays(self->stays));
}

TEST_F(revoke, unwilling_holder_is_told_and_revoked_at_the_deadline)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_unwilling(&self->env, &self->h, self->path, LL_SIG));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	ASSERT_EQ(0, start_truncate(&self->b, self->path, &self->start));
	EXPECT_EQ(0, ll_ask(&self->h, &rsp, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(LL_SIG, rsp.signo);
	EXPECT_EQ(SI_LAYOUT, rsp.code);
	EXPECT_EQ(self->b.pid, rsp.pid);
	EXPECT_EQ(0, finish(&self->b, LL_SOON));
	EXPECT_LE(1900, ll_now_ms() - self->start);
	EXPECT_GT(4000, ll_now_ms() - self->start);
	EXPECT_EQ(0, ll_size(self->path));
	/* it lives, and hears no more of it */
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT, .a = 300));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

TEST_F(revoke, unwilling_holder_without_a_signal_hears_nothing)
{
	ASSERT_EQ(0, ll_unwilling(&self->env, &self->h, self->path, 0));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_LE(900, ll_now_ms() - self->start);
	EXPECT_GT(3000, ll_now_ms() - self->start);
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

TEST_F(revoke, lease_that_was_revoked_is_gone)
{
	struct ll_cmd pins = { .op = H_READ, .path = "/proc/self/file_pins" };
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_unwilling(&self->env, &self->h, self->path, LL_SIG));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(F_UNLCK, ll_hold(&self->h, .op = H_GETLEASE));
	EXPECT_EQ(-EAGAIN, ll_hold(&self->h, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_LE(0, ll_holder_ask(&self->h, &pins, &rsp));
	EXPECT_STREQ("", rsp.text);
	EXPECT_EQ(0, ll_listed(self->path, false));
	EXPECT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	EXPECT_EQ(-EIO, ll_holder_reg(&self->h, 0, 1, 0, LL_PAGE));
	/* its handle of what is gone is still good for giving it back */
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
}

TEST_F(revoke, unwilling_holder_is_left_alone_without_a_deadline)
{
	ASSERT_EQ(0, ll_unwilling(&self->env, &self->h, self->path, LL_SIG));
	ASSERT_EQ(0, ll_share(&self->h, &self->stays));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 0));
	ASSERT_EQ(0, start_truncate(&self->b, self->path, &self->start));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(-ETIMEDOUT, finish(&self->b, 3000));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(1, ll_listed(self->path, true));
	ll_breaker_interrupt(&self->b);
	EXPECT_EQ(-EINTR, finish(&self->b, LL_SOON));
	EXPECT_EQ(LL_FILE_SIZE, ll_size(self->path));
	ASSERT_EQ(0, start_truncate(&self->b, self->path, &self->start));
	EXPECT_EQ(-ETIMEDOUT, finish(&self->b, 500));
	EXPECT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(0, finish(&self->b, 3000));
	EXPECT_TRUE(ll_stays(self->stays));
}

TEST_F(revoke, abandoned_break_revokes_nothing_and_the_next_one_does_at_once)
{
	ASSERT_EQ(0, ll_unwilling(&self->env, &self->h, self->path, LL_SIG));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, start_truncate(&self->b, self->path, &self->start));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	ll_breaker_end(&self->b);
	self->b.pid = 0;
	ll_sleep_ms(2500);
	EXPECT_EQ(1, ll_listed(self->path, true));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", FAR_AWAY));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(1500, ll_now_ms() - self->start);
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

TEST_F(revoke, nothing_is_revoked_under_deny)
{
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, shared(&self->h, self->path, LL_SIG, &self->stays));
	self->start = ll_now_ms();
	EXPECT_EQ(-ETXTBSY, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 1, 0, LL_PAGE));
	EXPECT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(-ETXTBSY, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(900, ll_now_ms() - self->start);
	EXPECT_EQ(2, ll_listed(self->path, true));
	EXPECT_TRUE(ll_stays(self->stays));
	ll_stay_end(self->stays);
	self->stays = 0;
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
}

/* A reason that does not escalate kills nobody and revokes nothing. */
TEST_F(revoke, moving_of_blocks_revokes_nothing)
{
	enum ll_op op = variant->fs == LL_XFS ? OP_CLONE_SRC : OP_MOVE_EXT;
	char other[LL_PATH];

	ASSERT_EQ(0, ll_file(&self->env, "f.2", LL_FILE_SIZE, other));
	ASSERT_EQ(0, shared(&self->h, self->path, LL_SIG, &self->stays));
	ASSERT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(-ETXTBSY, ll_break(op, self->path, 0, LL_FILE_SIZE));
	EXPECT_EQ(1, ll_listed(self->path, true));
}

TEST_F(revoke, holder_that_lets_go_keeps_what_another_one_loses)
{
	struct ll_cmd let_go = { .op = H_LET_GO, .a = LL_SOON };
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_unwilling(&self->env, &self->h, self->path, LL_SIG));
	ASSERT_EQ(0, ll_holder_pin(&self->other, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_send(&self->other, &let_go));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_holder_recv(&self->other, LL_SOON, &rsp));
	EXPECT_EQ(F_UNLCK, ll_hold(&self->h, .op = H_GETLEASE));
	EXPECT_EQ(LL_EXCL, ll_hold(&self->other, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	EXPECT_EQ(0, ll_holder_reg(&self->other, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(-EIO, ll_holder_reg(&self->h, 0, 1, 0, LL_PIN_LEN));
	EXPECT_EQ(1, ll_listed(self->path, false));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(0, ll_holder_end(&self->other));
}

/* Each by its own clock: the one that is gone takes nobody along. */
TEST_F(revoke, another_one_has_its_time_while_one_that_is_gone_has_none)
{
	ASSERT_EQ(0, shared(&self->h, self->path, LL_SIG, &self->stays));
	ASSERT_EQ(0, ll_holder_pin(&self->other, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_end(&self->h));
	ASSERT_EQ(0, start_truncate(&self->b, self->path, &self->start));
	ASSERT_EQ(0, ll_hold(&self->other, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(-ETIMEDOUT, finish(&self->b, 2500));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_holder_dereg(&self->other, 0));
	EXPECT_EQ(0, finish(&self->b, LL_SOON));
	EXPECT_EQ(LL_EXCL, ll_hold(&self->other, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	EXPECT_EQ(0, ll_holder_reg(&self->other, 0, 0, 0, LL_PIN_LEN));
}

/* Who lets go of the pin that is in the way is not revoked for one that is not. */
TEST_F(revoke, pin_outside_the_range_does_not_cost_the_one_who_lets_go)
{
	ASSERT_EQ(0, ll_unwilling(&self->env, &self->h, self->path, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 1, LL_FAR, LL_PIN_LEN));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_PUNCH, self->path, 0, LL_PAGE));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, finish(&self->b, LL_SOON));
	ll_sleep_ms(2500);
	EXPECT_EQ(LL_EXCL, ll_hold(&self->h, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(2, ll_listed(self->path, true));
}

TEST_HARNESS_MAIN
