// SPDX-License-Identifier: GPL-2.0
/*
 * Breaks of leases with registered buffers whose taker agreed to be killed: it
 * lets go in time, or is killed; and what a holder that is gone has left in a
 * ring that somebody else has as well is revoked.
 */
#include <string.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_uring.h"

#define FAR_AWAY	25	/* seconds to a deadline that no test awaits */

FIXTURE(uring_break)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_uring u;
	struct ll_actor a;
	struct ll_breaker b;
	sigset_t told;
	int64_t start;
};

FIXTURE_VARIANT(uring_break)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(uring_break, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(uring_break, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(uring_break)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", FAR_AWAY));
	sigemptyset(&self->told);
	sigaddset(&self->told, LL_SIG);
	sigprocmask(SIG_BLOCK, &self->told, NULL);
}

FIXTURE_TEARDOWN(uring_break)
{
	if (self->b.pid > 0)
		ll_breaker_end(&self->b);
	ll_actor_end(&self->a);
	ll_uring_close(&self->u);
	ll_teardown(&self->env);
}

/* This process holds. */
static int pinned(struct ll_uring *u, const char *path)
{
	return ll_uring_open(u, path, 0) ?: ll_take(u->fd, true, LL_SIG) ?:
	       ll_uring_table(u, 0, LL_PIN_LEN);
}

static int wait_told(const sigset_t *set)
{
	struct timespec ts = { .tv_sec = LL_SOON / 1000 };
	siginfo_t info;

	return sigtimedwait(set, &info, &ts) < 0 ? -errno : info.si_code;
}

static int start_truncate(struct ll_breaker *b, const char *path,
			  int64_t *start)
{
	*start = ll_now_ms();
	return ll_breaker_start(b, OP_TRUNCATE, path, 0, 0);
}

TEST_F(uring_break, unregister_in_time_lets_it_through_and_the_lease_stands)
{
	ASSERT_EQ(0, pinned(&self->u, self->path));
	ASSERT_EQ(0, start_truncate(&self->b, self->path, &self->start));
	EXPECT_EQ(SI_LAYOUT, wait_told(&self->told));
	EXPECT_EQ(-ETIMEDOUT, ll_finish(&self->b, 300));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_finish(&self->b, 3000));
	EXPECT_EQ(0, ll_size(self->path));
	EXPECT_EQ(LL_EXCL, ll_ret(fcntl(self->u.fd, F_GETLEASE)));
	EXPECT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	EXPECT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
}

TEST_F(uring_break, update_in_time_lets_it_through_and_the_lease_stands)
{
	ASSERT_EQ(0, pinned(&self->u, self->path));
	ASSERT_EQ(0, start_truncate(&self->b, self->path, &self->start));
	EXPECT_EQ(SI_LAYOUT, wait_told(&self->told));
	EXPECT_EQ(-EAGAIN,
		  ll_uring_update(&self->u, 0, self->u.map + LL_FAR, LL_PAGE));
	EXPECT_EQ(-ETIMEDOUT, ll_finish(&self->b, 300));
	EXPECT_EQ(0, ll_uring_update(&self->u, 0, ll_anon(LL_PAGE), LL_PAGE));
	EXPECT_EQ(0, ll_finish(&self->b, 3000));
	EXPECT_EQ(LL_EXCL, ll_ret(fcntl(self->u.fd, F_GETLEASE)));
}

TEST_F(uring_break, break_elsewhere_does_not_wait)
{
	ASSERT_EQ(0, pinned(&self->u, self->path));
	EXPECT_EQ(0, ll_break(OP_PUNCH, self->path, LL_FAR, LL_PAGE));
	EXPECT_EQ(-EDEADLK, ll_break(OP_PUNCH, self->path, 0, LL_PAGE));
	EXPECT_EQ(1, ll_listed(self->path, true));
}

/* An actor that holds, and lets go as it was started to once it is told. */
struct part {
	const char *path;
	int tell;
	bool close;
};

static void holder(int sock, void *arg)
{
	struct ll_uring u = { .fd = -1 };
	struct part *p = arg;
	sigset_t told;
	int ret;

	sigemptyset(&told);
	sigaddset(&told, LL_SIG);
	ret = ll_uring_open(&u, p->path, 0) ?: ll_take(u.fd, true, p->tell) ?:
	      ll_uring_table(&u, 0, LL_PIN_LEN);
	ll_say_int(sock, ret ?: u.ring.ring_fd);
	if (p->close && wait_told(&told) == SI_LAYOUT)
		io_uring_queue_exit(&u.ring);
	ll_hear_int(sock, 10 * LL_SOON);
}

TEST_F(uring_break, close_of_the_ring_in_time_lets_it_through)
{
	struct part p = { .path = self->path, .tell = LL_SIG, .close = true };

	ASSERT_EQ(0, ll_actor_start(&self->a, holder, &p));
	ASSERT_LT(0, ll_hear_int(self->a.sock, LL_SOON));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(5000, ll_now_ms() - self->start);
	EXPECT_TRUE(ll_stays(self->a.pid));
}

TEST_F(uring_break, deaf_holder_is_killed_at_the_deadline)
{
	struct part p = { .path = self->path, .tell = LL_SIG };
	int status;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, ll_actor_start(&self->a, holder, &p));
	ASSERT_LT(0, ll_hear_int(self->a.sock, LL_SOON));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_LE(950, ll_now_ms() - self->start);
	EXPECT_GT(4500, ll_now_ms() - self->start);
	EXPECT_EQ(0, ll_wait_exit(self->a.pid, LL_SOON, &status));
	EXPECT_EQ(SIGKILL, status);
	self->a.pid = 0;
}

