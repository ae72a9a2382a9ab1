// SPDX-License-Identifier: GPL-2.0
/*
 * Flushing of what is pinned, by several at once: two calls of fsync(2), a pin
 * that comes while one is under way, and the flusher threads.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_flush.h"
#include "layout_lease_report.h"

#define VM		"/proc/sys/vm/"
#define INTERVAL_MS	100	/* of the flusher threads */
#define ENTRIES		(LL_FILE_SIZE / LL_PMD_LEN)
#define SYNCERS		2
#define SYNCS		30	/* of each of them */
#define ROUNDS		5

FIXTURE(race)
{
	struct ll_env env;
	char path[LL_PATH];
	int fd;
	char *map;
	struct ll_rdma r;
	struct ibv_mr *mr;
	struct ll_flush flush;
	char interval[16], expire[16];
};

FIXTURE_VARIANT(race)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(race, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(race, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(race)
{
	ASSERT_LT(0, ll_read(self->interval, sizeof(self->interval),
			     VM "dirty_writeback_centisecs"));
	ASSERT_LT(0, ll_read(self->expire, sizeof(self->expire),
			     VM "dirty_expire_centisecs"));
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	self->fd = ll_huge_leased(&self->env, self->path, 0, &self->map);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ll_rdma_open(&self->r));
	ASSERT_EQ(0, ll_ret(fsync(self->fd)));
	ASSERT_EQ(0, ll_flush_watch(&self->flush, self->path));
}

static int set_flusher(const char *interval, const char *expire)
{
	return ll_shell("echo %s >" VM "dirty_writeback_centisecs", interval) ?:
	       ll_shell("echo %s >" VM "dirty_expire_centisecs", expire);
}

FIXTURE_TEARDOWN(race)
{
	set_flusher(strtok(self->interval, "\n"), strtok(self->expire, "\n"));
	ll_dereg(&self->mr);
	ll_rdma_close(&self->r);
	ll_flush_end();
	ll_teardown(&self->env);
}

/* A thread in dax_writeback_mapping_range(): what was flushed meanwhile. */
struct syncer {
	pid_t pid;
	bool in;
	bool flushed[ENTRIES];
};

struct syncers {
	struct syncer s[SYNCERS];
	int done, early;
};

static struct syncer *syncer(struct syncers *all, pid_t pid)
{
	int i;

	for (i = 0; i < SYNCERS; i++) {
		if (!all->s[i].pid)
			all->s[i].pid = pid;
		if (all->s[i].pid == pid)
			return &all->s[i];
	}
	return NULL;
}

/* Each call must see each entry flushed between its beginning and its end. */
static int follow(void *arg, pid_t pid, const char *event, const char *text)
{
	struct syncers *all = arg;
	struct syncer *s = syncer(all, pid);
	unsigned long at;
	int i;

	if (!s)
		return -ESRCH;
	if (!strcmp(event, "dax_writeback_range")) {
		memset(s->flushed, 0, sizeof(s->flushed));
		s->in = true;
	} else if (!strcmp(event, "dax_writeback_range_done")) {
		for (i = 0; i < ENTRIES; i++)
			all->early += !s->flushed[i];
		all->done++;
		s->in = false;
	} else {
		text = strstr(text, "pgoff ");
		if (!text || sscanf(text, "pgoff %lx", &at) != 1)
			return -EINVAL;
		for (i = 0; i < SYNCERS; i++)
			all->s[i].flushed[at * LL_PAGE / LL_PMD_LEN] = true;
	}
	return 0;
}

static void *sync_on(void *arg)
{
	int i, *fd = arg;

	for (i = 0; i < SYNCS; i++)
		if (fsync(*fd))
			return NULL;
	return arg;
}

TEST_F(race, fsync_does_not_return_before_another_has_flushed)
{
	struct syncers all = {};
	pthread_t threads[SYNCERS];
	void *done;
	int i;

	ASSERT_EQ(0, ll_reg(&self->r, self->map, LL_FILE_SIZE, &self->mr));
	ASSERT_EQ(0, ll_flush_trace(&self->flush, "fs_dax/dax_writeback_range"));
	ASSERT_EQ(0, ll_flush_trace(&self->flush, "fs_dax/dax_writeback_range_done"));
	for (i = 0; i < SYNCERS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, sync_on, &self->fd));
	for (i = 0; i < SYNCERS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &done));
		EXPECT_EQ(&self->fd, done);
	}
	ASSERT_EQ(0, ll_flush_read(&self->flush, follow, &all));
	EXPECT_EQ(SYNCERS * SYNCS, all.done);
	EXPECT_EQ(0, all.early);
}

