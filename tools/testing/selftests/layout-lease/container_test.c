// SPDX-License-Identifier: GPL-2.0
/*
 * Holders and breakers in containers: whoever looks sees processes by the
 * numbers of the /proc it looks into, users by its own, and nobody who is not
 * visible there.
 *
 * The test forks into a pid namespace of its own: "in" and "beside" live there,
 * and "in" has its own /proc and user namespace. "out" is of the outside.
 */
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_report.h"

#define OVERFLOW_UID	65534

FIXTURE(container)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_id id;
	struct ll_holder in, out, beside;
	struct ll_said want;
	struct ll_pending seen[2];
};

FIXTURE_VARIANT(container)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(container, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(container, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(container)
{
	ASSERT_EQ(0, ll_report_setup(&self->env, variant->fs, self->path, &self->id));
	ASSERT_EQ(0, ll_ret(chown(self->path, LL_UID, LL_UID)));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
	ASSERT_EQ(0, ll_holder_start(&self->out));
	ASSERT_EQ(0, ll_ret(unshare(CLONE_NEWPID)));
	ASSERT_EQ(0, ll_holder_start(&self->in));
	ASSERT_EQ(0, ll_holder_start(&self->beside));
	ASSERT_EQ(0, ll_hold(&self->in, .op = H_CONTAIN, .a = LL_UID));
}

FIXTURE_TEARDOWN(container)
{
	ll_holder_end(&self->out);
	ll_holder_end(&self->beside);
	/* the first process of its namespace */
	ll_holder_end(&self->in);
	ll_teardown(&self->env);
}

static int pin(struct ll_holder *h, const char *path)
{
	return ll_holder_open(h, 0, path) ?: ll_holder_lease(h, 0, true, LL_SIG) ?:
	       ll_holder_reg(h, 0, 0, 0, LL_PIN_LEN);
}

static int start_break(struct ll_holder *h, const char *path)
{
	struct ll_cmd cmd = { .op = H_BREAK, .mr = OP_TRUNCATE };

	snprintf(cmd.path, sizeof(cmd.path), "%s", path);
	return ll_holder_send(h, &cmd);
}

static int end_break(struct ll_holder *holder, struct ll_holder *breaker)
{
	struct ll_rsp rsp;

	return ll_holder_dereg(holder, 0) ?: ll_holder_recv(breaker, LL_SOON, &rsp);
}

/* What this process reads there; the length. */
static int sees(struct ll_holder *h, const char *path, struct ll_rsp *rsp)
{
	struct ll_cmd cmd = { .op = H_READ };

	snprintf(cmd.path, sizeof(cmd.path), "%s", path);
	return ll_holder_ask(h, &cmd, rsp);
}

static bool shows_inside(struct ll_holder *h, const char *path,
			 const struct ll_said *want)
{
	struct ll_rsp rsp;
	int ret = sees(h, path, &rsp);

	if (ret < 0) {
		ll_log("%s inside: error %d", path, ret);
		return false;
	}
	return ll_same(want, rsp.text, path);
}

/* The break in the fdinfo of slot 0, as the process itself sees it. */
static int own_break(struct ll_holder *h, struct ll_pending *p)
{
	char path[64], *line;
	struct ll_rsp rsp;
	int ret;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ll_holder_fd(h, 0));
	ret = sees(h, path, &rsp);
	if (ret < 0)
		return ret;
	line = strstr(rsp.text, "layout_break:");
	return line ? ll_scan_breaks(line, p, 1) : 0;
}

TEST_F(container, holder_inside_is_seen_by_its_number_inside)
{
	ASSERT_EQ(0, pin(&self->in, self->path));
	self->want.pid = -1;
	ll_say_lease(&self->want, &self->id, true, ll_holder_fd(&self->in, 0), 1);
	ll_say_pin(&self->want, &self->id, 0, LL_PIN_LEN);
	EXPECT_TRUE(shows_inside(&self->in, "/proc/self/file_pins", &self->want));
	EXPECT_TRUE(shows_inside(&self->in, "/proc/1/file_pins", &self->want));
}

TEST_F(container, holder_inside_is_seen_by_its_number_outside)
{
	int fd;

	ASSERT_EQ(0, pin(&self->in, self->path));
	fd = ll_holder_fd(&self->in, 0);
	self->want.pid = -1;
	ll_say_lease(&self->want, &self->id, true, fd, 1);
	ll_say_pin(&self->want, &self->id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_shows(&self->want, "/proc/%d/file_pins", self->in.pid));
	self->want.text[0] = '\0';
	self->want.pid = self->in.pid;
	ll_say_lease(&self->want, &self->id, true, fd, 1);
	ll_say_pin(&self->want, &self->id, 0, LL_PIN_LEN);
	EXPECT_TRUE(ll_shows(&self->want, "/proc/layout_leases"));
	self->want.text[0] = '\0';
	ll_say_lock(&self->want, &self->id, false, true);
	EXPECT_TRUE(ll_proc_locks_show(&self->want));
}

TEST_F(container, breaker_outside_is_nobody_inside)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, pin(&self->in, self->path));
	ASSERT_EQ(0, start_break(&self->out, self->path));
	ASSERT_EQ(0, ll_hold(&self->in, .op = H_SIGWAIT, .a = LL_SOON));
	ASSERT_EQ(1, own_break(&self->in, self->seen));
	EXPECT_EQ(0, self->seen->breaker);
	EXPECT_EQ(OVERFLOW_UID, self->seen->uid);
	EXPECT_STREQ("truncate", self->seen->reason);
	ASSERT_EQ(0, ll_ask(&self->in, &rsp, .op = H_GETBREAK));
	EXPECT_EQ(0, rsp.info.pid);
	EXPECT_EQ(OVERFLOW_UID, rsp.info.uid);

	/* outside, both are known */
	ASSERT_EQ(1, ll_breaks(self->seen, 2));
	EXPECT_EQ(self->in.pid, self->seen->pid);
	EXPECT_EQ(self->out.pid, self->seen->breaker);
	EXPECT_EQ(0, self->seen->uid);
	ASSERT_EQ(1, ll_fdinfo_breaks(self->in.pid, ll_holder_fd(&self->in, 0),
				      self->seen, 2));
	EXPECT_EQ(self->out.pid, self->seen->breaker);
	EXPECT_EQ(0, self->seen->uid);
	EXPECT_EQ(0, end_break(&self->in, &self->out));
}

