// SPDX-License-Identifier: GPL-2.0
/*
 * Revocation of registered buffers whose holder lives: it took its lease when
 * nobody had to agree to be killed. Its buffers are gone then, as if the slots
 * were empty; all else of the ring works on.
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_uring.h"

#define BUFFERS	1000

FIXTURE(uring_revoke)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_uring u;
	struct ll_breaker b;
	char *mem;
	int zero, pipe[2];
	int64_t start;
};

FIXTURE_VARIANT(uring_revoke)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(uring_revoke, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(uring_revoke, xfs) {
	.fs = LL_XFS,
};

/* Slot 0: anonymous memory, slot 1: the leased file, slot 2: empty. */
FIXTURE_SETUP(uring_revoke)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_uring_unwilling(&self->env, &self->u, self->path, 0));
	self->mem = ll_anon(LL_PIN_LEN);
	ASSERT_EQ(0, io_uring_register_buffers_sparse(&self->u.ring, 3));
	ASSERT_EQ(0, ll_uring_update(&self->u, 0, self->mem, LL_PIN_LEN));
	ASSERT_EQ(0, ll_uring_update(&self->u, 1, self->u.map, LL_PIN_LEN));
	self->zero = ll_open("/dev/zero", O_RDWR);
	ASSERT_EQ(0, ll_ret(pipe(self->pipe)));
}

FIXTURE_TEARDOWN(uring_revoke)
{
	if (self->b.pid > 0)
		ll_breaker_end(&self->b);
	ll_uring_close(&self->u);
	ll_teardown(&self->env);
}

static int read_into(struct ll_uring *u, int fd, char *addr, int slot)
{
	return ll_do(&u->ring, .op = IORING_OP_READ_FIXED, .fd = fd,
		     .addr = addr, .len = 10, .buf = slot);
}

static int write_from(struct ll_uring *u, int fd, char *addr, int slot)
{
	return ll_do(&u->ring, .op = IORING_OP_WRITE_FIXED, .fd = fd,
		     .addr = addr, .len = 10, .buf = slot);
}

/* A lease to which it agrees, on the file as it was. */
static int take_again(struct ll_uring *u, const char *path)
{
	return ll_ret(truncate(path, LL_FILE_SIZE)) ?:
	       ll_take(u->fd, true, LL_SIG);
}

TEST_F(uring_revoke, pins_go_at_the_deadline_and_the_ring_lives)
{
	int64_t took;

	EXPECT_EQ(10, read_into(&self->u, self->zero, self->u.map, 1));
	took = ll_time_truncate(&self->b, self->path);
	EXPECT_LE(950, took);
	EXPECT_GT(3000, took);
	EXPECT_EQ(0, ll_size(self->path));
	EXPECT_EQ(0, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_listed(self->path, false));
	EXPECT_EQ(F_UNLCK, ll_ret(fcntl(self->u.fd, F_GETLEASE)));
	EXPECT_EQ(-EAGAIN, ll_setlease(self->u.fd, F_UNLCK));

	EXPECT_EQ(0, ll_do(&self->u.ring, .op = IORING_OP_NOP));
	/* as an empty slot does */
	EXPECT_EQ(-EFAULT, read_into(&self->u, self->zero, self->u.map, 2));
	EXPECT_EQ(-EFAULT, read_into(&self->u, self->zero, self->u.map, 1));
	EXPECT_EQ(-EFAULT, write_from(&self->u, self->zero, self->u.map, 1));
	EXPECT_EQ(-EFAULT, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
				 .fd = self->zero, .addr = self->u.map,
				 .len = 10, .buf = 1, .flags = IOSQE_ASYNC));
	EXPECT_EQ(10, read_into(&self->u, self->zero, self->mem, 0));
	EXPECT_EQ(10, write_from(&self->u, self->zero, self->mem, 0));
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
}

