// SPDX-License-Identifier: GPL-2.0
/*
 * Revocations that meet everything else that can be done with a ring and its
 * buffers, at random, from several threads and processes. Whatever the outcome
 * of each call, in the end nothing is left, and nobody hangs.
 *
 * The ring is the test's. Children of it take leases, put the file into slots,
 * and exit, so that each truncate revokes at once.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_uring.h"

#define SLOTS		8
#define RUN_MS		12000
#define CALL_MS		8000	/* no call takes so long, and none hangs */

/* R_FEED last: unregister waits for requests, and they for food. */
enum role { R_LEAVE, R_TRUNCATE, R_UPDATE, R_TABLE, R_CLONE, R_SUBMIT,
	    R_READ_PROC, R_FEED, R_ROLES };

struct race {
	struct ll_uring u;
	const char *path;
	char *mem;
	int pipe[2];
	int feed[2];		/* the same pipe, without blocking */
	int stop[R_ROLES];
	int done[R_ROLES];
	int slowest[R_ROLES];
};

struct racer {
	struct race *r;
	enum role role;
	unsigned int seed;
	pthread_t thread;
};

FIXTURE(uring_race)
{
	struct ll_env env;
	char path[LL_PATH];
	struct race r;
	struct racer racers[R_ROLES];
};

FIXTURE_VARIANT(uring_race)
{
	enum ll_fs fs;
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(uring_race, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(uring_race, xfs) {
	.fs = LL_XFS,
};

FIXTURE_VARIANT_ADD(uring_race, xfs_sqpoll) {
	.fs = LL_XFS, .flags = IORING_SETUP_SQPOLL,
};

FIXTURE_SETUP(uring_race)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_uring_open(&self->r.u, self->path, variant->flags));
	ASSERT_EQ(0, ll_ret(pipe(self->r.pipe)));
	self->r.path = self->path;
	self->r.mem = ll_anon(LL_PIN_LEN);
}

FIXTURE_TEARDOWN(uring_race)
{
	ll_uring_close(&self->r.u);
	ll_teardown(&self->env);
}

/* The child fails to take a lease, or to pin, where a break is pending. */
static void do_leave(struct race *r, unsigned int *seed)
{
	ll_uring_leave(&r->u, rand_r(seed) % SLOTS, r->path);
}

static void do_truncate(struct race *r, unsigned int *seed)
{
	static const off_t to[] = { 0, LL_PAGE, LL_FAR };

	if (truncate(r->path, to[rand_r(seed) % LL_ARRAY_SIZE(to)]))
		ll_log("truncate: %s", strerror(errno));
	if (truncate(r->path, LL_FILE_SIZE))
		ll_log("truncate: %s", strerror(errno));
	ll_sleep_ms(rand_r(seed) % 20);
}

static void do_update(struct race *r, unsigned int *seed)
{
	int slot = rand_r(seed) % SLOTS;

	if (rand_r(seed) & 1)
		ll_uring_update(&r->u, slot, r->mem, LL_PIN_LEN);
	else
		ll_uring_update(&r->u, slot, NULL, 0);
	ll_sleep_ms(1);
}

static void do_table(struct race *r, unsigned int *seed)
{
	if (io_uring_unregister_buffers(&r->u.ring) == 0)
		ll_sleep_ms(rand_r(seed) % 3);
	io_uring_register_buffers_sparse(&r->u.ring, SLOTS);
	ll_sleep_ms(rand_r(seed) % 30);
}

static void do_clone(struct race *r, unsigned int *seed)
{
	struct io_uring to;

	(void)seed;
	if (io_uring_queue_init(4, &to, 0))
		return;
	ll_uring_clone(&to, &r->u.ring);
	io_uring_queue_exit(&to);
}

/* Of all kinds; the results are as they happen to be. */
static void do_submit(struct race *r, unsigned int *seed)
{
	bool write = rand_r(seed) & 1;
	int i, leased = rand_r(seed) & 1;

	for (i = 0; i < 8; i++)
		ll_submit(&r->u.ring,
			  .op = write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED,
			  .fd = r->pipe[write],
			  .addr = leased ? r->u.map : r->mem,
			  .len = 1 + rand_r(seed) % LL_PAGE,
			  .buf = rand_r(seed) % SLOTS,
			  .flags = rand_r(seed) & 1 ? IOSQE_ASYNC : 0);
	for (i = 0; i < 8; i++)
		ll_io_result(&r->u.ring, 0, NULL);
}

/* So that requests that wait come to an end, as far as they do. */
static void do_feed(struct race *r, unsigned int *seed)
{
	static char buf[LL_PAGE];

	if (rand_r(seed) & 1) {
		if (write(r->feed[1], buf, sizeof(buf)) < 0)
			ll_sleep_ms(1);
	} else if (read(r->feed[0], buf, sizeof(buf)) < 0) {
		ll_sleep_ms(1);
	}
}

