// SPDX-License-Identifier: GPL-2.0
/*
 * Attackers who hold up a revocation: a registration waits for a page that a FUSE
 * server does not deliver, in the same context, in another one of the device, or
 * in the attacker itself. What has nothing to do with that page is taken away in
 * time; only what the waiting registration itself has pinned stays, for as long as
 * it waits, and the truncate can be interrupted.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_attack.h"
#include "layout_lease_fuse.h"

#define MNT		"/tmp/layout-fuse"
#define FUSE_FILE	MNT "/source"
#define RW		(PROT_READ | PROT_WRITE)

FIXTURE(stuck)
{
	struct ll_attack a;
	struct ll_fuse fuse;
	pid_t victim;		/* an innocent that waits for the page */
};

FIXTURE_VARIANT(stuck)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(stuck, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(stuck, xfs) {
	.fs = LL_XFS,
};

/* A context that is passed on by fork; processes started before do not have it. */
static struct ll_rdma shared;

FIXTURE_SETUP(stuck)
{
	umount2(MNT, MNT_DETACH);
	rmdir(MNT);
	ASSERT_EQ(0, ll_attack_setup(&self->a, variant->fs));
	ASSERT_EQ(0, ll_fuse_mount(&self->fuse, MNT));
}

FIXTURE_TEARDOWN(stuck)
{
	ll_fuse_end(&self->fuse);
	ll_stay_end(self->victim);
	EXPECT_EQ(0, ll_attack_end(&self->a));
	ll_rdma_close(&shared);
}

/*
 * Registers a page that does not come, and once it has, that page again, which is
 * then there; the exit status is what that answers.
 */
static void wait_for_page(struct ll_rdma *r, const char *file)
{
	int fd = ll_open(file, O_RDWR);
	struct ll_rdma own;
	struct ibv_mr *mr;
	char *map;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!r && ll_rdma_open(&own))
		_exit(1);
	map = mmap(NULL, LL_PAGE, RW, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		_exit(2);
	ll_reg(r ?: &own, map, LL_PAGE, &mr);
	_exit(-ll_reg(r ?: &own, map, LL_PAGE, &mr));
}

static int start_victim(pid_t *pid, struct ll_rdma *r, struct ll_fuse *fuse)
{
	*pid = fork();
	if (*pid < 0)
		return -errno;
	if (!*pid)
		wait_for_page(r, fuse->file);
	return ll_fuse_got_read(fuse);
}

static int use_shared(struct ll_inside *in, long arg)
{
	(void)arg;
	*in->rdma = shared;
	return 0;
}

static int pin(struct ll_holder *h, const char *path, bool consent)
{
	return ll_holder_open(h, 0, path) ?:
	       ll_holder_lease(h, 0, consent, LL_SIG) ?:
	       ll_holder_reg(h, 0, 0, 0, LL_PIN_LEN);
}

/* What the context answers to the victim, once that has its page. */
static int released(pid_t *victim, struct ll_fuse *fuse)
{
	int status, ret = ll_fuse_reply(fuse) ?:
			  ll_wait_exit(*victim, LL_SOON, &status);

	if (ret)
		return ret;
	*victim = 0;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

TEST_F_TIMEOUT(stuck, registration_of_another_in_the_same_context_holds_up_nothing, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, ll_rdma_open(&shared));
	ASSERT_EQ(0, start_victim(&self->victim, &shared, &self->fuse));
	ASSERT_EQ(0, ll_holder_start(&a->h));
	ASSERT_EQ(0, ll_call(&a->h, use_shared, 0));
	ASSERT_EQ(0, pin(&a->h, a->path, true));
	ASSERT_EQ(0, ll_attack_traffic(a));
	ASSERT_EQ(0, ll_take_all_space(&a->env));
	EXPECT_LE(0, ll_attack_truncate(a));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
	EXPECT_EQ(0, ll_attack_watch(a));
	EXPECT_TRUE(ll_stays(self->victim));
	EXPECT_EQ(-EIO, released(&self->victim, &self->fuse));
}

TEST_F_TIMEOUT(stuck, registration_of_another_in_a_context_of_its_own_is_not_concerned, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, ll_rdma_open(&shared));
	ASSERT_EQ(0, start_victim(&self->victim, NULL, &self->fuse));
	ASSERT_EQ(0, ll_holder_start(&a->h));
	ASSERT_EQ(0, ll_call(&a->h, use_shared, 0));
	ASSERT_EQ(0, pin(&a->h, a->path, true));
	EXPECT_LE(0, ll_attack_truncate(a));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
	EXPECT_TRUE(ll_stays(self->victim));
	EXPECT_EQ(0, released(&self->victim, &self->fuse));
}

/*
 * The attacker maps a page that will not come. It closes the file, since a close
 * on its way to the end would wait for the server too.
 */
static int open_page(struct ll_holder *h, struct ll_fuse *fuse)
{
	struct ll_cmd open = { .op = H_OPEN, .slot = 1, .a = O_RDWR };

	snprintf(open.path, sizeof(open.path), "%s", fuse->file);
	return ll_holder_do(h, &open) ?:
	       ll_hold(h, .op = H_MAP, .slot = 1, .a = RW, .b = MAP_PRIVATE,
		       .c = LL_PAGE) ?:
	       ll_hold(h, .op = H_CLOSE, .slot = 1);
}

/* It registers that page, beside what it has pinned. */
static int get_stuck(struct ll_holder *h)
{
	const struct ll_cmd reg = { .op = H_REG, .slot = 1, .mr = 1, .b = LL_PAGE };

	return ll_holder_send(h, &reg);
}

