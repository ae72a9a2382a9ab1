// SPDX-License-Identifier: GPL-2.0
/*
 * A registration meets something that must not go together with it, at any
 * moment: truncate, F_UNLCK, a remount, exec and exit of the holder. Either the
 * registration fails, with an errno that the documentation has, and has left no
 * pin; or it is listed, and the other had to fail or to wait.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_audit.h"
#include "layout_lease_revoke.h"

#define RW	(PROT_READ | PROT_WRITE)
#define ROUNDS	60
#define LIVES	24		/* rounds that cost a process */
#define LEN	(3 * LL_MIB)	/* more than is pinned in one go */

/* What the test and a process that registers have in common. */
struct race {
	int ready, round, done, release, stop;
	int reg, lease, fd;
	int64_t us;		/* how long a registration takes, or aim() */
};

FIXTURE(race)
{
	struct ll_env env;
	struct ll_audit audit;
	char path[LL_PATH];
	struct race *s;
	pid_t pid;
	unsigned int seed;
	int fd, won, lost;
};

FIXTURE_VARIANT(race)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(race, ext4_break) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(race, xfs_break) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(race)
{
	self->fd = -1;
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_audit_begin(&self->audit, &self->env));
	ASSERT_LT(0, ll_audit_innocent(&self->audit));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	self->s = mmap(NULL, sizeof(*self->s), RW, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	ASSERT_NE(MAP_FAILED, self->s);
}

FIXTURE_TEARDOWN(race)
{
	ll_stay_end(self->pid);
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, ll_audit_end(&self->audit));
}