static void do_read_proc(struct race *r, unsigned int *seed)
{
	char text[8192];

	(void)seed;
	ll_read(text, sizeof(text), "/proc/self/fdinfo/%d", r->u.ring.ring_fd);
	ll_read(text, sizeof(text), "/proc/layout_leases");
	ll_sleep_ms(1);
}

static void (*const parts[])(struct race *r, unsigned int *seed) = {
	[R_LEAVE] = do_leave,
	[R_TRUNCATE] = do_truncate,
	[R_UPDATE] = do_update,
	[R_TABLE] = do_table,
	[R_CLONE] = do_clone,
	[R_SUBMIT] = do_submit,
	[R_READ_PROC] = do_read_proc,
	[R_FEED] = do_feed,
};

static void *race(void *arg)
{
	struct racer *me = arg;
	struct race *r = me->r;

	while (!__atomic_load_n(&r->stop[me->role], __ATOMIC_RELAXED)) {
		int64_t start = ll_now_ms();
		int took;

		parts[me->role](r, &me->seed);
		took = ll_now_ms() - start;
		if (took > r->slowest[me->role])
			r->slowest[me->role] = took;
		r->done[me->role]++;
	}
	return NULL;
}

static int join_by(pthread_t thread, int timeout_ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += timeout_ms / 1000;
	return -pthread_timedjoin_np(thread, NULL, &ts);
}

TEST_F_TIMEOUT(uring_race, revocation_meets_all_other_uses_of_the_ring, 120)
{
	struct race *r = &self->r;
	char path[LL_PATH];
	int i;

	ASSERT_EQ(0, io_uring_register_buffers_sparse(&r->u.ring, SLOTS));
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", r->pipe[i]);
		r->feed[i] = ll_open(path, O_NONBLOCK | (i ? O_WRONLY : O_RDONLY));
		ASSERT_LE(0, r->feed[i]);
	}
	for (i = 0; i < R_ROLES; i++) {
		self->racers[i] = (struct racer){ .r = r, .role = i, .seed = i };
		ASSERT_EQ(0, pthread_create(&self->racers[i].thread, NULL, race,
					    &self->racers[i]));
	}
	ll_sleep_ms(RUN_MS);
	for (i = 0; i < R_FEED; i++)
		__atomic_store_n(&r->stop[i], 1, __ATOMIC_RELAXED);
	for (i = 0; i < R_ROLES; i++) {
		__atomic_store_n(&r->stop[i], 1, __ATOMIC_RELAXED);
		EXPECT_EQ(0, join_by(self->racers[i].thread, 3 * LL_SOON)) {
			TH_LOG("role %d hangs", i);
		}
		EXPECT_LT(0, r->done[i]);
		EXPECT_GT(CALL_MS, r->slowest[i]) {
			TH_LOG("role %d", i);
		}
	}
	io_uring_queue_exit(&r->u.ring);
	r->u.open = false;
	EXPECT_EQ(0, ll_pins_gone(self->path, LL_SOON));
	EXPECT_EQ(0, ll_comes_to_list(self->path, false, 0));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
}

/* One revocation after the other, each with requests that wait for it. */
TEST_F_TIMEOUT(uring_race, requests_being_armed_meet_a_revocation, 120)
{
	struct race *r = &self->r;
	int64_t end = ll_now_ms() + RUN_MS;
	int i, rounds = 0, ret, lost = 0, odd = 0;
	unsigned int seed = 1;

	ASSERT_EQ(0, io_uring_register_buffers_sparse(&r->u.ring, 1));
	while (ll_now_ms() < end && !lost) {
		struct ll_breaker b;

		ASSERT_EQ(0, ll_uring_leave(&r->u, 0, self->path));
		ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, 0, 0));
		usleep(rand_r(&seed) % 3000);
		for (i = 0; i < 20; i++)
			ASSERT_EQ(0, ll_submit(&r->u.ring,
					       .op = IORING_OP_READ_FIXED,
					       .fd = r->pipe[0],
					       .addr = r->u.map, .len = LL_PAGE,
					       .flags = IOSQE_ASYNC));
		ASSERT_EQ(0, ll_finish(&b, LL_SOON));
		for (i = 0; i < 20; i++) {
			ret = ll_io_result(&r->u.ring, 2000, NULL);
			lost += ret == LL_NO_CQE;
			odd += ret != -ECANCELED && ret != -EFAULT &&
			       ret != -EINTR && ret != LL_NO_CQE;
		}
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
		rounds++;
	}
	TH_LOG("%d rounds", rounds);
	EXPECT_EQ(0, odd);
	/* nobody would ever wake those: nothing is written to that pipe */
	EXPECT_EQ(0, lost);
}

TEST_HARNESS_MAIN
