// SPDX-License-Identifier: GPL-2.0
/*
 * What a device has written is durable once fsync(2) has returned. The device
 * writes through a pin, without a page fault, so fsync has to flush all that is
 * pinned, each time; what it flushes is what DAX traces.
 *
 * The file has one DAX entry of 2 MiB, or small ones:
 *
 *   offset        0         1M  +64K       2M              4M          8M
 *                           |=pin=|
 *   flushed: huge |<-------- 1 ----------->|
 *            small          |<16 >|
 */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_flush.h"
#include "layout_lease_revoke.h"
#include "layout_lease_uring.h"

#define PIN_OFF		LL_MIB

FIXTURE(durable)
{
	struct ll_env env;
	char path[LL_PATH];
	int fd;
	char *map;
	struct ll_rdma r;
	struct ll_qp q;
	struct ibv_mr *mr, *more;
	struct ll_peer peer;
	struct ll_flush flush;
};

FIXTURE_VARIANT(durable)
{
	enum ll_fs fs;
	int shift;	/* of the mapping, so that entries are small */
	int entries;	/* under LL_PIN_LEN at PIN_OFF */
};

FIXTURE_VARIANT_ADD(durable, ext4_huge) {
	.fs = LL_EXT4, .entries = 1,
};

FIXTURE_VARIANT_ADD(durable, ext4_small) {
	.fs = LL_EXT4, .shift = 1, .entries = LL_PIN_LEN / LL_PAGE,
};

FIXTURE_VARIANT_ADD(durable, xfs_huge) {
	.fs = LL_XFS, .entries = 1,
};

FIXTURE_VARIANT_ADD(durable, xfs_small) {
	.fs = LL_XFS, .shift = 1, .entries = LL_PIN_LEN / LL_PAGE,
};

FIXTURE_SETUP(durable)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	self->fd = ll_huge_leased(&self->env, self->path, variant->shift, &self->map);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ll_rdma_open(&self->r));
	ASSERT_EQ(0, ll_qp_create(&self->r, &self->q));
	ASSERT_EQ(0, ll_peer_open(&self->peer, &self->r, &self->q));
	ASSERT_EQ(0, ll_ret(fsync(self->fd)));
	ASSERT_EQ(0, ll_flush_watch(&self->flush, self->path));
	ASSERT_EQ(0, ll_reg(&self->r, self->map + PIN_OFF, LL_PIN_LEN, &self->mr));
	self->peer.addr = (uintptr_t)self->mr->addr;
	self->peer.rkey = self->mr->rkey;
}

FIXTURE_TEARDOWN(durable)
{
	ll_peer_close(&self->peer);
	ll_dereg(&self->mr);
	ll_dereg(&self->more);
	ll_qp_destroy(&self->q);
	ll_rdma_close(&self->r);
	ll_flush_end();
	ll_teardown(&self->env);
}

/* Entries that this call flushes of the file. */
static int flushes(struct _test_data_durable *self, enum ll_durable call)
{
	return ll_durable_flushes(&self->flush, call, self->fd, self->map, LL_FILE_SIZE);
}

static bool pinned_flushed(struct _test_data_durable *self)
{
	return ll_flush_covers(&self->flush, PIN_OFF, LL_PIN_LEN);
}

TEST_F(durable, each_fsync_flushes_what_is_pinned_and_no_more)
{
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, ll_peer_write(&self->peer, 0, LL_PIN_LEN, 'a' + i));
		EXPECT_EQ(variant->entries, flushes(self, LL_FSYNC));
		EXPECT_TRUE(pinned_flushed(self));
		EXPECT_EQ(1, ll_filled(self->path, PIN_OFF, LL_PIN_LEN, 'a' + i));
	}
}

TEST_F(durable, each_way_to_sync_flushes_what_is_pinned)
{
	int i;

	for (i = 0; i < 2 * LL_NR_DURABLE; i++) {
		ASSERT_EQ(0, ll_peer_write(&self->peer, 0, LL_PIN_LEN, 'a' + i));
		EXPECT_EQ(variant->entries, flushes(self, i % LL_NR_DURABLE))
			TH_LOG("%s", ll_durable_name(i % LL_NR_DURABLE));
		EXPECT_TRUE(pinned_flushed(self));
	}
}

