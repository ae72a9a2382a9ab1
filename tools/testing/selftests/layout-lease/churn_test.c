// SPDX-License-Identifier: GPL-2.0
/*
 * Long listings, and listings of what comes and goes: whatever stands is listed
 * exactly once, however it is read, and readers keep nothing from going away.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_report.h"

#define RW	(PROT_READ | PROT_WRITE)
#define MANY	100000		/* pins, in one registration */
#define SOME	300
#define LINE	200		/* no line of these tests is longer */

FIXTURE(churn)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_id id;
	struct ll_rdma rdma;
	struct ibv_mr *mr;
	char *want;		/* of file_pins */
	char *have;
	int fd;
};

FIXTURE_VARIANT(churn)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(churn, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(churn, xfs) {
	.fs = LL_XFS,
};

static int allow_mappings(int value)
{
	return ll_shell("echo %d >/proc/sys/vm/max_map_count", value);
}

FIXTURE_SETUP(churn)
{
	struct ll_said none = { .pid = -1 };

	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_TRUE(ll_comes_to_show(&none, "/proc/layout_leases"));
	self->want = calloc(MANY, LINE);
	self->have = calloc(MANY, LINE);
	ASSERT_NE(NULL, self->want);
	ASSERT_NE(NULL, self->have);
	self->fd = -1;
}

FIXTURE_TEARDOWN(churn)
{
	allow_mappings(65530);
	if (self->mr)
		ll_dereg(&self->mr);
	ll_rdma_close(&self->rdma);
	if (self->fd >= 0)
		close(self->fd);
	ll_teardown(&self->env);
}

/* Every other page of a file, side by side in memory: each is a range. */
static char *every_other_page(int fd, int pieces)
{
	char *all = mmap(NULL, pieces * LL_PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int i;

	for (i = 0; i < pieces && all != MAP_FAILED; i++)
		if (mmap(all + i * LL_PAGE, LL_PAGE, RW, MAP_SHARED | MAP_FIXED, fd,
			 2 * i * LL_PAGE) == MAP_FAILED)
			return NULL;
	return all == MAP_FAILED ? NULL : all;
}

/* The lines to expect of a lease with such a registration under it. */
static void say_all(char *want, const struct ll_id *id, pid_t pid, int fd,
		    int pieces)
{
	const char *dev = getenv("RDMA_DEV");
	char with[24] = "";
	int i;

	if (pid)
		snprintf(with, sizeof(with), "pid=%d ", pid);
	want += sprintf(want, "%slease %u:%u %llu exclusive fd=%d pins=%d %s\n", with,
			id->major, id->minor, id->ino, fd, pieces, id->text);
	for (i = 0; i < pieces; i++)
		want += sprintf(want, "%spin %u:%u %llu 0x%lx-0x%lx rdma:%s %s\n",
				with, id->major, id->minor, id->ino, 2 * i * LL_PAGE,
				(2 * i + 1) * LL_PAGE, dev, id->text);
}

/* Opens, leases and registers. */
static int hold_pieces(struct _test_data_churn *self, int pieces)
{
	int ret = ll_file(&self->env, "f", 2 * pieces * LL_PAGE, self->path) ?:
		  ll_identify(self->path, &self->id) ?: ll_rdma_open(&self->rdma);
	char *all;

	if (ret)
		return ret;
	self->fd = ll_open(self->path, O_RDWR);
	if (self->fd < 0)
		return self->fd;
	all = every_other_page(self->fd, pieces);
	if (!all)
		return -ENOMEM;
	return ll_take(self->fd, true, LL_SIG) ?:
	       ll_reg(&self->rdma, all, pieces * LL_PAGE, &self->mr);
}

/* Reads on, by so many bytes at a time; the length. */
static long read_on(int fd, char *buf, size_t at_once)
{
	long len = 0;
	ssize_t done;

	while ((done = ll_ret(read(fd, buf + len, at_once))) > 0)
		len += done;
	buf[len] = '\0';
	return done < 0 ? done : len;
}

static long read_by(const char *path, char *buf, size_t at_once)
{
	int fd = ll_open(path, O_RDONLY);
	long len;

	if (fd < 0)
		return fd;
	len = read_on(fd, buf, at_once);
	close(fd);
	return len;
}

/* The same; if not, says where it begins to differ. */
static bool same_text(const char *want, const char *have, const char *how)
{
	size_t i, line = 0;

	if (!strcmp(want, have))
		return true;
	for (i = 0; want[i] && want[i] == have[i]; i++)
		if (want[i] == '\n')
			line = i + 1;
	ll_log("%s: %zu bytes, expected %zu; at %zu expected \"%.*s\", seen \"%.*s\"",
	       how, strlen(have), strlen(want), line,
	       (int)strcspn(want + line, "\n"), want + line,
	       (int)strcspn(have + line, "\n"), have + line);
	return false;
}

/* Each of the pieces is in the fdinfo of the context, once. */
static int pieces_in_fdinfo(const struct ll_id *id, int fd, char *text, int pieces,
			    bool others)
{
	char *seen = calloc(1, pieces), *line, *save, again[LINE], path[40];
	unsigned long long start;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (read_by(path, text, 65536) < 0)
		return -EIO;
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "layout_", 7))
			continue;
		if (sscanf(line, "layout_pin: %*u:%*u %*u 0x%llx", &start) != 1)
			return -EBADMSG;
		snprintf(again, sizeof(again), "layout_pin:\t%u:%u %llu 0x%llx-0x%llx",
			 id->major, id->minor, id->ino, start, start + LL_PAGE);
		if (others && start % (2 * LL_PAGE) && !strcmp(line, again))
			continue;
		if (strcmp(line, again) || start % (2 * LL_PAGE) ||
		    start / LL_PAGE / 2 >= (unsigned int)pieces ||
		    seen[start / LL_PAGE / 2]++) {
			ll_log("wrong, or twice: %s", line);
			return -EBADMSG;
		}
		n++;
	}
	free(seen);
	return n;
}

