// SPDX-License-Identifier: GPL-2.0
/*
 * Registered buffers in a leased file while nobody breaks the lease: I/O moves
 * the right bytes into and out of the file, the pins are listed, and they go
 * with the table, the ring or the process, and not before.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_uring.h"

#define USE_REGISTERED_RING	(1U << 31)

FIXTURE(uring_io)
{
	struct ll_env env;
	char path[LL_PATH];
	char other[LL_PATH / 2];	/* not on the filesystem under test */
	struct ll_uring u;
	struct ll_actor a;
	int pipe[2];
};

FIXTURE_VARIANT(uring_io)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(uring_io, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(uring_io, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(uring_io)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_uring_open(&self->u, self->path, 0));
	ASSERT_EQ(0, ll_take(self->u.fd, true, LL_SIG));
	ASSERT_EQ(0, ll_ret(pipe2(self->pipe, O_CLOEXEC)));
	snprintf(self->other, sizeof(self->other), "/tmp/uring-XXXXXX");
	ASSERT_LE(0, ll_ret(mkstemp(self->other)));
	ASSERT_EQ(0, ll_ret(truncate(self->other, LL_MIB)));
}

FIXTURE_TEARDOWN(uring_io)
{
	ll_actor_end(&self->a);
	ll_uring_close(&self->u);
	unlink(self->other);
	ll_teardown(&self->env);
}

/*
 * Bytes of a file on the other side come into the buffer, and so into the
 * leased file, and go back.
 */
static int there_and_back(struct ll_uring *u, const char *path, int fd)
{
	char *map = u->map + LL_PAGE;
	int ret;

	ret = ll_do(&u->ring, .op = IORING_OP_READ_FIXED, .fd = fd,
		    .addr = map, .len = LL_PAGE, .off = LL_PAGE);
	if (ret != LL_PAGE)
		return ret < 0 ? ret : -EIO;
	if (map[0] != 'x' || ll_filled(path, LL_PAGE, LL_PAGE, 'x') != 1 ||
	    ll_filled(path, 0, LL_PAGE, 'f') != 1 ||
	    ll_filled(path, 2 * LL_PAGE, LL_PAGE, 'f') != 1)
		return -EILSEQ;
	memset(map, 'y', LL_PAGE);
	ret = ll_do(&u->ring, .op = IORING_OP_WRITE_FIXED, .fd = fd,
		    .addr = map, .len = LL_PAGE, .off = LL_PAGE);
	return ret == LL_PAGE ? 0 : ret < 0 ? ret : -EIO;
}

TEST_F(uring_io, bytes_move_between_file_and_leased_file)
{
	int fd = ll_open(self->other, O_RDWR);

	ASSERT_EQ(0, ll_write_fill(self->other, LL_PAGE, LL_PAGE, 'x'));
	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	EXPECT_EQ(0, there_and_back(&self->u, self->path, fd));
	EXPECT_EQ(1, ll_filled(self->other, LL_PAGE, LL_PAGE, 'y'));
	EXPECT_EQ(1, ll_filled(self->other, 2 * LL_PAGE, LL_PAGE, 0));
}

/* With completions that do not come from the caller. */
TEST_F(uring_io, bytes_move_between_block_device_and_leased_file)
{
	char dev[LL_PATH];
	int fd;

	ASSERT_EQ(0, ll_write_fill(self->other, LL_PAGE, LL_PAGE, 'x'));
	ASSERT_EQ(0, ll_loop(self->other, dev));
	fd = ll_open(dev, O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	EXPECT_EQ(0, there_and_back(&self->u, self->path, fd));
	EXPECT_EQ(0, ll_ret(fsync(fd)));
	EXPECT_EQ(1, ll_filled(self->other, LL_PAGE, LL_PAGE, 'y'));
	close(fd);
	EXPECT_EQ(0, ll_shell("losetup -d %s", dev));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
}

/* Both sides are FS-DAX files, with a lease on one. */
TEST_F(uring_io, bytes_move_between_dax_file_and_leased_file)
{
	char path[LL_PATH];
	int fd;

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_MIB, path));
	ASSERT_EQ(0, ll_write_fill(path, LL_PAGE, LL_PAGE, 'x'));
	fd = ll_open(path, O_RDWR | O_DIRECT);
	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	EXPECT_EQ(0, there_and_back(&self->u, self->path, fd));
	EXPECT_EQ(1, ll_filled(path, LL_PAGE, LL_PAGE, 'y'));
	close(fd);
}

