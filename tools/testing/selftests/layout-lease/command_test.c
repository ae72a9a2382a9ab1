// SPDX-License-Identifier: GPL-2.0
/*
 * The verbs of the command layout-lease that list, watch and explain: what they
 * say is what is so, and their JSON is JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_report.h"

TEST(control_every_error_of_the_contract_is_explained)
{
	static const char * const names[] = {
		"EINVAL", "EACCES", "EBADF", "EOPNOTSUPP", "EBUSY", "EPERM", "EAGAIN",
		"ENODATA", "EFAULT", "ENOMEM", "EINTR", "ETXTBSY", "EDEADLK", "EIO",
	};
	size_t i;

	ASSERT_EQ(0, ll_find_programs());
	for (i = 0; i < LL_ARRAY_SIZE(names); i++) {
		EXPECT_EQ(0, ll_command("layout-lease explain %s", names[i]))
			TH_LOG("%s", names[i]);
		EXPECT_TRUE(ll_line(LL_OUT, "^%s \\([0-9]+\\): ", names[i]));
		EXPECT_TRUE(ll_line(LL_OUT, "^  do:  "));
	}
	EXPECT_EQ(0, ll_command("layout-lease explain 26"));
	EXPECT_TRUE(ll_line(LL_OUT, "^ETXTBSY \\(26\\): "));
	EXPECT_EQ(1, ll_command("layout-lease explain ENOTTY"));
	EXPECT_EQ(2, ll_command("layout-lease pins --wrong"));
	EXPECT_EQ(2, ll_command("layout-lease breaks --pid 1"));
	EXPECT_EQ(1, ll_command("layout-lease pins --file /no/such/file"));
}

FIXTURE(command)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_id id;
	struct ll_holder h;
	struct ll_breaker b;
	int fd, uverbs;		/* the holder's descriptors */
};