/* The whole file was dirty once; then it is what is pinned that counts. */
TEST_F(durable, fsync_costs_what_is_pinned_not_what_the_file_has)
{
	off_t off;

	for (off = 0; off < LL_FILE_SIZE; off += LL_PAGE)
		self->map[off] = 'w';
	EXPECT_LE(variant->shift ? LL_FILE_SIZE / LL_PAGE : LL_FILE_SIZE / LL_PMD_LEN,
		  flushes(self, LL_FSYNC));
	EXPECT_TRUE(ll_flush_covers(&self->flush, 0, LL_FILE_SIZE));
	EXPECT_EQ(variant->entries, flushes(self, LL_FSYNC));
	EXPECT_TRUE(pinned_flushed(self));
}

TEST_F(durable, sync_of_a_range_flushes_that_range)
{
	EXPECT_EQ(0, ll_durable_flushes(&self->flush, LL_MSYNC, -1, self->map + LL_FAR,
					LL_MIB));
	self->map[LL_FAR] = 'w';
	EXPECT_EQ(1, ll_durable_flushes(&self->flush, LL_MSYNC, -1, self->map + LL_FAR,
					LL_MIB));
	EXPECT_TRUE(ll_flush_covers(&self->flush, LL_FAR, 1));
	/* one page of what is pinned */
	EXPECT_EQ(1, ll_durable_flushes(&self->flush, LL_MSYNC, -1,
					self->map + PIN_OFF + LL_PAGE, LL_PAGE));
	EXPECT_TRUE(ll_flush_covers(&self->flush, PIN_OFF + LL_PAGE, LL_PAGE));
	EXPECT_EQ(variant->entries, flushes(self, LL_FSYNC));
	EXPECT_TRUE(pinned_flushed(self));
}

TEST_F(durable, file_is_clean_after_the_last_unpin_and_one_fsync)
{
	int i;

	ASSERT_EQ(0, ll_reg(&self->r, self->map + PIN_OFF, LL_PIN_LEN, &self->more));
	ASSERT_EQ(0, ll_dereg(&self->more));
	EXPECT_EQ(variant->entries, flushes(self, LL_FSYNC));
	EXPECT_EQ(variant->entries, flushes(self, LL_FSYNC));
	/* the last that the device writes */
	ASSERT_EQ(0, ll_peer_write(&self->peer, 0, LL_PIN_LEN, 'd'));
	ASSERT_EQ(0, ll_dereg(&self->mr));
	EXPECT_EQ(variant->entries, flushes(self, LL_FSYNC));
	EXPECT_TRUE(pinned_flushed(self));
	for (i = 0; i < LL_NR_DURABLE; i++)
		EXPECT_EQ(0, flushes(self, i))
			TH_LOG("%s", ll_durable_name(i));
	EXPECT_EQ(1, ll_filled(self->path, PIN_OFF, LL_PIN_LEN, 'd'));
}

/* What is left of a pin that nobody has synced is not lost to syncfs. */
TEST_F(durable, syncfs_finds_the_file_after_the_last_unpin)
{
	EXPECT_EQ(variant->entries, flushes(self, LL_SYNCFS));
	ASSERT_EQ(0, ll_peer_write(&self->peer, 0, LL_PIN_LEN, 'd'));
	ASSERT_EQ(0, ll_dereg(&self->mr));
	EXPECT_EQ(variant->entries, flushes(self, LL_SYNCFS));
	EXPECT_TRUE(pinned_flushed(self));
	EXPECT_EQ(0, flushes(self, LL_SYNCFS));
}

