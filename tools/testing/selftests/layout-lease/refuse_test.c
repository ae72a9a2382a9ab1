// SPDX-License-Identifier: GPL-2.0
/*
 * Operations that never get anybody killed: those of background optimisers
 * (ETXTBSY under both policies), those that will be refused for another reason,
 * and those that leave the blocks of a file where they are.
 */
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

FIXTURE(optimiser)
{
	struct ll_env env;
	char path[LL_PATH], other[LL_PATH];
	struct ll_holder h;
};

FIXTURE_VARIANT(optimiser)
{
	enum ll_fs fs;
	enum ll_op op;
};

FIXTURE_VARIANT_ADD(optimiser, ext4_swap_boot) {
	.fs = LL_EXT4, .op = OP_SWAP_BOOT,
};

FIXTURE_VARIANT_ADD(optimiser, ext4_dax_attribute) {
	.fs = LL_EXT4, .op = OP_SET_DAX_ATTR,
};

FIXTURE_VARIANT_ADD(optimiser, xfs_clone_destination) {
	.fs = LL_XFS, .op = OP_CLONE_DST,
};

FIXTURE_VARIANT_ADD(optimiser, xfs_clone_source) {
	.fs = LL_XFS, .op = OP_CLONE_SRC,
};

FIXTURE_VARIANT_ADD(optimiser, xfs_dedupe_destination) {
	.fs = LL_XFS, .op = OP_DEDUPE_DST,
};

FIXTURE_VARIANT_ADD(optimiser, xfs_dedupe_source) {
	.fs = LL_XFS, .op = OP_DEDUPE_SRC,
};

FIXTURE_VARIANT_ADD(optimiser, xfs_swapext) {
	.fs = LL_XFS, .op = OP_SWAPEXT,
};

FIXTURE_VARIANT_ADD(optimiser, xfs_swapext_as_donor) {
	.fs = LL_XFS, .op = OP_SWAPEXT_TMP,
};

FIXTURE_VARIANT_ADD(optimiser, xfs_dax_attribute) {
	.fs = LL_XFS, .op = OP_SET_DAX_ATTR,
};

/* Out of the way, with the space it takes. */
static int put_aside(struct ll_env *env, const char *path, int number)
{
	char name[16], aside[LL_PATH];

	snprintf(name, sizeof(name), "aside%d", number);
	ll_name(env, name, aside);
	return ll_ret(rename(path, aside));
}

/* With as many extents each: swapext refuses to make a file worse. */
static int two_like_files(struct ll_env *env, char *path, char *other)
{
	int i, ret;

	for (i = 0; i < 40; i += 2) {
		ret = ll_file(env, "f", LL_FILE_SIZE, path) ?:
		      ll_file(env, "f.2", LL_FILE_SIZE, other);
		if (ret || ll_extents(path) == ll_extents(other))
			return ret;
		ret = put_aside(env, path, i) ?: put_aside(env, other, i + 1);
		if (ret)
			return ret;
	}
	return -EAGAIN;
}

FIXTURE_SETUP(optimiser)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	if (variant->op == OP_SWAPEXT || variant->op == OP_SWAPEXT_TMP) {
		ASSERT_EQ(0, two_like_files(&self->env, self->path,
					    self->other));
	} else {
		ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE,
				     self->path));
		ASSERT_EQ(0, ll_file(&self->env, "f.2", LL_FILE_SIZE,
				     self->other));
	}
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, SIGKILL));
}

FIXTURE_TEARDOWN(optimiser)
{
	ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

TEST_F(optimiser, is_ETXTBSY_and_kills_nobody)
{
	int64_t block = ll_physical(self->path, 0);

	EXPECT_EQ(-ETXTBSY, ll_break(variant->op, self->path, 0, LL_MIB));
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-ETXTBSY, ll_break(variant->op, self->path, 0, LL_MIB));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT));
	EXPECT_EQ(block, ll_physical(self->path, 0));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 1, 0, LL_PAGE));
}

