// SPDX-License-Identifier: GPL-2.0
/*
 * The administrator's lever: /proc/layout_revoke and "layout-lease revoke" take
 * pins away from a process, or from a file, and kill nobody.
 */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_uring.h"

#define LEVER		"/proc/layout_revoke"
#define INSTANCE	"/sys/kernel/tracing/instances/lever_test"

FIXTURE(lever)
{
	struct ll_env env;
	char path[LL_PATH], other[LL_PATH];
	struct ll_id id;
	struct ll_holder h, second, third;	/* h pins the file at path */
	struct ll_rdma r, anew;
	struct ll_uring u;
	pid_t stays;
};

FIXTURE_VARIANT(lever) { enum ll_fs fs; };
FIXTURE_VARIANT_ADD(lever, ext4) { .fs = LL_EXT4 };
FIXTURE_VARIANT_ADD(lever, xfs) { .fs = LL_XFS };

FIXTURE_SETUP(lever)
{
	self->u.fd = -1;
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, self->other));
	ASSERT_EQ(0, ll_identify(self->path, &self->id));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_adopt());
	ASSERT_EQ(0, ll_find_programs());
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
}

FIXTURE_TEARDOWN(lever)
{
	ll_holder_end(&self->h);
	ll_holder_end(&self->second);
	ll_holder_end(&self->third);
	ll_stay_end(self->stays);
	ll_uring_close(&self->u);
	ll_teardown(&self->env);
}

static int pull_at(off_t at, const char *request, size_t len)
{
	int fd = ll_open(LEVER, O_WRONLY), ret;

	if (fd < 0)
		return fd;
	ret = ll_ret(pwrite(fd, request, len, at));
	close(fd);
	return ret < 0 ? ret : (size_t)ret == len ? 0 : -EMSGSIZE;
}

static __printf(1, 2) int pull(const char *fmt, ...)
{
	char request[256];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(request, sizeof(request), fmt, ap);
	va_end(ap);
	return pull_at(0, request, len);
}

static int pull_file(const char *path)
{
	struct ll_id id;
	int ret = ll_identify(path, &id);

	return ret ?: pull("file %u:%u %llu\n", id.major, id.minor, id.ino);
}

/* It has its lease, and can still pin; 0 if so. */
static int unharmed(struct ll_holder *h)
{
	int lease = ll_hold(h, .op = H_GETLEASE);

	if (lease != LL_EXCL)
		return -ENOLCK;
	return ll_holder_reg(h, 0, 3, 0, LL_PAGE) ?: ll_holder_dereg(h, 3);
}

/* It lives, has heard nothing, and has neither a lease nor a context; 0 if so. */
static int lost(struct ll_holder *h, int slot)
{
	int lease = ll_hold(h, .op = H_GETLEASE, .slot = slot);
	int heard = ll_hold(h, .op = H_SIGWAIT, .a = 200);

	if (lease != F_UNLCK || ll_holder_reg(h, slot, 3, 0, LL_PAGE) != -EIO)
		return -ENOLCK;
	return heard == -ETIMEDOUT && ll_holder_alive(h) ? 0 : -EINTR;
}

TEST_F(lever, pid_request_revokes_all_pins_of_the_process_and_kills_nobody)
{
	ASSERT_EQ(0, ll_holder_open(&self->h, 1, self->other));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 1, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 1, 1, LL_FAR, LL_PIN_LEN));
	ASSERT_EQ(0, ll_holder_pin(&self->second, self->path, true, LL_SIG));
	EXPECT_EQ(0, pull("pid %d", self->h.pid));
	EXPECT_EQ(1, ll_comes_to_list(self->path, true, 1));
	EXPECT_EQ(0, ll_comes_to_list(self->other, true, 0));
	EXPECT_EQ(0, lost(&self->h, 0));
	EXPECT_EQ(0, lost(&self->h, 1));
	EXPECT_EQ(0, unharmed(&self->second));
}