TEST_F(durable, fsync_flushes_after_munmap_and_close)
{
	int i, fd = ll_open(self->path, O_RDONLY);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ll_ret(munmap(self->map, LL_FILE_SIZE)));
	ASSERT_EQ(0, ll_ret(close(self->fd)));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, ll_peer_write(&self->peer, 0, LL_PIN_LEN, 'a' + i));
		EXPECT_EQ(variant->entries,
			  ll_durable_flushes(&self->flush, LL_FSYNC, fd, NULL, 0));
		EXPECT_TRUE(pinned_flushed(self));
	}
	close(fd);
}

/* A page that is mapped for writing, and clean as far as fsync could tell. */
TEST_F(durable, pin_on_a_clean_page_makes_it_dirty)
{
	ASSERT_EQ(0, ll_dereg(&self->mr));
	self->map[PIN_OFF] = 'w';
	EXPECT_EQ(variant->entries, flushes(self, LL_FSYNC));
	EXPECT_EQ(0, flushes(self, LL_FSYNC));
	ASSERT_EQ(0, ll_reg(&self->r, self->map + PIN_OFF, LL_PIN_LEN, &self->mr));
	EXPECT_EQ(variant->entries, flushes(self, LL_FSYNC));
	EXPECT_EQ(variant->entries, flushes(self, LL_FSYNC));
	EXPECT_TRUE(pinned_flushed(self));
}

/* The pin counts, not what the device promises to do with it. */
TEST_F(durable, read_only_registration_is_flushed_too)
{
	ASSERT_EQ(0, ll_dereg(&self->mr));
	ASSERT_EQ(0, ll_reg_access(&self->r, self->map + PIN_OFF, LL_PIN_LEN,
				   IBV_ACCESS_REMOTE_READ, &self->mr));
	EXPECT_EQ(variant->entries, flushes(self, LL_FSYNC));
	EXPECT_EQ(variant->entries, flushes(self, LL_FSYNC));
	EXPECT_TRUE(pinned_flushed(self));
}

FIXTURE(buffer)
{
	struct ll_env env;
	char path[LL_PATH], source[LL_PATH];
	int fd;
	struct ll_uring u;
	struct ll_flush flush;
};

FIXTURE_VARIANT(buffer)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(buffer, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(buffer, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(buffer)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_huge_file(&self->env, self->path));
	ASSERT_EQ(0, ll_sparse(&self->env, "source", LL_PIN_LEN, self->source));
	self->fd = ll_open(self->source, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ll_uring_open(&self->u, self->path, 0));
	ASSERT_EQ(0, ll_take(self->u.fd, true, SIGKILL));
	ASSERT_EQ(0, ll_flush_watch(&self->flush, self->path));
	ASSERT_EQ(0, ll_uring_table(&self->u, PIN_OFF, LL_PIN_LEN));
}

FIXTURE_TEARDOWN(buffer)
{
	ll_uring_close(&self->u);
	ll_flush_end();
	ll_teardown(&self->env);
}

TEST_F(buffer, fsync_flushes_what_was_read_into_it)
{
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, ll_write_fill(self->source, 0, LL_PIN_LEN, 'a' + i));
		ASSERT_EQ(LL_PIN_LEN, ll_do(&self->u.ring, .op = IORING_OP_READ_FIXED,
					    .fd = self->fd, .addr = self->u.map + PIN_OFF,
					    .len = LL_PIN_LEN));
		EXPECT_EQ(1, ll_durable_flushes(&self->flush, LL_FSYNC, self->u.fd, NULL,
						0));
		EXPECT_TRUE(ll_flush_covers(&self->flush, PIN_OFF, LL_PIN_LEN));
		EXPECT_EQ(1, ll_filled(self->path, PIN_OFF, LL_PIN_LEN, 'a' + i));
	}
	ASSERT_EQ(0, io_uring_unregister_buffers(&self->u.ring));
	/* a buffer that is not in use any more goes a moment later */
	ASSERT_EQ(0, ll_pins_gone(self->path, LL_SOON));
	EXPECT_EQ(1, ll_durable_flushes(&self->flush, LL_FSYNC, self->u.fd, NULL, 0));
	EXPECT_EQ(0, ll_durable_flushes(&self->flush, LL_FSYNC, self->u.fd, NULL, 0));
}

TEST_HARNESS_MAIN
