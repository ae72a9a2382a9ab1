// SPDX-License-Identifier: GPL-2.0
/*
 * The administrator's lever: /proc/layout_revoke and "layout-lease revoke" take
 * pins away from a process, or from a file, and kill nobody.
 */
#include <linux/capability.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_uring.h"

#define LEVER		"/proc/layout_revoke"
#define INSTANCE	"/sys/kernel/tracing/instances/lever_test"
#define LOG_INTERVAL	5000	/* ms in which the kernel limits its messages */
#define NO_CHILD	(-ENOTRECOVERABLE)	/* it could not become what it should */

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

FIXTURE_VARIANT(lever)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(lever, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(lever, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(lever)
{
	struct ll_said none = { .pid = -1 };

	self->u.fd = -1;
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, self->other));
	ASSERT_EQ(0, ll_identify(self->path, &self->id));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_TRUE(ll_comes_to_show(&none, "/proc/layout_leases"));
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

	return ret ?: pull("file %u:%u %llu", id.major, id.minor, id.ino);
}

/* It has its lease, and can still pin; 0 if so. */
static int unharmed(struct ll_holder *h)
{
	if (ll_hold(h, .op = H_GETLEASE) != LL_EXCL)
		return -ENOLCK;
	return ll_holder_reg(h, 0, 3, 0, LL_PAGE) ?: ll_holder_dereg(h, 3);
}

/* It lives, has heard nothing, and has neither a lease nor a context; 0 if so. */
static int lost(struct ll_holder *h, int slot)
{
	if (ll_hold(h, .op = H_GETLEASE, .slot = slot) != F_UNLCK)
		return -ENOLCK;
	if (ll_holder_reg(h, slot, 3, 0, LL_PAGE) != -EIO)
		return -EBADF;
	if (ll_hold(h, .op = H_SIGWAIT, .a = 200) != -ETIMEDOUT)
		return -EINTR;
	return ll_holder_alive(h) ? 0 : -ESRCH;
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
	EXPECT_EQ(1, ll_listed(self->path, false));
	EXPECT_EQ(0, ll_listed(self->other, false));
	EXPECT_EQ(0, lost(&self->h, 0));
	EXPECT_EQ(0, lost(&self->h, 1));
	EXPECT_EQ(0, unharmed(&self->second));
	EXPECT_EQ(-ENOENT, pull("pid %d", self->h.pid));
}

TEST_F(lever, process_goes_on_with_a_new_context_and_a_new_lease)
{
	int fd = ll_open(self->other, O_RDWR);
	struct ibv_mr *mr, *more;
	char *map;

	map = ll_map_fd(fd, LL_PIN_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, ll_take(fd, true, LL_SIG));
	ASSERT_EQ(0, ll_rdma_open(&self->r));
	ASSERT_EQ(0, ll_reg(&self->r, map, LL_PIN_LEN, &mr));
	EXPECT_EQ(0, pull("pid %d", getpid()));
	EXPECT_EQ(0, ll_comes_to_list(self->other, true, 0));
	EXPECT_EQ(F_UNLCK, ll_ret(fcntl(fd, F_GETLEASE)));
	ASSERT_EQ(0, ll_take(fd, true, LL_SIG));
	EXPECT_EQ(-EIO, ll_reg(&self->r, map, LL_PAGE, &more));
	ASSERT_EQ(0, ll_rdma_open(&self->anew));
	ASSERT_EQ(0, ll_reg(&self->anew, map, LL_PIN_LEN, &more));
	EXPECT_EQ(1, ll_listed(self->other, true));
	EXPECT_EQ(0, ll_dereg(&more));
	EXPECT_EQ(0, ll_dereg(&mr));
	ll_rdma_close(&self->anew);
	ll_rdma_close(&self->r);
	EXPECT_EQ(0, unharmed(&self->h));
	close(fd);
}