TEST_F(optimiser, proceeds_without_a_pin)
{
	EXPECT_EQ(-ETXTBSY, ll_break(variant->op, self->path, 0, LL_MIB));
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, ll_break(variant->op, self->path, 0, LL_MIB));
	/* once more: swapping the boot loader's blocks back */
	EXPECT_EQ(0, ll_break(variant->op, self->path, 0, LL_MIB));
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

TEST_F(optimiser, is_EDEADLK_for_the_holder_itself)
{
	struct ll_cmd cmd = { .op = H_BREAK, .mr = variant->op, .b = LL_MIB };

	snprintf(cmd.path, sizeof(cmd.path), "%s", self->path);
	EXPECT_EQ(-EDEADLK, ll_holder_do(&self->h, &cmd));
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-EDEADLK, ll_holder_do(&self->h, &cmd));
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

TEST_F(optimiser, does_not_break_a_plain_lease)
{
	int64_t start = ll_now_ms();
	struct ll_holder plain;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_holder_start(&plain));
	ASSERT_EQ(0, ll_holder_open(&plain, 0, self->path));
	ASSERT_EQ(0, ll_hold(&plain, .op = H_SETLEASE, .a = F_LAYOUT));
	EXPECT_EQ(0, ll_break(variant->op, self->path, 0, LL_MIB));
	EXPECT_EQ(0, ll_break(variant->op, self->path, 0, LL_MIB));
	EXPECT_GT(20000, ll_now_ms() - start);
	EXPECT_EQ(F_LAYOUT, ll_hold(&plain, .op = H_GETLEASE));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&plain, .op = H_SIGWAIT));
	EXPECT_EQ(0, ll_holder_end(&plain));
}

/* Clone and dedupe look at their range, the others at the whole file. */
TEST_F(optimiser, away_from_the_pin_depends_on_its_range)
{
	bool whole = variant->op >= OP_SWAPEXT;

	EXPECT_EQ(whole ? -ETXTBSY : 0,
		  ll_break(variant->op, self->path, LL_FAR, LL_MIB));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

FIXTURE(harmless)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h, plain;
	int fd;
};

FIXTURE_VARIANT(harmless)
{
	enum ll_fs fs;
	const char *policy;
};

FIXTURE_VARIANT_ADD(harmless, ext4_break) {
	.fs = LL_EXT4, .policy = "break",
};

FIXTURE_VARIANT_ADD(harmless, ext4_deny) {
	.fs = LL_EXT4, .policy = "deny",
};

FIXTURE_VARIANT_ADD(harmless, xfs_break) {
	.fs = LL_XFS, .policy = "break",
};

FIXTURE_VARIANT_ADD(harmless, xfs_deny) {
	.fs = LL_XFS, .policy = "deny",
};

FIXTURE_SETUP(harmless)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, variant->policy));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 25));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_start(&self->plain));
	ASSERT_EQ(0, ll_holder_open(&self->plain, 0, self->path));
	ASSERT_EQ(0, ll_hold(&self->plain, .op = H_SETLEASE, .a = F_LAYOUT));
	self->fd = ll_open(self->path, O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(harmless)
{
	close(self->fd);
	/* whatever the test did: nobody was told, nobody was killed */
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT));
	EXPECT_EQ(LL_EXCL, ll_hold(&self->h, .op = H_GETLEASE));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->plain, .op = H_SIGWAIT));
	EXPECT_EQ(F_LAYOUT, ll_hold(&self->plain, .op = H_GETLEASE));
	EXPECT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(0, ll_holder_end(&self->plain));
	ll_teardown(&self->env);
}

TEST_F(harmless, reading_and_writing_never_break)
{
	char buf[64] = "text";

	EXPECT_EQ(64, ll_ret(pwrite(self->fd, buf, 64, 0)));
	EXPECT_EQ(64, ll_ret(pread(self->fd, buf, 64, 0)));
	EXPECT_EQ(64, ll_ret(pwrite(self->fd, buf, 64, LL_FILE_SIZE)));
	EXPECT_EQ(0, ll_ret(fsync(self->fd)));
}