TEST_F_TIMEOUT(churn, hundred_thousand_pins_are_all_listed, 240)
{
	static const size_t sizes[] = { 4096, 1000, LL_MIB };
	off_t offsets[] = { 0, 1, 4095, 4096, LL_MIB + 17, 0 };
	size_t i;
	long len;
	int fd;

	ASSERT_EQ(0, allow_mappings(2 * MANY));
	ASSERT_EQ(0, hold_pieces(self, MANY));
	say_all(self->want, &self->id, 0, self->fd, MANY);
	len = strlen(self->want);
	for (i = 0; i < LL_ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(len, read_by("/proc/self/file_pins", self->have, sizes[i]));
		ASSERT_TRUE(same_text(self->want, self->have, "file_pins"));
	}

	fd = ll_open("/proc/self/file_pins", O_RDONLY);
	offsets[LL_ARRAY_SIZE(offsets) - 1] = len - 100;
	for (i = 0; i < LL_ARRAY_SIZE(offsets); i++) {
		memset(self->have, 0, 101);
		EXPECT_EQ(100, pread(fd, self->have, 100, offsets[i]));
		EXPECT_EQ(0, memcmp(self->want + offsets[i], self->have, 100));
	}
	EXPECT_EQ(len, read_on(fd, self->have, 5000));
	EXPECT_TRUE(same_text(self->want, self->have, "after pread"));
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	EXPECT_EQ(len, read_on(fd, self->have, 65536));
	EXPECT_TRUE(same_text(self->want, self->have, "once more"));
	close(fd);

	EXPECT_EQ(MANY, pieces_in_fdinfo(&self->id, self->rdma.ctx->cmd_fd, self->have,
					 MANY, false));
	memset(self->want, 0, len);
	say_all(self->want, &self->id, getpid(), self->fd, MANY);
	EXPECT_LT(0, read_by("/proc/layout_leases", self->have, 4096));
	EXPECT_TRUE(same_text(self->want, self->have, "layout_leases"));

	EXPECT_EQ(0, ll_dereg(&self->mr));
	EXPECT_LT(0, read_by("/proc/self/file_pins", self->have, 4096));
	EXPECT_EQ(strchr(self->have, '\n') + 1, self->have + strlen(self->have));
}