static int get(const int *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void set(int *p, int value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* 0 once it has that value. */
static int until(const int *p, int value)
{
	int64_t end = ll_now_ms() + 3 * LL_SOON;

	while (get(p) != value) {
		if (ll_now_ms() > end)
			return -ETIMEDOUT;
		sched_yield();
	}
	return 0;
}

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

/* From before it begins until after it has ended. */
static void any_moment(struct race *s, unsigned int *seed)
{
	int64_t end = now_us() + rand_r(seed) % (2 * s->us + 1);

	while (now_us() < end)
		;
}

/* Later or earlier: what has just come first is to come second. */
static void aim(struct race *s, bool later)
{
	s->us = later ? s->us * 5 / 4 + 10 : s->us * 4 / 5;
}

/* The process that registers, once for each round. */
static void holder(struct race *s, const char *path, int fd)
{
	struct ll_rdma r;
	struct ibv_mr *mr;
	char *map;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(LL_SIG, SIG_IGN);
	if (fd < 0)
		fd = ll_open(path, O_RDWR);
	map = ll_map_fd(fd, LL_FILE_SIZE, RW, MAP_SHARED, 0);
	if (!map || ll_rdma_open(&r) || ll_take(fd, true, LL_SIG) ||
	    ll_reg(&r, map, LEN, &mr) || ll_dereg(&mr))
		_exit(1);
	s->us = now_us();
	if (ll_reg(&r, map, LEN, &mr) || ll_dereg(&mr))
		_exit(1);
	s->us = now_us() - s->us;
	set(&s->ready, 1);
	while (!until(&s->round, s->done + 1) && !s->stop) {
		s->reg = ll_reg(&r, map, LEN, &mr);
		set(&s->done, s->done + 1);
		if (until(&s->release, s->done))
			_exit(2);
		if (!s->reg && ll_dereg(&mr))
			_exit(3);
		/* it may have been lost, and is not to be had during a break */
		while ((s->lease = ll_take(fd, true, LL_SIG)) == -EAGAIN)
			usleep(100);
		set(&s->ready, s->done + 1);
	}
	_exit(0);
}

static int start_holder(struct race *s, const char *path, int fd, pid_t *pid)
{
	*pid = fork();
	if (*pid < 0)
		return -errno;
	if (!*pid)
		holder(s, path, fd);
	return until(&s->ready, 1);
}

/* Lets it register. */
static int begin(struct race *s)
{
	int ret = until(&s->ready, s->round + 1) ?: s->lease;

	set(&s->round, s->round + 1);
	return ret;
}

/* The registration's result, which stands until release(). */
static int outcome(struct race *s)
{
	return until(&s->done, s->round) ?: s->reg;
}

static int release(struct race *s)
{
	set(&s->release, s->round);
	return until(&s->ready, s->round + 1);
}

static int stop_holder(struct race *s, pid_t *pid)
{
	int status, ret;

	s->stop = 1;
	set(&s->round, s->round + 1);
	ret = ll_wait_exit(*pid, LL_SOON, &status);
	*pid = ret ? *pid : 0;
	return ret ?: status;
}

/* Ends it; each of both has to have been refused now and then. */
static int finish(struct race *s, pid_t *pid, int won, int lost)
{
	ll_log("%d of %d registrations were first", won, won + lost);
	return stop_holder(s, pid) ?: won && lost ? 0 : -ENODATA;
}

TEST_F_TIMEOUT(race, truncate_under_deny_or_the_registration_is_refused, 120)
{
	int reg, ret;

	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, start_holder(self->s, self->path, -1, &self->pid));
	while (self->won + self->lost < ROUNDS) {
		ASSERT_EQ(0, begin(self->s));
		any_moment(self->s, &self->seed);
		ret = ll_ret(truncate(self->path, 0));
		reg = outcome(self->s);
		EXPECT_EQ(reg ? 0 : -ETXTBSY, ret);
		EXPECT_TRUE(!reg || reg == -EAGAIN || reg == -EFAULT) {
			TH_LOG("registration: %d", reg);
		}
		EXPECT_EQ(!reg, ll_listed(self->path, true));
		*(reg ? &self->lost : &self->won) += 1;
		aim(self->s, reg);
		ASSERT_EQ(0, release(self->s));
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	}
	EXPECT_EQ(0, finish(self->s, &self->pid, self->won, self->lost));
}

/* A thread that truncates: the test has no pin itself. */
struct truncater {
	pthread_t thread;
	const char *path;
	int ret;
};

static void *truncate_it(void *arg)
{
	struct truncater *t = arg;

	t->ret = ll_ret(truncate(t->path, 0));
	return NULL;
}

TEST_F_TIMEOUT(race, truncate_waits_or_the_registration_is_refused, 120)
{
	struct truncater t = { .path = self->path };
	int reg;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 30));
	ASSERT_EQ(0, start_holder(self->s, self->path, -1, &self->pid));
	while (self->won + self->lost < ROUNDS) {
		ASSERT_EQ(0, begin(self->s));
		any_moment(self->s, &self->seed);
		ASSERT_EQ(0, pthread_create(&t.thread, NULL, truncate_it, &t));
		reg = outcome(self->s);
		EXPECT_TRUE(!reg || reg == -EAGAIN || reg == -EFAULT) {
			TH_LOG("registration: %d", reg);
		}
		EXPECT_EQ(!reg, ll_listed(self->path, true));
		/* with a pin it waits: nothing has gone */
		if (!reg)
			EXPECT_EQ(LL_FILE_SIZE, ll_size(self->path));
		*(reg ? &self->lost : &self->won) += 1;
		aim(self->s, reg);
		ASSERT_EQ(0, release(self->s));
		pthread_join(t.thread, NULL);
		EXPECT_EQ(0, t.ret);
		EXPECT_EQ(0, ll_size(self->path));
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	}
	EXPECT_EQ(0, finish(self->s, &self->pid, self->won, self->lost));
}

TEST_F_TIMEOUT(race, unlocking_or_the_registration_is_refused, 120)
{
	int reg, ret;

	/* the test has the same open file */
	self->fd = ll_open(self->path, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, start_holder(self->s, self->path, self->fd, &self->pid));
	while (self->won + self->lost < ROUNDS) {
		ASSERT_EQ(0, begin(self->s));
		any_moment(self->s, &self->seed);
		ret = ll_setlease(self->fd, F_UNLCK);
		reg = outcome(self->s);
		EXPECT_EQ(reg ? 0 : -EBUSY, ret);
		EXPECT_TRUE(!reg || reg == -EOPNOTSUPP) {
			TH_LOG("registration: %d", reg);
		}
		EXPECT_EQ(!reg, ll_listed(self->path, true));
		EXPECT_EQ(!reg, ll_listed(self->path, false));
		*(reg ? &self->lost : &self->won) += 1;
		aim(self->s, reg);
		ASSERT_EQ(0, release(self->s));
	}
	EXPECT_EQ(0, finish(self->s, &self->pid, self->won, self->lost));
}