TEST_F(harmless, truncate_to_the_same_or_a_larger_size_never_breaks)
{
	EXPECT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
	EXPECT_EQ(0, ll_ret(ftruncate(self->fd, LL_FILE_SIZE)));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 2 * LL_FILE_SIZE)));
	EXPECT_EQ(0, ll_ret(ftruncate(self->fd, 3 * LL_FILE_SIZE + 5)));
	EXPECT_EQ(3 * LL_FILE_SIZE + 5, ll_size(self->path));
}

TEST_F(harmless, plain_and_unshare_fallocate_never_break)
{
	EXPECT_EQ(0, ll_ret(fallocate(self->fd, 0, 0, LL_FILE_SIZE)));
	EXPECT_EQ(0, ll_ret(fallocate(self->fd, 0, 0, 2 * LL_FILE_SIZE)));
	EXPECT_EQ(0, ll_ret(fallocate(self->fd, FALLOC_FL_KEEP_SIZE,
				      2 * LL_FILE_SIZE, LL_MIB)));
	EXPECT_EQ(variant->fs == LL_XFS ? 0 : -EOPNOTSUPP,
		  ll_ret(fallocate(self->fd, FALLOC_FL_UNSHARE_RANGE, 0, LL_MIB)));
}

TEST_F(harmless, names_and_permissions_never_break)
{
	char other[LL_PATH];

	ll_name(&self->env, "g", other);
	EXPECT_EQ(0, ll_ret(chmod(self->path, 0600)));
	EXPECT_EQ(0, ll_ret(chown(self->path, LL_UID, LL_UID)));
	EXPECT_EQ(0, ll_ret(link(self->path, other)));
	EXPECT_EQ(0, ll_ret(unlink(self->path)));
	EXPECT_EQ(0, ll_ret(rename(other, self->path)));
	EXPECT_EQ(0, ll_ret(unlink(self->path)));
}

static int as_stranger(enum ll_op op, const char *path, off_t off, off_t len)
{
	int ret;

	if (seteuid(LL_UID))
		return -errno;
	ret = ll_break(op, path, off, len);
	if (seteuid(0))
		return -errno;
	return ret;
}