FIXTURE_VARIANT(command)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(command, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(command, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(command)
{
	ASSERT_EQ(0, ll_report_setup(&self->env, variant->fs, self->path, &self->id));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
	ASSERT_EQ(0, ll_find_programs());
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	self->fd = ll_holder_fd(&self->h, 0);
	self->uverbs = ll_holder_fd(&self->h, LL_UVERBS);
}

FIXTURE_TEARDOWN(command)
{
	if (self->b.pid)
		ll_breaker_end(&self->b);
	if (self->h.pid > 0)
		ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

TEST_F(command, pins_lists_leases_and_pins)
{
	static const char * const arguments[] = { "", "--file", "--pid" };
	char with[3][LL_PATH + 8] = { "" };
	size_t i;

	snprintf(with[1], sizeof(with[1]), "%s", self->path);
	snprintf(with[2], sizeof(with[2]), "%d", self->h.pid);
	for (i = 0; i < LL_ARRAY_SIZE(arguments); i++) {
		EXPECT_EQ(0, ll_command("layout-lease pins --json %s %s", arguments[i], with[i]));
		EXPECT_TRUE(ll_json("[.[] | .kind, .pid, .command]",
				    "[\"lease\",%d,%s,\"pin\",%d,%s]", self->h.pid,
				    "\"command_test\"", self->h.pid, "\"command_test\""));
		EXPECT_TRUE(ll_json("map([.dev, .ino, .path]) | unique",
				    "[[\"%u:%u\",%llu,\"%s\"]]", self->id.major,
				    self->id.minor, self->id.ino, self->path));
		EXPECT_TRUE(ll_json(".[0] | [.type, .fd, .pins]", "[\"exclusive\",%d,1]",
				    self->fd));
		EXPECT_TRUE(ll_json(".[1] | [.start, .end, .owner]",
				    "[\"0x0\",\"0x10000\",\"rdma:%s\"]",
				    getenv("RDMA_DEV")));
		EXPECT_TRUE(ll_json(".[1].kept_by | map([.pid, .command, .fd])",
				    "[[%d,\"command_test\",%d]]", self->h.pid,
				    self->uverbs));
	}
	EXPECT_EQ(0, ll_command("layout-lease pins"));
	EXPECT_TRUE(ll_line(LL_OUT, "^%d +command_test +pin +0x0-0x10000 +rdma:%s .* %s$",
			    self->h.pid, getenv("RDMA_DEV"), self->path));
	ASSERT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(0, ll_command("layout-lease pins --json --file %s", self->path));
	EXPECT_TRUE(ll_json(".", "[]"));
	EXPECT_EQ(0, ll_command("layout-lease breaks --json"));
	EXPECT_TRUE(ll_json(".", "[]"));
}

TEST_F(command, pins_names_who_keeps_them_when_the_holder_is_gone)
{
	int uverbs = ll_passed_on(&self->h, self->uverbs);

	ASSERT_LE(0, uverbs);
	ASSERT_EQ(0, ll_holder_end(&self->h));
	EXPECT_EQ(0, ll_command("layout-lease pins --json"));
	EXPECT_TRUE(ll_json(".[1] | [.pid, .command]", "[0,null]"));
	EXPECT_TRUE(ll_json(".[1].kept_by | map([.pid, .fd])", "[[%d,%d]]", getpid(), uverbs));
	EXPECT_EQ(0, ll_command("layout-lease pins"));
	EXPECT_TRUE(ll_line(LL_OUT, "^gone .* pin .*[^0-9]%d[^0-9]", getpid()));
	close(uverbs);
}

TEST_F(command, any_name_of_a_file_is_shown)
{
	static const char name[] = "a \"b\"\\c\nd\tn\xc3\xa4 \xff (deleted)";
	char path[LL_PATH];
	int fd;

	ll_name(&self->env, name, path);
	fd = ll_open(path, O_RDWR | O_CREAT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ll_setlease(fd, F_LAYOUT));
	EXPECT_EQ(0, ll_command("layout-lease pins --json --pid %d", getpid()));
	EXPECT_TRUE(ll_json("map(.path) | map(sub(\"[^ ]* [(]del\"; \"X (del\"))",
			    "[\"%s/a \\\"b\\\"\\\\c\\\\012d\\tn\xc3\xa4 X (deleted)\"]",
			    self->env.dir));
	EXPECT_EQ(0, ll_command("layout-lease pins --pid %d", getpid()));
	EXPECT_EQ(0, ll_shell("test $(wc -l <%s) = 2", LL_OUT));
	/* and nothing that a terminal would obey */
	EXPECT_EQ(1, ll_shell("tr -d '\\n' <%s | grep -q '[[:cntrl:]]'", LL_OUT));
	EXPECT_EQ(0, ll_shell("iconv -f UTF-8 <%s >/dev/null", LL_OUT));
	close(fd);
}

TEST_F(command, breaks_lists_what_is_pending)
{
	ASSERT_EQ(0, ll_command("layout-lease breaks"));
	EXPECT_TRUE(ll_line(LL_ERR, "no break"));
	ASSERT_EQ(0, ll_pend(&self->h, &self->b, self->path));
	ASSERT_EQ(0, ll_command("layout-lease breaks --json --file %s", self->path));
	EXPECT_TRUE(ll_json("map([.pid, .breaker, .uid, .reason, .pins, .state])",
			    "[[%d,%d,0,\"truncate\",1,\"waiting\"]]", self->h.pid,
			    self->b.pid));
	EXPECT_TRUE(ll_json(".[0] | [.start, .end]", "[\"0x1000\",\"0xffffffffffffffff\"]"));
	EXPECT_TRUE(ll_json(".[0].left_ms | . > 10000 and . <= 20000", "true"));
	EXPECT_TRUE(ll_json(".[0] | [.dev, .ino, .path]", "[\"%u:%u\",%llu,\"%s\"]",
			    self->id.major, self->id.minor, self->id.ino, self->path));
	ASSERT_EQ(0, ll_command("layout-lease breaks"));
	EXPECT_TRUE(ll_line(LL_OUT, " truncate +0x1000-end +waiting +%s$", self->path));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_DEREG));
}

/* In the background; it has begun once it says so. */
static pid_t watch(const char *arguments, const char *path)
{
	int64_t end = ll_now_ms() + LL_SOON;
	pid_t pid;

	unlink(LL_ERR);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!freopen(LL_OUT, "w", stdout) || !freopen(LL_ERR, "w", stderr))
			_exit(127);
		execlp("layout-lease", "layout-lease", "watch", "--file", path, arguments,
		       NULL);
		_exit(127);
	}
	while (ll_shell("grep -q watching %s 2>/dev/null", LL_ERR) && ll_now_ms() < end)
		ll_sleep_ms(50);
	return pid;
}

