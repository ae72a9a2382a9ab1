// SPDX-License-Identifier: GPL-2.0
/*
 * Many at once: truncates in a storm of registrations, several breakers on one
 * file, policies changing under load. What must hold: truncate always wins, no
 * registration gets another answer than the contract's, nobody who lets go is
 * killed, and nothing is left behind.
 */
#include <sys/prctl.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

#define STORM_MS	3000

/* Counters of all processes of a storm. */
struct storm {
	int stop, ready;
	int pinned, refused, wrong;
};

FIXTURE(storm)
{
	struct ll_env env;
	char path[LL_PATH];
	struct storm *s;
};

FIXTURE_VARIANT(storm)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(storm, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(storm, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(storm)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	self->s = mmap(NULL, sizeof(*self->s), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->s);
}

FIXTURE_TEARDOWN(storm)
{
	ll_teardown(&self->env);
}

/* Registers and lets go, again and again; the file's size changes meanwhile. */
static void register_loop(struct storm *s, const char *path)
{
	struct ibv_mr *mr;
	struct ll_rdma r;
	char *map;
	int fd, ret, i = 0;

	signal(LL_SIG, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = ll_open(path, O_RDWR);
	map = ll_map_fd(fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (!map || ll_rdma_open(&r) || ll_take(fd, true, LL_SIG))
		_exit(1);
	__atomic_add_fetch(&s->ready, 1, __ATOMIC_RELAXED);
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		off_t off = i++ % 4 * LL_MIB;

		ret = ll_reg(&r, map + off, i % 3 ? LL_PIN_LEN : 3 * LL_MIB, &mr);
		if (!ret)
			ret = ll_dereg(&mr) ?: 1;
		if (ret == 1)
			__atomic_add_fetch(&s->pinned, 1, __ATOMIC_RELAXED);
		else if (ret == -EAGAIN || ret == -EFAULT)
			__atomic_add_fetch(&s->refused, 1, __ATOMIC_RELAXED);
		else
			__atomic_add_fetch(&s->wrong, 1, __ATOMIC_RELAXED);
		if (ret != 1 && ret != -EAGAIN && ret != -EFAULT)
			ll_log("registration in the storm: %d", ret);
	}
	_exit(0);
}

/* While nobody breaks anything yet: that would refuse them their leases. */
static int start_loops(struct storm *s, const char *path, pid_t *pids, int n)
{
	int64_t end = ll_now_ms() + LL_SOON;
	int i;

	for (i = 0; i < n; i++) {
		pids[i] = fork();
		if (!pids[i])
			register_loop(s, path);
	}
	while (__atomic_load_n(&s->ready, __ATOMIC_RELAXED) < n) {
		if (ll_now_ms() > end)
			return -ETIMEDOUT;
		ll_sleep_ms(5);
	}
	return 0;
}

static int stop_loops(struct storm *s, pid_t *pids, size_t n)
{
	int status, ret = 0;
	size_t i;

	__atomic_store_n(&s->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < n; i++) {
		ret = ret ?: ll_wait_exit(pids[i], LL_SOON, &status);
		ret = ret ?: status;
	}
	return ret;
}

TEST_F(storm, truncate_always_wins)
{
	int64_t end;
	int rounds = 0, size;
	pid_t pids[3];

	ASSERT_EQ(0, start_loops(self->s, self->path, pids, LL_ARRAY_SIZE(pids)));
	end = ll_now_ms() + STORM_MS;
	while (ll_now_ms() < end || rounds < 5 || !self->s->pinned) {
		size = rounds % 2 ? 0 : 2 * LL_MIB;
		EXPECT_EQ(0, ll_ret(truncate(self->path, size)));
		EXPECT_EQ(size, ll_size(self->path));
		EXPECT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
		rounds++;
		if (ll_now_ms() > end + LL_SOON)
			break;
	}
	EXPECT_EQ(0, stop_loops(self->s, pids, LL_ARRAY_SIZE(pids)));
	EXPECT_EQ(0, self->s->wrong);
	EXPECT_LT(0, self->s->pinned);
	EXPECT_LE(5, rounds);
	/* nobody was killed, nothing stands */
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
}

TEST_F(storm, every_operation_wins_against_registrations)
{
	static const enum ll_op ops[] = {
		OP_PUNCH, OP_ZERO, OP_COLLAPSE, OP_INSERT, OP_FTRUNCATE, OP_O_TRUNC,
	};
	int64_t end;
	pid_t pids[2];
	size_t i;

	ASSERT_EQ(0, start_loops(self->s, self->path, pids, LL_ARRAY_SIZE(pids)));
	end = ll_now_ms() + STORM_MS;
	for (i = 0; ll_now_ms() < end || i < LL_ARRAY_SIZE(ops) ||
	     !self->s->pinned; i++) {
		EXPECT_EQ(0, ll_break(ops[i % LL_ARRAY_SIZE(ops)], self->path, 0,
				      LL_MIB));
		EXPECT_EQ(0, ll_ret(truncate(self->path, 2 * LL_FILE_SIZE)));
		if (ll_now_ms() > end + LL_SOON)
			break;
	}
	EXPECT_EQ(0, stop_loops(self->s, pids, LL_ARRAY_SIZE(pids)));
	EXPECT_EQ(0, self->s->wrong);
	EXPECT_LT(0, self->s->pinned);
}

/* Under "deny" whoever comes first wins; nobody waits, nobody is killed. */
TEST_F(storm, policies_change_under_load)
{
	int64_t end;
	pid_t pids[2];
	size_t i;
	int ret;

	ASSERT_EQ(0, start_loops(self->s, self->path, pids, LL_ARRAY_SIZE(pids)));
	end = ll_now_ms() + STORM_MS;
	for (i = 0; ll_now_ms() < end || !self->s->pinned; i++) {
		EXPECT_EQ(0, ll_policy(&self->env, i % 2 ? "break" : "deny"));
		ret = ll_break(OP_PUNCH, self->path, 0, LL_MIB);
		EXPECT_TRUE(!ret || ret == -ETXTBSY) {
			TH_LOG("punch: %d", ret);
		}
		if (ll_now_ms() > end + LL_SOON)
			break;
	}
	EXPECT_EQ(0, stop_loops(self->s, pids, LL_ARRAY_SIZE(pids)));
	EXPECT_EQ(0, self->s->wrong);
	EXPECT_LT(0, self->s->pinned);
}

TEST_F(storm, many_breakers_of_one_holder_all_proceed)
{
	static const enum ll_op ops[] = {
		OP_TRUNCATE, OP_FTRUNCATE, OP_PUNCH, OP_ZERO, OP_O_TRUNC, OP_TRUNCATE,
	};
	struct ll_breaker b[LL_ARRAY_SIZE(ops)];
	struct ll_holder h;
	size_t i;
	int ret;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, LL_SIG));
	for (i = 0; i < LL_ARRAY_SIZE(ops); i++)
		ASSERT_EQ(0, ll_breaker_start(&b[i], ops[i], self->path, 0, LL_PAGE));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&h, LL_SOON));
	for (i = 0; i < LL_ARRAY_SIZE(ops); i++) {
		ASSERT_EQ(0, ll_breaker_wait(&b[i], LL_SOON, &ret));
		EXPECT_EQ(0, ret);
	}
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
}

