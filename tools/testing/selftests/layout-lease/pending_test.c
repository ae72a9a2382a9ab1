// SPDX-License-Identifier: GPL-2.0
/*
 * What is reported while somebody waits to change the layout under a pin:
 * /proc/layout_breaks, the fdinfo of the leased file and F_GETLAYOUTBREAK, which
 * must agree, and /proc/locks.
 */
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_report.h"

#define BREAK_MS	20000	/* lease-break-time of these tests */
#define MAX		8

FIXTURE(pending)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_id id;
	struct ll_holder h;
	struct ll_breaker b;
	int fd;			/* the holder's descriptor */
	struct ll_said want;
	struct ll_pending seen[MAX], more[MAX];
};

FIXTURE_VARIANT(pending)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(pending, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(pending, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(pending)
{
	struct ll_said none = { .pid = -1 };

	ASSERT_EQ(0, ll_report_setup(&self->env, variant->fs, self->path, &self->id));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", BREAK_MS / 1000));
	ASSERT_TRUE(ll_comes_to_show(&none, "/proc/layout_breaks"));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
	self->fd = ll_holder_fd(&self->h, 0);
	ASSERT_LE(0, self->fd);
	self->want.pid = self->h.pid;
}

FIXTURE_TEARDOWN(pending)
{
	if (self->b.pid)
		ll_breaker_end(&self->b);
	if (self->h.pid > 0)
		ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

static int told(struct ll_holder *h)
{
	return ll_hold(h, .op = H_SIGWAIT, .a = LL_SOON);
}

/* The holder lets go, and the operation ends. */
static int let_go(struct ll_holder *h, struct ll_breaker *b)
{
	int ret, result = 0;

	ret = ll_holder_dereg(h, 0) ?: ll_breaker_wait(b, LL_SOON, &result);
	b->pid = 0;
	return ret ?: result;
}

/* Nobody reports anything any more. */
static bool nothing_pending(struct ll_holder *h, int fd)
{
	struct ll_said none = { .pid = -1 };
	struct ll_pending p[MAX];

	return ll_shows(&none, "/proc/layout_breaks") &&
	       !ll_fdinfo_breaks(h->pid, fd, p, MAX) &&
	       ll_hold(h, .op = H_GETBREAK) == -ENODATA;
}

static bool wrong(const char *what, long long want, long long have)
{
	if (want == have)
		return false;
	ll_log("%s: expected %lld (0x%llx), seen %lld (0x%llx)", what, want, want,
	       have, have);
	return true;
}

static bool in_time(const char *what, long long left)
{
	if (left > BREAK_MS - LL_SOON && left <= BREAK_MS)
		return true;
	ll_log("%s: %lld ms left of %d", what, left, BREAK_MS);
	return false;
}

/* fdinfo, layout_breaks and F_GETLAYOUTBREAK tell this, and the same time. */
static bool all_tell(struct ll_holder *h, int fd, const struct ll_pending *p,
		     int number)
{
	struct ll_pending info[MAX], list[MAX];
	struct ll_rsp rsp;
	int64_t left;
	int in_info, in_list;
	bool bad;

	in_info = ll_fdinfo_breaks(h->pid, fd, info, MAX);
	in_list = ll_breaks(list, MAX);
	ll_ask(h, &rsp, .op = H_GETBREAK);
	if (in_info != 1 || in_list != 1 || rsp.ret) {
		ll_log("%d in fdinfo, %d in layout_breaks, F_GETLAYOUTBREAK: %d", in_info,
		       in_list, rsp.ret);
		return false;
	}
	left = rsp.info.deadline_ns / 1000000 - ll_now_ms();
	bad = strcmp(p->reason, info->reason) || strcmp(p->reason, list->reason);
	if (bad)
		ll_log("%s: fdinfo: %s, layout_breaks: %s", p->reason, info->reason,
		       list->reason);
	bad |= wrong("reason of F_GETLAYOUTBREAK", number, rsp.info.reason) |
	       wrong("start in fdinfo", p->start, info->start) |
	       wrong("end in fdinfo", p->end, info->end) |
	       wrong("pid in fdinfo", p->breaker, info->breaker) |
	       wrong("uid in fdinfo", p->uid, info->uid) |
	       wrong("pid in layout_breaks", h->pid, list->pid) |
	       wrong("major", p->id.major, list->id.major) |
	       wrong("minor", p->id.minor, list->id.minor) |
	       wrong("inode", p->id.ino, list->id.ino) |
	       wrong("path", 0, strcmp(p->id.text, list->id.text)) |
	       wrong("start in layout_breaks", p->start, list->start) |
	       wrong("end in layout_breaks", p->end, list->end) |
	       wrong("breaker in layout_breaks", p->breaker, list->breaker) |
	       wrong("uid in layout_breaks", p->uid, list->uid) |
	       wrong("pins in layout_breaks", p->pins, list->pins) |
	       wrong("state", 0, strcmp(p->state, list->state)) |
	       wrong("start of F_GETLAYOUTBREAK", p->start, rsp.info.start) |
	       wrong("end of F_GETLAYOUTBREAK", p->end, rsp.info.end) |
	       wrong("pid of F_GETLAYOUTBREAK", p->breaker, rsp.info.pid) |
	       wrong("uid of F_GETLAYOUTBREAK", p->uid, rsp.info.uid) |
	       wrong("pins of F_GETLAYOUTBREAK", p->pins, rsp.info.pins) |
	       !in_time("fdinfo", info->left) | !in_time("layout_breaks", list->left) |
	       !in_time("F_GETLAYOUTBREAK", left) | (info->left < list->left) |
	       (list->left < left - 1);
	return !bad;
}

static const struct {
	enum ll_op op;
	int number;
	off_t off, len;
	struct ll_pending told;
} reasons[] = {
	{ OP_PUNCH, 2, LL_PAGE + 1, LL_PAGE, {
		.reason = "punch_hole", .start = LL_PAGE, .end = 3 * LL_PAGE } },
	{ OP_ZERO, 3, LL_PAGE - 1, LL_PAGE, {
		.reason = "zero_range", .start = 0, .end = 2 * LL_PAGE } },
	{ OP_COLLAPSE, 4, LL_PAGE, 2 * LL_PAGE, {
		.reason = "collapse_range", .start = LL_PAGE, .end = LL_TO_END } },
	{ OP_INSERT, 5, LL_PAGE, 2 * LL_PAGE, {
		.reason = "insert_range", .start = LL_PAGE, .end = LL_TO_END } },
	{ OP_TRUNCATE, 1, LL_PAGE + 1, 0, {
		.reason = "truncate", .start = LL_PAGE, .end = LL_TO_END } },
};

TEST_F(pending, each_reason_is_told_alike_by_all)
{
	struct ll_pending p;
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(reasons); i++) {
		ASSERT_EQ(0, ll_breaker_start(&self->b, reasons[i].op, self->path,
					      reasons[i].off, reasons[i].len));
		ASSERT_EQ(0, told(&self->h));
		p = reasons[i].told;
		p.id = self->id;
		p.breaker = self->b.pid;
		p.pins = 1;
		snprintf(p.state, sizeof(p.state), "waiting");
		EXPECT_TRUE(all_tell(&self->h, self->fd, &p, reasons[i].number))
			TH_LOG("%s", p.reason);
		EXPECT_EQ(0, let_go(&self->h, &self->b));
		EXPECT_TRUE(nothing_pending(&self->h, self->fd));
		/* in place for the next one; the last leaves two pages */
		ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, 2 * LL_PAGE));
	}
}

