// SPDX-License-Identifier: GPL-2.0
/*
 * What is reported about leases and pins: /proc/<pid>/file_pins,
 * /proc/layout_leases, the fdinfo of leased files and of RDMA contexts, and
 * /proc/locks. Texts are compared as a whole: nothing may be missing, twice,
 * or there that nobody expects.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_report.h"

#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(report)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_id id;
	struct ll_holder h;
	int fd;			/* the holder's descriptors */
	int uverbs;
	struct ll_said pins;	/* expected of file_pins */
	struct ll_said leases;	/* of layout_leases */
	struct ll_said more;	/* of something else */
};

FIXTURE_VARIANT(report)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(report, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(report, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(report)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_identify(self->path, &self->id));
	self->pins.pid = -1;
	ASSERT_TRUE(ll_comes_to_show(&self->pins, "/proc/layout_leases"));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	self->fd = ll_holder_fd(&self->h, 0);
	self->uverbs = ll_holder_fd(&self->h, LL_UVERBS);
	ASSERT_LE(0, self->fd);
	ASSERT_LE(0, self->uverbs);
	self->leases.pid = self->h.pid;
	self->more.pid = self->h.pid;
}

FIXTURE_TEARDOWN(report)
{
	if (self->h.pid > 0)
		ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

static void say_lease(struct ll_said *pins, struct ll_said *leases,
		      const struct ll_id *id, int fd, int n)
{
	ll_say_lease(pins, id, true, fd, n);
	ll_say_lease(leases, id, true, fd, n);
}

static void say_pin(struct ll_said *pins, struct ll_said *leases,
		    const struct ll_id *id, uint64_t start, uint64_t end)
{
	ll_say_pin(pins, id, start, end);
	ll_say_pin(leases, id, start, end);
}

TEST_F(report, lease_and_pin_are_listed_everywhere)
{
	say_lease(&self->pins, &self->leases, &self->id, self->fd, 1);
	say_pin(&self->pins, &self->leases, &self->id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/%d/file_pins", self->h.pid));
	EXPECT_TRUE(ll_shows(&self->leases, "/proc/layout_leases"));

	ll_say_lock(&self->more, &self->id, false, true);
	EXPECT_TRUE(ll_proc_locks_show(&self->more));
	self->more.text[0] = '\0';
	ll_say(&self->more, "layout_lease:\texclusive\nlayout_pins:\t1\n");
	EXPECT_TRUE(ll_fdinfo_shows(&self->more, self->h.pid, self->fd));
	self->more.text[0] = '\0';
	ll_say_owned(&self->more, &self->id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_fdinfo_shows(&self->more, self->h.pid, self->uverbs));

	/* and of nobody else */
	self->more.text[0] = '\0';
	EXPECT_TRUE(ll_shows(&self->more, "/proc/self/file_pins"));
	EXPECT_TRUE(ll_shows(&self->more, "/proc/1/file_pins"));
}

TEST_F(report, lines_go_with_pin_and_lease)
{
	say_lease(&self->pins, &self->leases, &self->id, self->fd, 0);
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/%d/file_pins", self->h.pid));
	EXPECT_TRUE(ll_shows(&self->leases, "/proc/layout_leases"));
	EXPECT_TRUE(ll_fdinfo_shows(&self->more, self->h.pid, self->uverbs));
	ll_say(&self->more, "layout_lease:\texclusive\nlayout_pins:\t0\n");
	EXPECT_TRUE(ll_fdinfo_shows(&self->more, self->h.pid, self->fd));

	self->more.text[0] = '\0';
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_TRUE(ll_shows(&self->more, "/proc/%d/file_pins", self->h.pid));
	EXPECT_TRUE(ll_shows(&self->more, "/proc/layout_leases"));
	EXPECT_TRUE(ll_proc_locks_show(&self->more));
	EXPECT_TRUE(ll_fdinfo_shows(&self->more, self->h.pid, self->fd));
}

TEST_F(report, plain_lease_is_called_layout)
{
	int fd;

	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_UNLCK));
	ASSERT_EQ(0, ll_holder_open(&self->h, 1, self->path));
	fd = ll_holder_fd(&self->h, 1);
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .slot = 1, .a = F_LAYOUT));
	ll_say_lease(&self->pins, &self->id, false, fd, 0);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/%d/file_pins", self->h.pid));
	ll_say_lock(&self->more, &self->id, false, false);
	EXPECT_TRUE(ll_proc_locks_show(&self->more));
	self->more.text[0] = '\0';
	ll_say(&self->more, "layout_lease:\tlayout\nlayout_pins:\t0\n");
	EXPECT_TRUE(ll_fdinfo_shows(&self->more, self->h.pid, fd));

	/* and an exclusive one once it is */
	self->pins.text[0] = '\0';
	ASSERT_EQ(0, ll_holder_lease(&self->h, 1, true, LL_SIG));
	ll_say_lease(&self->pins, &self->id, true, fd, 0);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/%d/file_pins", self->h.pid));
}