TEST_F(lever, context_is_dead_and_the_ring_lives_and_takes_a_new_lease)
{
	struct ll_io io = { .op = IORING_OP_READ_FIXED, .len = 10 };
	struct ll_uring *u = &self->u;
	struct ibv_mr *mr, *more;

	io.fd = ll_open("/dev/zero", O_RDONLY);
	ASSERT_EQ(0, ll_uring_open(u, self->other, 0));
	ASSERT_EQ(0, ll_rdma_open(&self->r));
	ASSERT_EQ(0, ll_take(u->fd, true, LL_SIG));
	ASSERT_EQ(0, ll_uring_table(u, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_reg(&self->r, u->map, LL_PIN_LEN, &mr));
	io.addr = u->map;
	EXPECT_EQ(10, ll_io_do(&u->ring, &io));
	EXPECT_EQ(0, pull("pid %d", getpid()));
	EXPECT_EQ(0, ll_pins_gone(self->other, LL_SOON));
	EXPECT_EQ(F_UNLCK, ll_ret(fcntl(u->fd, F_GETLEASE)));
	EXPECT_EQ(-EFAULT, ll_io_do(&u->ring, &io));
	EXPECT_EQ(0, ll_do(&u->ring, .op = IORING_OP_NOP));
	ASSERT_EQ(0, ll_take(u->fd, true, LL_SIG));
	EXPECT_EQ(-EIO, ll_reg(&self->r, u->map, LL_PAGE, &more));
	ASSERT_EQ(0, ll_rdma_open(&self->anew));
	EXPECT_EQ(0, ll_reg(&self->anew, u->map, LL_PIN_LEN, &more));
	EXPECT_EQ(0, ll_uring_update(u, 0, u->map, LL_PIN_LEN));
	EXPECT_EQ(10, ll_io_do(&u->ring, &io));
	EXPECT_EQ(2, ll_listed(self->other, true));
	EXPECT_EQ(0, unharmed(&self->h));
}

TEST_F(lever, file_request_revokes_pins_of_all_holders_of_that_file_only)
{
	ASSERT_EQ(0, ll_holder_pin(&self->second, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_pin(&self->third, self->other, true, LL_SIG));
	EXPECT_EQ(0, pull_file(self->path));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_EQ(0, lost(&self->h, 0));
	EXPECT_EQ(0, lost(&self->second, 0));
	EXPECT_EQ(1, ll_listed(self->other, true));
	EXPECT_EQ(0, unharmed(&self->third));
}

TEST_F(lever, works_under_deny_and_lets_truncate_through)
{
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-ETXTBSY, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, pull_file(self->path));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, lost(&self->h, 0));
}

TEST_F(lever, pins_of_a_holder_that_is_gone_are_named_by_file)
{
	pid_t gone = self->h.pid;

	ASSERT_EQ(0, ll_share(&self->h, &self->stays));
	ASSERT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(-ESRCH, pull("pid %d", gone));
	EXPECT_EQ(-ENOENT, pull("pid %d", self->stays));
	EXPECT_EQ(0, pull_file(self->path));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_TRUE(ll_stays(self->stays));
}

TEST_F(lever, no_such_pin_is_ENOENT)
{
	const struct ll_id *id = &self->id;

	EXPECT_EQ(-ENOENT, pull("pid %d", getpid()));
	EXPECT_EQ(-ENOENT, pull_file(self->other));
	EXPECT_EQ(-ENOENT, pull("file 0:0 5"));
	EXPECT_EQ(-ENOENT, pull("file 0:0 %llu", id->ino));
	EXPECT_EQ(-ENOENT, pull("file %u:%u %llu", id->major, id->minor, ~0ULL));
	EXPECT_EQ(-ENOENT, pull("file %u:%u %llu", id->major, id->minor + 1, id->ino));
	ll_sleep_ms(200);
	EXPECT_EQ(0, unharmed(&self->h));
}

TEST_F(lever, no_such_process_is_ESRCH)
{
	EXPECT_EQ(-ESRCH, pull("pid 2147483647"));
	EXPECT_EQ(-ESRCH, pull("pid 0"));
	EXPECT_EQ(0, unharmed(&self->h));
}

TEST_F(lever, malformed_request_is_EINVAL_and_revokes_nothing)
{
	/* arguments: process, major, minor, inode */
	static const char * const requests[] = {
		"%5$s", "\n", "pid", "pid ", "pid x", "pid -1", "pid 1.5", "pid 0x1", "pids 1",
		"pid%1$d", "PID %1$d", "pid %1$d x", "pid %1$d,", "pid %1$d\npid %1$d\n",
		"pid %1$060d", "file", "file ", "file 0", "file 0:0", "file :0 5",
		"file 0: 5x", "file 0:0 -5", "file -1:0 5", "file 0:0 0x5",
		"file 4096:0 %4$llu", "file 259:1048576 %4$llu", "file %2$u %3$u %4$llu",
		"file %2$u:%3$u %4$llu x", "file %2$u:%3$u %4$064llu", "pid 4294967296",
	};
	const struct ll_id *id = &self->id;
	unsigned long long wrap = 1ULL << 32;
	int pid = self->h.pid, len;
	char request[64];
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(requests); i++) {
		EXPECT_EQ(-EINVAL, pull(requests[i], pid, id->major, id->minor, id->ino, ""))
			TH_LOG("%s", requests[i]);
	}
	len = snprintf(request, sizeof(request), "pid %d", pid);
	EXPECT_EQ(-EINVAL, pull_at(0, request, len + 1));
	EXPECT_EQ(-EINVAL, pull_at(1, request, len));
	/* numbers that would be right if they had fewer bits */
	EXPECT_EQ(-EINVAL, pull("file %llu:%u %llu", wrap + id->major, id->minor, id->ino));
	EXPECT_EQ(-EINVAL, pull("file %u:%llu %llu", id->major, wrap + id->minor, id->ino));
	EXPECT_EQ(-EINVAL, pull("file %u:%u 184467440737%08llu", id->major, id->minor,
				9551616 + id->ino));
	ll_sleep_ms(200);
	EXPECT_EQ(0, unharmed(&self->h));
}

struct attempt {
	bool contained;		/* root of a user namespace, outside as well */
	int fd;			/* one that is open, or -1 */
	const char *request;
};

