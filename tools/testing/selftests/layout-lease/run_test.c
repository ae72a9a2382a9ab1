// SPDX-License-Identifier: GPL-2.0
/*
 * The command "layout-lease run": it lets an unmodified program pin files, says
 * what is wrong when it cannot, and has the exit statuses it documents.
 */
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

struct scene {
	struct ll_env env;
	char path[LL_PATH], other[LL_PATH], bin[LL_PATH];
	char said[1024];	/* what the command wrote */
};

FIXTURE(run)
{
	struct scene s;
};

FIXTURE_VARIANT(run)
{
	enum ll_fs fs;
	const char *policy;
};

FIXTURE_VARIANT_ADD(run, ext4_break) {
	.fs = LL_EXT4, .policy = "break",
};

FIXTURE_VARIANT_ADD(run, ext4_deny) {
	.fs = LL_EXT4, .policy = "deny",
};

FIXTURE_VARIANT_ADD(run, xfs_break) {
	.fs = LL_XFS, .policy = "break",
};

FIXTURE_VARIANT_ADD(run, xfs_deny) {
	.fs = LL_XFS, .policy = "deny",
};

/* The directory of this program, where the others are. */
static int find_programs(char *bin)
{
	ssize_t len = readlink("/proc/self/exe", bin, LL_PATH - 1);

	if (len < 0)
		return -errno;
	bin[len] = '\0';
	*strrchr(bin, '/') = '\0';
	return 0;
}

FIXTURE_SETUP(run)
{
	ASSERT_EQ(0, ll_setup(&self->s.env, variant->fs, variant->policy));
	ASSERT_EQ(0, ll_file(&self->s.env, "f", LL_MIB, self->s.path));
	ASSERT_EQ(0, ll_file(&self->s.env, "g", LL_MIB, self->s.other));
	ASSERT_EQ(0, find_programs(self->s.bin));
}

FIXTURE_TEARDOWN(run)
{
	ll_teardown(&self->s.env);
}

/* Runs layout-lease with these arguments; its status, and what it said. */
static int command(struct scene *s, const char *fmt, ...)
{
	char args[512], cmd[1024];
	size_t len;
	va_list ap;
	FILE *f;
	int ret;

	va_start(ap, fmt);
	vsnprintf(args, sizeof(args), fmt, ap);
	va_end(ap);
	snprintf(cmd, sizeof(cmd), "%s/layout-lease %s 2>&1", s->bin, args);
	f = popen(cmd, "re");
	if (!f)
		return -errno;
	len = fread(s->said, 1, sizeof(s->said) - 1, f);
	s->said[len] = '\0';
	ret = pclose(f);
	if (WIFSIGNALED(ret))
		return -EINTR;
	return WEXITSTATUS(ret);
}

static bool says(struct scene *s, const char *text)
{
	if (strstr(s->said, text))
		return true;
	ll_log("expected \"%s\" in: %s", text, s->said);
	return false;
}

TEST_F(run, unmodified_program_pins_a_leased_file)
{
	EXPECT_EQ(0, command(&self->s, "run --file %s -- %s/pin_file %s 0", self->s.path,
			     self->s.bin, self->s.path));
	EXPECT_TRUE(says(&self->s, "registered"));
	/* and not another one */
	EXPECT_EQ(EOPNOTSUPP, command(&self->s, "run --file %s -- %s/pin_file %s 0",
				      self->s.path, self->s.bin, self->s.other));
	EXPECT_EQ(0, command(&self->s, "run --file %s --file %s -- %s/pin_file %s 0",
			     self->s.path, self->s.other, self->s.bin, self->s.other));
}