TEST_F(churn, leases_of_many_files_are_all_listed)
{
	static char seen[4096], locked[SOME + 1];
	char name[16], path[LL_PATH], line[64], *save, *at;
	struct ll_row row;
	struct ll_id id;
	int fds[SOME], i, n = 0;

	for (i = 0; i < SOME; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		ASSERT_EQ(0, ll_sparse(&self->env, name, LL_PAGE, path));
		fds[i] = ll_open(path, O_RDWR);
		ASSERT_EQ(0, ll_setlease(fds[i], F_LAYOUT));
	}
	ASSERT_LT(0, read_by("/proc/locks", self->want, 512));
	for (i = 0; i < SOME; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		ll_name(&self->env, name, path);
		ASSERT_EQ(0, ll_identify(path, &id));
		snprintf(line, sizeof(line), " SHARED %d %02x:%02x:%llu 0 EOF\n",
			 getpid(), id.major, id.minor, id.ino);
		at = strstr(self->want, line);
		EXPECT_NE(NULL, at);
		locked[i] = at && !strstr(at + 1, line);
	}
	EXPECT_EQ(SOME, (int)strspn(locked, "\1"));
	ASSERT_LT(0, read_by("/proc/layout_leases", self->have, 512));
	for (at = strtok_r(self->have, "\n", &save); at; at = strtok_r(NULL, "\n", &save)) {
		ASSERT_TRUE(ll_scan_row(at, &row));
		ASSERT_EQ(0, seen[row.fd]++);
		EXPECT_EQ(getpid(), row.pid);
		n++;
	}
	EXPECT_EQ(SOME, n);
	for (i = 0; i < SOME; i++) {
		EXPECT_EQ(1, seen[fds[i]]);
		close(fds[i]);
	}
	EXPECT_EQ(0, read_by("/proc/layout_leases", self->have, 512));
}

/* Pins between those that stand, and a lease that comes and goes. */
static void churn_pins(const char *path, const char *other)
{
	int fd = ll_open(path, O_RDWR), fd2 = ll_open(other, O_RDWR), i;
	struct ll_rdma r;
	struct ibv_mr *mr;
	char *map;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	map = ll_map_fd(fd, 2 * SOME * LL_PAGE, RW, MAP_SHARED, 1);
	if (!map || ll_rdma_open(&r) || ll_take(fd, true, LL_SIG))
		_exit(1);
	for (i = 0;; i = (i + 7) % SOME)
		if (ll_reg(&r, map + (2 * i + 1) * LL_PAGE, LL_PAGE, &mr) ||
		    ll_setlease(fd2, F_LAYOUT) || ll_dereg(&mr) ||
		    ll_setlease(fd2, F_UNLCK))
			_exit(2);
}

/* Files with leases, made and removed, each of them broken once. */
static void churn_breaks(const char *dir)
{
	char path[LL_PATH];
	struct ll_breaker b;
	int i, fd, ret;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGIO, SIG_IGN);
	for (i = 0;; i++) {
		snprintf(path, sizeof(path), "%.120s/churn %d", dir, i % 10);
		fd = ll_open(path, O_RDWR | O_CREAT);
		if (fd < 0 || ftruncate(fd, LL_PAGE) || ll_setlease(fd, F_LAYOUT) ||
		    ll_breaker_start(&b, OP_TRUNCATE, path, 0, 0))
			_exit(1);
		ll_sleep_ms(20);
		unlink(path);
		ll_setlease(fd, F_UNLCK);
		close(fd);
		if (ll_breaker_wait(&b, LL_SOON, &ret) || (ret && ret != -ENOENT))
			_exit(2);
	}
}

/* Lines that begin so, taken out of the text; all others are well-formed. */
static bool take_out(char *text, const char *prefix, char *out)
{
	size_t len = strlen(prefix);
	struct ll_row row;
	char *line, *save;

	*out = '\0';
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, prefix, len))
			out += sprintf(out, "%s\n", line);
		else if (!ll_scan_row(line, &row))
			return false;
	}
	return true;
}

