// SPDX-License-Identifier: GPL-2.0
/*
 * The pages of a registration are those of the file, however they are mapped at
 * that time: by huge entries or small ones, writable, read-only or not at all; and
 * each is given back, by a registration that ends and by one that fails. A page
 * that is not given back would be waited for by truncate, for ever.
 */
#include <linux/types.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"
#include "layout_lease_revoke.h"

/* Where a registration begins and ends: not at the edge of a page table. */
#define BEGIN	(3 * LL_PAGE)
#define END	(LL_FILE_SIZE - 5 * LL_PAGE)

/* Truncates a file that is mapped, from outside. */
static int truncated(const char *path)
{
	struct ll_breaker b;
	int ret = ll_breaker_start(&b, OP_TRUNCATE, path, 0, 0);

	if (ret || ll_breaker_wait(&b, LL_SOON, &ret)) {
		ll_breaker_end(&b);
		return ret ?: -ETIMEDOUT;
	}
	return ret;
}

/* In the holder: every other page of a part is stored to, or loaded from. */
static int touch_some(struct ll_inside *in, long unused)
{
	char *map = in->map[0];
	off_t off;

	for (off = 0; off < LL_FILE_SIZE; off += 2 * LL_PAGE) {
		if (off / LL_MIB % 2)
			__atomic_load_n(&map[off], __ATOMIC_RELAXED);
		else
			__atomic_store_n(&map[off], 's', __ATOMIC_RELAXED);
	}
	return 0;
}

/* In the holder: a child of fork stores to each page. */
static int store_in_child(struct ll_inside *in, long byte)
{
	int status;
	off_t off;
	pid_t pid;

	pid = fork();
	if (!pid) {
		for (off = 0; off < LL_FILE_SIZE; off += LL_PAGE)
			in->map[0][off] = byte;
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && !status ? 0 : -ECHILD;
}

FIXTURE(grab)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h;
};

FIXTURE_VARIANT(grab)
{
	enum ll_fs fs;
	int shift;	/* pages that the mapping is off its 2 MiB alignment */
};

FIXTURE_VARIANT_ADD(grab, ext4_huge) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(grab, ext4_small) {
	.fs = LL_EXT4, .shift = 1,
};

FIXTURE_VARIANT_ADD(grab, xfs_huge) {
	.fs = LL_XFS,
};

FIXTURE_VARIANT_ADD(grab, xfs_small) {
	.fs = LL_XFS, .shift = 1,
};

FIXTURE_SETUP(grab)
{
	int fd;

	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	/* half of it in one go, so that the blocks are aligned; half a hole */
	ASSERT_EQ(0, ll_sparse(&self->env, "f", LL_FILE_SIZE, self->path));
	fd = ll_open(self->path, O_RDWR);
	ASSERT_EQ(0, ll_ret(fallocate(fd, 0, 0, LL_FAR)));
	close(fd);
	ASSERT_EQ(0, ll_write_fill(self->path, 0, LL_FAR, 'f'));
	ASSERT_EQ(0, ll_holder_start(&self->h));
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_MAP, .a = PROT_READ | PROT_WRITE,
			     .b = MAP_SHARED, .c = 2 * LL_FILE_SIZE, .mr = variant->shift));
	ASSERT_EQ(0, ll_call(&self->h, touch_some, 0));
}

FIXTURE_TEARDOWN(grab)
{
	ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

TEST_F(grab, pages_are_those_of_the_file_and_given_back)
{
	struct ll_peer peer = {};
	off_t off;
	size_t len;

	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, BEGIN, END - BEGIN));
	ASSERT_EQ(0, ll_peer_create(&peer));
	ASSERT_EQ(0, ll_peer_connect(&peer, &self->h));
	ASSERT_EQ(0, ll_call(&self->h, store_in_child, 'c'));
	for (off = BEGIN; off < END; off += len) {
		len = off + LL_PIN_LEN < END ? LL_PIN_LEN : END - off;
		ASSERT_EQ(0, ll_peer_write(&peer, off - BEGIN, len, 'A' + off / LL_PIN_LEN % 32));
	}
	for (off = BEGIN; off < END; off += len) {
		len = off + LL_PIN_LEN < END ? LL_PIN_LEN : END - off;
		EXPECT_EQ(1, ll_filled(self->path, off, len, 'A' + off / LL_PIN_LEN % 32));
	}
	EXPECT_EQ(1, ll_filled(self->path, BEGIN - LL_PAGE, 1, 'c'));
	EXPECT_EQ(1, ll_filled(self->path, END, 1, 'c'));
	ll_peer_close(&peer);

	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, truncated(self->path));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

/* Once before the end of the file, in the same step, once many steps before. */
TEST_F(grab, pages_of_a_registration_that_fails_are_given_back)
{
	EXPECT_EQ(-EFAULT, ll_holder_reg(&self->h, 0, 0, LL_FILE_SIZE - LL_PIN_LEN, LL_MIB));
	EXPECT_EQ(-EFAULT, ll_holder_reg(&self->h, 0, 0, BEGIN, LL_FILE_SIZE));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_UNLCK));
	EXPECT_EQ(0, truncated(self->path));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

/* In the holder: makes what is mapped in slot 1 follow on a part of slot 0. */
static int map_behind(struct ll_inside *in, long unused)
{
	char *map = in->map[0] + LL_FAR, *second;

	second = mmap(map, LL_FAR, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, in->fd[1], 0);
	if (second == MAP_FAILED)
		return -errno;
	memset(second, 's', LL_FAR);
	return 0;
}

TEST_F(grab, pages_before_a_file_without_a_lease_are_given_back)
{
	char other[LL_PATH];

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, other));
	ASSERT_EQ(0, ll_holder_open(&self->h, 1, other));
	ASSERT_EQ(0, ll_call(&self->h, map_behind, 0));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&self->h, 0, 0, BEGIN, LL_FAR));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&self->h, 0, 0, LL_FAR - LL_PIN_LEN, LL_MIB));
	EXPECT_EQ(0, truncated(other));
	EXPECT_EQ(0, truncated(self->path));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

/* In the holder. */
static int protect(struct ll_inside *in, long prot)
{
	return ll_ret(mprotect(in->map[0], LL_FILE_SIZE, prot));
}

TEST_F(grab, mapping_that_is_not_writable_any_more_is_EFAULT)
{
	ASSERT_EQ(0, ll_call(&self->h, protect, PROT_READ));
	EXPECT_EQ(-EFAULT, ll_holder_reg(&self->h, 0, 0, BEGIN, END - BEGIN));
	ASSERT_EQ(0, ll_call(&self->h, protect, PROT_NONE));
	EXPECT_EQ(-EFAULT, ll_holder_reg(&self->h, 0, 0, BEGIN, END - BEGIN));
	ASSERT_EQ(0, ll_call(&self->h, protect, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, BEGIN, END - BEGIN));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, truncated(self->path));
}

TEST_HARNESS_MAIN