TEST_F(pending, all_of_fdinfo_is_as_it_should_be)
{
	char text[4096];
	int n;

	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, told(&self->h));
	ASSERT_EQ(1, ll_fdinfo_breaks(self->h.pid, self->fd, self->seen, MAX));
	n = ll_read(text, sizeof(text), "/proc/%d/fdinfo/%d", self->h.pid, self->fd);
	ASSERT_LT(0, n);
	EXPECT_NE(NULL, strstr(text, "\nlayout_lease:\texclusive\nlayout_pins:\t1\n"
			       "layout_break:\ttruncate 0x0-0xffffffffffffffff pid="));
	ll_say_lock(&self->want, &self->id, true, true);
	EXPECT_TRUE(ll_proc_locks_show(&self->want));
	EXPECT_EQ(0, let_go(&self->h, &self->b));
	self->want.text[0] = '\0';
	ll_say_lock(&self->want, &self->id, false, true);
	EXPECT_TRUE(ll_proc_locks_show(&self->want));
}

TEST_F(pending, time_left_decreases)
{
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_PUNCH, self->path, 0, LL_PAGE));
	ASSERT_EQ(0, told(&self->h));
	ASSERT_EQ(1, ll_breaks(self->seen, MAX));
	ll_sleep_ms(700);
	ASSERT_EQ(1, ll_breaks(self->more, MAX));
	EXPECT_LE(700, self->seen->left - self->more->left);
	EXPECT_GE(700 + LL_SOON, self->seen->left - self->more->left);
	self->more->left = self->seen->left;
	EXPECT_EQ(0, memcmp(self->seen, self->more, sizeof(*self->seen)));
}