TEST_F(run, program_is_killed_under_break_and_kept_under_deny)
{
	bool deny = !strcmp(variant->policy, "deny");
	char program[LL_PATH + 16], file[LL_PATH + 16], ms[] = "20000", byte;
	int out[2], status;
	pid_t pid;

	snprintf(program, sizeof(program), "%s/layout-lease", self->s.bin);
	snprintf(file, sizeof(file), "%s/pin_file", self->s.bin);
	ASSERT_EQ(0, pipe(out));
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], 1);
		_exit(execl(program, program, "run", "--file", self->s.path, "--",
			    file, self->s.path, ms, NULL));
	}
	close(out[1]);
	ASSERT_EQ(1, read(out[0], &byte, 1));
	EXPECT_EQ(deny ? -ETXTBSY : 0, ll_ret(truncate(self->s.path, 0)));
	if (deny) {
		EXPECT_EQ(-ETIMEDOUT, ll_wait_exit(pid, 100, &status));
		EXPECT_EQ(0, ll_ret(kill(pid, SIGKILL)));
	}
	ASSERT_EQ(0, ll_wait_exit(pid, LL_SOON, &status));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
}

TEST_F(run, exit_status_is_the_commands_or_as_documented)
{
	EXPECT_EQ(7, command(&self->s, "run --file %s -- sh -c 'exit 7'", self->s.path));
	EXPECT_EQ(0, command(&self->s, "run -f %s true", self->s.path));
	EXPECT_EQ(127, command(&self->s, "run --file %s -- no-such-command",
			       self->s.path));
	EXPECT_TRUE(says(&self->s, "No such file"));
	EXPECT_EQ(126, command(&self->s, "run --file %s -- %s", self->s.path, self->s.path));
	EXPECT_TRUE(says(&self->s, "Permission denied"));
}

TEST_F(run, refused_lease_is_125_with_advice)
{
	EXPECT_EQ(125, command(&self->s, "run --file %s/nothing -- true",
			       self->s.env.dir));
	EXPECT_TRUE(says(&self->s, "No such file"));
	EXPECT_EQ(125, command(&self->s, "run --file %s -- true", self->s.env.dir));
	EXPECT_TRUE(says(&self->s, "Is a directory"));
	EXPECT_EQ(125, command(&self->s, "run --file /dev/null -- true"));
	EXPECT_TRUE(says(&self->s, "no regular file"));
	EXPECT_EQ(125, command(&self->s, "run --file %s --file /tmp/. -- true",
			       self->s.path));
	ASSERT_EQ(0, ll_policy(&self->s.env, "off"));
	EXPECT_EQ(125, command(&self->s, "run --file %s -- true", self->s.path));
	EXPECT_TRUE(says(&self->s, "Operation not supported"));
	EXPECT_TRUE(says(&self->s, "layout_lease=break"));
	ASSERT_EQ(0, ll_sysctl("leases-enable", 0));
	EXPECT_EQ(125, command(&self->s, "run --file %s -- true", self->s.path));
	EXPECT_TRUE(says(&self->s, "fs.leases-enable"));
}

TEST_F(run, stranger_is_told_who_may)
{
	ASSERT_EQ(0, ll_ret(chmod(self->s.path, 0666)));
	ASSERT_EQ(0, ll_shell("cp %s/layout-lease %s/ && chmod 755 %s/layout-lease",
			      self->s.bin, self->s.env.dir, self->s.env.dir));
	EXPECT_EQ(125, ll_shell("cd %s && %s --reuid=%d %s %s -- true 2>said",
				self->s.env.dir, "setpriv --clear-groups", LL_UID,
				"./layout-lease run --file", self->s.path));
	EXPECT_EQ(0, ll_shell("grep -q CAP_LEASE %s/said", self->s.env.dir));
}

TEST_F(run, usage_errors_are_125)
{
	EXPECT_EQ(125, command(&self->s, ""));
	EXPECT_EQ(125, command(&self->s, "walk"));
	EXPECT_TRUE(says(&self->s, "unknown verb: walk"));
	EXPECT_EQ(125, command(&self->s, "run -- true"));
	EXPECT_TRUE(says(&self->s, "no --file"));
	EXPECT_EQ(125, command(&self->s, "run --file %s --", self->s.path));
	EXPECT_TRUE(says(&self->s, "no command"));
	EXPECT_EQ(125, command(&self->s, "run --wrong -- true"));
	EXPECT_TRUE(says(&self->s, "usage:"));
	EXPECT_EQ(0, command(&self->s, "--help"));
	EXPECT_TRUE(says(&self->s, "usage:"));
	EXPECT_EQ(0, command(&self->s, "--version"));
}

TEST_HARNESS_MAIN