TEST_F(lever, pid_request_revokes_buffers_and_the_ring_lives)
{
	struct ll_io io = { .op = IORING_OP_READ_FIXED, .len = 10 };

	ASSERT_EQ(0, ll_uring_open(&self->u, self->other, 0));
	ASSERT_EQ(0, ll_take(self->u.fd, true, LL_SIG));
	ASSERT_EQ(0, ll_uring_table(&self->u, 0, LL_PIN_LEN));
	io.fd = ll_open("/dev/zero", O_RDONLY);
	io.addr = self->u.map;
	EXPECT_EQ(10, ll_io_do(&self->u.ring, &io));
	EXPECT_EQ(0, pull("pid %d", getpid()));
	EXPECT_EQ(0, ll_pins_gone(self->other, LL_SOON));
	EXPECT_EQ(F_UNLCK, ll_ret(fcntl(self->u.fd, F_GETLEASE)));
	EXPECT_EQ(-EFAULT, ll_io_do(&self->u.ring, &io));
	EXPECT_EQ(0, ll_do(&self->u.ring, .op = IORING_OP_NOP));
	ASSERT_EQ(0, ll_take(self->u.fd, true, LL_SIG));
	EXPECT_EQ(0, ll_uring_update(&self->u, 0, self->u.map, LL_PIN_LEN));
	EXPECT_EQ(10, ll_io_do(&self->u.ring, &io));
	EXPECT_EQ(0, unharmed(&self->h));
	close(io.fd);
}

TEST_F(lever, file_request_revokes_pins_of_all_holders_of_that_file_only)
{
	ASSERT_EQ(0, ll_holder_pin(&self->second, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_pin(&self->third, self->other, true, LL_SIG));
	EXPECT_EQ(2, ll_listed(self->path, true));
	EXPECT_EQ(0, pull_file(self->path));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_EQ(0, ll_listed(self->path, false));
	EXPECT_EQ(0, lost(&self->h, 0));
	EXPECT_EQ(0, lost(&self->second, 0));
	EXPECT_EQ(1, ll_listed(self->other, true));
	EXPECT_EQ(0, unharmed(&self->third));
	EXPECT_EQ(-ENOENT, pull_file(self->path));
}

TEST_F(lever, works_under_deny_and_lets_truncate_through)
{
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-ETXTBSY, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, pull_file(self->path));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_size(self->path));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

TEST_F(lever, pins_of_a_holder_that_is_gone_are_named_by_file)
{
	pid_t gone = self->h.pid;

	ASSERT_EQ(0, ll_share(&self->h, &self->stays));
	ASSERT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(-ESRCH, pull("pid %d", gone));
	EXPECT_EQ(-ENOENT, pull("pid %d", self->stays));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(0, pull_file(self->path));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_TRUE(ll_stays(self->stays));
}

TEST_F(lever, pins_of_a_holder_that_nobody_has_reaped_are_named_by_pid)
{
	ASSERT_EQ(0, ll_share(&self->h, &self->stays));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_EXIT));
	ll_sleep_ms(200);
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(0, pull("pid %d", self->h.pid));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_TRUE(ll_stays(self->stays));
}

TEST_F(lever, requests_end_in_a_newline_or_not_and_follow_each_other)
{
	char request[64];
	int fd = ll_open(LEVER, O_WRONLY), len;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ll_holder_pin(&self->second, self->other, true, LL_SIG));
	len = snprintf(request, sizeof(request), "pid %d\n", self->second.pid);
	EXPECT_EQ(len, ll_ret(write(fd, request, len)));
	len = snprintf(request, sizeof(request), "file %u:%u %llu\n", self->id.major,
		       self->id.minor, self->id.ino);
	EXPECT_EQ(len, ll_ret(write(fd, request, len)));
	EXPECT_EQ(0, ll_comes_to_list(self->path, true, 0));
	EXPECT_EQ(0, ll_comes_to_list(self->other, true, 0));
	EXPECT_EQ(-ENOENT, ll_ret(write(fd, request, len - 1)));
	close(fd);
}

TEST_F(lever, no_such_pin_is_ENOENT)
{
	const struct ll_id *id = &self->id;
	int fd = ll_open(self->other, O_RDWR);

	ASSERT_EQ(0, ll_take(fd, true, LL_SIG));
	EXPECT_EQ(-ENOENT, pull("pid %d", getpid()));
	EXPECT_EQ(-ENOENT, pull("pid 1"));
	EXPECT_EQ(-ENOENT, pull_file(self->other));
	EXPECT_EQ(LL_EXCL, ll_ret(fcntl(fd, F_GETLEASE)));
	EXPECT_EQ(-ENOENT, pull("file 0:0 5"));
	EXPECT_EQ(-ENOENT, pull("file 0:0 %llu", id->ino));
	EXPECT_EQ(-ENOENT, pull("file %u:%u 0", id->major, id->minor));
	EXPECT_EQ(-ENOENT, pull("file %u:%u %llu", id->major, id->minor, ~0ULL));
	EXPECT_EQ(-ENOENT, pull("file %u:%u %llu", id->major, id->minor + 1, id->ino));
	EXPECT_EQ(-ENOENT, pull("file %u:%u %llu", id->major + 1, id->minor, id->ino));
	EXPECT_EQ(-ENOENT, pull("file 4095:1048575 %llu", id->ino));
	ll_sleep_ms(200);
	EXPECT_EQ(0, unharmed(&self->h));
	close(fd);
}