TEST_F(churn, standing_pins_are_listed_once_while_others_come_and_go)
{
	static const size_t sizes[] = { 100, 512, 4096, 65536 };
	char other[LL_PATH], prefix[24], *mine, *out;
	int64_t end = ll_now_ms() + 6000;
	struct ll_pending p[16];
	int status, i, broken = 0, more = 0;
	pid_t pids[3];

	ASSERT_EQ(0, hold_pieces(self, SOME));
	ASSERT_EQ(0, ll_file(&self->env, "g", LL_PAGE, other));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
	mine = self->want + MANY * LINE / 2;
	out = self->have + MANY * LINE / 2;
	say_all(self->want, &self->id, 0, self->fd, SOME);
	say_all(mine, &self->id, getpid(), self->fd, SOME);
	snprintf(prefix, sizeof(prefix), "pid=%d ", getpid());
	for (i = 0; i < 3; i++) {
		pids[i] = fork();
		setpgid(pids[i], pids[i]);
		if (!pids[i] && i < 2)
			churn_pins(self->path, other);
		if (!pids[i])
			churn_breaks(self->env.dir);
	}
	/* On a slow kernel it takes longer until there was something to see. */
	for (i = 0; ll_now_ms() < end ||
	     ((i <= 10 || !broken) && ll_now_ms() < end + 6 * LL_SOON); i++) {
		ASSERT_LT(0, read_by("/proc/self/file_pins", self->have, sizes[i % 4]));
		ASSERT_TRUE(same_text(self->want, self->have, "file_pins"));
		ASSERT_LT(0, read_by("/proc/layout_leases", self->have, sizes[i % 4]));
		ASSERT_TRUE(take_out(self->have, prefix, out));
		ASSERT_TRUE(same_text(mine, out, "layout_leases"));
		more += strlen(self->have) > 0;
		ASSERT_EQ(SOME, pieces_in_fdinfo(&self->id, self->rdma.ctx->cmd_fd,
						 self->have, SOME, false));
		status = ll_breaks(p, LL_ARRAY_SIZE(p));
		ASSERT_LE(0, status);
		broken += status;
	}
	/* there was something to see */
	EXPECT_LT(10, i);
	EXPECT_LT(0, broken);
	EXPECT_LT(0, more);
	for (i = 0; i < 3; i++) {
		/* with its breaker */
		kill(-pids[i], SIGKILL);
		ASSERT_EQ(0, ll_wait_exit(pids[i], LL_SOON, &status));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
}

struct taker {
	struct ll_rdma *rdma;
	char *map;
	bool stop;
	int n;
};

/* Pins of the same context, between those that stand. */
static void *take_more(void *arg)
{
	struct taker *t = arg;
	struct ibv_mr *mr;
	int i;

	for (i = 0; !__atomic_load_n(&t->stop, __ATOMIC_RELAXED); i = (i + 7) % SOME, t->n++)
		if (ll_reg(t->rdma, t->map + (2 * i + 1) * LL_PAGE, LL_PAGE, &mr) ||
		    ll_dereg(&mr))
			return arg;
	return NULL;
}

TEST_F(churn, standing_pins_are_listed_once_while_their_context_takes_others)
{
	struct taker t = { .rdma = &self->rdma };
	int64_t end = ll_now_ms() + 3000;
	pthread_t thread;
	void *failed;

	ASSERT_EQ(0, hold_pieces(self, SOME));
	t.map = ll_map_fd(self->fd, 2 * SOME * LL_PAGE, RW, MAP_SHARED, 1);
	ASSERT_NE(NULL, t.map);
	ASSERT_EQ(0, pthread_create(&thread, NULL, take_more, &t));
	while (ll_now_ms() < end)
		ASSERT_EQ(SOME, pieces_in_fdinfo(&self->id, self->rdma.ctx->cmd_fd,
						 self->have, SOME, true));
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, &failed));
	EXPECT_EQ(NULL, failed);
	EXPECT_LT(10, t.n);
}

/* More lines than the first read has seen; and both lists. */
TEST_F(churn, reader_that_stops_half_way_keeps_nothing_back)
{
	static const char * const names[] = {
		"/proc/self/file_pins", "/proc/layout_leases",
	};
	int fds[SOME], readers[2], i;
	char mnt[LL_PATH], byte;

	ll_name(&self->env, "mnt", mnt);
	ASSERT_EQ(0, ll_ret(mkdir(mnt, 0755)));
	ASSERT_EQ(0, ll_sparse(&self->env, "mnt/f", LL_PAGE, self->path));
	ASSERT_EQ(0, ll_ret(mount(mnt, mnt, NULL, MS_BIND, NULL)));
	for (i = 0; i < SOME; i++) {
		fds[i] = ll_open(self->path, O_RDWR);
		ASSERT_EQ(0, ll_setlease(fds[i], F_LAYOUT));
	}
	for (i = 0; i < 2; i++) {
		readers[i] = ll_open(names[i], O_RDONLY);
		ASSERT_EQ(1, read(readers[i], &byte, 1));
	}
	for (i = 0; i < SOME; i++) {
		if (i % 2)
			EXPECT_EQ(0, ll_setlease(fds[i], F_UNLCK));
		EXPECT_EQ(0, ll_ret(close(fds[i])));
	}
	EXPECT_EQ(0, read_by("/proc/layout_leases", self->have, 4096));
	EXPECT_EQ(0, ll_ret(umount2(mnt, 0)));
	umount2(mnt, MNT_DETACH);
	for (i = 0; i < 2; i++) {
		/* what was read ahead, and then nothing */
		EXPECT_LE(0, read_on(readers[i], self->have, 4096));
		EXPECT_EQ(0, read(readers[i], &byte, 1));
		close(readers[i]);
	}
}

TEST_HARNESS_MAIN
