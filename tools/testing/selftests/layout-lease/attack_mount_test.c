// SPDX-License-Identifier: GPL-2.0
/*
 * Mounts around a pinned file: unmounting, lazily or not, overlays on top, bind
 * mounts, read-only or in a namespace of their own, and a filesystem that is to
 * become read-only.
 */
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_audit.h"
#include "layout_lease_report.h"
#include "layout_lease_revoke.h"

#define BREAK_S	20
#define OPTIONS	"dax=always,layout_lease=break"

FIXTURE(mounts)
{
	struct ll_env env;
	struct ll_audit audit;
	char path[LL_PATH];	/* on the filesystem */
	char mnt[LL_PATH];	/* something is mounted there */
	char other[LL_PATH];	/* the same file through that */
	struct ll_holder h;
	struct ll_breaker b;
	int fd;
};

FIXTURE_VARIANT(mounts)
{
	enum ll_fs fs;
	const char *type;
};

FIXTURE_VARIANT_ADD(mounts, ext4_break) {
	.fs = LL_EXT4, .type = "ext4",
};

FIXTURE_VARIANT_ADD(mounts, xfs_break) {
	.fs = LL_XFS, .type = "xfs",
};

FIXTURE_SETUP(mounts)
{
	self->fd = -1;
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_audit_begin(&self->audit, &self->env));
	ASSERT_LT(0, ll_audit_innocent(&self->audit));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", BREAK_S));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ll_name(&self->env, "mnt", self->mnt);
	snprintf(self->other, sizeof(self->other), "%.120s/f", self->mnt);
	ASSERT_EQ(0, ll_ret(mkdir(self->mnt, 0755)));
}

/* It is mounted again, if a test that failed has left it away. */
FIXTURE_TEARDOWN(mounts)
{
	ll_holder_end(&self->h);
	if (self->fd >= 0)
		close(self->fd);
	if (ll_mount_option(self->env.root, "dax=always") != 1)
		mount(self->audit.device, self->env.root, variant->type, 0, OPTIONS);
	umount2(self->mnt, MNT_DETACH);
	/* which comes back with a mount, and on XFS with a thaw */
	ll_drop_reserve(self->env.root);
	EXPECT_EQ(0, ll_audit_end(&self->audit));
}

/* 0 if nobody else has the device: it could be formatted, or taken away. */
static int device_is_free(const char *dev)
{
	int fd = ll_open(dev, O_RDONLY | O_EXCL);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int device_comes_free(const char *dev)
{
	int64_t end = ll_now_ms() + LL_SOON;
	int ret;

	while ((ret = device_is_free(dev)) == -EBUSY && ll_now_ms() < end)
		ll_sleep_ms(20);
	return ret;
}

/* EBUSY is said for a moment after the last pin has gone. */
static int comes_off(const char *root)
{
	int64_t end = ll_now_ms() + LL_SOON;
	int ret;

	while ((ret = ll_ret(umount2(root, 0))) == -EBUSY && ll_now_ms() < end)
		ll_sleep_ms(20);
	return ret;
}

/* A pin that is listed: what is tested is the mount around it. */
static int pin(struct ll_holder *h, const char *path)
{
	int ret = ll_holder_pin(h, path, true, LL_SIG);

	if (ret)
		return ret;
	return ll_listed(path, true) == 1 ? 0 : -ENOENT;
}

static int mount_again(struct ll_audit *a, const char *type)
{
	return ll_ret(mount(a->device, a->env->root, type, 0, OPTIONS));
}

/* Not for a file that is open: that one is closed, and unmapped, and unlinked. */
TEST_F(mounts, umount_is_EBUSY_until_the_last_pin_goes)
{
	ASSERT_EQ(0, pin(&self->h, self->path));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	ASSERT_EQ(0, ll_ret(unlink(self->path)));
	EXPECT_EQ(-EBUSY, ll_ret(umount2(self->env.root, 0)));
	EXPECT_EQ(-EBUSY, device_is_free(self->audit.device));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, comes_off(self->env.root));
	EXPECT_EQ(0, device_comes_free(self->audit.device));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	ASSERT_EQ(0, mount_again(&self->audit, variant->type));
}

TEST_F(mounts, lazy_umount_ends_with_the_holder)
{
	struct ll_id id;

	ASSERT_EQ(0, pin(&self->h, self->path));
	ASSERT_EQ(0, ll_identify(self->path, &id));
	ASSERT_EQ(0, ll_ret(umount2(self->env.root, MNT_DETACH)));
	ll_sleep_ms(300);
	EXPECT_EQ(-EBUSY, device_is_free(self->audit.device));
	EXPECT_EQ(1, ll_listed_id(&id, true));
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(0, ll_ret(kill(self->h.pid, SIGKILL)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(0, device_comes_free(self->audit.device));
	ASSERT_EQ(0, mount_again(&self->audit, variant->type));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_FILE_SIZE, 'f'));
}