TEST_F(uring_break, holder_that_wants_no_warning_is_killed_at_once)
{
	struct part p = { .path = self->path, .tell = SIGKILL };
	int status;

	ASSERT_EQ(0, ll_actor_start(&self->a, holder, &p));
	ASSERT_LT(0, ll_hear_int(self->a.sock, LL_SOON));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(5000, ll_now_ms() - self->start);
	EXPECT_EQ(0, ll_wait_exit(self->a.pid, LL_SOON, &status));
	EXPECT_EQ(SIGKILL, status);
	self->a.pid = 0;
}

static int read_into(struct ll_uring *u, int fd, char *addr, int slot)
{
	return ll_do(&u->ring, .op = IORING_OP_READ_FIXED, .fd = fd,
		     .addr = addr, .len = 10, .buf = slot);
}

/* The leased buffer's result; all else of the ring has to work. */
static int after(struct ll_uring *u, char *mem)
{
	int zero = ll_open("/dev/zero", O_RDONLY);
	int nop = ll_do(&u->ring, .op = IORING_OP_NOP);
	int other = read_into(u, zero, mem, 1);
	int ret = read_into(u, zero, u->map, 0);

	close(zero);
	return nop ?: other == 10 ? ret : -ENODATA;
}

/* The ring is this process's, and the holder was a child of it. */
static int left_behind(struct ll_uring *u, const char *path, char *mem)
{
	return ll_uring_open(u, path, 0) ?:
	       io_uring_register_buffers_sparse(&u->ring, 2) ?:
	       ll_uring_leave(u, 0, path) ?:
	       ll_uring_update(u, 1, mem, LL_PAGE);
}

TEST_F(uring_break, pins_of_a_holder_that_is_gone_are_revoked_at_once)
{
	char *mem = ll_anon(LL_PAGE);

	ASSERT_EQ(0, left_behind(&self->u, self->path, mem));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(-EOPNOTSUPP, ll_uring_update(&self->u, 1, self->u.map, LL_PAGE));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(2000, ll_now_ms() - self->start);
	EXPECT_EQ(0, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_listed(self->path, false));
	EXPECT_EQ(-EFAULT, after(&self->u, mem));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
}

TEST_F(uring_break, two_holders_in_one_ring_that_are_gone_are_revoked)
{
	char *mem = ll_anon(LL_PAGE);

	ASSERT_EQ(0, left_behind(&self->u, self->path, mem));
	ASSERT_EQ(0, ll_uring_leave(&self->u, 1, self->path));
	EXPECT_EQ(2, ll_listed(self->path, true));
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_GT(2000, ll_now_ms() - self->start);
	EXPECT_EQ(0, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_listed(self->path, false));
}

TEST_F(uring_break, ring_that_was_revoked_takes_the_next_holder_and_loses_it)
{
	char *mem = ll_anon(LL_PAGE);
	int i;

	ASSERT_EQ(0, left_behind(&self->u, self->path, mem));
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(1, ll_listed(self->path, true));
		self->start = ll_now_ms();
		ASSERT_EQ(0, ll_ret(truncate(self->path, 0)));
		EXPECT_GT(2000, ll_now_ms() - self->start);
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
		EXPECT_EQ(-EFAULT, after(&self->u, mem));
		ASSERT_EQ(0, ll_uring_leave(&self->u, 0, self->path));
	}
}

/* Somebody else has the ring when the holder is killed. */
TEST_F(uring_break, pins_that_outlive_a_kill_are_revoked_1_s_after_the_exit)
{
	struct part p = { .path = self->path, .tell = LL_SIG };
	int fd, status;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, ll_actor_start(&self->a, holder, &p));
	fd = ll_hear_int(self->a.sock, LL_SOON);
	ASSERT_LT(0, fd);
	fd = ll_steal_fd(self->a.pid, fd);
	ASSERT_LE(0, fd);
	self->start = ll_now_ms();
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_LE(1900, ll_now_ms() - self->start);
	EXPECT_GT(4500, ll_now_ms() - self->start);
	EXPECT_EQ(0, ll_wait_exit(self->a.pid, LL_SOON, &status));
	EXPECT_EQ(SIGKILL, status);
	self->a.pid = 0;
	close(fd);
}

/* The other ring has pins of the same file by a holder that lets go. */
TEST_F(uring_break, another_ring_is_not_concerned)
{
	struct ll_uring own = { .fd = -1 };
	char *mem = ll_anon(LL_PAGE);

	ASSERT_EQ(0, left_behind(&self->u, self->path, mem));
	ASSERT_EQ(0, pinned(&own, self->path));
	EXPECT_EQ(2, ll_listed(self->path, true));
	ASSERT_EQ(0, start_truncate(&self->b, self->path, &self->start));
	EXPECT_EQ(SI_LAYOUT, wait_told(&self->told));
	EXPECT_EQ(-ETIMEDOUT, ll_finish(&self->b, 1000));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(-EFAULT, after(&self->u, mem));
	EXPECT_EQ(0, io_uring_unregister_buffers(&own.ring));
	EXPECT_EQ(0, ll_finish(&self->b, 3000));
	EXPECT_EQ(LL_EXCL, ll_ret(fcntl(own.fd, F_GETLEASE)));
	ll_uring_close(&own);
}

TEST_F(uring_break, deny_refuses_and_revokes_nothing)
{
	char *mem = ll_anon(LL_PAGE);

	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, left_behind(&self->u, self->path, mem));
	EXPECT_EQ(-ETXTBSY, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(10, after(&self->u, mem));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
}

TEST_HARNESS_MAIN
