// SPDX-License-Identifier: GPL-2.0
/*
 * Attackers who have the kernel send signals for them: F_SETOWN and F_SETSIG of a
 * leased file point at others, who must neither be signalled, unless the attacker
 * may do so itself, nor be killed in its place. And a process that gets the
 * number of a holder that is gone.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_attack.h"

#define OTHER_UID	1001
#define ATTEMPTS	100

FIXTURE(aim)
{
	struct ll_attack a;
	pid_t grouped[2], thread;
	struct ll_holder other;		/* of another user */
	struct ll_holder same;		/* of the attacker's user, not asked either */
};

FIXTURE_VARIANT(aim)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(aim, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(aim, xfs) {
	.fs = LL_XFS,
};

static pid_t tid;

static void *stay(void *arg)
{
	(void)arg;
	__atomic_store_n(&tid, gettid(), __ATOMIC_RELEASE);
	for (;;)
		pause();
	return NULL;
}

/* A thread beside the first one; its number. */
static int start_thread(struct ll_inside *in, long arg)
{
	pthread_t thread;
	pid_t have;

	(void)in;
	(void)arg;
	if (pthread_create(&thread, NULL, stay, NULL))
		return -EAGAIN;
	while (!(have = __atomic_load_n(&tid, __ATOMIC_ACQUIRE)))
		ll_sleep_ms(1);
	return have;
}

static int start_user(struct ll_audit *audit, struct ll_holder *h, int uid)
{
	return ll_holder_start(h) ?: ll_audit_watch(audit, h->pid) ?:
	       ll_hold(h, .op = H_UID, .a = uid);
}

FIXTURE_SETUP(aim)
{
	struct ll_audit *audit = &self->a.audit;
	int i;

	ASSERT_EQ(0, ll_attack_setup(&self->a, variant->fs));
	ASSERT_EQ(0, ll_ret(chown(self->a.path, LL_UID, LL_UID)));
	for (i = 0; i < 2; i++) {
		self->grouped[i] = ll_audit_innocent(audit);
		ASSERT_LT(0, self->grouped[i]);
		ASSERT_EQ(0, ll_ret(setpgid(self->grouped[i], self->grouped[0])));
	}
	self->thread = ll_call(&self->a.keeper, start_thread, 0);
	ASSERT_LT(0, self->thread);
	ASSERT_EQ(0, ll_audit_watch(audit, self->thread));
	ASSERT_EQ(0, start_user(audit, &self->other, OTHER_UID));
	ASSERT_EQ(0, start_user(audit, &self->same, LL_UID));
}

FIXTURE_TEARDOWN(aim)
{
	EXPECT_EQ(0, ll_attack_end(&self->a));
	ll_holder_end(&self->other);
	ll_holder_end(&self->same);
}

struct target {
	const char *name;
	int type, pid;		/* as in struct f_owner_ex */
};

static int set_owner(struct ll_inside *in, long arg)
{
	struct f_owner_ex owner = { .type = arg >> 32, .pid = (int)arg };

	return ll_ret(fcntl(in->fd[0], F_SETOWN_EX, &owner));
}

static int aim(struct ll_holder *h, const struct target *t, int sig)
{
	return ll_call(h, set_owner, (long)t->type << 32 | t->pid) ?:
	       ll_hold(h, .op = H_SETSIG, .a = sig);
}

/* An unprivileged attacker with a lease and a pin. */
static int start_attacker(struct ll_attack *a)
{
	return ll_holder_start(&a->h) ?: ll_hold(&a->h, .op = H_UID, .a = LL_UID) ?:
	       ll_holder_open(&a->h, 0, a->path) ?:
	       ll_holder_lease(&a->h, 0, true, LL_SIG) ?:
	       ll_holder_reg(&a->h, 0, 0, 0, LL_PIN_LEN);
}

static int comes_to_be_told(struct ll_holder *h)
{
	int64_t end = ll_now_ms() + LL_SOON;
	int ret;

	while ((ret = ll_hold(h, .op = H_GETBREAK)) == -ENODATA &&
	       ll_now_ms() < end)
		ll_sleep_ms(5);
	return ret;
}

/* The attacker has somebody told in its place, and then lets go and pins again. */
static int one_shot(struct ll_attack *a, const struct target *t, int sig)
{
	int ret = aim(&a->h, t, sig) ?:
		  ll_breaker_start(&a->b, OP_PUNCH, a->path, 0, LL_PAGE), result;

	ret = ret ?: comes_to_be_told(&a->h) ?: ll_holder_dereg(&a->h, 0) ?:
	      ll_breaker_wait(&a->b, LL_SOON, &result);
	if (ret)
		return ret;
	a->b.pid = 0;
	return result ?: ll_audit_innocents(&a->audit) ?:
	       ll_holder_reg(&a->h, 0, 0, 0, LL_PIN_LEN);
}

TEST_F_TIMEOUT(aim, signals_reach_nobody_whom_the_attacker_may_not_signal, 90)
{
	const int signals[] = { SIGHUP, SIGTERM, SIGSTOP, SIGCONT, SIGIO, LL_SIG };
	struct ll_attack *a = &self->a;
	const struct target targets[] = {
		{ "root's process", F_OWNER_PID, a->innocent },
		{ "another user's process", F_OWNER_PID, self->other.pid },
		{ "a process group", F_OWNER_PGRP, self->grouped[0] },
		{ "a thread", F_OWNER_TID, self->thread },
		{ "init", F_OWNER_PID, 1 },
	};
	size_t i, j;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 30));
	ASSERT_EQ(0, start_attacker(a));
	for (i = 0; i < LL_ARRAY_SIZE(targets); i++) {
		for (j = 0; j < LL_ARRAY_SIZE(signals); j++) {
			ASSERT_EQ(0, one_shot(a, &targets[i], signals[j])) {
				TH_LOG("signal %d to %s", signals[j], targets[i].name);
			}
		}
	}
	EXPECT_TRUE(ll_holder_alive(&a->h));
	/* and by the call that knows groups as negative numbers */
	ASSERT_EQ(0, ll_hold(&a->h, .op = H_SETOWN, .a = -self->grouped[0]));
	ASSERT_EQ(0, ll_breaker_start(&a->b, OP_PUNCH, a->path, 0, LL_PAGE));
	ASSERT_EQ(0, comes_to_be_told(&a->h));
	EXPECT_EQ(0, ll_audit_innocents(&a->audit));
	/* it is the attacker who pays for it */
	ll_breaker_end(&a->b);
	a->b.pid = 0;
	ASSERT_EQ(0, ll_holder_end(&a->h));
}