/* A call in the background that makes the file durable. */
struct call {
	enum ll_durable call;
	int fd, ret;
	pthread_t thread;
};

static void *do_call(void *arg)
{
	struct call *c = arg;

	c->ret = ll_make_durable(c->call, c->fd, NULL, 0);
	return NULL;
}

struct progress {
	bool begun, flushed;
};

static int note(void *arg, pid_t pid, const char *event, const char *text)
{
	struct progress *p = arg;

	(void)pid;
	(void)text;
	p->begun |= !strcmp(event, "dax_writeback_range");
	p->flushed |= !strcmp(event, "dax_writeback_one");
	return 0;
}

/* Begins, and has a page to flush. Returns 1 if it has not flushed it yet. */
static int begin(struct ll_flush *f, struct call *c)
{
	int64_t end = ll_now_ms() + LL_SOON;
	struct progress p = {};
	int ret = ll_flush_forget();

	if (ret || pthread_create(&c->thread, NULL, do_call, c))
		return ret ?: -EAGAIN;
	while (!ret && !p.begun && ll_now_ms() < end)
		ret = ll_flush_read(f, note, &p);
	if (ret)
		return ret;
	return p.begun ? !p.flushed : -ETIMEDOUT;
}

/*
 * The page is mapped for writing, so that the pin does not fault, and about to
 * become clean.
 */
TEST_F(race, pin_that_comes_during_a_writeback_is_not_missed)
{
	static const enum ll_durable calls[] = { LL_FSYNC, LL_SYNCFS };
	struct call c = { .fd = self->fd };
	int i, ret, within = 0;
	char *page;

	ASSERT_EQ(0, ll_ret(munmap(self->map, LL_FILE_SIZE)));
	page = ll_map_crowd(self->fd, LL_PIN_LEN);
	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, ll_flush_trace(&self->flush, "fs_dax/dax_writeback_range"));
	for (i = 0; i < 2 * ROUNDS; i++) {
		c.call = calls[i % 2];
		*page = 'w';
		ret = begin(&self->flush, &c);
		ASSERT_LE(0, ret);
		within += ret;
		ret = ll_reg(&self->r, page, LL_PAGE, &self->mr);
		ASSERT_EQ(0, pthread_join(c.thread, NULL));
		EXPECT_EQ(0, c.ret);
		ASSERT_EQ(0, ret);
		EXPECT_EQ(1, ll_durable_flushes(&self->flush, c.call, self->fd, NULL, 0))
			TH_LOG("%s", ll_durable_name(c.call));
		EXPECT_TRUE(ll_flush_covers(&self->flush, LL_PIN_LEN, LL_PAGE));
		ASSERT_EQ(0, ll_dereg(&self->mr));
		ASSERT_EQ(0, ll_make_durable(LL_SYNCFS, self->fd, NULL, 0));
	}
	EXPECT_LE(ROUNDS, within);
}

static int count(void *arg, pid_t pid, const char *event, const char *text)
{
	(void)pid;
	(void)text;
	*(int *)arg += !strcmp(event, "writeback_single_inode");
	return 0;
}

/* They look at it, find that it is not for them, and go to sleep again. */
TEST_F(race, flusher_threads_look_at_a_pinned_file_once_per_interval)
{
	int64_t begun, end;
	int visits = 0;

	ASSERT_EQ(0, ll_reg(&self->r, self->map, LL_FILE_SIZE, &self->mr));
	ASSERT_EQ(0, ll_make_durable(LL_SYNCFS, self->fd, NULL, 0));
	ASSERT_EQ(0, set_flusher("10", "10"));
	ASSERT_EQ(0, ll_flush_trace(&self->flush, "writeback/writeback_single_inode"));
	ASSERT_EQ(0, ll_flush_forget());
	begun = ll_now_ms();
	end = begun + 3 * LL_SOON;
	do {
		ll_sleep_ms(10 * INTERVAL_MS);
		visits = 0;
		ASSERT_EQ(0, ll_flush_read(&self->flush, count, &visits));
	} while (visits < 10 && ll_now_ms() < end);
	EXPECT_LE(10, visits);
	EXPECT_GE(2 + 3 * (ll_now_ms() - begun) / (2 * INTERVAL_MS), visits);
	EXPECT_EQ(0, ll_flushed(&self->flush));
	/* and they have not taken it off their list */
	EXPECT_EQ(ENTRIES, ll_durable_flushes(&self->flush, LL_SYNCFS, self->fd, NULL, 0));
}

TEST_HARNESS_MAIN