static int end_watch(pid_t pid)
{
	int status, ret;

	ll_sleep_ms(500);
	kill(pid, SIGTERM);
	ret = ll_wait_exit(pid, LL_SOON, &status);
	return ret ?: WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

TEST_F(command, watch_prints_breaks_as_they_come)
{
	int ret, breaker;
	pid_t pid = watch("--json", self->path);

	ASSERT_EQ(0, ll_pend(&self->h, &self->b, self->path));
	breaker = self->b.pid;
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	self->b.pid = 0;
	EXPECT_EQ(0, end_watch(pid));
	ASSERT_EQ(0, ll_shell("cp %s %s.lines", LL_OUT, LL_OUT));
	ASSERT_EQ(0, ll_command("jq -s . %s.lines", LL_OUT));
	EXPECT_TRUE(ll_json("map(.event)", "[\"break_begin\",\"break_notify\",\"break_end\"]"));
	EXPECT_TRUE(ll_json("map([.reason, .breaker, .uid, .ino, .path]) | unique",
			    "[[\"truncate\",%d,0,%llu,\"%s\"]]", breaker, self->id.ino,
			    self->path));
	EXPECT_TRUE(ll_json(".[1] | [.holder, .signal, .left_ms > 10000]", "[%d,%d,true]",
			    self->h.pid, LL_SIG));
	EXPECT_TRUE(ll_json(".[2] | [.error, .waited_ns > 0]", "[0,true]"));
	/* it cleans up */
	EXPECT_EQ(1, ll_shell("ls /sys/kernel/tracing/instances | grep -q layout-lease"));
}

TEST_F(command, watch_has_text_for_people)
{
	int holder = self->h.pid;
	pid_t pid = watch(NULL, self->path);

	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETSIG, .a = SIGKILL));
	ASSERT_EQ(0, ll_ret(truncate(self->path, 0)));
	ASSERT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	EXPECT_EQ(0, end_watch(pid));
	EXPECT_TRUE(ll_line(LL_OUT, " begin +truncate 0x0-end breaker=%d\\(command_test\\)",
			    getpid()));
	EXPECT_TRUE(ll_line(LL_OUT, " kill .* holder=%d.* result=killed ", holder));
	EXPECT_TRUE(ll_line(LL_OUT, " end .* result=done "));
}

TEST_F(command, stranger_is_told_why_not)
{
	char with[LL_PATH + 64];

	ASSERT_EQ(0, ll_shell("cp $(command -v layout-lease) %s/ && chmod 755 %s/layout-lease",
			      self->env.dir, self->env.dir));
	snprintf(with, sizeof(with), "setpriv --clear-groups --reuid=%d --regid=%d %s/layout-lease",
		 LL_UID, LL_UID, self->env.dir);
	EXPECT_EQ(1, ll_command("%s pins", with));
	EXPECT_TRUE(ll_line(LL_ERR, "Permission denied"));
	EXPECT_EQ(1, ll_command("%s breaks", with));
	EXPECT_TRUE(ll_line(LL_ERR, "Permission denied"));
	EXPECT_EQ(1, ll_command("%s pins --pid %d", with, self->h.pid));
	EXPECT_TRUE(ll_line(LL_ERR, "Permission denied"));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UID, .a = LL_UID));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_DUMPABLE, .a = 1));
	EXPECT_EQ(0, ll_command("%s pins --json --pid %d", with, self->h.pid));
	EXPECT_TRUE(ll_json("[length, .[1].kept_by[0].pid]", "[2,%d]", self->h.pid));
}

TEST_HARNESS_MAIN