TEST_F(lever, no_such_process_is_ESRCH)
{
	ASSERT_EQ(0, ll_holder_start(&self->second));
	self->stays = self->second.pid;
	ASSERT_EQ(0, ll_holder_end(&self->second));
	EXPECT_EQ(-ESRCH, pull("pid %d", self->stays));
	self->stays = 0;
	EXPECT_EQ(-ESRCH, pull("pid 2147483647"));
	EXPECT_EQ(0, unharmed(&self->h));
}

TEST_F(lever, malformed_request_is_EINVAL_and_revokes_nothing)
{
	static const char * const requests[] = {
		"", "\n", " ", "pid", "pid ", "pid\n", "pid x", "pid 1.5", "pid 0x1",
		"pid 1 1", "pids 1", "all", "file", "file ", "file 0", "file 0:0",
		"file 0:0 ", "file :0 5", "file 0: 5x", "file 0:0 -5", "file -1:0 5",
		"file 0:-1 5", "file 0:0 0x5", "file 4096:0 5", "file 259:1048576 5",
		"pid 4294967296", "pid 99999999999999999999",
	};
	const struct ll_id *id = &self->id;
	unsigned long long wrap = 1ULL << 32;
	unsigned __int128 ino = id->ino + ((unsigned __int128)1 << 64);
	int pid = self->h.pid, len;
	char request[64];
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(requests); i++)
		EXPECT_EQ(-EINVAL, pull("%s", requests[i]))
			TH_LOG("'%s'", requests[i]);
	EXPECT_EQ(-EINVAL, pull("pid%d", pid));
	EXPECT_EQ(-EINVAL, pull("PID %d", pid));
	EXPECT_EQ(-EINVAL, pull("pid %d x", pid));
	EXPECT_EQ(-EINVAL, pull("pid %d,", pid));
	EXPECT_EQ(-EINVAL, pull("pid %d\npid %d\n", pid, pid));
	EXPECT_EQ(-EINVAL, pull("pid %060d", pid));
	EXPECT_EQ(-EINVAL, pull("pid %llu", wrap + pid));
	EXPECT_EQ(-EINVAL, pull("file %s", self->path));
	EXPECT_EQ(-EINVAL, pull("file %u:%u %llu x", id->major, id->minor, id->ino));
	EXPECT_EQ(-EINVAL, pull("file %u:%u %llu%100s", id->major, id->minor, id->ino, "\n"));
	EXPECT_EQ(-EINVAL, pull("file %u %u %llu", id->major, id->minor, id->ino));
	/* numbers that would be right if they had fewer bits */
	EXPECT_EQ(-EINVAL, pull("file %llu:%u %llu", wrap + id->major, id->minor, id->ino));
	EXPECT_EQ(-EINVAL, pull("file %u:%llu %llu", id->major, wrap + id->minor, id->ino));
	EXPECT_EQ(-EINVAL, pull("file %u:%u %llu%010llu", id->major, id->minor,
				(unsigned long long)(ino / 10000000000),
				(unsigned long long)(ino % 10000000000)));
	EXPECT_TRUE(pull("pid 0") == -ESRCH || pull("pid 0") == -EINVAL);
	EXPECT_TRUE(pull("pid -1") == -ESRCH || pull("pid -1") == -EINVAL);
	len = snprintf(request, sizeof(request), "pid %d", pid);
	EXPECT_EQ(-EINVAL, pull_at(0, request, len + 1));
	EXPECT_EQ(-EINVAL, pull_at(1, request, len));
	EXPECT_EQ(-EINVAL, pull_at(0, "pid\0" "1", 5));
	ll_sleep_ms(200);
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(0, unharmed(&self->h));
}

struct attempt {
	int (*become)(void);
	int fd;			/* one that is open, or -1 */
	const char *request;
};

static int become_user(void)
{
	return ll_ret(setresuid(LL_UID, LL_UID, LL_UID));
}

static int become_root_without_capability(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	data[0].effective &= ~(1U << CAP_SYS_ADMIN);
	data[0].permitted &= ~(1U << CAP_SYS_ADMIN);
	return ll_ret(syscall(SYS_capset, &head, data));
}

/* Of the same user outside, so that it may open what root may. */
static int become_root_of_a_user_namespace(void)
{
	return ll_ret(unshare(CLONE_NEWUSER)) ?:
	       ll_shell("echo 0 0 1 >/proc/$PPID/uid_map");
}