TEST_F(harmless, what_is_not_permitted_breaks_nothing)
{
	int ro = ll_open(self->path, O_RDONLY);

	EXPECT_EQ(-EACCES, as_stranger(OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(-EACCES, as_stranger(OP_O_TRUNC, self->path, 0, 0));
	EXPECT_EQ(-EACCES, as_stranger(OP_PUNCH, self->path, 0, LL_PAGE));
	EXPECT_EQ(-EINVAL, ll_ret(ftruncate(ro, 0)));
	EXPECT_EQ(-EBADF, ll_ret(fallocate(ro, FALLOC_FL_PUNCH_HOLE |
					   FALLOC_FL_KEEP_SIZE, 0, LL_PAGE)));
	close(ro);
}

static int set_flags(int fd, long flags)
{
	return ll_ret(ioctl(fd, FS_IOC_SETFLAGS, &flags));
}

TEST_F(harmless, immutable_and_append_only_files_break_nothing)
{
	static const int modes[] = {
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_INSERT_RANGE,
	};
	long flags;
	size_t i;

	ASSERT_EQ(0, ll_ret(ioctl(self->fd, FS_IOC_GETFLAGS, &flags)));
	ASSERT_EQ(0, set_flags(self->fd, flags | FS_IMMUTABLE_FL));
	EXPECT_EQ(-EPERM, ll_ret(truncate(self->path, 0)));
	/* xfs lets ftruncate(2) through, for those who had the file open */
	if (variant->fs == LL_EXT4)
		EXPECT_EQ(-EPERM, ll_ret(ftruncate(self->fd, 0)));
	for (i = 0; i < LL_ARRAY_SIZE(modes); i++)
		EXPECT_EQ(-EPERM, ll_ret(fallocate(self->fd, modes[i], 0, LL_PAGE)));
	ASSERT_EQ(0, set_flags(self->fd, flags | FS_APPEND_FL));
	EXPECT_EQ(-EPERM, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(-EPERM, ll_ret(ftruncate(self->fd, 0)));
	EXPECT_EQ(-EPERM, ll_break(OP_O_TRUNC, self->path, 0, 0));
	for (i = 0; i < LL_ARRAY_SIZE(modes); i++)
		EXPECT_EQ(-EPERM, ll_ret(fallocate(self->fd, modes[i], 0, LL_PAGE)));
	ASSERT_EQ(0, set_flags(self->fd, flags));
}

TEST_F(harmless, what_is_not_aligned_or_supported_breaks_nothing)
{
	EXPECT_EQ(-EINVAL, ll_break(OP_COLLAPSE, self->path, 0, LL_PAGE + 1));
	EXPECT_EQ(-EINVAL, ll_break(OP_COLLAPSE, self->path, 1, LL_PAGE));
	EXPECT_EQ(-EINVAL, ll_break(OP_COLLAPSE, self->path, 0, LL_FILE_SIZE));
	EXPECT_EQ(-EINVAL, ll_break(OP_INSERT, self->path, 0, LL_PAGE + 1));
	EXPECT_EQ(-EINVAL, ll_break(OP_INSERT, self->path, 1, LL_PAGE));
	EXPECT_EQ(-EINVAL, ll_break(OP_INSERT, self->path, LL_FILE_SIZE, LL_PAGE));
	EXPECT_EQ(-EINVAL, ll_break(OP_PUNCH, self->path, 0, 0));
	EXPECT_EQ(-EINVAL, ll_break(OP_PUNCH, self->path, -1, LL_PAGE));
	EXPECT_EQ(-EINVAL, ll_break(OP_TRUNCATE, self->path, -1, 0));
	EXPECT_EQ(-EINVAL, ll_break(OP_FTRUNCATE, self->path, -1, 0));
	EXPECT_EQ(-EOPNOTSUPP, ll_ret(fallocate(self->fd, FALLOC_FL_PUNCH_HOLE,
						0, LL_PAGE)));
	EXPECT_EQ(-EOPNOTSUPP, ll_ret(fallocate(self->fd, 0x10000, 0, LL_PAGE)));
}

/* ETXTBSY for the pin; without one, defragmentation does not do DAX at all. */
TEST_F(harmless, online_defragmentation_is_ETXTBSY)
{
	char other[LL_PATH];

	ASSERT_EQ(0, ll_file(&self->env, "f.2", LL_FILE_SIZE, other));
	EXPECT_EQ(variant->fs == LL_EXT4 ? -ETXTBSY : -ENOTTY,
		  ll_break(OP_MOVE_EXT, self->path, 0, LL_MIB));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(variant->fs == LL_EXT4 ? -EOPNOTSUPP : -ENOTTY,
		  ll_break(OP_MOVE_EXT, self->path, 0, LL_MIB));
}

TEST_F(harmless, copy_file_range_copies_where_clone_may_not)
{
	char other[LL_PATH];
	loff_t in = 0, out = 0;
	int fd;

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, other));
	ASSERT_EQ(0, ll_write_fill(other, 0, LL_PIN_LEN, 'g'));
	fd = ll_open(other, O_RDWR);
	/* from the pinned range and into it */
	EXPECT_EQ(LL_PAGE, ll_ret(copy_file_range(self->fd, &in, fd, &out,
						  LL_PAGE, 0)));
	EXPECT_EQ(1, ll_filled(other, 0, LL_PAGE, 'f'));
	EXPECT_EQ(LL_PAGE, ll_ret(copy_file_range(fd, &in, self->fd, &out,
						  LL_PAGE, 0)));
	EXPECT_EQ(1, ll_filled(self->path, LL_PAGE, LL_PAGE, 'g'));
	EXPECT_NE(ll_physical(self->path, 0), ll_physical(other, 0));
	EXPECT_NE(ll_physical(self->path, LL_PAGE), ll_physical(other, LL_PAGE));
	close(fd);
}

TEST_HARNESS_MAIN