TEST_F(pending, without_a_deadline_minus_1_is_left)
{
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 0));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_PUNCH, self->path, 0, LL_PAGE));
	ASSERT_EQ(0, told(&self->h));
	ASSERT_EQ(1, ll_breaks(self->seen, MAX));
	EXPECT_EQ(-1, self->seen->left);
	ASSERT_EQ(1, ll_fdinfo_breaks(self->h.pid, self->fd, self->more, MAX));
	EXPECT_EQ(-1, self->more->left);
}

/* Remembered until 5 s after the deadline, at which nobody is killed. */
TEST_F(pending, abandoned_break_is_told_until_it_is_forgotten)
{
	int64_t start;
	int ret;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 2));
	start = ll_now_ms();
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, told(&self->h));
	ASSERT_EQ(1, ll_breaks(self->seen, MAX));
	EXPECT_STREQ("waiting", self->seen->state);
	ll_breaker_interrupt(&self->b);
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	self->b.pid = 0;
	EXPECT_EQ(-EINTR, ret);
	ASSERT_EQ(1, ll_breaks(self->seen, MAX));
	EXPECT_STREQ("abandoned", self->seen->state);
	EXPECT_EQ(1, self->seen->pins);
	EXPECT_GE(2000, self->seen->left);
	EXPECT_EQ(1, ll_fdinfo_breaks(self->h.pid, self->fd, self->more, MAX));
	ll_sleep_ms(start + 2500 - ll_now_ms());
	ASSERT_EQ(1, ll_breaks(self->seen, MAX));
	EXPECT_STREQ("abandoned", self->seen->state);
	EXPECT_EQ(0, self->seen->left);
	ASSERT_EQ(1, ll_fdinfo_breaks(self->h.pid, self->fd, self->more, MAX));
	EXPECT_EQ(0, self->more->left);
	ll_say_lock(&self->want, &self->id, true, true);
	EXPECT_TRUE(ll_proc_locks_show(&self->want));
	while (ll_now_ms() < start + 2000 + 5000 + LL_SOON &&
	       ll_breaks(self->more, MAX))
		ll_sleep_ms(50);
	EXPECT_LE(start + 7000, ll_now_ms());
	EXPECT_TRUE(nothing_pending(&self->h, self->fd));
	self->want.text[0] = '\0';
	ll_say_lock(&self->want, &self->id, false, true);
	EXPECT_TRUE(ll_proc_locks_show(&self->want));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

/* It inherits the deadline, and is what is told of from then on. */
TEST_F(pending, later_call_takes_the_place_of_an_abandoned_break)
{
	int ret;

	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, told(&self->h));
	ll_sleep_ms(1000);
	ll_breaker_interrupt(&self->b);
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	ASSERT_EQ(1, ll_breaks(self->more, MAX));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	while (!ll_breaks(self->seen, MAX) || strcmp(self->seen->state, "waiting"))
		ll_sleep_ms(20);
	EXPECT_EQ(1, ll_breaks(self->seen, MAX));
	EXPECT_EQ(self->b.pid, self->seen->breaker);
	EXPECT_GT(self->more->left + 1, self->seen->left);
	EXPECT_EQ(1, ll_fdinfo_breaks(self->h.pid, self->fd, self->more, MAX));
	EXPECT_EQ(self->b.pid, self->more->breaker);
	EXPECT_EQ(0, let_go(&self->h, &self->b));
	EXPECT_TRUE(nothing_pending(&self->h, self->fd));
}

TEST_F(pending, breaking_user_is_named)
{
	struct ll_pending p = {
		.id = self->id, .reason = "truncate", .end = LL_TO_END,
		.uid = LL_UID, .pins = 1, .state = "waiting",
	};
	int status;

	ASSERT_EQ(0, ll_ret(chmod(self->path, 0666)));
	p.breaker = fork();
	if (!p.breaker) {
		if (setgroups(0, NULL) || setresuid(LL_UID, LL_UID, LL_UID))
			_exit(1);
		_exit(truncate(self->path, 0) ? 1 : 0);
	}
	EXPECT_EQ(0, told(&self->h));
	EXPECT_TRUE(all_tell(&self->h, self->fd, &p, 1));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_wait_exit(p.breaker, LL_SOON, &status));
	EXPECT_EQ(0, status);
}

static const struct ll_pending *of_holder(const struct ll_pending *p, int n,
					  const struct ll_holder *h)
{
	for (; n > 0; n--, p++)
		if (p->pid == h->pid)
			return p;
	return NULL;
}

