// SPDX-License-Identifier: GPL-2.0
/*
 * lslocks(8) and lsof(8) neither choke on layout leases, nor lose what they
 * showed before.
 */
#include <stdio.h>
#include <sys/file.h>

#include "../kselftest_harness.h"
#include "layout_lease_report.h"

FIXTURE(control)
{
	struct ll_env env;
	char path[LL_PATH];
};

FIXTURE_VARIANT(control)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(control, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(control, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(control)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, NULL));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_MIB, self->path));
	ASSERT_EQ(0, ll_find_programs());
}

FIXTURE_TEARDOWN(control)
{
	ll_teardown(&self->env);
}

/* A flock and a range lock of this process; their rows in lslocks. */
static int take_locks(const char *path)
{
	struct flock range = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 4096, .l_len = 4096,
	};
	int fd = ll_open(path, O_RDWR);

	if (fd < 0)
		return fd;
	return ll_ret(flock(fd, LOCK_SH)) ?: ll_ret(fcntl(fd, F_SETLK, &range)) ?: fd;
}

static bool lslocks_has_locks(const char *path)
{
	return !ll_command("lslocks -n -r -o PID,TYPE,MODE,M,START,END,PATH") &&
	       ll_line(LL_OUT, "^%d FLOCK READ 0 0 0 %s$", getpid(), path) &&
	       ll_line(LL_OUT, "^%d POSIX WRITE 0 4096 8191 %s$", getpid(), path);
}

TEST_F(control, lslocks_and_lsof_see_locks_and_files)
{
	ASSERT_LE(0, take_locks(self->path));
	EXPECT_TRUE(lslocks_has_locks(self->path));
	EXPECT_EQ(0, ll_command("lsof -n -P -w -F pfn %s", self->path));
	EXPECT_TRUE(ll_line(LL_OUT, "^p%d$", getpid()));
	EXPECT_TRUE(ll_line(LL_OUT, "^n%s$", self->path));
}

FIXTURE(tools)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_id id;
	struct ll_holder h;
	struct ll_breaker b;
	int fd, uverbs;		/* the holder's descriptors */
};

FIXTURE_VARIANT(tools)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(tools, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(tools, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(tools)
{
	ASSERT_EQ(0, ll_report_setup(&self->env, variant->fs, self->path, &self->id));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
	ASSERT_EQ(0, ll_find_programs());
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	self->fd = ll_holder_fd(&self->h, 0);
	self->uverbs = ll_holder_fd(&self->h, LL_UVERBS);
}

FIXTURE_TEARDOWN(tools)
{
	if (self->b.pid)
		ll_breaker_end(&self->b);
	if (self->h.pid > 0)
		ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

TEST_F(tools, lslocks_shows_layout_leases_and_the_other_locks)
{
	char other[LL_PATH];

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_MIB, other));
	ASSERT_LE(0, take_locks(other));
	EXPECT_TRUE(lslocks_has_locks(other));
	EXPECT_TRUE(ll_line(LL_OUT, "^%d LAYOUT EXCL 0 0 0 %s$", self->h.pid, self->path));
	ASSERT_EQ(0, ll_pend(&self->h, &self->b, self->path));
	EXPECT_TRUE(lslocks_has_locks(other));
	EXPECT_TRUE(ll_line(LL_OUT, "^%d LAYOUT EXCL 0 0 0 %s$", self->h.pid, self->path));
	EXPECT_EQ(0, ll_command("lslocks --json -o COMMAND,PID,TYPE,MODE,PATH"));
	EXPECT_TRUE(ll_json(".locks[] | select(.type == \"LAYOUT\") | [.[]]",
			    "[\"tools_test\",%d,\"LAYOUT\",\"EXCL\",\"%s\"]",
			    self->h.pid, self->path));
	EXPECT_EQ(0, ll_command("lslocks -p %d", self->h.pid));
	EXPECT_TRUE(ll_line(LL_OUT, " LAYOUT "));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_DEREG));
}

TEST_F(tools, lslocks_bears_a_lease_whose_holder_is_gone)
{
	char other[LL_PATH];
	int uverbs;

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_MIB, other));
	ASSERT_LE(0, take_locks(other));
	uverbs = ll_passed_on(&self->h, self->uverbs);
	ASSERT_LE(0, uverbs);
	ASSERT_EQ(0, ll_holder_end(&self->h));
	EXPECT_TRUE(lslocks_has_locks(other));
	EXPECT_TRUE(ll_line(LL_OUT, "^0 LAYOUT EXCL "));
	EXPECT_EQ(0, ll_command("lslocks --json"));
	EXPECT_TRUE(ll_json("[.locks[] | select(.type == \"LAYOUT\") | .pid]", "[0]"));
	close(uverbs);
}

TEST_F(tools, lsof_shows_the_same_as_without_a_lease)
{
	struct ll_holder other;
	char name[LL_PATH];

	ASSERT_EQ(0, ll_file(&self->env, "g", LL_MIB, name));
	ASSERT_EQ(0, ll_holder_start(&other));
	ASSERT_EQ(0, ll_holder_open(&other, 0, name));
	ASSERT_EQ(0, ll_command("lsof -n -P -w %s", name));
	ASSERT_EQ(0, ll_shell("cp %s %s.before", LL_OUT, LL_OUT));
	ASSERT_EQ(0, ll_holder_lease(&other, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&other, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_command("lsof -n -P -w %s", name));
	EXPECT_EQ(0, ll_shell("cmp %s %s.before", LL_OUT, LL_OUT));
	ASSERT_EQ(0, ll_pend(&other, &self->b, name));
	/* the breaker of truncate(2) has it open, too */
	EXPECT_EQ(0, ll_command("lsof -n -P -w -a -p %d %s", other.pid, name));
	EXPECT_EQ(0, ll_shell("cmp %s %s.before", LL_OUT, LL_OUT));
	EXPECT_EQ(0, ll_holder_end(&other));
}

TEST_HARNESS_MAIN
