// SPDX-License-Identifier: GPL-2.0
/*
 * Breakers that give up: a call that waits is interruptible, and the break it
 * abandons refuses new pins for a while, but kills nobody by itself.
 *
 *   begin           interrupted      deadline                  deadline + 5 s
 *     |-- pins: EAGAIN -----------------------------------------------|-- ok
 *     |-- told         |-- nobody escalates, unless another call comes
 */
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

struct scene {
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h;
	int64_t start;
};

FIXTURE(abandoned)
{
	struct scene s;
};

FIXTURE_VARIANT(abandoned)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(abandoned, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(abandoned, xfs) {
	.fs = LL_XFS,
};

/* An operation on the pinned range, interrupted once the holder knows of it. */
static int begin_and_interrupt(struct scene *s, enum ll_op op,
			       int break_time)
{
	struct ll_breaker b;
	int ret, result = 0;

	s->start = ll_now_ms();
	ret = ll_sysctl("lease-break-time", break_time) ?:
	      ll_breaker_start(&b, op, s->path, 0, LL_PIN_LEN) ?:
	      ll_hold(&s->h, .op = H_SIGWAIT, .a = LL_SOON);
	if (ret)
		return ret;
	/* a signal before the wait is none: repeat it until the call is back */
	do {
		ll_breaker_interrupt(&b);
		ret = ll_breaker_wait(&b, 20, &result);
	} while (ret == -ETIMEDOUT && ll_now_ms() - s->start < LL_SOON);
	return ret ?: result;
}

static int punch(struct scene *s, off_t len)
{
	return ll_break(OP_PUNCH, s->path, 0, len);
}

FIXTURE_SETUP(abandoned)
{
	ASSERT_EQ(0, ll_setup(&self->s.env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->s.env, "f", LL_FILE_SIZE, self->s.path));
	ASSERT_EQ(0, ll_holder_pin(&self->s.h, self->s.path, true, LL_SIG));
}

FIXTURE_TEARDOWN(abandoned)
{
	ll_holder_end(&self->s.h);
	ll_teardown(&self->s.env);
}

TEST_F(abandoned, interrupted_truncate_is_EINTR_and_does_nothing)
{
	EXPECT_EQ(-EINTR, begin_and_interrupt(&self->s, OP_TRUNCATE, 25));
	EXPECT_GT(20000, ll_now_ms() - self->s.start);
	EXPECT_EQ(LL_FILE_SIZE, ll_size(self->s.path));
	EXPECT_EQ(1, ll_filled(self->s.path, 0, LL_PIN_LEN, 'f'));
	EXPECT_TRUE(ll_holder_alive(&self->s.h));
}

TEST_F(abandoned, killed_breaker_leaves_the_holder_alone)
{
	struct ll_breaker b;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->s.path, 0, 0));
	ASSERT_EQ(0, ll_hold(&self->s.h, .op = H_SIGWAIT, .a = LL_SOON));
	ll_breaker_end(&b);
	EXPECT_EQ(-ETIMEDOUT, ll_holder_wait(&self->s.h, 2500));
	EXPECT_EQ(LL_FILE_SIZE, ll_size(self->s.path));
}

TEST_F(abandoned, every_operation_is_interruptible)
{
	static const enum ll_op ops[] = {
		OP_FTRUNCATE, OP_O_TRUNC, OP_PUNCH, OP_ZERO, OP_COLLAPSE, OP_INSERT,
	};
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(ops); i++) {
		EXPECT_EQ(-EINTR, begin_and_interrupt(&self->s, ops[i], 25));
		EXPECT_EQ(LL_FILE_SIZE, ll_size(self->s.path));
		EXPECT_EQ(1, ll_filled(self->s.path, 0, LL_PIN_LEN, 'f'));
		EXPECT_EQ(0, ll_holder_end(&self->s.h));
		/* the abandoned break stays with the file: another one */
		ASSERT_EQ(0, ll_ret(unlink(self->s.path)));
		ASSERT_EQ(0, ll_file(&self->s.env, "f", LL_FILE_SIZE, self->s.path));
		ASSERT_EQ(0, ll_holder_pin(&self->s.h, self->s.path, true, LL_SIG));
	}
}