static int become(bool contained)
{
	int fd, ret;

	if (!contained)
		return ll_ret(setresuid(LL_UID, LL_UID, LL_UID));
	ret = ll_ret(unshare(CLONE_NEWUSER));
	fd = ret ?: ll_open("/proc/self/uid_map", O_WRONLY);
	return fd < 0 ? fd : write(fd, "0 0 1", 5) != 5;
}

static int attempt(void *arg)
{
	struct attempt *a = arg;

	if (become(a->contained))
		return -ENOTRECOVERABLE;
	if (a->fd < 0)
		return pull("%s", a->request);
	return write(a->fd, a->request, strlen(a->request)) < 0 ? -errno : 0;
}

TEST_F(lever, unprivileged_is_refused)
{
	char request[64];
	struct attempt a = { false, -1, request };

	snprintf(request, sizeof(request), "pid %d", self->h.pid);
	EXPECT_EQ(-EACCES, ll_in_child(attempt, &a));
	a.contained = true;
	EXPECT_EQ(-EPERM, ll_in_child(attempt, &a));
	/* nor with a descriptor from somebody who is privileged */
	a.fd = ll_open(LEVER, O_WRONLY);
	ASSERT_LE(0, a.fd);
	EXPECT_EQ(-EPERM, ll_in_child(attempt, &a));
	a.contained = false;
	EXPECT_EQ(-EPERM, ll_in_child(attempt, &a));
	ll_sleep_ms(200);
	EXPECT_EQ(0, unharmed(&self->h));
}

TEST_F(lever, revocation_is_logged_and_traced)
{
	const char *dev = getenv("RDMA_DEV");
	int pid = self->h.pid;

	ll_sleep_ms(5100);	/* there may be too many messages in 5 s */
	ASSERT_EQ(0, ll_shell("mkdir -p %s && echo 1 >%s/events/layout_lease/break_revoke/enable",
			      INSTANCE, INSTANCE));
	EXPECT_EQ(0, pull("pid %d", pid));
	EXPECT_EQ(0, ll_command("grep break_revoke %s/trace", INSTANCE));
	EXPECT_TRUE(ll_line(LL_OUT, " dev=%u:%u ino=%llu reason=unknown range=0x0-0x10000 ",
			    self->id.major, self->id.minor, self->id.ino));
	EXPECT_TRUE(ll_line(LL_OUT, " breaker=%d uid=0 holder=%d owner=rdma:%s$", getpid(),
			    pid, dev));
	EXPECT_EQ(0, ll_command("rmdir %s; dmesg | grep \"for process %d \"", INSTANCE, getpid()));
	EXPECT_TRUE(ll_line(LL_OUT, "layout_lease: revoked rdma:%s of holder %d for ", dev, pid));
	EXPECT_TRUE(ll_line(LL_OUT, " \\(lever_test\\), as told: f, pmem[0-9]+ inode %llu$",
			    self->id.ino));
}

TEST_F(lever, command_revoke_by_file_ends_with_status_0)
{
	ASSERT_EQ(0, ll_holder_pin(&self->second, self->path, true, LL_SIG));
	EXPECT_EQ(0, ll_command("layout-lease revoke --file %s", self->path));
	EXPECT_EQ(0, ll_listed(self->path, true));
	EXPECT_TRUE(ll_line(LL_OUT, "^revoked: .*1 pin of %d \\(lever_test\\),.* in ",
			    self->h.pid));
	EXPECT_EQ(0, lost(&self->h, 0));
	EXPECT_EQ(0, lost(&self->second, 0));
}

TEST_F(lever, command_revoke_by_pid_ends_with_status_0)
{
	ASSERT_EQ(0, ll_holder_pin(&self->second, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 1, LL_FAR, LL_PAGE));
	EXPECT_EQ(0, ll_command("layout-lease revoke --pid %d --timeout 30", self->h.pid));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_TRUE(ll_line(LL_OUT, "^revoked: 2 pins of %d \\(lever_test\\), in ",
			    self->h.pid));
	EXPECT_EQ(0, lost(&self->h, 0));
	EXPECT_EQ(0, unharmed(&self->second));
}

TEST_F(lever, command_revoke_without_pins_ends_with_status_1)
{
	EXPECT_EQ(1, ll_command("layout-lease revoke --file %s", self->other));
	EXPECT_TRUE(ll_line(LL_ERR, "no pins on %s", self->other));
	EXPECT_EQ(1, ll_command("layout-lease revoke --pid %d", getpid()));
	EXPECT_TRUE(ll_line(LL_ERR, "process %d has no pins", getpid()));
	EXPECT_EQ(1, ll_command("layout-lease revoke --pid 2147483647"));
	EXPECT_TRUE(ll_line(LL_ERR, "no process 2147483647"));
}

TEST_F(lever, command_revoke_with_wrong_arguments_ends_with_status_2)
{
	EXPECT_EQ(2, ll_command("layout-lease revoke"));
	EXPECT_EQ(2, ll_command("layout-lease revoke --pid 1 --file %s", self->path));
	EXPECT_EQ(0, unharmed(&self->h));
}

TEST_HARNESS_MAIN