/* Also where the pins share one DAX entry of 2 MiB. */
TEST_F(report, leases_come_first_and_pins_by_offset)
{
	struct ll_holder other;

	ASSERT_EQ(0, ll_holder_start(&other));
	ASSERT_EQ(0, ll_holder_open(&other, 2, self->path));
	ASSERT_EQ(0, ll_hold(&other, .op = H_SETLEASE, .slot = 2, .a = F_LAYOUT));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 1, LL_FAR, LL_PAGE));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 2, 6 * LL_MIB, 3 * LL_PAGE));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 3, 2 * LL_MIB, LL_MIB));

	say_lease(&self->pins, &self->leases, &self->id, self->fd, 4);
	self->leases.pid = other.pid;
	ll_say_lease(&self->leases, &self->id, false, ll_holder_fd(&other, 2), 0);
	self->leases.pid = self->h.pid;
	say_pin(&self->pins, &self->leases, &self->id, 0, LL_PIN_LEN);
	say_pin(&self->pins, &self->leases, &self->id, 2 * LL_MIB, 3 * LL_MIB);
	say_pin(&self->pins, &self->leases, &self->id, LL_FAR, LL_FAR + LL_PAGE);
	say_pin(&self->pins, &self->leases, &self->id, 6 * LL_MIB,
		6 * LL_MIB + 3 * LL_PAGE);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/%d/file_pins", self->h.pid));
	EXPECT_TRUE(ll_shows(&self->leases, "/proc/layout_leases"));
	EXPECT_EQ(0, ll_holder_end(&other));
}

TEST_F(report, pins_of_several_holders_are_told_apart)
{
	struct ll_said pins = { .pid = -1 };
	struct ll_holder other;

	ASSERT_EQ(0, ll_holder_start(&other));
	ASSERT_EQ(0, ll_holder_open(&other, 1, self->path));
	ASSERT_EQ(0, ll_holder_lease(&other, 1, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&other, 1, 0, LL_FAR, LL_PAGE));
	say_lease(&self->pins, &self->leases, &self->id, self->fd, 1);
	self->leases.pid = other.pid;
	say_lease(&pins, &self->leases, &self->id, ll_holder_fd(&other, 1), 1);
	self->leases.pid = self->h.pid;
	say_pin(&self->pins, &self->leases, &self->id, 0, LL_PIN_LEN);
	self->leases.pid = other.pid;
	say_pin(&pins, &self->leases, &self->id, LL_FAR, LL_FAR + LL_PAGE);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/%d/file_pins", self->h.pid));
	EXPECT_TRUE(ll_shows(&pins, "/proc/%d/file_pins", other.pid));
	EXPECT_TRUE(ll_shows(&self->leases, "/proc/layout_leases"));
	EXPECT_EQ(0, ll_holder_end(&other));
}

