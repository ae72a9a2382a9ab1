// SPDX-License-Identifier: GPL-2.0
/*
 * Filesystems that do not take part in layout leases, or not in that
 * configuration: other types, stacked ones, files without DAX, ext4 with
 * data=journal, xfs realtime files with large extents.
 */
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

FIXTURE(mounts)
{
	struct ll_env env;
	char mnt[LL_PATH];
	char path[LL_PATH];
};

FIXTURE_VARIANT(mounts)
{
	enum ll_fs fs;
	const char *type, *mkfs;
};

FIXTURE_VARIANT_ADD(mounts, ext4) {
	.fs = LL_EXT4, .type = "ext4",
	.mkfs = "mkfs.ext4 -q -F -b 4096",
};

FIXTURE_VARIANT_ADD(mounts, xfs) {
	.fs = LL_XFS, .type = "xfs",
	.mkfs = "mkfs.xfs -q -f",
};

FIXTURE_SETUP(mounts)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ll_name(&self->env, "mnt", self->mnt);
	snprintf(self->path, sizeof(self->path), "%.120s/f", self->mnt);
	ASSERT_EQ(0, ll_ret(mkdir(self->mnt, 0755)));
}

FIXTURE_TEARDOWN(mounts)
{
	umount2(self->mnt, MNT_DETACH);
	ll_teardown(&self->env);
}

/* What the two kinds of lease get on a new file at this path. */
static int leases(const char *path, int *plain)
{
	int fd = ll_open(path, O_RDWR | O_CREAT), ret;

	if (fd < 0)
		return fd;
	*plain = ll_setlease(fd, F_LAYOUT);
	ret = ll_take(fd, true, SIGKILL);
	close(fd);
	return ret;
}

/* A loop device over a sparse image of this size, with its name. */
static int loop(struct ll_env *env, const char *name, size_t size, char *dev)
{
	char image[LL_PATH], cmd[LL_PATH + 32];
	int ret = ll_sparse(env, name, size, image);
	FILE *f;

	if (ret)
		return ret;
	snprintf(cmd, sizeof(cmd), "losetup --show -f %s", image);
	f = popen(cmd, "re");
	if (!f)
		return -errno;
	ret = fscanf(f, "%63s", dev) == 1 ? 0 : -ENODEV;
	pclose(f);
	return ret;
}

TEST_F(mounts, tmpfs_is_EOPNOTSUPP)
{
	int plain = 0;

	ASSERT_EQ(0, ll_ret(mount("none", self->mnt, "tmpfs", 0, NULL)));
	EXPECT_EQ(-EOPNOTSUPP, leases(self->path, &plain));
	EXPECT_EQ(-EOPNOTSUPP, plain);
}

TEST_F(mounts, overlayfs_is_EOPNOTSUPP)
{
	int plain = 0;

	ASSERT_EQ(0, ll_overlay(&self->env, self->mnt));
	EXPECT_EQ(-EOPNOTSUPP, leases(self->path, &plain));
	EXPECT_EQ(-EOPNOTSUPP, plain);
}

TEST_F(mounts, truncate_through_overlayfs_of_a_pinned_file_is_ETXTBSY)
{
	char upper[LL_PATH];
	struct ll_holder h;

	ASSERT_EQ(0, ll_overlay(&self->env, self->mnt));
	ASSERT_EQ(0, ll_file(&self->env, "upper/f", LL_FILE_SIZE, upper));
	ASSERT_EQ(0, ll_holder_pin(&h, upper, true, SIGKILL));
	EXPECT_EQ(-ETXTBSY, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_PUNCH, self->path, 0, LL_PAGE));
	EXPECT_TRUE(ll_holder_alive(&h));
	EXPECT_EQ(1, ll_filled(upper, 0, LL_PIN_LEN, 'f'));
	EXPECT_EQ(0, ll_holder_dereg(&h, 0));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_holder_end(&h));
}

TEST_F(mounts, discard_through_loop_spares_a_pinned_file)
{
	struct ll_holder h;
	char image[LL_PATH], dev[64];

	ASSERT_EQ(0, loop(&self->env, "image", LL_FILE_SIZE, dev));
	ll_name(&self->env, "image", image);
	ASSERT_EQ(0, ll_write_fill(image, 0, LL_FILE_SIZE, 'f'));
	ASSERT_EQ(0, ll_holder_pin(&h, image, true, SIGKILL));
	EXPECT_NE(0, ll_shell("blkdiscard %s 2>/dev/null", dev));
	EXPECT_TRUE(ll_holder_alive(&h));
	EXPECT_EQ(1, ll_filled(image, 0, LL_PIN_LEN, 'f'));
	EXPECT_EQ(0, ll_holder_dereg(&h, 0));
	EXPECT_EQ(0, ll_shell("blkdiscard %s", dev));
	EXPECT_EQ(1, ll_filled(image, 0, LL_PIN_LEN, 0));
	EXPECT_EQ(0, ll_shell("losetup -d %s", dev));
	EXPECT_EQ(0, ll_holder_end(&h));
}

