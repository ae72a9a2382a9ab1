// SPDX-License-Identifier: GPL-2.0
/*
 * Attackers who make themselves hard to kill, by stopping, tracing, freezing and
 * vfork, and attackers who make themselves root of a user namespace. A truncate
 * gets through in its time; who agreed is killed, who helps it is not.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_attack.h"

#define CGROUP	"/sys/fs/cgroup/layout-attack"

FIXTURE(hard)
{
	struct ll_attack a;
	pid_t child;
};

FIXTURE_VARIANT(hard)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(hard, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(hard, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(hard)
{
	ASSERT_EQ(0, ll_adopt());
	ASSERT_EQ(0, ll_attack_setup(&self->a, variant->fs));
}

FIXTURE_TEARDOWN(hard)
{
	ll_stay_end(self->child);
	ll_shell("[ ! -d %s ] || echo 0 >%s/cgroup.freeze", CGROUP, CGROUP);
	EXPECT_EQ(0, ll_attack_end(&self->a));
	ll_shell("rmdir %s 2>/dev/null", CGROUP);
}

/* The keeper stops the process, and does not look after it any more. */
static int trace(struct ll_inside *in, long pid)
{
	(void)in;
	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT) ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL))
		return -errno;
	return ll_ret(waitpid(pid, NULL, __WALL)) == pid ? 0 : -errno;
}

/* It lets the process go. */
static int untrace(struct ll_inside *in, long pid)
{
	int status;

	(void)in;
	/* where it has stopped on its way to the end, or at its end */
	waitpid(pid, &status, __WALL);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return 0;
}

/* The tracer keeps it from dying: what it has is taken away. */
TEST_F_TIMEOUT(hard, traced_attacker_is_killed_or_revoked_in_time, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, ll_holder_pin(&a->h, a->path, true, LL_SIG));
	ASSERT_EQ(0, ll_call(&a->keeper, trace, a->h.pid));
	EXPECT_LE(900, ll_attack_truncate(a));
	EXPECT_EQ(0, ll_call(&a->keeper, untrace, a->h.pid));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
}

/* The same in the middle of an exec, to which it takes its context along. */
static int trace_exec(struct ll_inside *in, long pid)
{
	(void)in;
	return ll_ret(ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXEC));
}

static int do_exec(struct ll_inside *in, long arg)
{
	(void)arg;
	fcntl(in->rdma->ctx->cmd_fd, F_SETFD, 0);
	execlp("sleep", "sleep", "60", NULL);
	return -errno;
}

static int stops(struct ll_inside *in, long pid)
{
	int status;

	(void)in;
	if (waitpid(pid, &status, __WALL) != pid)
		return -errno;
	return status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8) ? 0 : -ECHILD;
}

TEST_F_TIMEOUT(hard, attacker_that_is_stopped_in_exec_is_killed, 90)
{
	struct ll_cmd exec = { .op = H_CALL, .a = (uintptr_t)do_exec };
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, ll_holder_pin(&a->h, a->path, true, LL_SIG));
	ASSERT_EQ(0, ll_call(&a->keeper, trace_exec, a->h.pid));
	ASSERT_EQ(0, ll_holder_send(&a->h, &exec));
	ASSERT_EQ(0, ll_call(&a->keeper, stops, a->h.pid));
	EXPECT_EQ(1, ll_listed(a->path, true));
	EXPECT_LE(900, ll_attack_truncate(a));
	EXPECT_EQ(0, ll_call(&a->keeper, untrace, a->h.pid));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
}

/* Asleep in vfork until the child ends, which has not agreed to anything. */
static int do_vfork(struct ll_inside *in, long arg)
{
	(void)in;
	(void)arg;
	if (!vfork())
		for (;;)
			pause();
	return 0;
}

TEST_F_TIMEOUT(hard, attacker_asleep_in_vfork_is_killed_and_its_child_is_not, 90)
{
	struct ll_cmd cmd = { .op = H_CALL, .a = (uintptr_t)do_vfork };
	struct ll_attack *a = &self->a;
	char text[64];

	ASSERT_EQ(0, ll_holder_pin(&a->h, a->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_send(&a->h, &cmd));
	ll_sleep_ms(300);
	ASSERT_LT(0, ll_read(text, sizeof(text), "/proc/%d/task/%d/children",
			     a->h.pid, a->h.pid));
	self->child = atoi(text);
	ASSERT_TRUE(ll_stays(self->child));
	EXPECT_LE(900, ll_attack_truncate(a));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
	EXPECT_TRUE(ll_stays(self->child));
}

TEST_F_TIMEOUT(hard, frozen_attacker_is_killed, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, ll_holder_pin(&a->h, a->path, true, LL_SIG));
	ASSERT_EQ(0, ll_shell("mkdir %s && echo %d >%s/cgroup.procs", CGROUP,
			      a->h.pid, CGROUP));
	ASSERT_EQ(0, ll_shell("echo 1 >%s/cgroup.freeze", CGROUP));
	ASSERT_EQ(0, ll_shell("until grep -q 'frozen 1' %s/cgroup.events; do :; done",
			      CGROUP));
	EXPECT_LE(900, ll_attack_truncate(a));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
}