TEST_F(report, pages_asked_for_are_listed_rounded_outwards)
{
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 123, 5000));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 1, LL_FAR + LL_PAGE - 1, 2));
	ll_say_lease(&self->pins, &self->id, true, self->fd, 2);
	ll_say_pin(&self->pins, &self->id, 0, 2 * LL_PAGE);
	ll_say_pin(&self->pins, &self->id, LL_FAR, LL_FAR + 2 * LL_PAGE);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/%d/file_pins", self->h.pid));
}

/* However many mappings it spans, and however many steps it takes. */
TEST_F(report, registration_is_one_pin_per_contiguous_range)
{
	struct ibv_mr *whole, *pieces;
	struct ll_rdma r;
	char *map, *two;
	int fd;

	fd = ll_open(self->path, O_RDWR);
	ASSERT_EQ(0, ll_take(fd, true, LL_SIG));
	ASSERT_EQ(0, ll_rdma_open(&r));
	map = ll_map_fd(fd, LL_FILE_SIZE, RW, MAP_SHARED, 0);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, ll_reg(&r, map, LL_FILE_SIZE, &whole));
	ll_say_lease(&self->pins, &self->id, true, fd, 1);
	ll_say_pin(&self->pins, &self->id, 0, LL_FILE_SIZE);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/self/file_pins"));
	EXPECT_EQ(0, ll_dereg(&whole));

	/* pages 1, 2, then 3, then 8: in the order of addresses */
	two = ll_map_fd(fd, 2 * LL_MIB, RW, MAP_SHARED, 0);
	ASSERT_EQ(two, mmap(two, 2 * LL_PAGE, RW, MAP_SHARED | MAP_FIXED, fd, LL_PAGE));
	ASSERT_EQ(two + 2 * LL_PAGE, mmap(two + 2 * LL_PAGE, LL_PAGE, RW,
					  MAP_SHARED | MAP_FIXED, fd, 3 * LL_PAGE));
	ASSERT_EQ(two + 3 * LL_PAGE, mmap(two + 3 * LL_PAGE, LL_PAGE, RW,
					  MAP_SHARED | MAP_FIXED, fd, 8 * LL_PAGE));
	ASSERT_EQ(0, ll_reg(&r, two, 4 * LL_PAGE, &pieces));
	self->pins.text[0] = '\0';
	ll_say_lease(&self->pins, &self->id, true, fd, 2);
	ll_say_pin(&self->pins, &self->id, LL_PAGE, 4 * LL_PAGE);
	ll_say_pin(&self->pins, &self->id, 8 * LL_PAGE, 9 * LL_PAGE);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/self/file_pins"));
	ll_say_owned(&self->more, &self->id, LL_PAGE, 4 * LL_PAGE);
	ll_say_owned(&self->more, &self->id, 8 * LL_PAGE, 9 * LL_PAGE);
	EXPECT_TRUE(ll_fdinfo_shows(&self->more, getpid(), r.ctx->cmd_fd));
	EXPECT_EQ(0, ll_dereg(&pieces));
	ll_rdma_close(&r);
	close(fd);
}