static int attempt(void *arg)
{
	struct attempt *a = arg;

	if (a->become())
		return NO_CHILD;
	if (a->fd < 0)
		return pull("%s", a->request);
	return ll_ret(write(a->fd, a->request, strlen(a->request))) < 0 ? -errno : 0;
}

TEST_F(lever, unprivileged_is_refused)
{
	struct attempt a = { become_user, -1, NULL };
	char request[64];
	struct stat st;

	snprintf(request, sizeof(request), "pid %d", self->h.pid);
	a.request = request;
	EXPECT_EQ(-EACCES, ll_in_child(attempt, &a));
	a.become = become_root_without_capability;
	EXPECT_EQ(-EPERM, ll_in_child(attempt, &a));
	a.become = become_root_of_a_user_namespace;
	EXPECT_EQ(-EPERM, ll_in_child(attempt, &a));

	/* nor with a descriptor from somebody who is privileged */
	a.fd = ll_open(LEVER, O_WRONLY);
	ASSERT_LE(0, a.fd);
	EXPECT_EQ(-EPERM, ll_in_child(attempt, &a));
	a.become = become_root_without_capability;
	EXPECT_EQ(-EPERM, ll_in_child(attempt, &a));
	a.become = become_user;
	EXPECT_EQ(-EPERM, ll_in_child(attempt, &a));
	ASSERT_EQ(0, ll_ret(fstat(a.fd, &st)));
	EXPECT_EQ(S_IFREG | 0200, (int)st.st_mode);
	ll_sleep_ms(200);
	EXPECT_EQ(0, unharmed(&self->h));
	close(a.fd);
}

TEST_F(lever, revocation_is_logged_and_traced)
{
	const char *dev = getenv("RDMA_DEV");

	ll_sleep_ms(LOG_INTERVAL + 100);
	ASSERT_EQ(0, ll_shell("mkdir -p %s && echo 1 >%s/events/layout_lease/break_revoke/enable",
			      INSTANCE, INSTANCE));
	EXPECT_EQ(0, pull("pid %d", self->h.pid));
	EXPECT_EQ(0, ll_command("cat %s/trace", INSTANCE));
	EXPECT_TRUE(ll_line(LL_OUT, " break_revoke: dev=%u:%u ino=%llu reason=unknown range=0x0-0x10000 breaker=%d uid=0 holder=%d owner=rdma:%s$",
			    self->id.major, self->id.minor, self->id.ino, getpid(),
			    self->h.pid, dev));
	EXPECT_EQ(0, ll_command("rmdir %s; dmesg | tail -n 20", INSTANCE));
	EXPECT_TRUE(ll_line(LL_OUT, "layout_lease: revoked rdma:%s of holder %d for process %d \\(lever_test\\), as told: f, pmem[0-9]+ inode %llu$",
			    dev, self->h.pid, getpid(), self->id.ino));
}

TEST_F(lever, command_revoke_by_file_ends_with_status_0)
{
	ASSERT_EQ(0, ll_holder_pin(&self->second, self->path, true, LL_SIG));
	EXPECT_EQ(0, ll_command("layout-lease revoke --file %s", self->path));
	EXPECT_EQ(0, ll_listed(self->path, true));
	EXPECT_TRUE(ll_line(LL_OUT, "^%d +lever_test +pin .* %s$", self->h.pid, self->path));
	EXPECT_TRUE(ll_line(LL_OUT, "^revoked: .*1 pin of %d \\(lever_test\\),.* in ",
			    self->h.pid));
	EXPECT_TRUE(ll_line(LL_OUT, "^revoked: .*1 pin of %d \\(lever_test\\),.* in ",
			    self->second.pid));
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
	EXPECT_EQ(1, ll_command("layout-lease revoke --file /no/such/file"));
	EXPECT_EQ(0, unharmed(&self->h));
}

TEST_F(lever, command_revoke_with_wrong_arguments_ends_with_status_2)
{
	EXPECT_EQ(2, ll_command("layout-lease revoke"));
	EXPECT_EQ(2, ll_command("layout-lease revoke --pid %d --file %s", self->h.pid,
				self->path));
	EXPECT_EQ(2, ll_command("layout-lease revoke --pid x"));
	EXPECT_EQ(2, ll_command("layout-lease revoke --pid %d x", self->h.pid));
	EXPECT_EQ(2, ll_command("layout-lease revoke --pid %d --timeout x", self->h.pid));
	EXPECT_EQ(0, unharmed(&self->h));
}

TEST_HARNESS_MAIN