/* What is written at one end is read at the other, both with the buffer. */
static int through(struct ll_uring *u, int in, int out, unsigned int flags)
{
	char *from = u->map, *to = u->map + LL_PIN_LEN / 2;
	int put, got;

	memset(from, 'x', LL_PAGE);
	put = ll_do(&u->ring, .op = IORING_OP_WRITE_FIXED, .fd = in,
		    .addr = from, .len = LL_PAGE, .flags = flags);
	if (put != LL_PAGE)
		return put < 0 ? put : -EIO;
	got = ll_do(&u->ring, .op = IORING_OP_READ_FIXED, .fd = out,
		    .addr = to, .len = LL_PAGE, .flags = flags);
	if (got != LL_PAGE)
		return got < 0 ? got : -EIO;
	return memcmp(from, to, LL_PAGE) ? -EILSEQ : 0;
}

TEST_F(uring_io, bytes_move_through_pipe_and_socket)
{
	int s[2];

	ASSERT_EQ(0, ll_ret(socketpair(AF_UNIX, SOCK_STREAM, 0, s)));
	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	EXPECT_EQ(0, through(&self->u, self->pipe[1], self->pipe[0], 0));
	EXPECT_EQ(1, ll_filled(self->path, LL_PIN_LEN / 2, LL_PAGE, 'x'));
	EXPECT_EQ(0, through(&self->u, s[0], s[1], 0));
	EXPECT_EQ(0, through(&self->u, self->pipe[1], self->pipe[0],
			     IOSQE_ASYNC));
	EXPECT_EQ(0, through(&self->u, s[0], s[1], IOSQE_ASYNC));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
}

TEST_F(uring_io, bytes_move_once_they_come)
{
	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_submit(&self->u.ring, .op = IORING_OP_READ_FIXED,
			       .fd = self->pipe[0], .addr = self->u.map,
			       .len = LL_PAGE));
	EXPECT_EQ(LL_NO_CQE, ll_io_result(&self->u.ring, 200, NULL));
	ASSERT_EQ(3, write(self->pipe[1], "xxx", 3));
	EXPECT_EQ(3, ll_io_result(&self->u.ring, LL_SOON, NULL));
	EXPECT_EQ(1, ll_filled(self->path, 0, 3, 'x'));
	EXPECT_EQ(1, ll_filled(self->path, 3, LL_PAGE, 'f'));
}

static int on_ring(struct ll_uring *u, int pipe[2], unsigned int flags)
{
	struct iovec v = { .iov_base = u->map, .iov_len = LL_PIN_LEN };
	struct ll_uring with = *u;
	int ret;

	ret = io_uring_queue_init(LL_ENTRIES, &with.ring, flags);
	if (ret)
		return ret;
	ret = io_uring_register_buffers(&with.ring, &v, 1);
	if (!ret && !(flags & IORING_SETUP_IOPOLL))
		ret = through(&with, pipe[1], pipe[0], 0);
	if (!ret && flags & IORING_SETUP_IOPOLL)
		ret = ll_do(&with.ring, .op = IORING_OP_READ_FIXED, .fd = pipe[0],
			    .addr = u->map, .len = 1);
	io_uring_queue_exit(&with.ring);
	return ret;
}

TEST_F(uring_io, rings_of_other_kinds_work_as_well)
{
	const unsigned int defer = IORING_SETUP_SINGLE_ISSUER |
				   IORING_SETUP_DEFER_TASKRUN;

	EXPECT_EQ(0, on_ring(&self->u, self->pipe, IORING_SETUP_SQPOLL));
	EXPECT_EQ(0, on_ring(&self->u, self->pipe, defer));
	EXPECT_EQ(0, on_ring(&self->u, self->pipe, IORING_SETUP_COOP_TASKRUN));
	/* a pipe cannot be polled like that, whatever the buffer */
	EXPECT_EQ(-EOPNOTSUPP,
		  on_ring(&self->u, self->pipe, IORING_SETUP_IOPOLL));
	EXPECT_EQ(0, ll_pins_gone(self->path, LL_SOON));
}

