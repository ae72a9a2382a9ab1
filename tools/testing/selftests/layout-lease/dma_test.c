// SPDX-License-Identifier: GPL-2.0
/*
 * The device itself: RDMA WRITE lands in the file, through whatever happens to
 * the mapping and the name of it, and never in blocks that were freed.
 *
 *   this process (queue pair, source)  ---- RDMA WRITE ---->  holder (pinned file)
 *
 * The peer lives in another process, so that it goes on when the holder is
 * killed, as a remote machine would.
 */
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_revoke.h"

FIXTURE(dma)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h;
	struct ll_peer peer;
};

FIXTURE_VARIANT(dma)
{
	enum ll_fs fs;
	const char *policy;
	bool deny;
};

FIXTURE_VARIANT_ADD(dma, ext4_break) {
	.fs = LL_EXT4, .policy = "break",
};

FIXTURE_VARIANT_ADD(dma, ext4_deny) {
	.fs = LL_EXT4, .policy = "deny", .deny = true,
};

FIXTURE_VARIANT_ADD(dma, xfs_break) {
	.fs = LL_XFS, .policy = "break",
};

FIXTURE_VARIANT_ADD(dma, xfs_deny) {
	.fs = LL_XFS, .policy = "deny", .deny = true,
};

FIXTURE_SETUP(dma)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, variant->policy));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_holder_start(&self->h));
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_FILE_SIZE));
	self->peer.span = LL_FILE_SIZE;
	ASSERT_EQ(0, ll_peer_create(&self->peer));
	ASSERT_EQ(0, ll_peer_connect(&self->peer, &self->h));
}

FIXTURE_TEARDOWN(dma)
{
	ll_peer_close(&self->peer);
	ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

TEST_F(dma, rdma_write_lands_in_the_file)
{
	EXPECT_EQ(0, ll_peer_write(&self->peer, LL_PAGE, 2 * LL_PAGE, 'd'));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PAGE, 'f'));
	EXPECT_EQ(1, ll_filled(self->path, LL_PAGE, 2 * LL_PAGE, 'd'));
	EXPECT_EQ(1, ll_filled(self->path, 3 * LL_PAGE, LL_PAGE, 'f'));
}

TEST_F(dma, rdma_write_lands_after_munmap_and_close)
{
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	EXPECT_EQ(0, ll_peer_write(&self->peer, 0, LL_PIN_LEN, 'd'));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PIN_LEN, 'd'));
}

TEST_F(dma, rdma_write_lands_after_rename_and_write)
{
	char other[LL_PATH];

	ll_name(&self->env, "g", other);
	ASSERT_EQ(0, ll_ret(rename(self->path, other)));
	ASSERT_EQ(0, ll_write_fill(other, 0, LL_FILE_SIZE, 'w'));
	EXPECT_EQ(0, ll_peer_write(&self->peer, 0, LL_PAGE, 'd'));
	EXPECT_EQ(1, ll_filled(other, 0, LL_PAGE, 'd'));
	EXPECT_EQ(1, ll_filled(other, LL_PAGE, LL_PAGE, 'w'));
}

TEST_F(dma, rdma_write_lands_in_what_was_a_hole)
{
	char sparse[LL_PATH];

	ASSERT_EQ(0, ll_sparse(&self->env, "sparse", LL_FILE_SIZE, sparse));
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_holder_open(&self->h, 1, sparse));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 1, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 1, 0, LL_MIB, LL_PIN_LEN));
	/* the queue pairs are connected already: only the target changed */
	ll_peer_close(&self->peer);
	ASSERT_EQ(0, ll_peer_create(&self->peer));
	ASSERT_EQ(0, ll_peer_connect(&self->peer, &self->h));
	EXPECT_EQ(0, ll_peer_write(&self->peer, 0, LL_PAGE, 'd'));
	EXPECT_EQ(1, ll_filled(sparse, LL_MIB, LL_PAGE, 'd'));
	EXPECT_EQ(1, ll_filled(sparse, LL_MIB + LL_PAGE, LL_PAGE, 0));
}

TEST_F(dma, refused_operation_leaves_the_traffic_alone)
{
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-ETXTBSY, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_PUNCH, self->path, 0, LL_PAGE));
	EXPECT_EQ(0, ll_peer_write(&self->peer, 0, LL_PAGE, 'd'));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PAGE, 'd'));
}

TEST_F(dma, freed_blocks_never_change_again)
{
	int64_t block = ll_physical(self->path, 0);

	ASSERT_LE(0, block);
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	ASSERT_EQ(0, ll_take_all_space(&self->env));
	ASSERT_EQ(0, ll_peer_start(&self->peer));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	/* from here on the blocks are anybody's */
	EXPECT_EQ(0, ll_watch_blocks(&self->env, block));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
}

/* The same after munmap and close, where nothing but the pin tells of the file. */
TEST_F(dma, blocks_freed_after_munmap_and_close_never_change_again)
{
	int64_t block = ll_physical(self->path, 0);

	ASSERT_LE(0, block);
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	ASSERT_EQ(0, ll_take_all_space(&self->env));
	ASSERT_EQ(0, ll_peer_start(&self->peer));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	EXPECT_EQ(0, ll_break(OP_PUNCH, self->path, 0, LL_FILE_SIZE));
	EXPECT_EQ(0, ll_watch_blocks(&self->env, block));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
}

/* Unlinked, not truncated: the device goes on writing, to nobody else's blocks. */
TEST_F(dma, unlinked_blocks_are_nobody_elses_while_pinned)
{
	int64_t block = ll_physical(self->path, 0);
	char thief[LL_PATH];

	ASSERT_LE(0, block);
	ASSERT_EQ(0, ll_take_all_space(&self->env));
	ASSERT_EQ(0, ll_peer_start(&self->peer));
	ASSERT_EQ(0, ll_ret(unlink(self->path)));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	ll_name(&self->env, "thief", thief);
	sync();
	EXPECT_EQ(-ENOSPC, ll_shell("fallocate -l %ld %s 2>/dev/null", LL_FILE_SIZE,
				    thief) ? -ENOSPC : 0);
	ll_peer_stop(&self->peer);
	EXPECT_EQ(0, ll_peer_write(&self->peer, 0, LL_PAGE, 'd'));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	/* the last pin is gone, so they are free now */
	EXPECT_LE(0, ll_reallocate(thief, LL_FILE_SIZE, block, LL_FILE_SIZE));
}

FIXTURE(shared)
{
	struct ll_env env;
	char path[LL_PATH], other[LL_PATH];
	struct ll_holder h;
	struct ll_peer peer;
};

FIXTURE_SETUP(shared)
{
	ASSERT_EQ(0, ll_setup(&self->env, LL_XFS, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_sparse(&self->env, "f.2", LL_FILE_SIZE, self->other));
	ASSERT_EQ(0, ll_break(OP_CLONE_SRC, self->path, 0, LL_FILE_SIZE));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, SIGKILL));
	ASSERT_EQ(0, ll_peer_create(&self->peer));
	ASSERT_EQ(0, ll_peer_connect(&self->peer, &self->h));
}

FIXTURE_TEARDOWN(shared)
{
	ll_peer_close(&self->peer);
	ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

TEST_F(shared, rdma_write_does_not_reach_the_clone)
{
	EXPECT_EQ(0, ll_peer_write(&self->peer, 0, LL_PIN_LEN, 'd'));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_PIN_LEN, 'd'));
	EXPECT_EQ(1, ll_filled(self->other, 0, LL_FILE_SIZE, 'f'));
}

TEST_HARNESS_MAIN