/* Stopped, it is not told either. */
TEST_F_TIMEOUT(hard, stopped_attacker_with_traffic_is_killed, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, ll_holder_pin(&a->h, a->path, true, LL_SIG));
	ASSERT_EQ(0, ll_attack_traffic(a));
	ASSERT_EQ(0, ll_ret(kill(a->h.pid, SIGSTOP)));
	ASSERT_EQ(0, ll_take_all_space(&a->env));
	EXPECT_LE(900, ll_attack_truncate(a));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
	EXPECT_EQ(0, ll_attack_watch(a));
}

/*
 * Root of a user namespace of its own has CAP_LEASE, CAP_KILL and CAP_SYS_ADMIN
 * there, and no more of them outside than before.
 */
TEST_F_TIMEOUT(hard, root_of_a_namespace_has_no_power_over_files_of_others, 90)
{
	struct ll_cmd leases = { .op = H_READ, .path = "/proc/layout_leases" };
	struct ll_attack *a = &self->a;
	struct ll_cmd lever = {
		.op = H_OPEN, .slot = 1, .a = O_WRONLY, .path = "/proc/layout_revoke",
	};
	struct ll_rsp rsp;

	/* it may write to the file, but does not own it */
	ASSERT_EQ(0, ll_ret(chmod(a->path, 0666)));
	ASSERT_EQ(0, ll_holder_start(&a->h));
	ASSERT_EQ(0, ll_hold(&a->h, .op = H_CONTAIN, .a = LL_UID));
	ASSERT_EQ(0, ll_holder_open(&a->h, 0, a->path));
	ASSERT_EQ(0, ll_hold(&a->h, .op = H_SETSIG, .a = SIGKILL));
	EXPECT_EQ(-EACCES, ll_hold(&a->h, .op = H_SETLEASE, .a = LL_EXCL));
	EXPECT_EQ(-EACCES, ll_hold(&a->h, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(-EACCES, ll_holder_ask(&a->h, &leases, &rsp));
	EXPECT_EQ(-EACCES, ll_holder_do(&a->h, &lever));
	EXPECT_EQ(0, ll_holder_end(&a->h));
}

/* Somebody who is not root, with a lease on a file of its own. */
static int start_as_user(struct ll_attack *a)
{
	return ll_ret(chown(a->path, LL_UID, LL_UID)) ?: ll_holder_start(&a->h) ?:
	       ll_hold(&a->h, .op = H_UID, .a = LL_UID) ?:
	       ll_holder_open(&a->h, 0, a->path) ?:
	       ll_holder_lease(&a->h, 0, true, LL_SIG);
}

static int become_root(struct ll_inside *in, long arg)
{
	char map[32];
	int fd, len, ret;

	(void)in;
	(void)arg;
	len = snprintf(map, sizeof(map), "0 %d 1", LL_UID);
	if (unshare(CLONE_NEWUSER))
		return -errno;
	fd = ll_open("/proc/self/uid_map", O_WRONLY);
	if (fd < 0)
		return fd;
	ret = write(fd, map, len) == len ? 0 : -errno;
	close(fd);
	return ret ?: getuid() ? -EPERM : 0;
}

TEST_F_TIMEOUT(hard, holder_that_becomes_root_of_a_namespace_is_killed_all_the_same, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, start_as_user(a));
	ASSERT_EQ(0, ll_holder_reg(&a->h, 0, 0, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_hold(&a->h, .op = H_DUMPABLE, .a = 1));
	ASSERT_EQ(0, ll_call(&a->h, become_root, 0));
	EXPECT_LE(900, ll_attack_truncate(a));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
}

/* Of another user, on a file of its own: root's truncate does not hang. */
TEST_F_TIMEOUT(hard, unprivileged_attacker_does_not_hang_root, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, start_as_user(a));
	ASSERT_EQ(0, ll_hold(&a->h, .op = H_MEMLOCK, .a = LL_PIN_LEN));
	ASSERT_EQ(0, ll_holder_reg(&a->h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(-ENOMEM, ll_holder_reg(&a->h, 0, 1, LL_FAR, LL_PAGE));
	EXPECT_EQ(1, ll_listed(a->path, true));
	EXPECT_LE(900, ll_attack_truncate(a));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
}

TEST_HARNESS_MAIN