/* Not even those whom the attacker may kill: it is for the one who agreed. */
TEST_F_TIMEOUT(aim, sigkill_reaches_nobody_but_the_attacker, 90)
{
	struct ll_attack *a = &self->a;
	const struct target targets[] = {
		{ "its own user's process", F_OWNER_PID, self->same.pid },
		{ "a process group", F_OWNER_PGRP, self->grouped[0] },
		{ "a thread", F_OWNER_TID, self->thread },
		{ "init", F_OWNER_PID, 1 },
	};
	size_t i;

	/* one group of those whom it may, and of those whom it may not kill */
	ASSERT_EQ(0, ll_ret(setpgid(self->same.pid, self->grouped[0])));
	for (i = 0; i < LL_ARRAY_SIZE(targets); i++) {
		ASSERT_EQ(0, ll_ret(truncate(a->path, LL_FILE_SIZE)));
		ASSERT_EQ(0, start_attacker(a));
		ASSERT_EQ(0, aim(&a->h, &targets[i], SIGKILL));
		EXPECT_LE(0, ll_attack_truncate(a)) {
			TH_LOG("SIGKILL to %s", targets[i].name);
		}
		EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
		EXPECT_EQ(0, ll_audit_innocents(&a->audit));
	}
}

/* A plain lease is no better a gun. */
TEST_F_TIMEOUT(aim, plain_lease_signals_nobody_whom_its_taker_may_not_signal, 90)
{
	static const int signals[] = { SIGTERM, SIGSTOP, SIGKILL };
	struct ll_attack *a = &self->a;
	const struct target target = { "group", F_OWNER_PGRP, self->grouped[0] };
	int result;
	size_t i;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 30));
	ASSERT_EQ(0, ll_holder_start(&a->h));
	ASSERT_EQ(0, ll_hold(&a->h, .op = H_UID, .a = LL_UID));
	ASSERT_EQ(0, ll_holder_open(&a->h, 0, a->path));
	for (i = 0; i < LL_ARRAY_SIZE(signals); i++) {
		ASSERT_EQ(0, ll_hold(&a->h, .op = H_SETLEASE, .a = F_LAYOUT));
		ASSERT_EQ(0, aim(&a->h, &target, signals[i]));
		ASSERT_EQ(0, ll_breaker_start(&a->b, OP_PUNCH, a->path, 0, LL_PAGE));
		ASSERT_EQ(0, comes_to_be_told(&a->h));
		EXPECT_EQ(0, ll_audit_innocents(&a->audit));
		ASSERT_EQ(0, ll_hold(&a->h, .op = H_SETLEASE, .a = F_UNLCK));
		ASSERT_EQ(0, ll_breaker_wait(&a->b, LL_SOON, &result));
		a->b.pid = 0;
		EXPECT_EQ(0, result);
	}
	EXPECT_TRUE(ll_holder_alive(&a->h));
	EXPECT_EQ(0, ll_holder_end(&a->h));
}