TEST_F(uring_revoke, slot_is_filled_anew)
{
	EXPECT_LT(0, ll_time_truncate(&self->b, self->path));
	EXPECT_EQ(0, ll_uring_update(&self->u, 1, self->mem, LL_PIN_LEN));
	EXPECT_EQ(10, read_into(&self->u, self->zero, self->mem, 1));
	EXPECT_EQ(0, ll_uring_update(&self->u, 1, NULL, 0));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
}

TEST_F(uring_revoke, slot_needs_a_new_lease_and_takes_one)
{
	EXPECT_LT(0, ll_time_truncate(&self->b, self->path));
	ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	EXPECT_EQ(-EOPNOTSUPP,
		  ll_uring_update(&self->u, 2, self->u.map, LL_PAGE));
	ASSERT_EQ(0, take_again(&self->u, self->path));
	EXPECT_EQ(0, ll_uring_update(&self->u, 2, self->u.map, LL_PAGE));
	EXPECT_EQ(10, read_into(&self->u, self->zero, self->u.map, 2));
	/* the new lease does not bring the old buffer back */
	EXPECT_EQ(-EFAULT, read_into(&self->u, self->zero, self->u.map, 1));
	EXPECT_EQ(0, ll_uring_update(&self->u, 1, self->u.map, LL_PAGE));
	EXPECT_EQ(10, read_into(&self->u, self->zero, self->u.map, 1));
	EXPECT_EQ(2, ll_listed(self->path, true));
}

TEST_F(uring_revoke, table_is_unregistered_and_registered_anew)
{
	struct ll_said info = { .pid = -1 };
	struct ll_id id;

	ASSERT_EQ(0, ll_identify(self->path, &id));
	EXPECT_LT(0, ll_time_truncate(&self->b, self->path));
	EXPECT_TRUE(ll_fdinfo_shows(&info, getpid(), self->u.ring.ring_fd));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	ASSERT_EQ(0, take_again(&self->u, self->path));
	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	ll_say_owned(&info, &id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_fdinfo_shows(&info, getpid(), self->u.ring.ring_fd));
	ASSERT_EQ(3, write(self->pipe[1], "xxx", 3));
	EXPECT_EQ(3, read_into(&self->u, self->pipe[0], self->u.map, 0));
	EXPECT_EQ(1, ll_filled(self->path, 0, 3, 'x'));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_setlease(self->u.fd, F_UNLCK));
}

TEST_F(uring_revoke, ring_can_be_closed_afterwards)
{
	EXPECT_LT(0, ll_time_truncate(&self->b, self->path));
	io_uring_queue_exit(&self->u.ring);
	self->u.open = false;
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
}

TEST_F(uring_revoke, unregister_in_time_keeps_the_lease)
{
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, ll_finish(&self->b, 300));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_finish(&self->b, 1000));
	EXPECT_EQ(LL_EXCL, ll_ret(fcntl(self->u.fd, F_GETLEASE)));
}

TEST_F(uring_revoke, each_ring_of_the_holder_loses_its_buffer)
{
	struct ll_uring more = self->u;

	ASSERT_EQ(0, io_uring_queue_init(LL_ENTRIES, &more.ring, 0));
	ASSERT_EQ(0, ll_uring_table(&more, LL_FAR, LL_PIN_LEN));
	EXPECT_EQ(2, ll_listed(self->path, true));
	EXPECT_LT(0, ll_time_truncate(&self->b, self->path));
	EXPECT_EQ(0, ll_listed(self->path, true));
	EXPECT_EQ(-EFAULT, read_into(&self->u, self->zero, self->u.map, 1));
	EXPECT_EQ(-EFAULT, read_into(&more, self->zero, more.map + LL_FAR, 0));
	io_uring_queue_exit(&more.ring);
}