/* The registration may meet the moment in which the remount looks: both fail. */
TEST_F_TIMEOUT(race, remount_to_off_or_the_registration_is_refused, 120)
{
	int reg, ret;

	ASSERT_EQ(0, start_holder(self->s, self->path, -1, &self->pid));
	while (self->won + self->lost < ROUNDS) {
		ASSERT_EQ(0, begin(self->s));
		any_moment(self->s, &self->seed);
		ret = ll_remount(self->env.root, "layout_lease=off");
		reg = outcome(self->s);
		EXPECT_TRUE(ret == -EBUSY || (!ret && reg)) {
			TH_LOG("remount: %d, registration: %d", ret, reg);
		}
		EXPECT_TRUE(!reg || reg == -EOPNOTSUPP) {
			TH_LOG("registration: %d", reg);
		}
		EXPECT_EQ(!reg, ll_listed(self->path, true));
		/* idle leases are gone with the policy */
		EXPECT_EQ(ret != 0, ll_listed(self->path, false));
		*(reg ? &self->lost : &self->won) += 1;
		aim(self->s, reg);
		ASSERT_EQ(0, ll_policy(&self->env, "break"));
		ASSERT_EQ(0, release(self->s));
	}
	EXPECT_EQ(0, finish(self->s, &self->pid, self->won, self->lost));
}

TEST_F_TIMEOUT(race, remount_between_policies_refuses_no_registration, 120)
{
	ASSERT_EQ(0, start_holder(self->s, self->path, -1, &self->pid));
	for (; self->won < ROUNDS; self->won++) {
		ASSERT_EQ(0, begin(self->s));
		any_moment(self->s, &self->seed);
		EXPECT_EQ(0, ll_remount(self->env.root, self->won % 2 ?
					"layout_lease=break" :
					"layout_lease=deny"));
		EXPECT_EQ(0, outcome(self->s));
		EXPECT_EQ(1, ll_listed(self->path, true));
		ASSERT_EQ(0, release(self->s));
	}
	EXPECT_EQ(0, stop_holder(self->s, &self->pid));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
}

/* What a thread of a process that is about to end registers meanwhile. */
struct last {
	struct race *s;
	struct ll_rdma *r;
	char *map;
};

static void *register_last(void *arg)
{
	struct last *l = arg;
	struct ibv_mr *mr;

	set(&l->s->round, 1);
	l->s->reg = ll_reg(l->r, l->map, LEN, &mr);
	set(&l->s->done, 1);
	return NULL;
}

/* A lease, and a registration under way in another thread. Returns its file. */
static int live(struct race *s, const char *path, struct ll_rdma *r,
		struct last *l)
{
	int fd = ll_open(path, O_RDWR);
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(LL_SIG, SIG_IGN);
	*l = (struct last){ .s = s, .r = r };
	l->map = ll_map_fd(fd, LL_FILE_SIZE, RW, MAP_SHARED, 0);
	if (!l->map || ll_take(fd, true, LL_SIG) ||
	    pthread_create(&thread, NULL, register_last, l))
		_exit(1);
	until(&s->round, 1);
	return fd;
}

static void keep_over_exec(int fd)
{
	fcntl(fd, F_SETFD, 0);
}

/* Becomes a program that reads until it is told to end. */
static void live_and_exec(struct race *s, const char *path, unsigned int seed,
			  bool keep, int input)
{
	struct ll_rdma r;
	struct last l;
	int fd;

	if (ll_rdma_open(&r))
		_exit(1);
	fd = live(s, path, &r, &l);
	if (keep) {
		keep_over_exec(fd);
		keep_over_exec(r.ctx->cmd_fd);
	}
	dup2(input, 0);
	any_moment(s, &seed);
	execlp("cat", "cat", NULL);
	_exit(2);
}

/* How long one takes, where nothing comes in between. */
static int measure(struct race *s, const char *path)
{
	pid_t pid;
	int ret = start_holder(s, path, -1, &pid) ?: stop_holder(s, &pid);
	int64_t us = s->us;

	*s = (struct race){ .us = us };
	return ret;
}