/* Exclusive wants DAX; to be told of changes works without. */
TEST_F(mounts, file_without_dax_gets_the_plain_lease_only)
{
	char dev[64];
	int plain = 0;

	ASSERT_EQ(0, loop(&self->env, "image", 320 * LL_MIB, dev));
	ASSERT_EQ(0, ll_shell("%s %s", variant->mkfs, dev));
	ASSERT_EQ(0, ll_ret(mount(dev, self->mnt, variant->type, 0,
				  "layout_lease=break")));
	EXPECT_EQ(1, ll_mount_option(self->mnt, "layout_lease=break"));
	EXPECT_EQ(-EOPNOTSUPP, leases(self->path, &plain));
	EXPECT_EQ(0, plain);
	EXPECT_EQ(0, ll_ret(umount(self->mnt)));
	EXPECT_EQ(0, ll_ret(mount(dev, self->mnt, variant->type, 0, NULL)));
	EXPECT_EQ(0, ll_mount_option(self->mnt, "layout_lease=break"));
	EXPECT_EQ(-EOPNOTSUPP, leases(self->path, &plain));
	EXPECT_EQ(-EOPNOTSUPP, plain);
	EXPECT_EQ(0, ll_ret(umount(self->mnt)));
	EXPECT_EQ(0, ll_shell("losetup -d %s", dev));
}

FIXTURE(special)
{
	struct ll_env env;
	char mnt[LL_PATH];
	char path[LL_PATH];
};

FIXTURE_SETUP(special)
{
	ASSERT_EQ(0, ll_setup(&self->env, LL_EXT4, "break"));
	ll_name(&self->env, "mnt", self->mnt);
	snprintf(self->path, sizeof(self->path), "%.120s/f", self->mnt);
	ASSERT_EQ(0, ll_ret(mkdir(self->mnt, 0755)));
}

FIXTURE_TEARDOWN(special)
{
	umount2(self->mnt, MNT_DETACH);
	ll_teardown(&self->env);
}

TEST_F(special, ext4_data_journal_is_EINVAL)
{
	static const char * const policies[] = { "break", "deny" };
	char dev[64], options[64];
	size_t i;

	ASSERT_EQ(0, loop(&self->env, "image", 64 * LL_MIB, dev));
	ASSERT_EQ(0, ll_shell("mkfs.ext4 -q -F -b 4096 %s", dev));
	for (i = 0; i < LL_ARRAY_SIZE(policies); i++) {
		snprintf(options, sizeof(options), "data=journal,layout_lease=%s",
			 policies[i]);
		EXPECT_EQ(-EINVAL, ll_ret(mount(dev, self->mnt, "ext4", 0, options)));
	}
	ASSERT_EQ(0, ll_ret(mount(dev, self->mnt, "ext4", 0,
				  "data=journal,layout_lease=off")));
	EXPECT_EQ(-EINVAL, ll_remount(self->mnt, "layout_lease=break"));
	EXPECT_EQ(-EINVAL, ll_remount(self->mnt, "layout_lease=deny"));
	EXPECT_EQ(0, ll_ret(umount(self->mnt)));
	EXPECT_EQ(0, ll_ret(mount(dev, self->mnt, "ext4", 0, "layout_lease=break")));
	EXPECT_EQ(0, ll_ret(umount(self->mnt)));
	EXPECT_EQ(0, ll_shell("losetup -d %s", dev));
}

TEST_F(special, xfs_realtime_with_large_extents_is_EOPNOTSUPP)
{
	static const struct {
		const char *extsize;
		int expected;
	} cases[] = { { "4k", 0 }, { "16k", -EOPNOTSUPP } };
	char data[64], rt[64], options[128];
	int plain;
	size_t i;

	ASSERT_EQ(0, loop(&self->env, "data", 320 * LL_MIB, data));
	ASSERT_EQ(0, loop(&self->env, "rt", 64 * LL_MIB, rt));
	for (i = 0; i < LL_ARRAY_SIZE(cases); i++) {
		ASSERT_EQ(0, ll_shell("mkfs.xfs -q -f %s -r rtdev=%s,extsize=%s %s",
				      "-m reflink=0,rmapbt=0 -d rtinherit=1", rt,
				      cases[i].extsize, data));
		snprintf(options, sizeof(options), "layout_lease=break,rtdev=%s", rt);
		ASSERT_EQ(0, ll_ret(mount(data, self->mnt, "xfs", 0, options)));
		plain = -1;
		EXPECT_EQ(-EOPNOTSUPP, leases(self->path, &plain));
		EXPECT_EQ(cases[i].expected, plain);
		EXPECT_EQ(0, ll_ret(umount(self->mnt)));
	}
	EXPECT_EQ(0, ll_shell("losetup -d %s %s", data, rt));
}

TEST_HARNESS_MAIN