/* It is the ring that is revoked: its pins on another file go as well. */
TEST_F(uring_revoke, what_is_listed_and_what_works_agree_for_another_file)
{
	struct ll_uring other = { .fd = -1 };
	char path[LL_PATH];
	int pins;

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, path));
	ASSERT_EQ(0, ll_uring_unwilling(&self->env, &other, path, 0));
	ASSERT_EQ(0, ll_uring_update(&self->u, 2, other.map, LL_PIN_LEN));
	EXPECT_LT(0, ll_time_truncate(&self->b, self->path));
	ll_sleep_ms(300);
	pins = ll_listed(path, true);
	EXPECT_EQ(pins ? 10 : -EFAULT,
		  read_into(&self->u, self->zero, other.map, 2));
	EXPECT_EQ(pins, ll_listed(path, false));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	EXPECT_EQ(0, ll_listed(path, true));
	ll_uring_close(&other);
}

TEST_F(uring_revoke, a_thousand_buffers_go)
{
	static struct iovec v[BUFFERS];
	unsigned int i;
	int64_t took;

	for (i = 0; i < BUFFERS; i++) {
		v[i].iov_base = self->u.map + 2 * i * LL_PAGE % LL_FILE_SIZE;
		v[i].iov_len = LL_PAGE;
	}
	ASSERT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	ASSERT_EQ(0, io_uring_register_buffers(&self->u.ring, v, BUFFERS));
	took = ll_time_truncate(&self->b, self->path);
	EXPECT_LE(950, took);
	EXPECT_GT(5000, took);
	EXPECT_EQ(0, ll_listed(self->path, true));
	for (i = 0; i < BUFFERS; i += 111)
		EXPECT_EQ(-EFAULT, read_into(&self->u, self->zero,
					     v[i].iov_base, i));
	EXPECT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
}

struct hammer {
	struct ll_uring *u;
	int fd, stop, done, refused;
};