TEST_F(abandoned, break_refuses_pins_until_5_s_after_the_deadline)
{
	int64_t refused = 0;
	int ret;

	EXPECT_EQ(-EINTR, begin_and_interrupt(&self->s, OP_PUNCH, 1));
	EXPECT_EQ(F_UNLCK, ll_hold(&self->s.h, .op = H_GETLEASE));
	EXPECT_EQ(-EAGAIN, ll_hold(&self->s.h, .op = H_SETLEASE, .a = F_LAYOUT));
	/* what nobody asked for is not pending */
	EXPECT_EQ(0, ll_holder_reg(&self->s.h, 0, 1, LL_FAR, LL_PAGE));
	EXPECT_EQ(0, ll_holder_dereg(&self->s.h, 1));
	while ((ret = ll_holder_reg(&self->s.h, 0, 1, 0, LL_PAGE)) == -EAGAIN &&
	       ll_now_ms() - self->s.start < 2 * LL_SOON) {
		refused = ll_now_ms() - self->s.start;
		ll_sleep_ms(100);
	}
	EXPECT_EQ(0, ret);
	EXPECT_LE(5500, refused);
	EXPECT_GT(9000, refused);
	EXPECT_TRUE(ll_holder_alive(&self->s.h));
	EXPECT_EQ(LL_EXCL, ll_hold(&self->s.h, .op = H_GETLEASE));
}

TEST_F(abandoned, later_call_inherits_the_deadline)
{
	int64_t killed;

	EXPECT_EQ(-EINTR, begin_and_interrupt(&self->s, OP_PUNCH, 3));
	ll_sleep_ms(self->s.start + 2000 - ll_now_ms());
	EXPECT_EQ(0, punch(&self->s, LL_PIN_LEN));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->s.h, LL_SOON));
	killed = ll_now_ms() - self->s.start;
	EXPECT_LE(2900, killed);
	EXPECT_GT(4700, killed);
}

TEST_F(abandoned, later_call_after_the_deadline_kills_at_once)
{
	int64_t again;

	EXPECT_EQ(-EINTR, begin_and_interrupt(&self->s, OP_PUNCH, 3));
	ll_sleep_ms(self->s.start + 3500 - ll_now_ms());
	EXPECT_TRUE(ll_holder_alive(&self->s.h));
	again = ll_now_ms();
	EXPECT_EQ(0, punch(&self->s, LL_PIN_LEN));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->s.h, LL_SOON));
	EXPECT_GT(2500, ll_now_ms() - again);
}

TEST_F(abandoned, later_call_for_another_reason_gives_its_full_time)
{
	int64_t again;

	EXPECT_EQ(-EINTR, begin_and_interrupt(&self->s, OP_PUNCH, 3));
	ll_sleep_ms(self->s.start + 2000 - ll_now_ms());
	again = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->s.path, 0)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->s.h, LL_SOON));
	EXPECT_LE(2900, ll_now_ms() - again);
}

/* Deadlines belong to break and lease: who was not told has its full time. */
TEST_F(abandoned, later_call_gives_others_their_full_time)
{
	struct ll_holder other;
	struct ll_breaker b;
	int64_t again;
	int ret;

	ASSERT_EQ(0, ll_holder_start(&other));
	ASSERT_EQ(0, ll_holder_open(&other, 0, self->s.path));
	ASSERT_EQ(0, ll_holder_lease(&other, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&other, 0, 0, LL_FAR, LL_PIN_LEN));
	EXPECT_EQ(-EINTR, begin_and_interrupt(&self->s, OP_PUNCH, 3));
	ll_sleep_ms(self->s.start + 2000 - ll_now_ms());
	again = ll_now_ms();
	ASSERT_EQ(0, ll_breaker_start(&b, OP_PUNCH, self->s.path, 0,
				      LL_FAR + LL_PIN_LEN));
	EXPECT_EQ(0, ll_hold(&other, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->s.h, LL_SOON));
	EXPECT_GT(2500, ll_now_ms() - again);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&other, LL_SOON));
	EXPECT_LE(2900, ll_now_ms() - again);
	ASSERT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
}

/*
 * Let go of in time, so spared at the deadline; the next call wants more, of which
 * the same holder does not let go. A holder that cannot be killed keeps the first
 * call waiting past the deadline.
 */
/*
 * The first call waits beyond the deadline for a holder that does not die: it
 * hangs in another, frozen filesystem.
 */
