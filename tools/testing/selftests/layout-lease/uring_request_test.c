// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that are under way with a registered buffer when it is revoked: they
 * end with an error, or as far as they have come, and the pins do not wait for
 * whoever has submitted them. On rings that run completions in different ways.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_uring.h"

#define MANY	40

FIXTURE(uring_request)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_uring u;
	struct ll_breaker b;
	struct ll_actor a;
	char *mem;
	int zero, pipe[2];
};

FIXTURE_VARIANT(uring_request)
{
	enum ll_fs fs;
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(uring_request, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(uring_request, xfs) {
	.fs = LL_XFS,
};

FIXTURE_VARIANT_ADD(uring_request, xfs_defer) {
	.fs = LL_XFS,
	.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
};

FIXTURE_VARIANT_ADD(uring_request, xfs_coop) {
	.fs = LL_XFS, .flags = IORING_SETUP_COOP_TASKRUN,
};

FIXTURE_VARIANT_ADD(uring_request, xfs_sqpoll) {
	.fs = LL_XFS, .flags = IORING_SETUP_SQPOLL,
};

/* Slot 0: anonymous memory, slot 1: the leased file. */
static int open_ring(struct _test_data_uring_request *self, unsigned int flags)
{
	return ll_uring_unwilling(&self->env, &self->u, self->path, flags) ?:
	       io_uring_register_buffers_sparse(&self->u.ring, 2) ?:
	       ll_uring_update(&self->u, 0, self->mem, LL_PIN_LEN) ?:
	       ll_uring_update(&self->u, 1, self->u.map, LL_PIN_LEN);
}

FIXTURE_SETUP(uring_request)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	self->mem = ll_anon(LL_PIN_LEN);
	ASSERT_EQ(0, open_ring(self, variant->flags));
	self->zero = ll_open("/dev/zero", O_RDWR);
	ASSERT_EQ(0, ll_ret(pipe(self->pipe)));
}

FIXTURE_TEARDOWN(uring_request)
{
	if (self->b.pid > 0)
		ll_breaker_end(&self->b);
	ll_actor_end(&self->a);
	ll_uring_close(&self->u);
	ll_teardown(&self->env);
}

static int start_read(struct ll_uring *u, int fd, unsigned int flags, long data)
{
	return ll_submit(&u->ring, .op = IORING_OP_READ_FIXED, .fd = fd,
			 .addr = u->map, .len = LL_PAGE, .buf = 1,
			 .flags = flags, .data = data);
}

static int start_nop(struct ll_uring *u, unsigned int flags, long data)
{
	return ll_submit(&u->ring, .op = IORING_OP_NOP, .flags = flags,
			 .data = data);
}

/* It has begun, and does not end. */
static bool waits(struct ll_uring *u)
{
	return ll_io_result(&u->ring, 300, NULL) == LL_NO_CQE;
}

/* The holder does not enter the kernel for its ring while it is revoked. */
static bool is_revoked(struct ll_breaker *b, const char *path)
{
	int64_t took = ll_time_truncate(b, path);

	if (took >= 950 && took < 4000 && !ll_listed(path, true))
		return true;
	ll_log("revoked after %lld ms", (long long)took);
	return false;
}

TEST_F(uring_request, read_of_an_empty_pipe_is_cancelled)
{
	ASSERT_EQ(0, start_read(&self->u, self->pipe[0], 0, 5));
	EXPECT_TRUE(waits(&self->u));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	EXPECT_EQ(-ECANCELED, ll_io_result(&self->u.ring, 3000, NULL));
	/* nobody reads there any more */
	ASSERT_EQ(3, write(self->pipe[1], "abc", 3));
	EXPECT_EQ(3, read(self->pipe[0], self->mem, 10));
}

TEST_F(uring_request, read_of_a_quiet_socket_is_cancelled)
{
	int s[2];

	ASSERT_EQ(0, ll_ret(socketpair(AF_UNIX, SOCK_STREAM, 0, s)));
	ASSERT_EQ(0, start_read(&self->u, s[0], 0, 5));
	EXPECT_TRUE(waits(&self->u));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	EXPECT_EQ(-ECANCELED, ll_io_result(&self->u.ring, 3000, NULL));
}

TEST_F(uring_request, read_that_a_worker_has_begun_is_cancelled)
{
	ASSERT_EQ(0, start_read(&self->u, self->pipe[0], IOSQE_ASYNC, 5));
	EXPECT_TRUE(waits(&self->u));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	EXPECT_EQ(-ECANCELED, ll_io_result(&self->u.ring, 3000, NULL));
}

TEST_F(uring_request, write_to_a_full_pipe_is_cancelled)
{
	memset(self->mem, 'x', LL_PIN_LEN);
	ASSERT_EQ(LL_PIN_LEN, write(self->pipe[1], self->mem, LL_PIN_LEN));
	ASSERT_EQ(0, ll_submit(&self->u.ring, .op = IORING_OP_WRITE_FIXED,
			       .fd = self->pipe[1], .addr = self->u.map,
			       .len = LL_PAGE, .buf = 1));
	EXPECT_TRUE(waits(&self->u));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	EXPECT_EQ(-ECANCELED, ll_io_result(&self->u.ring, 3000, NULL));
}

TEST_F(uring_request, many_that_wait_are_cancelled)
{
	int i, cancelled = 0;

	for (i = 0; i < MANY; i++)
		ASSERT_EQ(0, start_read(&self->u, self->pipe[0],
					i & 1 ? IOSQE_ASYNC : 0, i));
	EXPECT_TRUE(waits(&self->u));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	for (i = 0; i < MANY; i++)
		cancelled += ll_io_result(&self->u.ring, 3000, NULL) == -ECANCELED;
	EXPECT_EQ(MANY, cancelled);
}

TEST_F(uring_request, read_into_other_memory_goes_on)
{
	ASSERT_EQ(0, start_read(&self->u, self->pipe[0], 0, 5));
	ASSERT_EQ(0, ll_submit(&self->u.ring, .op = IORING_OP_READ_FIXED,
			       .fd = self->pipe[0], .addr = self->mem,
			       .len = LL_PAGE, .data = 6));
	EXPECT_TRUE(waits(&self->u));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	EXPECT_EQ(-ECANCELED, ll_io_result(&self->u.ring, 3000, NULL));
	EXPECT_TRUE(waits(&self->u));
	ASSERT_EQ(3, write(self->pipe[1], "abc", 3));
	EXPECT_EQ(3, ll_io_result(&self->u.ring, LL_SOON, NULL));
	EXPECT_EQ(0, memcmp(self->mem, "abc", 3));
}

/*
 * A terminal that says it is ready to be read or written, and then waits for
 * more than there is: that wait is a worker's.
 */
static int terminal(int t[2])
{
	struct termios raw;

	t[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t[0] < 0 || grantpt(t[0]) || unlockpt(t[0]))
		return -errno;
	t[1] = ll_open(ptsname(t[0]), O_RDWR | O_NOCTTY);
	if (t[1] < 0 || tcgetattr(t[1], &raw))
		return -errno;
	cfmakeraw(&raw);
	raw.c_cc[VMIN] = 100;
	raw.c_cc[VTIME] = 255;	/* tenths of a second after the first byte */
	return ll_ret(tcsetattr(t[1], TCSANOW, &raw)) ?:
	       write(t[0], "x", 1) == 1 ? 0 : -EIO;
}

TEST_F(uring_request, read_that_blocks_a_worker_is_interrupted)
{
	int t[2], ret;

	ASSERT_EQ(0, terminal(t));
	ASSERT_EQ(0, start_read(&self->u, t[1], IOSQE_ASYNC, 5));
	EXPECT_TRUE(waits(&self->u));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	ret = ll_io_result(&self->u.ring, 3000, NULL);
	EXPECT_TRUE(ret == 1 || ret == -EINTR) {
		TH_LOG("result %d", ret);
	}
	close(t[0]);
}

TEST_F(uring_request, write_that_blocks_a_worker_is_interrupted)
{
	int t[2], ret;

	ASSERT_EQ(0, terminal(t));
	ASSERT_EQ(0, ll_submit(&self->u.ring, .op = IORING_OP_WRITE_FIXED,
			       .fd = t[1], .addr = self->u.map,
			       .len = LL_PIN_LEN, .buf = 1,
			       .flags = IOSQE_ASYNC));
	EXPECT_TRUE(waits(&self->u));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	ret = ll_io_result(&self->u.ring, 3000, NULL);
	EXPECT_TRUE((ret > 0 && ret < LL_PIN_LEN) || ret == -EINTR) {
		TH_LOG("result %d", ret);
	}
	close(t[0]);
}

/* A block device that is slow: what it stores is on a filesystem that is frozen. */
TEST_F(uring_request, pages_stay_until_the_device_has_done_with_them)
{
	char file[LL_PATH], dev[LL_PATH];
	struct ll_env slow;
	int fd;

	ASSERT_EQ(0, ll_setup(&slow, variant->fs == LL_XFS ? LL_EXT4 : LL_XFS,
			      NULL));
	ASSERT_EQ(0, ll_file(&slow, "disk", LL_MIB, file));
	ASSERT_EQ(0, ll_loop(file, dev));
	fd = ll_open(dev, O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	memset(self->u.map, 'x', LL_PAGE);
	EXPECT_EQ(0, ll_shell("fsfreeze -f %s", slow.root));
	EXPECT_EQ(0, ll_submit(&self->u.ring, .op = IORING_OP_WRITE_FIXED,
			       .fd = fd, .addr = self->u.map, .len = LL_PAGE,
			       .buf = 1));
	EXPECT_TRUE(waits(&self->u));
	EXPECT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, ll_finish(&self->b, 3000));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(LL_FILE_SIZE, ll_size(self->path));
	/* no more of them, meanwhile */
	EXPECT_EQ(-EFAULT, ll_do(&self->u.ring, .op = IORING_OP_WRITE_FIXED,
				 .fd = self->zero, .addr = self->u.map,
				 .len = LL_PAGE, .buf = 1));
	EXPECT_EQ(0, ll_shell("fsfreeze -u %s", slow.root));
	EXPECT_EQ(0, ll_finish(&self->b, 3000));
	EXPECT_EQ(LL_PAGE, ll_io_result(&self->u.ring, LL_SOON, NULL));
	EXPECT_EQ(0, ll_listed(self->path, true));
	close(fd);
	EXPECT_EQ(0, ll_shell("losetup -d %s", dev));
	EXPECT_EQ(1, ll_filled(file, 0, LL_PAGE, 'x'));
	ll_teardown(&slow);
}

TEST_F(uring_request, what_is_linked_behind_is_cancelled_and_drained_goes_on)
{
	long data;

	ASSERT_EQ(0, start_read(&self->u, self->pipe[0], IOSQE_IO_LINK, 5));
	ASSERT_EQ(0, start_nop(&self->u, 0, 6));
	ASSERT_EQ(0, start_nop(&self->u, IOSQE_IO_DRAIN, 7));
	EXPECT_TRUE(waits(&self->u));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	EXPECT_EQ(-ECANCELED, ll_io_result(&self->u.ring, 3000, &data));
	EXPECT_EQ(5, data);
	EXPECT_EQ(-ECANCELED, ll_io_result(&self->u.ring, 3000, &data));
	EXPECT_EQ(6, data);
	EXPECT_EQ(0, ll_io_result(&self->u.ring, 3000, &data));
	EXPECT_EQ(7, data);
}

TEST_F(uring_request, what_is_issued_afterwards_behind_a_link_is_EFAULT)
{
	long data;

	ASSERT_EQ(0, ll_submit(&self->u.ring, .op = IORING_OP_READ_FIXED,
			       .fd = self->pipe[0], .addr = self->mem,
			       .len = 3, .flags = IOSQE_IO_LINK, .data = 5));
	ASSERT_EQ(0, start_read(&self->u, self->zero, 0, 6));
	EXPECT_TRUE(waits(&self->u));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	ASSERT_EQ(3, write(self->pipe[1], "abc", 3));
	EXPECT_EQ(3, ll_io_result(&self->u.ring, LL_SOON, &data));
	EXPECT_EQ(5, data);
	EXPECT_EQ(-EFAULT, ll_io_result(&self->u.ring, 3000, &data));
	EXPECT_EQ(6, data);
}

/* The slot has another buffer, but the pin stays until the request ends. */
TEST_F(uring_request, buffer_that_was_replaced_under_a_request_is_revoked)
{
	ASSERT_EQ(0, start_read(&self->u, self->pipe[0], 0, 5));
	EXPECT_TRUE(waits(&self->u));
	ASSERT_EQ(0, ll_uring_update(&self->u, 1, self->mem, LL_PAGE));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	EXPECT_EQ(-ECANCELED, ll_io_result(&self->u.ring, 3000, NULL));
	EXPECT_EQ(10, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
			    .fd = self->zero, .addr = self->mem, .len = 10,
			    .buf = 1));
}