/* Fixed reads on and on, one behind the other. */
static void *hammer(void *arg)
{
	struct hammer *h = arg;

	while (!__atomic_load_n(&h->stop, __ATOMIC_RELAXED)) {
		int ret = ll_do(&h->u->ring, .op = IORING_OP_READ_FIXED,
				.fd = h->fd, .addr = h->u->map,
				.len = LL_PIN_LEN, .buf = 1,
				.flags = h->done & 1 ? IOSQE_ASYNC : 0);

		__atomic_add_fetch(ret < 0 ? &h->refused : &h->done, 1,
				   __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST_F(uring_revoke, freed_blocks_never_change)
{
	struct hammer h = { .u = &self->u };
	int64_t block = ll_physical(self->path, 0);
	char source[LL_PATH];
	pthread_t thread;

	/* zeroes would do, but for how the filesystem hands out blocks */
	ASSERT_EQ(0, ll_file(&self->env, "source", LL_PIN_LEN, source));
	ASSERT_EQ(0, ll_write_fill(source, 0, LL_PIN_LEN, 'd'));
	h.fd = ll_open(source, O_RDONLY);
	ASSERT_EQ(0, ll_take_all_space(&self->env));
	ASSERT_EQ(0, pthread_create(&thread, NULL, hammer, &h));
	EXPECT_LT(0, ll_time_truncate(&self->b, self->path));
	EXPECT_EQ(0, ll_watch_blocks(&self->env, block));
	EXPECT_LT(0, __atomic_load_n(&h.done, __ATOMIC_RELAXED));
	EXPECT_LT(0, __atomic_load_n(&h.refused, __ATOMIC_RELAXED));
	__atomic_store_n(&h.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

/*
 * Somebody who is stuck in a page fault, one for each page of this memory, until
 * the test resolves it.
 */
struct stuck {
	struct ll_uring *u;
	struct ll_stuck at;
	int fd;
	struct iovec v[3];
	int ret;
};

static void *register_stuck(void *arg)
{
	__u64 tags[3] = { 0, 0, 0 };
	struct stuck *s = arg;

	s->ret = io_uring_register_buffers_update_tag(&s->u->ring, 0, s->v,
						      tags, 3);
	return NULL;
}

TEST_F(uring_revoke, registration_stuck_in_a_page_fault_stops_no_revocation)
{
	struct stuck s = { .u = &self->u };
	struct ll_uring other = { .fd = -1 };
	char path[LL_PATH];
	pthread_t thread;

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, path));
	ASSERT_EQ(0, ll_uring_unwilling(&self->env, &other, path, 0));
	ASSERT_EQ(0, ll_stuck_open(&s.at, NULL, 2));
	/* stuck, then another leased buffer, then stuck again */
	s.v[0] = (struct iovec){ .iov_base = s.at.mem, .iov_len = LL_PAGE };
	s.v[1] = (struct iovec){ .iov_base = other.map, .iov_len = LL_PIN_LEN };
	s.v[2] = (struct iovec){ .iov_base = s.at.mem + LL_PAGE, .iov_len = LL_PAGE };
	/* the buffer of the first file, where the update does not reach it */
	ASSERT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	ASSERT_EQ(0, io_uring_register_buffers_sparse(&self->u.ring, 4));
	ASSERT_EQ(0, ll_uring_update(&self->u, 3, self->u.map, LL_PIN_LEN));
	ASSERT_EQ(0, pthread_create(&thread, NULL, register_stuck, &s));
	ASSERT_EQ(0, ll_stuck_wait(&s.at));
	EXPECT_LT(0, ll_time_truncate(&self->b, self->path));
	ASSERT_EQ(0, ll_stuck_resolve(&s.at, 0));
	ASSERT_EQ(0, ll_stuck_wait(&s.at));
	EXPECT_EQ(1, ll_listed(path, true));
	EXPECT_LT(0, ll_time_truncate(&self->b, path));
	EXPECT_EQ(0, ll_listed(path, true));
	ASSERT_EQ(0, ll_stuck_resolve(&s.at, 1));
	pthread_join(thread, NULL);
	EXPECT_EQ(3, s.ret);
	if (self->b.pid > 0)
		EXPECT_EQ(0, ll_finish(&self->b, LL_SOON));
	ll_uring_close(&other);
}

/*
 * Such a file copies to the address, where there is something else by now, and
 * not to the pages of the buffer.
 */
static void *read_stuck(void *arg)
{
	struct stuck *s = arg;

	s->ret = ll_do(&s->u->ring, .op = IORING_OP_READ_FIXED, .fd = s->fd,
		       .addr = s->at.mem, .len = 10, .off = (uintptr_t)s,
		       .buf = 1);
	return NULL;
}

static int start_stuck(struct stuck *s, pthread_t *thread, int flags)
{
	s->fd = ll_open("/proc/self/mem", O_RDONLY | flags);
	if (s->fd < 0)
		return s->fd;
	return ll_stuck_open(&s->at, s->u->map, 2) ?:
	       -pthread_create(thread, NULL, read_stuck, s) ?: ll_stuck_wait(&s->at);
}

static void end_stuck(struct stuck *s, pthread_t thread)
{
	ll_stuck_resolve(&s->at, 0);
	pthread_join(thread, NULL);
}

TEST_F(uring_revoke, read_by_a_worker_stuck_in_a_page_fault_stops_nothing)
{
	struct stuck s = { .u = &self->u };
	pthread_t thread;

	ASSERT_EQ(0, start_stuck(&s, &thread, 0));
	EXPECT_LT(0, ll_time_truncate(&self->b, self->path));
	EXPECT_EQ(0, ll_listed(self->path, true));
	end_stuck(&s, thread);
	if (self->b.pid > 0)
		EXPECT_EQ(0, ll_finish(&self->b, LL_SOON));
}

TEST_F(uring_revoke, read_by_its_submitter_stuck_in_a_page_fault_stops_nothing)
{
	struct stuck s = { .u = &self->u };
	pthread_t thread;

	ASSERT_EQ(0, start_stuck(&s, &thread, O_NONBLOCK));
	EXPECT_LT(0, ll_time_truncate(&self->b, self->path));
	EXPECT_EQ(0, ll_listed(self->path, true));
	end_stuck(&s, thread);
	if (self->b.pid > 0)
		EXPECT_EQ(0, ll_finish(&self->b, LL_SOON));
}

TEST_HARNESS_MAIN