TEST_F(container, breaker_inside_is_somebody_outside)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, pin(&self->out, self->path));
	ASSERT_EQ(0, start_break(&self->in, self->path));
	ASSERT_EQ(0, ll_ask(&self->out, &rsp, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(self->in.pid, rsp.pid);
	ASSERT_EQ(1, own_break(&self->out, self->seen));
	EXPECT_EQ(self->in.pid, self->seen->breaker);
	EXPECT_EQ(LL_UID, self->seen->uid);
	ASSERT_EQ(0, ll_ask(&self->out, &rsp, .op = H_GETBREAK));
	EXPECT_EQ(self->in.pid, rsp.info.pid);
	EXPECT_EQ(LL_UID, rsp.info.uid);
	ASSERT_EQ(1, ll_breaks(self->seen, 2));
	EXPECT_EQ(self->out.pid, self->seen->pid);
	EXPECT_EQ(self->in.pid, self->seen->breaker);
	EXPECT_EQ(LL_UID, self->seen->uid);
	EXPECT_EQ(0, end_break(&self->out, &self->in));
}

/* "beside" is the second of the namespace, and root of the host. */
TEST_F(container, breaker_inside_is_somebody_inside)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, pin(&self->in, self->path));
	ASSERT_EQ(0, start_break(&self->beside, self->path));
	ASSERT_EQ(0, ll_ask(&self->in, &rsp, .op = H_SIGWAIT, .a = LL_SOON));
	EXPECT_EQ(2, rsp.pid);
	ASSERT_EQ(1, own_break(&self->in, self->seen));
	EXPECT_EQ(2, self->seen->breaker);
	EXPECT_EQ(OVERFLOW_UID, self->seen->uid);
	ASSERT_EQ(0, ll_ask(&self->in, &rsp, .op = H_GETBREAK));
	EXPECT_EQ(2, rsp.info.pid);
	EXPECT_EQ(0, end_break(&self->in, &self->beside));
}