TEST_F(uring_request, unregister_that_waits_for_a_request_ends)
{
	ASSERT_EQ(0, start_read(&self->u, self->pipe[0], 0, 5));
	EXPECT_TRUE(waits(&self->u));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_finish(&self->b, 3000));
	EXPECT_EQ(-ECANCELED, ll_io_result(&self->u.ring, 3000, NULL));
	EXPECT_EQ(0, ll_size(self->path));
}

struct child {
	struct ll_uring *u;
	int fd;
};

static void submit_and_wait(int sock, void *arg)
{
	struct child *c = arg;
	int ret = start_read(c->u, c->fd, 0, 5);

	ll_say_int(sock, ret);
	ll_hear_int(sock, 3 * LL_SOON);
	ll_say_int(sock, ll_io_result(&c->u->ring, 3000, NULL));
	ll_hear_int(sock, 3 * LL_SOON);
}

/* Its task work is that of somebody who cannot run. */
TEST_F(uring_request, request_of_a_stopped_task_is_cancelled)
{
	struct child c = { .u = &self->u, .fd = self->pipe[0] };
	bool waits_for_it = !(variant->flags & IORING_SETUP_SINGLE_ISSUER);

	ASSERT_EQ(0, ll_actor_start(&self->a, submit_and_wait, &c));
	ASSERT_EQ(waits_for_it ? 0 : -EEXIST, ll_hear_int(self->a.sock, LL_SOON));
	ll_sleep_ms(200);
	ASSERT_EQ(0, ll_ret(kill(self->a.pid, SIGSTOP)));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	ASSERT_EQ(0, ll_ret(kill(self->a.pid, SIGCONT)));
	ASSERT_EQ(0, ll_say_int(self->a.sock, 0));
	if (waits_for_it)
		EXPECT_EQ(-ECANCELED, ll_hear_int(self->a.sock, LL_SOON));
}