TEST_F(mounts, break_is_not_stopped_by_a_lazy_umount)
{
	int ret = -1;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	ASSERT_EQ(0, pin(&self->h, self->path));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_FTRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	ASSERT_EQ(0, ll_ret(umount2(self->env.root, MNT_DETACH)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, device_comes_free(self->audit.device));
	ASSERT_EQ(0, mount_again(&self->audit, variant->type));
	EXPECT_EQ(0, ll_size(self->path));
}

/* Out of sight is not out of reach: it is the same filesystem, mounted again. */
TEST_F(mounts, pin_behind_a_lazy_umount_is_broken_through_another_mount)
{
	int ret = -1;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	ASSERT_EQ(0, pin(&self->h, self->path));
	ASSERT_EQ(0, ll_ret(umount2(self->env.root, MNT_DETACH)));
	ASSERT_EQ(0, mount_again(&self->audit, variant->type));
	EXPECT_EQ(1, ll_listed(self->path, true));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_LET_GO, .a = LL_SOON));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

/* The opposite direction: the holder keeps the mount, and all others lose it. */
TEST_F(mounts, holder_in_a_mount_namespace_of_its_own_is_broken_from_outside)
{
	int ret = -1;

	ASSERT_EQ(0, ll_holder_start(&self->h));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_CONTAIN));
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	/* its mount is a copy, so this one can go */
	ASSERT_EQ(0, ll_ret(umount2(self->env.root, 0)));
	EXPECT_EQ(-EBUSY, device_is_free(self->audit.device));
	ASSERT_EQ(0, mount_again(&self->audit, variant->type));
	EXPECT_EQ(1, ll_listed(self->path, true));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_LET_GO, .a = LL_SOON));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

static int bind(const char *from, const char *to, unsigned long flags)
{
	int ret = ll_ret(mount(from, to, NULL, MS_BIND, NULL));

	if (ret || !flags)
		return ret;
	return ll_ret(mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | flags, NULL));
}

TEST_F(mounts, lease_through_a_bind_mount_is_broken_through_the_other)
{
	int ret = -1;

	ASSERT_EQ(0, bind(self->env.dir, self->mnt, 0));
	ASSERT_EQ(0, pin(&self->h, self->other));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_LET_GO, .a = LL_SOON));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

TEST_F(mounts, read_only_bind_mount_breaks_nothing)
{
	ASSERT_EQ(0, bind(self->env.dir, self->mnt, MS_RDONLY));
	ASSERT_EQ(0, pin(&self->h, self->path));
	EXPECT_EQ(-EROFS, ll_break(OP_TRUNCATE, self->other, 0, 0));
	EXPECT_EQ(-EROFS, ll_break(OP_O_TRUNC, self->other, 0, 0));
	EXPECT_EQ(-EROFS, ll_break(OP_PUNCH, self->other, 0, LL_PAGE));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT, .a = 100));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_FILE_SIZE, 'f'));
	EXPECT_EQ(0, ll_holder_end(&self->h));
	/* without a lease it is the same */
	EXPECT_EQ(-EROFS, ll_break(OP_TRUNCATE, self->other, 0, 0));
}