TEST_F(container, user_of_the_container_is_known_in_it)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_hold(&self->beside, .op = H_UID, .a = LL_UID));
	ASSERT_EQ(0, pin(&self->in, self->path));
	ASSERT_EQ(0, start_break(&self->beside, self->path));
	ASSERT_EQ(0, ll_hold(&self->in, .op = H_SIGWAIT, .a = LL_SOON));
	ASSERT_EQ(1, own_break(&self->in, self->seen));
	EXPECT_EQ(0, self->seen->uid);
	ASSERT_EQ(0, ll_ask(&self->in, &rsp, .op = H_GETBREAK));
	EXPECT_EQ(0, rsp.info.uid);
	ASSERT_EQ(1, ll_breaks(self->seen, 2));
	EXPECT_EQ(LL_UID, self->seen->uid);
	EXPECT_EQ(0, end_break(&self->in, &self->beside));
}

TEST_F(container, locks_inside_are_those_of_the_container)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, pin(&self->out, self->path));
	ASSERT_EQ(0, pin(&self->in, self->path));
	self->want.pid = self->out.pid;
	ll_say_lock(&self->want, &self->id, false, true);
	self->want.pid = self->in.pid;
	ll_say_lock(&self->want, &self->id, false, true);
	EXPECT_TRUE(ll_proc_locks_show(&self->want));
	self->want.text[0] = '\0';
	self->want.pid = 1;
	ll_say_lock(&self->want, &self->id, false, true);
	ASSERT_LT(0, sees(&self->in, "/proc/locks", &rsp));
	EXPECT_TRUE(ll_locks_show(&self->want, rsp.text));
}

/* Root of the host, who looks into the /proc of the container. */
TEST_F(container, who_is_not_visible_has_no_number)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, ll_hold(&self->beside, .op = H_CONTAIN));
	ASSERT_EQ(0, pin(&self->out, self->path));
	ASSERT_EQ(0, pin(&self->in, self->path));
	ll_say_lease(&self->want, &self->id, true, ll_holder_fd(&self->out, 0), 1);
	self->want.pid = 1;
	ll_say_lease(&self->want, &self->id, true, ll_holder_fd(&self->in, 0), 1);
	ASSERT_LT(0, sees(&self->beside, "/proc/layout_leases", &rsp));
	*strstr(rsp.text, "pid=0 pin ") = '\0';
	EXPECT_TRUE(ll_same(&self->want, rsp.text, "leases of layout_leases"));

	/* who breaks, and who is told */
	EXPECT_EQ(0, ll_holder_dereg(&self->out, 0));
	ASSERT_EQ(0, start_break(&self->out, self->path));
	ASSERT_EQ(0, ll_hold(&self->in, .op = H_SIGWAIT, .a = LL_SOON));
	ASSERT_LT(0, sees(&self->beside, "/proc/layout_breaks", &rsp));
	ASSERT_EQ(1, ll_scan_breaks(rsp.text, self->seen, 2));
	EXPECT_EQ(1, self->seen->pid);
	EXPECT_EQ(0, self->seen->breaker);
	EXPECT_EQ(0, end_break(&self->in, &self->out));
}

TEST_F(container, lists_of_all_are_not_for_the_container)
{
	struct ll_rsp rsp;

	ASSERT_EQ(0, pin(&self->in, self->path));
	EXPECT_EQ(-EACCES, sees(&self->in, "/proc/layout_leases", &rsp));
	EXPECT_EQ(-EACCES, sees(&self->in, "/proc/layout_breaks", &rsp));
	/* of somebody else in it, who is more */
	EXPECT_EQ(-EACCES, sees(&self->in, "/proc/2/file_pins", &rsp));
}

TEST_HARNESS_MAIN
