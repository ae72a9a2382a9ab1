// SPDX-License-Identifier: GPL-2.0
/*
 * Who may look: a process's file_pins has the permissions of its maps, what is
 * about all processes is for root of the host, and fdinfo is as it was.
 */
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_report.h"

#define STRANGER	(LL_UID + 1)

FIXTURE(access)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h;
	int fd;
	char maps[64], pins[64], fdinfo[64];
};

FIXTURE_VARIANT(access)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(access, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(access, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(access)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	self->fd = ll_holder_fd(&self->h, 0);
	ASSERT_LE(0, self->fd);
	snprintf(self->maps, sizeof(self->maps), "/proc/%d/maps", self->h.pid);
	snprintf(self->pins, sizeof(self->pins), "/proc/%d/file_pins", self->h.pid);
	snprintf(self->fdinfo, sizeof(self->fdinfo), "/proc/%d/fdinfo/%d",
		 self->h.pid, self->fd);
}

FIXTURE_TEARDOWN(access)
{
	EXPECT_EQ(0, ll_holder_end(&self->h));
	ll_teardown(&self->env);
}

static int become(uid_t uid)
{
	return ll_ret(setgroups(0, NULL)) ?: ll_ret(setresgid(uid, uid, uid)) ?:
	       ll_ret(setresuid(uid, uid, uid));
}

static int write_map(const char *path, const char *text)
{
	int fd = ll_open(path, O_WRONLY), ret;

	if (fd < 0)
		return fd;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* Root, but of a user namespace that this user has made. */
static int become_root_of_a_namespace(uid_t uid)
{
	char map[32];

	snprintf(map, sizeof(map), "0 %d 1", uid);
	return become(uid) ?: ll_ret(prctl(PR_SET_DUMPABLE, 1)) ?:
	       ll_ret(unshare(CLONE_NEWUSER)) ?:
	       write_map("/proc/self/uid_map", map);
}

/* What somebody gets who opens and reads this: 1 if there is something. */
static int look(const char *path)
{
	int fd = ll_open(path, O_RDONLY), ret;
	char byte;

	if (fd < 0)
		return fd;
	ret = ll_ret(read(fd, &byte, 1));
	close(fd);
	return ret;
}

/* The same, of another user; EUSERS stands for a failure to become that one. */
static int look_as(const char *path, uid_t uid, int (*becomes)(uid_t))
{
	int status, ret;
	pid_t pid = fork();

	if (!pid) {
		ret = becomes(uid) ? -EUSERS : look(path);
		_exit(ret < 0 ? -ret : ret ? 0 : 255);
	}
	ret = ll_wait_exit(pid, LL_SOON, &status);
	return ret ?: -WEXITSTATUS(status);
}

/* file_pins and maps both answer so. */
static bool both(const char *maps, const char *pins, uid_t uid, int want)
{
	int of_maps = look_as(maps, uid, become);
	int of_pins = look_as(pins, uid, become);

	if (of_maps == want && of_pins == want)
		return true;
	ll_log("user %d: expected %d, maps: %d, file_pins: %d", uid, want, of_maps,
	       of_pins);
	return false;
}

TEST_F(access, process_of_root_is_for_root)
{
	EXPECT_TRUE(both(self->maps, self->pins, 0, 0));
	EXPECT_TRUE(both(self->maps, self->pins, LL_UID, -EACCES));
}

TEST_F(access, process_of_a_user_is_for_that_user)
{
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UID, .a = LL_UID));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_DUMPABLE, .a = 1));
	EXPECT_TRUE(both(self->maps, self->pins, 0, 0));
	EXPECT_TRUE(both(self->maps, self->pins, LL_UID, 0));
	EXPECT_TRUE(both(self->maps, self->pins, STRANGER, -EACCES));
}

TEST_F(access, process_that_is_not_dumpable_is_for_root)
{
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UID, .a = LL_UID));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_DUMPABLE, .a = 0));
	EXPECT_TRUE(both(self->maps, self->pins, 0, 0));
	EXPECT_TRUE(both(self->maps, self->pins, LL_UID, -EACCES));
	EXPECT_TRUE(both(self->maps, self->pins, STRANGER, -EACCES));
}

TEST_F(access, mode_is_that_of_maps)
{
	struct stat maps, pins;

	ASSERT_EQ(0, ll_ret(stat(self->maps, &maps)));
	ASSERT_EQ(0, ll_ret(stat(self->pins, &pins)));
	EXPECT_EQ(maps.st_mode, pins.st_mode);
}

/* A user who is root of a namespace of its own has no more rights than before. */
TEST_F(access, root_of_a_namespace_is_no_root)
{
	EXPECT_EQ(-EACCES, look_as(self->maps, LL_UID, become_root_of_a_namespace));
	EXPECT_EQ(-EACCES, look_as(self->pins, LL_UID, become_root_of_a_namespace));
}

TEST_F(access, list_of_all_is_for_root_of_the_host)
{
	static const char * const names[] = {
		"/proc/layout_leases", "/proc/layout_breaks",
	};
	struct stat st;
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(names); i++) {
		ASSERT_EQ(0, ll_ret(stat(names[i], &st)));
		EXPECT_EQ(S_IFREG | 0400, (int)st.st_mode);
		EXPECT_EQ(0, (int)st.st_uid);
		EXPECT_EQ(-EACCES, look_as(names[i], LL_UID, become));
		EXPECT_EQ(-EACCES, look_as(names[i], LL_UID,
					   become_root_of_a_namespace));
	}
	EXPECT_EQ(1, look(names[0]));
	/* nothing is pending */
	EXPECT_EQ(0, look(names[1]));
}

TEST_F(access, fdinfo_is_for_whom_it_was)
{
	char uverbs[64];

	EXPECT_EQ(0, look_as(self->fdinfo, 0, become));
	EXPECT_EQ(-EACCES, look_as(self->fdinfo, LL_UID, become));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UID, .a = LL_UID));
	EXPECT_EQ(-EACCES, look_as(self->fdinfo, LL_UID, become));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_DUMPABLE, .a = 1));
	EXPECT_EQ(0, look_as(self->fdinfo, LL_UID, become));
	EXPECT_EQ(-EACCES, look_as(self->fdinfo, STRANGER, become));
	snprintf(uverbs, sizeof(uverbs), "/proc/%d/fdinfo/%d", self->h.pid,
		 ll_holder_fd(&self->h, LL_UVERBS));
	EXPECT_EQ(0, look_as(uverbs, LL_UID, become));
	EXPECT_EQ(-EACCES, look_as(uverbs, STRANGER, become));
}

/* Who could look may not any more: the process may have become another. */
TEST_F(access, reading_is_checked_too)
{
	int fd, status;
	char byte;
	pid_t pid;

	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UID, .a = LL_UID));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_DUMPABLE, .a = 1));
	pid = fork();
	if (!pid) {
		if (become(LL_UID))
			_exit(EUSERS);
		fd = ll_open(self->pins, O_RDONLY);
		if (fd < 0 || read(fd, &byte, 1) != 1 || lseek(fd, 0, SEEK_SET))
			_exit(1);
		ll_hold(&self->h, .op = H_DUMPABLE, .a = 0);
		_exit(-ll_ret(read(fd, &byte, 1)));
	}
	ASSERT_EQ(0, ll_wait_exit(pid, LL_SOON, &status));
	EXPECT_EQ(EACCES, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
