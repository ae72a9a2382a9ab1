// SPDX-License-Identifier: GPL-2.0
/*
 * What the other end of a connection learns when the memory that it writes to is
 * taken: a completion with an error, whose status says whether somebody was there
 * to refuse the write.
 *
 * A holder that deregisters in time leaves its queue pair, which answers that the
 * key is not valid: IBV_WC_REM_ACCESS_ERR, at once. With a process that was
 * killed, or a context that was revoked, the queue pair is gone and nobody
 * answers: IBV_WC_RETRY_EXC_ERR, when the writer's own retries are over.
 */
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_revoke.h"

/* An attempt takes 4.096 us * 2^timeout; the first, and so many more. */
#define TIMEOUT		14
#define RETRIES		6
#define ATTEMPT_MS(timeout)	((4096 << (timeout)) / 1000000)

FIXTURE(remote)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h;
	struct ll_peer peer;
	pid_t stays;
};

FIXTURE_VARIANT(remote) { enum ll_fs fs; };
FIXTURE_VARIANT_ADD(remote, ext4) { .fs = LL_EXT4 };
FIXTURE_VARIANT_ADD(remote, xfs) { .fs = LL_XFS };

FIXTURE_SETUP(remote)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_adopt());
}

FIXTURE_TEARDOWN(remote)
{
	ll_peer_close(&self->peer);
	ll_holder_end(&self->h);
	ll_stay_end(self->stays);
	ll_teardown(&self->env);
}

/* A holder with the file in its memory, and a peer whose writes arrive there. */
static int connect_peer(struct ll_holder *h, struct ll_peer *p, const char *path,
			int tell, int timeout)
{
	int ret = ll_holder_pin(h, path, true, tell) ?: ll_peer_create(p);

	p->q.timeout = timeout;
	p->q.retry_cnt = RETRIES;
	return ret ?: ll_peer_connect(p, h) ?: ll_peer_write(p, 0, LL_PAGE, 'd');
}

/* The status of the next completion, and when it came; 0 if it is none of an error. */
static int learns(struct ll_peer *p, int64_t *ms)
{
	int64_t begun = ll_now_ms();
	int ret = ll_peer_write(p, 0, LL_PAGE, 'd');

	*ms = ll_now_ms() - begun;
	return ret == -EIO ? (int)p->q.status : ret;
}

TEST_F(remote, peer_of_a_holder_that_lets_go_gets_a_remote_access_error)
{
	const struct ll_cmd let_go = { .op = H_LET_GO, .a = LL_SOON };
	struct ll_rsp rsp;
	int64_t ms;

	ASSERT_EQ(0, connect_peer(&self->h, &self->peer, self->path, LL_SIG, TIMEOUT));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
	ASSERT_EQ(0, ll_holder_send(&self->h, &let_go));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_holder_recv(&self->h, LL_SOON, &rsp));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, learns(&self->peer, &ms));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

TEST_F(remote, peer_of_a_killed_holder_gets_retry_exceeded)
{
	int64_t ms;

	ASSERT_EQ(0, connect_peer(&self->h, &self->peer, self->path, SIGKILL, TIMEOUT));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(IBV_WC_RETRY_EXC_ERR, learns(&self->peer, &ms));
}

TEST_F(remote, peer_of_a_revoked_context_gets_retry_exceeded)
{
	int64_t ms;

	ASSERT_EQ(0, connect_peer(&self->h, &self->peer, self->path, SIGKILL, TIMEOUT));
	ASSERT_EQ(0, ll_share(&self->h, &self->stays));
	ASSERT_EQ(0, ll_holder_end(&self->h));
	/* the process that keeps the context keeps the connection as well */
	ASSERT_EQ(0, ll_peer_write(&self->peer, 0, LL_PAGE, 'd'));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(IBV_WC_RETRY_EXC_ERR, learns(&self->peer, &ms));
	EXPECT_TRUE(ll_stays(self->stays));
}

TEST_F(remote, peer_learns_when_its_own_retries_are_over)
{
	int64_t ms;

	ASSERT_EQ(0, connect_peer(&self->h, &self->peer, self->path, SIGKILL, TIMEOUT + 2));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(IBV_WC_RETRY_EXC_ERR, learns(&self->peer, &ms));
	EXPECT_LE(RETRIES * ATTEMPT_MS(TIMEOUT + 2), ms);
	EXPECT_GT(LL_SOON, ms);
}

/* Or nobody could say that what is tried afterwards might have arrived. */
TEST_F(remote, queue_pair_that_was_reset_goes_on_where_it_was)
{
	struct ll_peer *p = &self->peer;

	ASSERT_EQ(0, connect_peer(&self->h, p, self->path, SIGKILL, TIMEOUT));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PAGE, 'd'));
	ASSERT_EQ(0, ll_qp_reconnect(&p->r, &p->q, p->qpn));
	EXPECT_EQ(0, ll_peer_write(p, LL_PAGE, LL_PAGE, 'e'));
	EXPECT_EQ(1, ll_filled(self->path, LL_PAGE, LL_PAGE, 'e'));
}

TEST_HARNESS_MAIN
