// SPDX-License-Identifier: GPL-2.0
/*
 * Whoever meets a DAX entry that is locked waits for it, and then does what it
 * came for. Here fsync(2) has an entry locked for as long as the test needs: it
 * is delayed when it is about to flush.
 *
 *   fsync, processor 0:   lock the entry ------ delayed ------ flush, unlock
 *   the other, 1:                    comes ---- waits -------- goes on
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_delay.h"
#include "layout_lease_flush.h"
#include "layout_lease_fuse.h"

#define FLUSH	"dax_flush"	/* what is delayed */
#define ROUNDS	5		/* of what depends on who is faster */
#define RANGE_IS_DURABLE	(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | \
				 SYNC_FILE_RANGE_WAIT_AFTER)

FIXTURE(locked)
{
	struct ll_env env;
	char path[LL_PATH];
	int fd;
	char *map;
	pid_t syncer, reader;
	struct ll_fuse fuse;
	struct ll_breaker b;
	struct ll_rdma r;
	struct ibv_mr *mr;
	struct ll_flush flush;
};

FIXTURE_VARIANT(locked)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(locked, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(locked, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(locked)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	self->fd = ll_open(self->path, O_RDWR);
	ASSERT_LE(0, self->fd);
	self->map = ll_map_fd(self->fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_SHARED, 0);
	ASSERT_NE(NULL, self->map);
	ASSERT_EQ(0, ll_rdma_open(&self->r));
	ASSERT_EQ(0, ll_run_on(1));
}

FIXTURE_TEARDOWN(locked)
{
	ll_delay_end(FLUSH);
	if (self->syncer > 0)
		ll_wait_exit(self->syncer, LL_SOON, NULL);
	ll_fuse_end(&self->fuse);
	if (self->b.pid > 0)
		ll_breaker_end(&self->b);
	ll_dereg(&self->mr);
	ll_rdma_close(&self->r);
	ll_flush_end();
	ll_teardown(&self->env);
}

/*
 * fsync(2) of what is dirty now, by a process of its own. It has no mapping: to
 * change one, the other processor would have to wait for this one.
 */
static int sync_begins(const char *path, char *map, pid_t *pid)
{
	int ret = ll_delay(FLUSH);

	if (ret)
		return ret;
	*pid = fork();
	if (!*pid) {
		int fd = ll_open(path, O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		munmap(map, LL_FILE_SIZE);
		_exit(ll_run_on(0) || fsync(fd) ? 1 : 0);
	}
	return ll_delay_begins();
}

static int sync_ends(pid_t *pid)
{
	int status, ret = ll_wait_exit(*pid, 3 * LL_SOON, &status);

	*pid = 0;
	return ret ?: status;
}

static int count_own(void *arg, pid_t pid, const char *event, const char *text)
{
	(void)text;
	*(int *)arg += pid == getpid() && !strcmp(event, "dax_writeback_one");
	return 0;
}

/* What the other flushes may be older than what this call is to make durable. */
TEST_F_TIMEOUT(locked, fsync_flushes_what_another_is_flushing_once_more, 120)
{
	int flushed = 0;

	ASSERT_EQ(0, ll_take(self->fd, true, SIGKILL));
	ASSERT_EQ(0, ll_reg(&self->r, self->map, LL_PAGE, &self->mr));
	ASSERT_EQ(0, ll_ret(fsync(self->fd)));
	ASSERT_EQ(0, ll_flush_watch(&self->flush, self->path));
	ASSERT_EQ(0, sync_begins(self->path, self->map, &self->syncer));
	EXPECT_EQ(0, ll_ret(fsync(self->fd)));
	EXPECT_EQ(0, sync_ends(&self->syncer));
	ASSERT_EQ(0, ll_flush_read(&self->flush, count_own, &flushed));
	EXPECT_EQ(1, flushed);
	EXPECT_EQ(2, ll_flushed(&self->flush));
}

/* A process that flushes the far page whenever somebody else has begun to flush. */
struct flusher {
	pid_t pid;
	int go, done;
};

static int note_begin(void *arg, pid_t pid, const char *event, const char *text)
{
	(void)pid;
	(void)text;
	*(bool *)arg |= !strcmp(event, "dax_writeback_range");
	return 0;
}

static int flush_far(struct ll_flush *f, int fd)
{
	bool begun = false;
	int ret = 0;

	while (!ret && !begun)
		ret = ll_flush_read(f, note_begin, &begun);
	return ret ?: ll_ret(sync_file_range(fd, LL_FAR, LL_PAGE, RANGE_IS_DURABLE));
}

static int flusher_start(struct flusher *f, struct ll_flush *flush, int fd, char *map)
{
	int go[2], done[2];
	char c;

	if (pipe(go) || pipe(done))
		return -errno;
	f->pid = fork();
	if (!f->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		munmap(map, LL_FILE_SIZE);
		close(go[1]);
		if (ll_run_on(0))
			_exit(1);
		while (read(go[0], &c, 1) == 1) {
			c = -flush_far(flush, fd);
			if (write(done[1], &c, 1) != 1)
				_exit(2);
		}
		_exit(0);
	}
	f->go = go[1];
	f->done = done[0];
	return f->pid < 0 ? -errno : 0;
}

/* Has the far page been flushed before this process' own call was over? */
struct order {
	bool flushed, early;
};

static int follow(void *arg, pid_t pid, const char *event, const char *text)
{
	struct order *o = arg;
	unsigned long at, n;

	if (!strcmp(event, "dax_writeback_range_done") && pid == getpid())
		o->early |= !o->flushed;
	text = strstr(text, "pgoff ");
	if (!strcmp(event, "dax_writeback_one") && text &&
	    sscanf(text, "pgoff %lx pglen %lx", &at, &n) == 2)
		o->flushed |= at <= LL_FAR / LL_PAGE && LL_FAR / LL_PAGE < at + n;
	return 0;
}

/*
 * Both pages are to be flushed by this call. While it goes over all mappings of
 * the first the other process takes the second, and is then delayed.
 */
TEST_F_TIMEOUT(locked, fsync_waits_for_what_another_is_flushing_in_its_place, 180)
{
	struct flusher f = {};
	struct order o = {};
	char *page, c;
	int i;

	ASSERT_EQ(0, ll_flush_watch(&self->flush, self->path));
	ASSERT_EQ(0, ll_flush_trace(&self->flush, "fs_dax/dax_writeback_range"));
	ASSERT_EQ(0, ll_flush_trace(&self->flush, "fs_dax/dax_writeback_range_done"));
	ASSERT_EQ(0, flusher_start(&f, &self->flush, self->fd, self->map));
	page = ll_map_crowd(self->fd, 0);
	ASSERT_NE(MAP_FAILED, page);
	for (i = 0; i < ROUNDS; i++) {
		*page = 'n';
		self->map[LL_FAR] = 'n';
		ASSERT_EQ(0, ll_delay(FLUSH));
		ASSERT_EQ(0, ll_flush_forget());
		memset(&o, 0, sizeof(o));
		ASSERT_EQ(1, write(f.go, "g", 1));
		EXPECT_EQ(0, ll_ret(fsync(self->fd)));
		ASSERT_EQ(1, read(f.done, &c, 1));
		EXPECT_EQ(0, c);
		ASSERT_EQ(0, ll_flush_read(&self->flush, follow, &o));
		EXPECT_TRUE(o.flushed);
		EXPECT_FALSE(o.early);
		ASSERT_EQ(0, ll_delay_end(FLUSH));
	}
	close(f.go);
	EXPECT_EQ(0, ll_wait_exit(f.pid, LL_SOON, NULL));
}

/* An O_DIRECT read of a file whose server does not answer yet. */
static int read_begins(struct ll_fuse *f, char *map, pid_t *pid)
{
	*pid = fork();
	if (!*pid) {
		int fd = ll_open(f->file, O_RDONLY | O_DIRECT);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(read(fd, map, LL_PAGE) == LL_PAGE ? 0 : 1);
	}
	return ll_fuse_got_read(f);
}

TEST_F_TIMEOUT(locked, truncate_waits_for_direct_IO_into_a_page_that_is_flushed, 120)
{
	char mnt[LL_PATH];
	int status, ret;

	ll_name(&self->env, "mnt", mnt);
	ASSERT_EQ(0, ll_fuse_mount(&self->fuse, mnt));
	ASSERT_EQ(0, read_begins(&self->fuse, self->map, &self->reader));
	ASSERT_EQ(0, sync_begins(self->path, self->map, &self->syncer));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	/* it has come to the entry */
	ll_sleep_ms(100);
	EXPECT_EQ(-ETIMEDOUT, ll_wait_exit(self->syncer, 0, &status));
	EXPECT_EQ(0, sync_ends(&self->syncer));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&self->b, 400, &ret));
	EXPECT_EQ(0, ll_fuse_reply(&self->fuse));
	EXPECT_EQ(0, ll_wait_exit(self->reader, LL_SOON, &status));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_size(self->path));
}

TEST_HARNESS_MAIN
