// SPDX-License-Identifier: GPL-2.0
/*
 * Revocation meets a command at the two moments that a race hits by chance only:
 * when the command has its object locked, and when it has seen no revocation yet
 * and is about to lock the object. Here both last as long as the test wants: a
 * page fault stops the command in one, and the function tracer, which prints a
 * long text then, delays it in the other.
 */
#include <pthread.h>
#include <rdma/ib_user_verbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_delay.h"
#include "layout_lease_revoke.h"

#define UNBOUND	"/sys/devices/virtual/workqueue/cpumask"
#define LOCKS	"uverbs_try_lock_object"	/* by a command, of its object */
#define TRIES	8

/* A thread that changes the access to a registration. */
struct command {
	struct ll_rdma r;
	struct ll_left left;
	void *response;
	int cpu;	/* where it runs, -1: anywhere */
	pthread_t thread;
	int ret, done;
};

/* As libibverbs does it, but the answer goes where the test wants it. */
static int rereg(struct command *c)
{
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_rereg_mr cmd;
	} msg = {
		.hdr = {
			.command = IB_USER_VERBS_CMD_REREG_MR,
			.in_words = sizeof(msg) / 4,
			.out_words = sizeof(struct ib_uverbs_rereg_mr_resp) / 4,
		},
		.cmd = {
			.response = (uintptr_t)c->response,
			.mr_handle = c->left.handle,
			.flags = IBV_REREG_MR_CHANGE_ACCESS,
			.access_flags = IBV_ACCESS_LOCAL_WRITE,
		},
	};

	return write(c->r.ctx->cmd_fd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -errno;
}

static void *command_thread(void *arg)
{
	struct command *c = arg;

	c->ret = (c->cpu < 0 ? 0 : ll_run_on(c->cpu)) ?: rereg(c);
	__atomic_store_n(&c->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static bool command_done(struct command *c)
{
	return __atomic_load_n(&c->done, __ATOMIC_ACQUIRE);
}

FIXTURE(busy)
{
	struct ll_env env;
	char path[LL_PATH];
	struct command c;
	struct ll_stuck at;
	struct ll_breaker b;
	char answer[64];
};

FIXTURE_VARIANT(busy)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(busy, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(busy, xfs) {
	.fs = LL_XFS,
};

/* A context with the pin of a holder that is gone. */
static int open_pinned(struct command *c, struct ll_env *env, char *path)
{
	return ll_file(env, "f", LL_FILE_SIZE, path) ?: ll_rdma_open(&c->r) ?:
	       ll_leave(&c->r, path, 0, LL_PIN_LEN, 1, &c->left);
}

FIXTURE_SETUP(busy)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, open_pinned(&self->c, &self->env, self->path));
	self->c.response = self->answer;
	self->c.cpu = -1;
}

FIXTURE_TEARDOWN(busy)
{
	ll_stuck_close(&self->at, 1);
	if (self->c.thread)
		pthread_join(self->c.thread, NULL);
	ll_rdma_close(&self->c.r);
	if (self->b.pid > 0)
		ll_breaker_end(&self->b);
	ll_teardown(&self->env);
}

/* It writes its answer with the object locked. */
TEST_F_TIMEOUT(busy, object_that_a_command_has_goes_when_it_is_released, 60)
{
	int ret;

	ASSERT_EQ(0, ll_stuck_open(&self->at, NULL, 1));
	self->c.response = self->at.mem;
	ASSERT_EQ(0, pthread_create(&self->c.thread, NULL, command_thread, &self->c));
	ASSERT_EQ(0, ll_stuck_wait(&self->at));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(IBV_EVENT_DEVICE_FATAL, ll_next_event(self->c.r.ctx, LL_SOON));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&self->b, 500, &ret));
	EXPECT_EQ(1, ll_listed(self->path, true));
	ASSERT_EQ(0, ll_stuck_resolve(&self->at, 0));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_listed(self->path, true));
}

/*
 * One command that is delayed, and the truncate that revokes its context during
 * the delay. Return: 1 if it did so, 0 if the delay was over too soon.
 */
static int delayed_once(struct command *c, const char *path)
{
	int ret, undone, revoked;

	c->done = 0;
	ret = ll_delay(LOCKS) ?: -pthread_create(&c->thread, NULL, command_thread, c);
	if (ret)
		return ret;
	ret = ll_delay_begins() ?: ll_ret(truncate(path, 0));
	/* the registration is destroyed altogether, and the command has not begun */
	ll_sleep_ms(20);
	revoked = !command_done(c);
	pthread_join(c->thread, NULL);
	c->thread = 0;
	undone = ll_delay_end(LOCKS);
	return ret ?: undone ?: revoked;
}

/*
 * The revocation destroys the object during the delay, on the other processor:
 * printing leaves no time for anything else on the first. What the truncate needs
 * may have been waiting for the first processor (a commit of the journal, say):
 * then it ends no earlier than the delay, and has to be tried again.
 */
TEST_F_TIMEOUT(busy, command_that_has_not_locked_the_object_yet_answers_EIO, 240)
{
	char cpus[64];
	int i, ret = 0;

	ASSERT_LT(0, ll_read(cpus, sizeof(cpus), UNBOUND));
	ASSERT_EQ(0, ll_write_text(UNBOUND, "2"));
	ASSERT_EQ(0, ll_run_on(1));
	self->c.cpu = 0;
	for (i = 0; i < TRIES && !ret; i++) {
		if (i) {
			ll_rdma_close(&self->c.r);
			ASSERT_EQ(0, open_pinned(&self->c, &self->env, self->path));
		}
		sync();
		ll_sleep_ms(100);
		ret = delayed_once(&self->c, self->path);
		EXPECT_EQ(-EIO, self->c.ret);
	}
	EXPECT_EQ(1, ret);
	TH_LOG("revoked during the delay at try %d", i);
	EXPECT_EQ(0, ll_write_text(UNBOUND, cpus));
}

TEST_HARNESS_MAIN