/* The data have come, but the task has not been able to take them. */
TEST_F(uring_request, request_that_was_woken_in_a_stopped_task_is_EFAULT)
{
	struct child c = { .u = &self->u, .fd = self->pipe[0] };

	/* Where only the ring's own task runs requests it is a plain ring. */
	if (variant->flags & (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SQPOLL)) {
		ll_uring_close(&self->u);
		ASSERT_EQ(0, open_ring(self, 0));
	}
	ASSERT_EQ(0, ll_actor_start(&self->a, submit_and_wait, &c));
	ASSERT_EQ(0, ll_hear_int(self->a.sock, LL_SOON));
	ll_sleep_ms(200);
	ASSERT_EQ(0, ll_ret(kill(self->a.pid, SIGSTOP)));
	ll_sleep_ms(100);
	ASSERT_EQ(3, write(self->pipe[1], "abc", 3));
	EXPECT_TRUE(is_revoked(&self->b, self->path));
	ASSERT_EQ(0, ll_ret(kill(self->a.pid, SIGCONT)));
	ASSERT_EQ(0, ll_say_int(self->a.sock, 0));
	EXPECT_GT(0, ll_hear_int(self->a.sock, LL_SOON));
	/* and what had come is there for others */
	EXPECT_EQ(3, read(self->pipe[0], self->mem, 10));
}

TEST_HARNESS_MAIN