TEST_F(uring_io, a_thousand_buffers_are_as_many_pins)
{
	static struct iovec v[1000];
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		v[i].iov_base = self->u.map + 2 * i * LL_PAGE % LL_FILE_SIZE;
		v[i].iov_len = LL_PAGE;
	}
	ASSERT_EQ(0, io_uring_register_buffers(&self->u.ring, v, 1000));
	EXPECT_EQ(1000, ll_listed(self->path, true));
	ASSERT_EQ(3, write(self->pipe[1], "xxx", 3));
	EXPECT_EQ(3, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
			   .fd = self->pipe[0], .addr = v[999].iov_base,
			   .len = LL_PAGE, .buf = 999));
	EXPECT_EQ(1, ll_filled(self->path, 1998 * LL_PAGE, 3, 'x'));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_listed(self->path, true));
}

TEST_F(uring_io, pins_are_listed_in_proc_and_in_the_ring)
{
	struct ll_said own = { .pid = -1 }, all = { .pid = getpid() };
	struct ll_said info = { .pid = -1 }, none = { .pid = -1 };
	struct ll_id id;

	ASSERT_EQ(0, ll_identify(self->path, &id));
	ASSERT_EQ(0, io_uring_register_buffers_sparse(&self->u.ring, 4));
	ASSERT_EQ(0, ll_uring_update(&self->u, 2, self->u.map + 1, LL_PIN_LEN));
	ASSERT_EQ(0, ll_uring_update(&self->u, 0, self->u.map + LL_FAR, LL_PAGE));
	ll_say_lease(&own, &id, true, self->u.fd, 2);
	ll_say_uring(&own, &id, 0, LL_PIN_LEN + LL_PAGE);
	ll_say_uring(&own, &id, LL_FAR, LL_FAR + LL_PAGE);
	EXPECT_TRUE(ll_shows(&own, "/proc/self/file_pins"));
	ll_say_lease(&all, &id, true, self->u.fd, 2);
	ll_say_uring(&all, &id, 0, LL_PIN_LEN + LL_PAGE);
	ll_say_uring(&all, &id, LL_FAR, LL_FAR + LL_PAGE);
	EXPECT_TRUE(ll_shows(&all, "/proc/layout_leases"));
	ll_say_owned(&info, &id, 0, LL_PIN_LEN + LL_PAGE);
	ll_say_owned(&info, &id, LL_FAR, LL_FAR + LL_PAGE);
	EXPECT_TRUE(ll_fdinfo_shows(&info, getpid(), self->u.ring.ring_fd));

	ASSERT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	ll_say_lease(&none, &id, true, self->u.fd, 0);
	EXPECT_TRUE(ll_shows(&none, "/proc/self/file_pins"));
	memset(&none, 0, sizeof(none));
	EXPECT_TRUE(ll_fdinfo_shows(&none, getpid(), self->u.ring.ring_fd));
}

TEST_F(uring_io, lease_can_be_given_back_right_after_unregister)
{
	int i, again = 0;

	for (i = 0; i < 200 && !again; i++) {
		ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_MIB));
		ASSERT_EQ(0, through(&self->u, self->pipe[1], self->pipe[0],
				     i & 1 ? IOSQE_ASYNC : 0));
		ASSERT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
		again = ll_setlease(self->u.fd, F_UNLCK) ?:
			ll_take(self->u.fd, true, LL_SIG);
	}
	EXPECT_EQ(0, again);
}

TEST_F(uring_io, munmap_and_unlink_keep_the_pin)
{
	char *was = self->u.map;

	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_ret(munmap(self->u.map, LL_FILE_SIZE)));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(-EBUSY, ll_setlease(self->u.fd, F_UNLCK));
	ASSERT_EQ(3, write(self->pipe[1], "xxx", 3));
	EXPECT_EQ(3, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
			   .fd = self->pipe[0], .addr = was, .len = LL_PAGE));
	EXPECT_EQ(1, ll_filled(self->path, 0, 3, 'x'));
	ASSERT_EQ(0, ll_ret(unlink(self->path)));
	EXPECT_EQ(-EBUSY, ll_setlease(self->u.fd, F_UNLCK));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
}