TEST_F(abandoned, holder_spared_by_one_call_is_not_by_the_next)
{
	struct ll_cmd hang = {
		.op = H_BREAK, .mr = OP_TRUNCATE, .a = 2 * LL_FILE_SIZE,
	};
	struct ll_env frozen;
	struct ll_holder other;
	struct ll_breaker b;
	int ret;

	ASSERT_EQ(0, ll_setup(&frozen, variant->fs == LL_XFS ? LL_EXT4 : LL_XFS,
			      "break"));
	ASSERT_EQ(0, ll_file(&frozen, "g", LL_FILE_SIZE, hang.path));
	ASSERT_EQ(0, ll_holder_start(&other));
	ASSERT_EQ(0, ll_holder_open(&other, 0, self->s.path));
	ASSERT_EQ(0, ll_holder_lease(&other, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&other, 0, 0, LL_FAR, LL_PAGE));
	ASSERT_EQ(0, ll_holder_reg(&self->s.h, 0, 1, LL_FAR, LL_PAGE));
	ASSERT_EQ(0, ll_shell("fsfreeze -f %s", frozen.root));
	ASSERT_EQ(0, ll_holder_send(&other, &hang));
	ll_sleep_ms(200);

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->s.path, LL_FAR, 0));
	ASSERT_EQ(0, ll_hold(&self->s.h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(0, ll_holder_dereg(&self->s.h, 1));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&b, 3000, &ret));
	EXPECT_TRUE(ll_holder_alive(&self->s.h));
	ll_breaker_end(&b);

	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->s.path, 0, 0));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->s.h, LL_SOON));
	EXPECT_EQ(0, ll_breaker_wait(&b, 2 * LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	ASSERT_EQ(0, ll_shell("fsfreeze -u %s", frozen.root));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&other, LL_SOON));
	ll_teardown(&frozen);
}

TEST_F(abandoned, holder_that_lets_go_makes_way_for_the_next_call)
{
	EXPECT_EQ(-EINTR, begin_and_interrupt(&self->s, OP_TRUNCATE, 25));
	EXPECT_EQ(0, ll_holder_dereg(&self->s.h, 0));
	EXPECT_EQ(0, ll_hold(&self->s.h, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_EQ(0, ll_ret(truncate(self->s.path, 0)));
	EXPECT_GT(20000, ll_now_ms() - self->s.start);
	EXPECT_EQ(0, ll_size(self->s.path));
	EXPECT_TRUE(ll_holder_alive(&self->s.h));
}

TEST_F(abandoned, nonblocking_o_trunc_begins_a_break_and_does_not_wait)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	self->s.start = ll_now_ms();
	EXPECT_EQ(-EWOULDBLOCK, ll_break(OP_O_TRUNC_NONBLOCK, self->s.path, 0, 0));
	EXPECT_GT(20000, ll_now_ms() - self->s.start);
	ASSERT_EQ(0, ll_holder_send(&self->s.h, &(struct ll_cmd){
		.op = H_SIGWAIT, .a = LL_SOON }));
	EXPECT_EQ(0, ll_holder_recv(&self->s.h, LL_SOON, &rsp));
	EXPECT_EQ(SI_LAYOUT, rsp.code);
	EXPECT_EQ(-EAGAIN, ll_holder_reg(&self->s.h, 0, 1, 0, LL_PAGE));
	EXPECT_EQ(LL_FILE_SIZE, ll_size(self->s.path));
	EXPECT_EQ(0, ll_holder_dereg(&self->s.h, 0));
	EXPECT_EQ(0, ll_break(OP_O_TRUNC_NONBLOCK, self->s.path, 0, 0));
	EXPECT_EQ(0, ll_size(self->s.path));
	EXPECT_TRUE(ll_holder_alive(&self->s.h));
}

TEST_F(abandoned, nonblocking_o_trunc_is_ETXTBSY_under_deny)
{
	ASSERT_EQ(0, ll_policy(&self->s.env, "deny"));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_O_TRUNC_NONBLOCK, self->s.path, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->s.h, .op = H_SIGWAIT));
	EXPECT_EQ(LL_FILE_SIZE, ll_size(self->s.path));
	EXPECT_EQ(0, ll_holder_reg(&self->s.h, 0, 1, 0, LL_PAGE));
}

TEST_F(abandoned, nonblocking_o_trunc_tells_a_plain_holder)
{
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_holder_dereg(&self->s.h, 0));
	ASSERT_EQ(0, ll_hold(&self->s.h, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(-EWOULDBLOCK, ll_break(OP_O_TRUNC_NONBLOCK, self->s.path, 0, 0));
	EXPECT_EQ(0, ll_hold(&self->s.h, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(F_UNLCK, ll_hold(&self->s.h, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_hold(&self->s.h, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_EQ(0, ll_break(OP_O_TRUNC_NONBLOCK, self->s.path, 0, 0));
}

/* ftruncate(2) waits whatever the flags of its descriptor are. */
TEST_F(abandoned, ftruncate_ignores_nonblock)
{
	int fd = ll_open(self->s.path, O_RDWR | O_NONBLOCK);

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	self->s.start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(ftruncate(fd, 0)));
	EXPECT_LE(950, ll_now_ms() - self->s.start);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->s.h, LL_SOON));
	close(fd);
}

TEST_HARNESS_MAIN