/* Who waits has no write access to the mount, and asks for it again. */
TEST_F(mounts, breaker_finds_the_bind_mount_read_only_after_its_wait)
{
	static const enum ll_op ops[] = { OP_TRUNCATE, OP_O_TRUNC };
	int ret;
	size_t i;

	ASSERT_EQ(0, bind(self->env.dir, self->mnt, 0));
	ASSERT_EQ(0, pin(&self->h, self->path));
	for (i = 0; i < LL_ARRAY_SIZE(ops); i++) {
		ASSERT_EQ(0, ll_breaker_start(&self->b, ops[i], self->other, 0, 0));
		ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
		/* an open file keeps it writable, as ever: that of O_TRUNC */
		EXPECT_EQ(ops[i] == OP_O_TRUNC ? -EBUSY : 0,
			  ll_ret(mount(NULL, self->mnt, NULL, MS_REMOUNT |
				       MS_BIND | MS_RDONLY, NULL)));
		EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
		ret = -1;
		ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
		EXPECT_EQ(ops[i] == OP_O_TRUNC ? 0 : -EROFS, ret);
		ASSERT_EQ(0, ll_ret(mount(NULL, self->mnt, NULL, MS_REMOUNT |
					  MS_BIND, NULL)));
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
		ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	}
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

static int read_only(struct ll_env *env)
{
	return ll_ret(mount(NULL, env->root, NULL, MS_REMOUNT | MS_RDONLY, NULL));
}

/* A pin writes, so it is one of the writers: also of a file that is closed. */
TEST_F(mounts, read_only_remount_of_the_filesystem_is_EBUSY_until_the_pin_goes)
{
	int64_t end;
	int ret;

	ASSERT_EQ(0, pin(&self->h, self->path));
	EXPECT_EQ(-EBUSY, read_only(&self->env));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	EXPECT_EQ(-EBUSY, read_only(&self->env));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	end = ll_now_ms() + LL_SOON;
	while ((ret = read_only(&self->env)) == -EBUSY && ll_now_ms() < end)
		ll_sleep_ms(20);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(-EROFS, ll_break(OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, ll_ret(mount(NULL, self->env.root, NULL, MS_REMOUNT, NULL)));
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

/* Immutable from the middle of the wait on: it is as if it had come before. */
TEST_F(mounts, file_that_becomes_immutable_during_a_break_keeps_its_blocks)
{
	int ret = -1, flags, fd;

	ASSERT_EQ(0, pin(&self->h, self->path));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	fd = ll_open(self->path, O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ll_ret(ioctl(fd, FS_IOC_GETFLAGS, &flags)));
	flags |= FS_IMMUTABLE_FL;
	EXPECT_EQ(0, ll_ret(ioctl(fd, FS_IOC_SETFLAGS, &flags)));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	EXPECT_EQ(-EPERM, ret);
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_FILE_SIZE, 'f'));
	flags &= ~FS_IMMUTABLE_FL;
	EXPECT_EQ(0, ll_ret(ioctl(fd, FS_IOC_SETFLAGS, &flags)));
	close(fd);
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

/* An overlay with the file in one of its layers. */
static int overlay(struct ll_env *env, const char *mnt, const char *path,
		   const char *layer)
{
	if (ll_shell("mkdir %s/%s && ln %s %s/%s/f", env->dir, layer, path,
		     env->dir, layer))
		return -EIO;
	return ll_overlay(env, mnt);
}

TEST_F(mounts, all_that_takes_blocks_through_an_overlay_is_ETXTBSY)
{
	static const enum ll_op ops[] = {
		OP_TRUNCATE, OP_FTRUNCATE, OP_O_TRUNC, OP_PUNCH, OP_ZERO,
		OP_COLLAPSE, OP_INSERT,
	};
	size_t i;

	ASSERT_EQ(0, overlay(&self->env, self->mnt, self->path, "upper"));
	ASSERT_EQ(0, pin(&self->h, self->path));
	for (i = 0; i < LL_ARRAY_SIZE(ops); i++)
		EXPECT_EQ(-ETXTBSY, ll_break(ops[i], self->other, 0,
					     ops[i] < OP_PUNCH ? 0 : 2 * LL_MIB)) {
			TH_LOG("operation %d", ops[i]);
		}
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT, .a = 100));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_FILE_SIZE, 'f'));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	for (i = 0; i < LL_ARRAY_SIZE(ops); i++) {
		ASSERT_EQ(0, ll_ret(truncate(self->path, LL_FILE_SIZE)));
		EXPECT_EQ(0, ll_break(ops[i], self->other, 0,
				      ops[i] < OP_PUNCH ? 0 : 2 * LL_MIB)) {
			TH_LOG("operation %d", ops[i]);
		}
	}
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

/* Copied up, whatever for: the pinned blocks stay where they are, and private. */
TEST_F(mounts, file_in_a_lower_layer_is_copied_and_not_touched)
{
	char upper[LL_PATH];
	int64_t block;

	ASSERT_EQ(0, overlay(&self->env, self->mnt, self->path, "lower"));
	ll_name(&self->env, "upper/f", upper);
	ASSERT_EQ(0, pin(&self->h, self->path));
	block = ll_physical(self->path, 0);
	EXPECT_EQ(0, ll_break(OP_PUNCH, self->other, 0, LL_PAGE));
	EXPECT_EQ(1, ll_filled(upper, 0, LL_PAGE, 0));
	EXPECT_EQ(1, ll_filled(upper, LL_PAGE, LL_FILE_SIZE - LL_PAGE, 'f'));
	EXPECT_EQ(0, ll_ret(truncate(self->other, 0)));
	EXPECT_EQ(0, ll_size(upper));
	EXPECT_EQ(-ETIMEDOUT, ll_hold(&self->h, .op = H_SIGWAIT, .a = 100));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_FILE_SIZE, 'f'));
	EXPECT_EQ(block, ll_physical(self->path, 0));
	EXPECT_EQ(1, ll_listed(self->path, true));
	EXPECT_EQ(0, ll_holder_end(&self->h));
}

TEST_HARNESS_MAIN