TEST_F(report, closed_file_is_listed_with_its_old_descriptor)
{
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	say_lease(&self->pins, &self->leases, &self->id, self->fd, 1);
	say_pin(&self->pins, &self->leases, &self->id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/%d/file_pins", self->h.pid));
	EXPECT_TRUE(ll_shows(&self->leases, "/proc/layout_leases"));
	ll_say_lock(&self->more, &self->id, false, true);
	EXPECT_TRUE(ll_proc_locks_show(&self->more));
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	self->more.text[0] = '\0';
	EXPECT_TRUE(ll_shows(&self->more, "/proc/%d/file_pins", self->h.pid));
	EXPECT_TRUE(ll_shows(&self->more, "/proc/layout_leases"));
}

static void *exec_sleep(void *arg)
{
	execlp("sleep", "sleep", "60", NULL);
	_exit(2);
	return arg;
}

/*
 * Holds with descriptors that survive exec, and becomes another program, which
 * is another thread's doing.
 */
static void hold_and_exec(const char *path, int ready)
{
	int fd = ll_open(path, O_RDWR), fds[2];
	pthread_t thread;
	struct ll_rdma r;
	struct ibv_mr *mr;
	char *map;

	map = ll_map_fd(fd, LL_FILE_SIZE, RW, MAP_SHARED, 0);
	if (!map || ll_rdma_open(&r) || ll_take(fd, true, LL_SIG) ||
	    ll_reg(&r, map + LL_FAR, LL_PAGE, &mr))
		_exit(1);
	fds[0] = fd;
	fds[1] = r.ctx->cmd_fd;
	fcntl(fds[0], F_SETFD, 0);
	fcntl(fds[1], F_SETFD, 0);
	/* closed by exec, which is how the other end learns of it */
	if (write(ready, fds, sizeof(fds)) != sizeof(fds) ||
	    pthread_create(&thread, NULL, exec_sleep, NULL))
		_exit(2);
	pthread_join(thread, NULL);
}

TEST_F(report, exec_keeps_the_lines)
{
	int ready[2], fds[2] = { -1, -1 }, status;
	pid_t pid;

	ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
	pid = fork();
	if (!pid)
		hold_and_exec(self->path, ready[1]);
	close(ready[1]);
	ASSERT_EQ((int)sizeof(fds), read(ready[0], fds, sizeof(fds)));
	ASSERT_EQ(0, read(ready[0], fds, 1));
	ll_say_lease(&self->pins, &self->id, true, fds[0], 1);
	ll_say_pin(&self->pins, &self->id, LL_FAR, LL_FAR + LL_PAGE);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/%d/file_pins", pid));
	ll_say_owned(&self->more, &self->id, LL_FAR, LL_FAR + LL_PAGE);
	EXPECT_TRUE(ll_fdinfo_shows(&self->more, pid, fds[1]));
	kill(pid, SIGKILL);
	ASSERT_EQ(0, ll_wait_exit(pid, LL_SOON, &status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
}

/* It shares the descriptors, but took no lease. */
TEST_F(report, child_of_fork_has_no_lines)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_ask(&self->h, &rsp, .op = H_FORK_STAY));
	EXPECT_TRUE(ll_shows(&self->more, "/proc/%d/file_pins", rsp.pid));
	say_lease(&self->pins, &self->leases, &self->id, self->fd, 1);
	say_pin(&self->pins, &self->leases, &self->id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/%d/file_pins", self->h.pid));
	EXPECT_TRUE(ll_shows(&self->leases, "/proc/layout_leases"));
	ll_say(&self->more, "layout_lease:\texclusive\nlayout_pins:\t1\n");
	EXPECT_TRUE(ll_fdinfo_shows(&self->more, rsp.pid, self->fd));
	kill(rsp.pid, SIGKILL);
}

struct look {
	struct ll_said *want;
	bool same;
	int tid;
};

static void *look_at_thread(void *arg)
{
	struct look *l = arg;

	l->tid = syscall(SYS_gettid);
	l->same = ll_shows(l->want, "/proc/%d/file_pins", l->tid);
	return NULL;
}

TEST_F(report, thread_shows_what_its_group_has)
{
	struct look l = { .want = &self->pins };
	int fd = ll_open(self->path, O_RDWR);
	pthread_t thread;

	ASSERT_EQ(0, ll_setlease(fd, F_LAYOUT));
	ll_say_lease(&self->pins, &self->id, false, fd, 0);
	ASSERT_EQ(0, pthread_create(&thread, NULL, look_at_thread, &l));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_NE(getpid(), l.tid);
	EXPECT_TRUE(l.same);
	close(fd);
}

static void *stay(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* Holds, and ends its first thread, but not the second. */
static void hold_without_leader(const char *path)
{
	int fd = ll_open(path, O_RDWR);
	pthread_t thread;

	if (ll_setlease(fd, F_LAYOUT) || pthread_create(&thread, NULL, stay, NULL))
		_exit(1);
	syscall(SYS_exit, 0);
}

/* A group is not gone while a thread of it lives. */
TEST_F(report, holder_without_its_first_thread_is_not_gone)
{
	char stat[512] = "", state[24];
	pid_t pid = fork();
	int status;
	char *fd;

	if (!pid)
		hold_without_leader(self->path);
	snprintf(state, sizeof(state), "%d (report_test) Z ", pid);
	while (ll_wait_exit(pid, 20, &status) == -ETIMEDOUT &&
	       ll_read(stat, sizeof(stat), "/proc/%d/stat", pid) > 0)
		if (!strncmp(stat, state, strlen(state)))
			break;
	ASSERT_EQ(0, strncmp(stat, state, strlen(state)));
	/* whatever the number is: it is the same in both lists */
	ASSERT_LT(0, ll_read(stat, sizeof(stat), "/proc/%d/file_pins", pid));
	fd = strstr(stat, "fd=");
	ASSERT_NE(NULL, fd);
	ll_say_lease(&self->pins, &self->id, false, atoi(fd + 3), 0);
	EXPECT_TRUE(ll_shows(&self->pins, "/proc/%d/file_pins", pid));
	say_lease(&self->more, &self->leases, &self->id, self->fd, 1);
	self->leases.pid = pid;
	ll_say_lease(&self->leases, &self->id, false, atoi(fd + 3), 0);
	self->leases.pid = self->h.pid;
	ll_say_pin(&self->leases, &self->id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_shows(&self->leases, "/proc/layout_leases"));
	kill(pid, SIGKILL);
	EXPECT_EQ(0, ll_wait_exit(pid, LL_SOON, &status));
}

TEST_F(report, receiver_of_the_context_can_be_found)
{
	struct ll_said none = { .pid = -1 };
	siginfo_t info;
	int uverbs;

	uverbs = ll_passed_on(&self->h, self->uverbs);
	ASSERT_LE(0, uverbs);
	ASSERT_EQ(0, kill(self->h.pid, SIGKILL));
	/* dead, but not reaped */
	ASSERT_EQ(0, waitid(P_PID, self->h.pid, &info, WEXITED | WNOWAIT));
	self->leases.pid = 0;
	ll_say_lease(&self->leases, &self->id, true, self->fd, 1);
	ll_say_pin(&self->leases, &self->id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_comes_to_show(&self->leases, "/proc/layout_leases"));
	ASSERT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_TRUE(ll_shows(&self->leases, "/proc/layout_leases"));

	ll_say_owned(&self->more, &self->id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_fdinfo_shows(&self->more, getpid(), uverbs));
	self->more.text[0] = '\0';
	self->more.pid = 0;
	ll_say_lock(&self->more, &self->id, false, true);
	EXPECT_TRUE(ll_proc_locks_show(&self->more));
	/* the receiver holds no lease */
	EXPECT_TRUE(ll_shows(&none, "/proc/self/file_pins"));
	close(uverbs);
	EXPECT_TRUE(ll_comes_to_show(&none, "/proc/layout_leases"));
}

TEST_F(report, reading_of_a_process_that_is_gone_is_ESRCH)
{
	char path[LL_PATH], byte;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/file_pins", self->h.pid);
	fd = ll_open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, read(fd, &byte, 1));
	EXPECT_EQ('l', byte);
	ASSERT_EQ(0, ll_ret(lseek(fd, 0, SEEK_SET)));
	ASSERT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(-ESRCH, ll_ret(read(fd, &byte, 1)));
	close(fd);
}

TEST_F(report, lines_cannot_be_written)
{
	EXPECT_EQ(0, ll_shell("! echo >/proc/%d/file_pins", self->h.pid));
	EXPECT_EQ(0, ll_shell("! echo >/proc/layout_leases"));
	EXPECT_EQ(0, ll_shell("! echo >/proc/layout_breaks"));
	say_lease(&self->pins, &self->leases, &self->id, self->fd, 1);
	say_pin(&self->pins, &self->leases, &self->id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_shows(&self->leases, "/proc/layout_leases"));
}

TEST_HARNESS_MAIN