/* The server has not seen the request yet: SIGKILL ends the wait. */
TEST_F_TIMEOUT(stuck, attacker_that_waits_itself_dies_of_the_kill, 90)
{
	struct ll_attack *a = &self->a;
	struct ll_rsp rsp;
	int64_t took;

	ASSERT_EQ(0, ll_holder_start(&a->h));
	ASSERT_EQ(0, pin(&a->h, a->path, true));
	ASSERT_EQ(0, open_page(&a->h, &self->fuse));
	ASSERT_EQ(0, ll_ret(kill(self->fuse.pid, SIGSTOP)));
	ASSERT_EQ(0, get_stuck(&a->h));
	ASSERT_EQ(-ETIMEDOUT, ll_holder_recv(&a->h, 500, &rsp));
	took = ll_attack_truncate(a);
	EXPECT_LE(900, took);
	/* so it was not by revocation */
	EXPECT_GT(5900, took);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
}

/* It has, and nothing but its reply ends the wait: the rest is revoked. */
TEST_F_TIMEOUT(stuck, attacker_that_does_not_die_of_the_kill_is_revoked, 90)
{
	struct ll_attack *a = &self->a;

	ASSERT_EQ(0, ll_holder_start(&a->h));
	ASSERT_EQ(0, pin(&a->h, a->path, true));
	ASSERT_EQ(0, open_page(&a->h, &self->fuse));
	ASSERT_EQ(0, get_stuck(&a->h));
	ASSERT_EQ(0, ll_fuse_got_read(&self->fuse));
	EXPECT_LE(5900, ll_attack_truncate(a));
	EXPECT_TRUE(ll_holder_alive(&a->h));
	EXPECT_EQ(0, ll_fuse_reply(&self->fuse));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
}

/* The page that does not come, right behind the mapping of the file. */
static int map_behind(struct ll_inside *in, long arg)
{
	int fd = ll_open(FUSE_FILE, O_RDWR);
	void *map;

	(void)arg;
	if (fd < 0)
		return fd;
	map = mmap(in->map[0] + LL_FILE_SIZE, LL_PAGE, RW,
		   MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
	close(fd);
	return map == MAP_FAILED ? -errno : 0;
}

/* A registration of leased memory, and of that page in the same call. */
static int get_stuck_across(struct ll_attack *a, struct ll_fuse *fuse, bool consent)
{
	const struct ll_cmd reg = {
		.op = H_REG, .a = LL_FILE_SIZE - LL_PIN_LEN, .b = LL_PIN_LEN + LL_PAGE,
	};

	return ll_holder_start(&a->h) ?: ll_holder_open(&a->h, 0, a->path) ?:
	       ll_call(&a->h, map_behind, 0) ?:
	       ll_holder_lease(&a->h, 0, consent, LL_SIG) ?:
	       ll_holder_send(&a->h, &reg) ?: ll_fuse_got_read(fuse);
}

/* So it is documented: there is no bound, but a way out for the breaker. */
TEST_F_TIMEOUT(stuck, what_a_registration_that_waits_has_pinned_stays_until_it_returns, 90)
{
	struct ll_attack *a = &self->a;
	struct ll_rsp rsp;
	int result;

	ASSERT_EQ(0, ll_policy(&a->env, "deny"));
	ASSERT_EQ(0, get_stuck_across(a, &self->fuse, false));
	ASSERT_EQ(0, ll_policy(&a->env, "break"));
	ASSERT_EQ(0, ll_breaker_start(&a->b, OP_TRUNCATE, a->path, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&a->b, 3000, &result));
	/* elsewhere in the file nothing waits */
	EXPECT_EQ(0, ll_break(OP_PUNCH, a->path, 0, LL_PAGE));
	ll_breaker_interrupt(&a->b);
	EXPECT_EQ(0, ll_breaker_wait(&a->b, LL_SOON, &result));
	a->b.pid = 0;
	EXPECT_EQ(-EINTR, result);
	EXPECT_EQ(LL_FILE_SIZE, ll_size(a->path));
	EXPECT_EQ(0, ll_fuse_reply(&self->fuse));
	/* the handle, if it gets one, is of something that is being destroyed */
	result = ll_holder_recv(&a->h, LL_SOON, &rsp);
	EXPECT_TRUE(result == 0 || result == -EIO) {
		TH_LOG("the registration: %d", result);
	}
	EXPECT_EQ(0, ll_comes_to_list(a->path, true, 0));
	EXPECT_EQ(-EIO, ll_holder_reg(&a->h, 0, 1, 0, LL_PIN_LEN));
	EXPECT_LE(0, ll_attack_truncate(a));
	EXPECT_TRUE(ll_holder_alive(&a->h));
	EXPECT_EQ(0, ll_holder_end(&a->h));
}

/* Nor does it help where the attacker agreed, if it cannot die. */
TEST_F_TIMEOUT(stuck, what_an_attacker_that_cannot_die_is_registering_stays_until_it_can, 90)
{
	struct ll_attack *a = &self->a;
	int result;

	ASSERT_EQ(0, get_stuck_across(a, &self->fuse, true));
	ASSERT_EQ(0, ll_breaker_start(&a->b, OP_TRUNCATE, a->path, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, ll_breaker_wait(&a->b, 7000, &result));
	/* the server is gone, and its connection with it */
	ll_fuse_end(&self->fuse);
	EXPECT_EQ(SIGKILL, ll_holder_wait(&a->h, LL_SOON));
	EXPECT_EQ(0, ll_breaker_wait(&a->b, LL_SOON, &result));
	a->b.pid = 0;
	EXPECT_EQ(0, result);
}

TEST_HARNESS_MAIN