static int wait_exec(pid_t pid)
{
	int64_t end = ll_now_ms() + LL_SOON;
	char name[32];

	while (ll_read(name, sizeof(name), "/proc/%d/comm", pid) > 0) {
		if (!strcmp(name, "cat\n"))
			return 0;
		if (ll_now_ms() > end)
			break;
		usleep(500);
	}
	return -ETIMEDOUT;
}

/* Where it keeps lease and context, exec is a change of program and no more. */
TEST_F_TIMEOUT(race, exec_of_the_holder_leaves_what_its_open_files_keep, 240)
{
	int input[2], i, pins, status;
	struct ll_breaker b;
	bool keep;

	ASSERT_EQ(0, measure(self->s, self->path));
	for (i = 0; i < LIVES; i++) {
		keep = i % 2;
		*self->s = (struct race){ .us = self->s->us };
		ASSERT_EQ(0, ll_ret(pipe2(input, O_CLOEXEC)));
		self->pid = fork();
		if (!self->pid)
			live_and_exec(self->s, self->path, i, keep, input[0]);
		close(input[0]);
		ASSERT_EQ(0, wait_exec(self->pid));
		pins = keep ? ll_listed(self->path, true) :
			      ll_comes_to_list(self->path, true, 0);
		EXPECT_LE(0, pins);
		EXPECT_GE(keep, pins);
		EXPECT_EQ(keep, ll_listed(self->path, false));
		*(pins ? &self->won : &self->lost) += 1;
		if (keep)
			aim(self->s, !pins);
		ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, 0, 0));
		ASSERT_EQ(0, ll_breaker_wait(&b, 1000 + LL_SOON, &status));
		EXPECT_EQ(0, status);
		/* who was killed may still be about to exit */
		if (!pins)
			EXPECT_TRUE(ll_stays(self->pid));
		close(input[1]);
		ASSERT_EQ(0, ll_wait_exit(self->pid, LL_SOON, &status));
		EXPECT_EQ(pins ? SIGKILL : 0, status);
		self->pid = 0;
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	}
	TH_LOG("%d of %d had pins", self->won, i);
	EXPECT_LT(0, self->won);
}

static void live_and_exit(struct race *s, const char *path, unsigned int round,
			  struct ll_rdma *r)
{
	unsigned int seed = round;
	struct ll_rdma own;
	struct last l;

	if (!r && ll_rdma_open(&own))
		_exit(1);
	live(s, path, r ?: &own, &l);
	any_moment(s, &seed);
	set(&s->release, 1);
	if (round % 2)
		_exit(0);
	pause();
}

/* With a context of its own, or one that the test has too and that outlives it. */
TEST_F_TIMEOUT(race, exit_of_the_holder_leaves_what_a_shared_context_keeps, 240)
{
	int i, pins, status;
	struct ll_breaker b;
	struct ll_rdma r;
	bool shared;

	ASSERT_EQ(0, measure(self->s, self->path));
	for (i = 0; i < 2 * LIVES; i++) {
		shared = i / 2 % 2;
		*self->s = (struct race){ .us = self->s->us };
		if (shared)
			ASSERT_EQ(0, ll_rdma_open(&r));
		self->pid = fork();
		if (!self->pid)
			live_and_exit(self->s, self->path, i, shared ? &r : NULL);
		ASSERT_EQ(0, until(&self->s->release, 1));
		if (i % 2 == 0)
			kill(self->pid, SIGKILL);
		ASSERT_EQ(0, ll_wait_exit(self->pid, LL_SOON, &status));
		EXPECT_EQ(i % 2 ? 0 : SIGKILL, status);
		self->pid = 0;
		pins = shared ? ll_listed(self->path, true) :
				ll_comes_to_list(self->path, true, 0);
		EXPECT_LE(0, pins);
		EXPECT_GE(shared, pins);
		self->won += pins;
		if (shared)
			aim(self->s, !pins);
		ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, 0, 0));
		ASSERT_EQ(0, ll_breaker_wait(&b, 1000 + LL_SOON, &status));
		EXPECT_EQ(0, status);
		EXPECT_EQ(0, ll_listed(self->path, true));
		if (shared)
			ll_rdma_close(&r);
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	}
	TH_LOG("%d of %d left pins", self->won, i);
	EXPECT_LT(0, self->won);
}

TEST_HARNESS_MAIN