/* A holder process whose number is the one wanted, as others come and go. */
static int start_as(struct ll_holder *h, pid_t pid)
{
	int i, ret;

	for (i = 0; i < ATTEMPTS; i++) {
		ret = ll_sysctl("../kernel/ns_last_pid", pid - 1) ?:
		      ll_holder_start(h);
		if (ret || h->pid == pid)
			return ret;
		ll_holder_end(h);
	}
	return -ESRCH;
}

static int context;

static int take_context(struct ll_inside *in, long what)
{
	(void)in;
	context = ll_steal_fd(what >> 16, what & 0xffff);
	return context < 0 ? context : 0;
}

TEST_F_TIMEOUT(aim, process_with_the_number_of_a_holder_that_is_gone_is_not_concerned, 90)
{
	struct ll_attack *a = &self->a;
	struct ll_holder heir;
	struct ll_rsp rsp;
	pid_t pid;
	int fd;

	ASSERT_EQ(0, start_attacker(a));
	pid = a->h.pid;
	fd = ll_holder_fd(&a->h, LL_UVERBS);
	ASSERT_EQ(0, ll_call(&a->keeper, take_context, (long)pid << 16 | fd));
	ASSERT_EQ(0, ll_holder_end(&a->h));
	ASSERT_EQ(1, ll_listed(a->path, true));
	ASSERT_EQ(0, start_as(&heir, pid));
	ASSERT_EQ(0, ll_audit_watch(&a->audit, pid));

	/* it has no lease, and gets none of the dead one's */
	ASSERT_EQ(0, ll_holder_open(&heir, 0, a->path));
	EXPECT_EQ(F_UNLCK, ll_hold(&heir, .op = H_GETLEASE));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&heir, 0, 0, 0, LL_PIN_LEN));
	EXPECT_LE(0, ll_ask(&heir, &rsp, .op = H_READ,
			    .path = "/proc/self/file_pins"));
	EXPECT_STREQ("", rsp.text);
	EXPECT_EQ(0, ll_shell("grep -q '^pid=0 pin ' /proc/layout_leases"));
	EXPECT_NE(0, ll_shell("grep -q '^pid=%d ' /proc/layout_leases", pid));

	EXPECT_LE(0, ll_attack_truncate(a));
	EXPECT_TRUE(ll_holder_alive(&heir));
	EXPECT_EQ(0, ll_audit_innocents(&a->audit));
	ASSERT_EQ(0, ll_hold(&heir, .op = H_UNMAP));
	ASSERT_EQ(0, ll_hold(&heir, .op = H_CLOSE));
}

TEST_HARNESS_MAIN