TEST_F(uring_io, close_of_the_ring_drops_the_pins_soon)
{
	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_submit(&self->u.ring, .op = IORING_OP_READ_FIXED,
			       .fd = self->pipe[0], .addr = self->u.map,
			       .len = LL_PAGE));
	io_uring_queue_exit(&self->u.ring);
	self->u.open = false;
	EXPECT_EQ(0, ll_pins_gone(self->path, 3000));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
}

/* With requests that wait for something that never comes. */
static void hold(int sock, void *arg)
{
	struct ll_uring u = { .fd = -1 };
	int p[2], ret;

	ret = ll_ret(pipe(p)) ?: ll_uring_open(&u, arg, 0) ?:
	      ll_take(u.fd, true, LL_SIG) ?: ll_uring_table(&u, 0, LL_PIN_LEN) ?:
	      ll_submit(&u.ring, .op = IORING_OP_READ_FIXED, .fd = p[0],
			.addr = u.map, .len = LL_PAGE) ?:
	      ll_submit(&u.ring, .op = IORING_OP_READ_FIXED, .fd = p[0],
			.addr = u.map, .len = LL_PAGE, .flags = IOSQE_ASYNC);
	ll_say_int(sock, ret ?: u.ring.ring_fd);
	ll_hear_int(sock, 3 * LL_SOON);
}

TEST_F(uring_io, exit_drops_the_pins_soon)
{
	ASSERT_EQ(0, ll_actor_start(&self->a, hold, self->path));
	ASSERT_LT(0, ll_hear_int(self->a.sock, LL_SOON));
	EXPECT_EQ(1, ll_listed(self->path, true));
	ASSERT_EQ(0, ll_say_int(self->a.sock, 0));
	EXPECT_EQ(0, ll_pins_gone(self->path, 3000));
}

TEST_F(uring_io, kill_drops_the_pins_soon)
{
	ASSERT_EQ(0, ll_actor_start(&self->a, hold, self->path));
	ASSERT_LT(0, ll_hear_int(self->a.sock, LL_SOON));
	ll_actor_end(&self->a);
	EXPECT_EQ(0, ll_pins_gone(self->path, 3000));
}

static int io_in_child(void *arg)
{
	struct ll_uring *u = arg;
	int p[2];

	return ll_ret(pipe(p)) ?: through(u, p[1], p[0], 0) ?:
	       through(u, p[1], p[0], IOSQE_ASYNC);
}

TEST_F(uring_io, child_of_fork_does_io_and_its_exit_keeps_the_pin)
{
	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_in_child(io_in_child, &self->u));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(1, ll_filled(self->path, LL_PIN_LEN / 2, LL_PAGE, 'x'));
}

TEST_F(uring_io, ring_that_was_passed_on_keeps_the_pin)
{
	struct ll_said info = { .pid = -1 };
	struct ll_id id;
	int fd, ring;

	ASSERT_EQ(0, ll_identify(self->path, &id));
	ASSERT_EQ(0, ll_actor_start(&self->a, hold, self->path));
	fd = ll_hear_int(self->a.sock, LL_SOON);
	ASSERT_LT(0, fd);
	ring = ll_steal_fd(self->a.pid, fd);
	ASSERT_LE(0, ring);
	ll_actor_end(&self->a);
	ll_sleep_ms(500);
	EXPECT_EQ(1, ll_listed(self->path, true));
	ll_say_owned(&info, &id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_fdinfo_shows(&info, getpid(), ring));
	close(ring);
	EXPECT_EQ(0, ll_pins_gone(self->path, 3000));
}

/* The descriptor is closed, but the task can enter it still. */
TEST_F(uring_io, ring_that_is_registered_with_its_task_keeps_the_pin)
{
	struct io_uring *r = &self->u.ring;

	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	ASSERT_EQ(1, io_uring_register_ring_fd(r));
	ASSERT_EQ(0, ll_ret(close(r->ring_fd)));
	ll_sleep_ms(300);
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(0, through(&self->u, self->pipe[1], self->pipe[0], 0));
	EXPECT_EQ(0, ll_ret(syscall(__NR_io_uring_register, r->enter_ring_fd,
				    IORING_UNREGISTER_BUFFERS |
				    USE_REGISTERED_RING, NULL, 0)));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
	self->u.open = false;
}

TEST_HARNESS_MAIN