TEST_F(pending, each_holder_in_the_range_has_a_line)
{
	const struct ll_pending *mine, *others;
	struct ll_holder near, far;
	int n;

	ASSERT_EQ(0, ll_holder_pin(&near, self->path, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&near, 0, 1, LL_PAGE, LL_PAGE));
	/* outside the range: does not count */
	ASSERT_EQ(0, ll_holder_reg(&near, 0, 2, LL_FAR, LL_PAGE));
	ASSERT_EQ(0, ll_holder_start(&far));
	ASSERT_EQ(0, ll_holder_open(&far, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&far, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&far, 0, 0, LL_FAR, LL_PAGE));

	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_PUNCH, self->path, 0, LL_MIB));
	ASSERT_EQ(0, told(&self->h));
	ASSERT_EQ(0, told(&near));
	n = ll_breaks(self->seen, MAX);
	EXPECT_EQ(2, n);
	mine = of_holder(self->seen, n, &self->h);
	others = of_holder(self->seen, n, &near);
	ASSERT_NE(NULL, mine);
	ASSERT_NE(NULL, others);
	EXPECT_EQ(1, mine->pins);
	EXPECT_EQ(2, others->pins);
	EXPECT_EQ(0, ll_fdinfo_breaks(far.pid, ll_holder_fd(&far, 0), self->more, MAX));
	ll_say_lock(&self->want, &self->id, true, true);
	self->want.pid = near.pid;
	ll_say_lock(&self->want, &self->id, true, true);
	self->want.pid = far.pid;
	ll_say_lock(&self->want, &self->id, false, true);
	EXPECT_TRUE(ll_proc_locks_show(&self->want));

	/* who has let go is still told, of no pin */
	EXPECT_EQ(0, ll_holder_dereg(&near, 1));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	n = ll_breaks(self->seen, MAX);
	mine = of_holder(self->seen, n, &self->h);
	others = of_holder(self->seen, n, &near);
	ASSERT_NE(NULL, mine);
	ASSERT_NE(NULL, others);
	EXPECT_EQ(0, mine->pins);
	EXPECT_EQ(1, others->pins);
	EXPECT_EQ(0, let_go(&near, &self->b));
	EXPECT_EQ(0, ll_holder_end(&near));
	EXPECT_EQ(0, ll_holder_end(&far));
}

TEST_F(pending, oldest_break_comes_first)
{
	struct ll_breaker truncate;

	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_PUNCH, self->path, 0, LL_PAGE));
	ASSERT_EQ(0, told(&self->h));
	ASSERT_EQ(0, ll_breaker_start(&truncate, OP_TRUNCATE, self->path, 0, 0));
	ASSERT_EQ(0, told(&self->h));
	ASSERT_EQ(2, ll_fdinfo_breaks(self->h.pid, self->fd, self->seen, MAX));
	EXPECT_STREQ("punch_hole", self->seen[0].reason);
	EXPECT_EQ(self->b.pid, self->seen[0].breaker);
	EXPECT_STREQ("truncate", self->seen[1].reason);
	EXPECT_EQ(truncate.pid, self->seen[1].breaker);
	EXPECT_EQ(2, ll_breaks(self->more, MAX));
	ll_breaker_end(&truncate);
}

/* Such a lease has no fdinfo. */
TEST_F(pending, break_of_a_closed_file_is_listed)
{
	int64_t end = ll_now_ms() + LL_SOON;

	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	while (!ll_breaks(self->seen, MAX) && ll_now_ms() < end)
		ll_sleep_ms(20);
	ASSERT_EQ(1, ll_breaks(self->seen, MAX));
	EXPECT_EQ(self->h.pid, self->seen->pid);
	EXPECT_EQ(self->b.pid, self->seen->breaker);
	EXPECT_EQ(0, let_go(&self->h, &self->b));
	EXPECT_EQ(0, ll_breaks(self->seen, MAX));
}

TEST_F(pending, plain_lease_is_told_without_pins)
{
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_LAYOUT));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_PUNCH, self->path, LL_FAR, LL_PAGE));
	ASSERT_EQ(0, told(&self->h));
	ASSERT_EQ(1, ll_breaks(self->seen, MAX));
	EXPECT_EQ(0, self->seen->pins);
	EXPECT_EQ(LL_FAR, (long)self->seen->start);
	ll_say_lock(&self->want, &self->id, true, false);
	EXPECT_TRUE(ll_proc_locks_show(&self->want));
	EXPECT_EQ(1, ll_fdinfo_breaks(self->h.pid, self->fd, self->more, MAX));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_UNLCK));
}

TEST_F(pending, refused_operation_leaves_nothing_pending)
{
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	EXPECT_EQ(-ETXTBSY, ll_break(OP_TRUNCATE, self->path, 0, 0));
	EXPECT_TRUE(nothing_pending(&self->h, self->fd));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
}

TEST_HARNESS_MAIN