/* The holder dies of something else, at any moment of the break. */
TEST_F(storm, holders_die_while_they_are_broken)
{
	struct ll_holder h;
	struct ll_breaker b;
	int i, ret;

	for (i = 0; i < 6; i++) {
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
		ASSERT_EQ(0, ll_holder_pin(&h, self->path, true, LL_SIG));
		ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->path, 0, 0));
		if (i % 3)
			ASSERT_EQ(0, ll_hold(&h, .op = H_SIGWAIT, .a = LL_SOON));
		EXPECT_EQ(0, ll_ret(kill(h.pid, SIGKILL)));
		EXPECT_EQ(SIGKILL, ll_holder_wait(&h, LL_SOON));
		ASSERT_EQ(0, ll_breaker_wait(&b, LL_SOON, &ret));
		EXPECT_EQ(0, ret);
	}
}

/* Two processes break each other's files: no order of locks to get wrong. */
TEST_F(storm, holders_that_break_each_other_do_not_deadlock)
{
	struct ll_cmd cmd = { .op = H_BREAK, .mr = OP_TRUNCATE };
	struct ll_holder a, b, *both[] = { &a, &b };
	struct ll_rsp rsp;
	char other[LL_PATH];
	int ret, killed = 0;
	size_t i;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, other));
	ASSERT_EQ(0, ll_holder_pin(&a, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_pin(&b, other, true, LL_SIG));
	snprintf(cmd.path, sizeof(cmd.path), "%s", other);
	ASSERT_EQ(0, ll_holder_send(&a, &cmd));
	snprintf(cmd.path, sizeof(cmd.path), "%s", self->path);
	ASSERT_EQ(0, ll_holder_send(&b, &cmd));
	/* the deadlines end it: at least one of them dies, no call is stuck */
	for (i = 0; i < LL_ARRAY_SIZE(both); i++) {
		ret = ll_holder_recv(both[i], LL_SOON, &rsp);
		EXPECT_TRUE(ret == 0 || ret == -EPIPE) {
			TH_LOG("holder %zu: %d", i, ret);
		}
		if (ret == -EPIPE) {
			EXPECT_EQ(SIGKILL, ll_holder_wait(both[i], LL_SOON));
			killed++;
		}
	}
	EXPECT_LE(1, killed);
	ll_holder_end(&a);
	ll_holder_end(&b);
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
}

TEST_HARNESS_MAIN
