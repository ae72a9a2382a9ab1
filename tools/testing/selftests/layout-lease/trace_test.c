// SPDX-License-Identifier: GPL-2.0
/*
 * Trace events of layout leases, and what the kernel log says of a kill. An
 * instance of tracefs is the test's own, and records these events only.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_report.h"

#define TRACEFS		"/sys/kernel/tracing"
#define INSTANCE	TRACEFS "/instances/layout-test"
#define BREAK_MS	20000
#define WHOLE		"0x0-0xffffffffffffffff"

FIXTURE(trace)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_id id;
	struct ll_holder h;
	struct ll_breaker b;
	int fd;			/* the holder's descriptor */
	int log;		/* /dev/kmsg, from now on */
	char file[64];		/* how events begin */
	struct ll_said want;
	char seen[8192];
};

FIXTURE_VARIANT(trace)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(trace, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(trace, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(trace)
{
	ASSERT_EQ(0, ll_report_setup(&self->env, variant->fs, self->path, &self->id));
	snprintf(self->file, sizeof(self->file), "dev=%u:%u ino=%llu",
		 self->id.major, self->id.minor, self->id.ino);
	ASSERT_EQ(0, ll_sysctl("lease-break-time", BREAK_MS / 1000));
	rmdir(INSTANCE);
	ASSERT_EQ(0, ll_ret(mkdir(INSTANCE, 0755)));
	ASSERT_EQ(0, ll_shell("echo 1 >%s/events/layout_lease/enable", INSTANCE));
	self->log = ll_kmsg();
	ASSERT_LE(0, self->log);
	ASSERT_EQ(0, ll_holder_start(&self->h));
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
	self->fd = ll_holder_fd(&self->h, 0);
}

FIXTURE_TEARDOWN(trace)
{
	if (self->b.pid)
		ll_breaker_end(&self->b);
	if (self->h.pid > 0)
		ll_holder_end(&self->h);
	rmdir(INSTANCE);
	ll_teardown(&self->env);
}

/*
 * What differs from run to run is replaced by an N, if it is a plausible number:
 * nanoseconds waited, and the milliseconds left of a full deadline.
 */
static void settle(char *line)
{
	static const struct {
		const char *name;
		long long min, max;
	} fields[] = {
		{ " waited=", 1, BREAK_MS * 1000000LL },
		{ " left=", BREAK_MS - LL_SOON, BREAK_MS },
	};
	char *at, *end;
	long long n;
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(fields); i++) {
		at = strstr(line, fields[i].name);
		if (!at)
			continue;
		at += strlen(fields[i].name);
		n = strtoll(at, &end, 10);
		if (n < fields[i].min || n > fields[i].max)
			continue;
		*at++ = 'N';
		memmove(at, end, strlen(end) + 1);
	}
}

/* "event: text" of the events, one per line: all, or those of this name. */
static bool recorded(const char *name, char *text, size_t size)
{
	FILE *f = fopen(INSTANCE "/trace", "re");
	char line[512], *event;
	size_t len = 0;

	*text = '\0';
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		event = line[0] == '#' ? NULL : strstr(line, ": ");
		if (!event || (name && strncmp(event + 2, name, strlen(name))))
			continue;
		settle(event);
		len += snprintf(text + len, size - len, "%s", event + 2);
	}
	fclose(f);
	return true;
}

static bool events_are(const struct ll_said *want, const char *name)
{
	char text[sizeof(want->text)];

	return recorded(name, text, sizeof(text)) &&
	       ll_same(want, text, name ?: "events");
}

/* An event about the range that a break is about. */
static void say_break(struct _test_data_trace *self, const char *event,
		      const char *reason, const char *range, int breaker,
		      const char *fmt, ...)
{
	char more[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(more, sizeof(more), fmt, ap);
	va_end(ap);
	ll_say(&self->want, "%s: %s reason=%s range=%s breaker=%d uid=0%s\n", event,
	       self->file, reason, range, breaker, more);
}

/* The lines of the kernel log since the test began that begin so. */
static void logged(int log, const char *prefix, char *text, size_t size)
{
	char line[1024];
	size_t len = 0;

	*text = '\0';
	while (ll_kmsg_next(log, line, sizeof(line)))
		if (!strncmp(line, prefix, strlen(prefix)))
			len += snprintf(text + len, size - len, "%s\n", line);
}

/* The name of the device in the log is that of the block device. */
static void say_logged(struct ll_said *want, const struct ll_id *id, bool killed,
		       int holder, const char *comm, int breaker)
{
	char link[64], dev[256] = "";

	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", id->major, id->minor);
	if (readlink(link, dev, sizeof(dev) - 1) < 0)
		return;
	ll_say(want, "layout_lease: %s holder %d (%s) for breaker %d (trace_test): ",
	       killed ? "killed" : "could not kill", holder, comm, breaker);
	ll_say(want, "truncate of f, %s inode %llu, range " WHOLE "\n",
	       strrchr(dev, '/') + 1, id->ino);
}

TEST_F(trace, life_of_a_lease_and_a_pin_under_a_break)
{
	int ret, breaker, holder = self->h.pid;

	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	breaker = self->b.pid;
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	self->b.pid = 0;
	EXPECT_EQ(0, ret);
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_UNLCK));

	ll_say(&self->want, "lease_grant: %s lease=exclusive holder=%d fd=%d pins=0\n",
	       self->file, holder, self->fd);
	ll_say(&self->want, "pin_add: %s range=0x0-0x10000 holder=%d owner=rdma:%s\n",
	       self->file, holder, getenv("RDMA_DEV"));
	say_break(self, "break_begin", "truncate", WHOLE, breaker, "%s", "");
	say_break(self, "break_notify", "truncate", WHOLE, breaker,
		  " holder=%d signal=%d left=N", holder, LL_SIG);
	ll_say(&self->want, "pin_del: %s range=0x0-0x10000 holder=%d owner=rdma:%s\n",
	       self->file, holder, getenv("RDMA_DEV"));
	say_break(self, "break_end", "truncate", WHOLE, breaker,
		  " waited=N error=0");
	ll_say(&self->want, "lease_release: %s lease=exclusive holder=%d fd=%d pins=0\n",
	       self->file, holder, self->fd);
	EXPECT_TRUE(events_are(&self->want, NULL));
}

TEST_F(trace, plain_lease_is_granted_and_released_as_layout)
{
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETLEASE, .a = F_LAYOUT));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	ll_say(&self->want, "lease_grant: %s lease=layout holder=%d fd=%d pins=0\n",
	       self->file, self->h.pid, self->fd);
	ll_say(&self->want, "lease_release: %s lease=layout holder=%d fd=%d pins=0\n",
	       self->file, self->h.pid, self->fd);
	EXPECT_TRUE(events_are(&self->want, NULL));
}

/* In steps, as they come: but together, they are the range. */
static unsigned long long covered(const char *text, const char *event)
{
	unsigned long long start, end, at = 0;
	const char *line = text;

	for (line = strstr(line, event); line; line = strstr(line + 1, event)) {
		if (sscanf(strstr(line, "range="), "range=0x%llx-0x%llx", &start,
			   &end) != 2 || start != at || end <= start)
			return 0;
		at = end;
	}
	return at;
}

TEST_F(trace, pins_added_and_deleted_are_the_range)
{
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_FILE_SIZE));
	ASSERT_TRUE(recorded("pin_", self->seen, sizeof(self->seen)));
	EXPECT_EQ(LL_FILE_SIZE, (long)covered(self->seen, "pin_add: "));
	EXPECT_EQ(0, (long)covered(self->seen, "pin_del: "));
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_TRUE(recorded("pin_", self->seen, sizeof(self->seen)));
	EXPECT_EQ(LL_FILE_SIZE, (long)covered(self->seen, "pin_add: "));
	EXPECT_EQ(LL_FILE_SIZE, (long)covered(self->seen, "pin_del: "));
}

/* A registration that fails leaves no more added than deleted. */
TEST_F(trace, pins_of_a_failed_registration_are_deleted)
{
	unsigned long long len;

	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_MAP, .a = PROT_READ | PROT_WRITE,
			     .b = MAP_SHARED, .c = 2 * LL_FILE_SIZE));
	EXPECT_EQ(-EFAULT, ll_holder_reg(&self->h, 0, 0, 0, LL_FILE_SIZE + LL_PAGE));
	ASSERT_TRUE(recorded("pin_", self->seen, sizeof(self->seen)));
	len = covered(self->seen, "pin_add: ");
	EXPECT_EQ(len, covered(self->seen, "pin_del: "));
}

TEST_F(trace, kill_is_traced_and_logged)
{
	int holder = self->h.pid;

	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_ret(truncate(self->path, 0)));
	ASSERT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	say_break(self, "break_kill", "truncate", WHOLE, getpid(),
		  " holder=%d error=0", holder);
	EXPECT_TRUE(events_are(&self->want, "break_kill"));
	self->want.text[0] = '\0';
	say_logged(&self->want, &self->id, true, holder, "trace_test", getpid());
	logged(self->log, "layout_lease: ", self->seen, sizeof(self->seen));
	EXPECT_TRUE(ll_same(&self->want, self->seen, "log"));
}

/* Waits for one, and lets go. */
static bool comes(const char *name, char *text, size_t size)
{
	int64_t end = ll_now_ms() + LL_SOON;

	while (recorded(name, text, size) && !*text && ll_now_ms() < end)
		ll_sleep_ms(20);
	return *text;
}

TEST_F(trace, holder_that_became_another_is_not_killed)
{
	int ret, breaker;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, ll_ret(chown(self->path, LL_UID, LL_UID)));
	/* taken by a user, who may not signal root */
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETRESUID, .a = LL_UID, .b = LL_UID));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SETRESUID));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	breaker = self->b.pid;
	EXPECT_TRUE(comes("break_kill", self->seen, sizeof(self->seen)));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	self->b.pid = 0;
	say_break(self, "break_kill", "truncate", WHOLE, breaker,
		  " holder=%d error=-1", self->h.pid);
	EXPECT_TRUE(events_are(&self->want, "break_kill"));
	self->want.text[0] = '\0';
	say_logged(&self->want, &self->id, false, self->h.pid, "trace_test", breaker);
	logged(self->log, "layout_lease: could not", self->seen, sizeof(self->seen));
	EXPECT_TRUE(ll_same(&self->want, self->seen, "log"));
	EXPECT_TRUE(ll_holder_alive(&self->h));
}

/* It has passed its context on: what it leaves behind is revoked. */
TEST_F(trace, holder_that_is_gone_is_not_killed)
{
	int holder = self->h.pid, uverbs, breaker, ret;
	int64_t end = ll_now_ms() + LL_SOON;
	char revoked[1024] = "";

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 1));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	uverbs = ll_passed_on(&self->h, ll_holder_fd(&self->h, LL_UVERBS));
	ASSERT_LE(0, uverbs);
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	breaker = self->b.pid;
	/* the breaker has the descriptor from the test */
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	ASSERT_EQ(0, ll_holder_end(&self->h));
	do {
		recorded("break_revoke", revoked, sizeof(revoked));
		ll_sleep_ms(20);
	} while (!*revoked && ll_now_ms() < end);
	EXPECT_TRUE(events_are(&self->want, "break_kill"));
	say_break(self, "break_revoke", "truncate", WHOLE, breaker,
		  " holder=%d owner=rdma:%s", holder, getenv("RDMA_DEV"));
	EXPECT_TRUE(events_are(&self->want, "break_revoke"));
	close(uverbs);
	ll_breaker_interrupt(&self->b);
	EXPECT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	self->b.pid = 0;
}

TEST_F(trace, end_has_the_error)
{
	char want[2][64];
	int ret;

	ASSERT_EQ(0, ll_sysctl("lease-break-time", 0));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, LL_SIG));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(-EWOULDBLOCK, ll_break(OP_O_TRUNC_NONBLOCK, self->path, 0, 0));
	say_break(self, "break_notify", "truncate", WHOLE, getpid(),
		  " holder=%d signal=%d left=-1", self->h.pid, LL_SIG);
	EXPECT_TRUE(events_are(&self->want, "break_notify"));
	self->want.text[0] = '\0';
	say_break(self, "break_end", "truncate", WHOLE, getpid(),
		  " waited=0 error=-11");
	EXPECT_TRUE(events_are(&self->want, "break_end"));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));

	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_PUNCH, self->path, 0, LL_PAGE));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_SIGWAIT, .a = LL_SOON));
	ll_breaker_interrupt(&self->b);
	ASSERT_EQ(0, ll_breaker_wait(&self->b, LL_SOON, &ret));
	EXPECT_EQ(-EINTR, ret);
	snprintf(want[0], sizeof(want[0]), "breaker=%d uid=0 waited=N error=-512\n",
		 self->b.pid);
	snprintf(want[1], sizeof(want[1]), "breaker=%d uid=0 waited=N error=-4\n",
		 self->b.pid);
	self->b.pid = 0;
	ASSERT_TRUE(recorded("break_end", self->seen, sizeof(self->seen)));
	EXPECT_TRUE(strstr(self->seen, want[0]) || strstr(self->seen, want[1]))
		TH_LOG("%s", self->seen);
}

TEST_F(trace, holder_that_asked_for_nothing_is_sent_nothing)
{
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, false, 0));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	ASSERT_EQ(0, ll_breaker_start(&self->b, OP_TRUNCATE, self->path, 0, 0));
	EXPECT_TRUE(comes("break_notify", self->seen, sizeof(self->seen)));
	say_break(self, "break_notify", "truncate", WHOLE, self->b.pid,
		  " holder=%d signal=0 left=N", self->h.pid);
	EXPECT_TRUE(events_are(&self->want, "break_notify"));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
}

TEST_F(trace, refusal_has_reason_range_and_error)
{
	static const struct {
		enum ll_op op;
		int fs;		/* -1: any */
		const char *reason, *range;
	} ops[] = {
		{ OP_TRUNCATE, -1, "truncate", WHOLE },
		{ OP_PUNCH, -1, "punch_hole", "0x0-0x100000" },
		{ OP_ZERO, -1, "zero_range", "0x0-0x100000" },
		{ OP_COLLAPSE, -1, "collapse_range", WHOLE },
		{ OP_INSERT, -1, "insert_range", WHOLE },
		{ OP_CLONE_DST, LL_XFS, "clone", "0x0-0x100000" },
		{ OP_CLONE_SRC, LL_XFS, "clone", "0x0-0x100000" },
		{ OP_DEDUPE_DST, LL_XFS, "dedupe", "0x0-0x100000" },
		{ OP_DEDUPE_SRC, LL_XFS, "dedupe", "0x0-0x100000" },
		{ OP_SWAP_BOOT, LL_EXT4, "exchange", WHOLE },
		{ OP_SET_DAX_ATTR, -1, "attr", WHOLE },
	};
	char other[LL_PATH];
	size_t i;

	ASSERT_EQ(0, ll_file(&self->env, "f.2", LL_FILE_SIZE, other));
	ASSERT_EQ(0, ll_policy(&self->env, "deny"));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, false, 0));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	for (i = 0; i < LL_ARRAY_SIZE(ops); i++) {
		if (ops[i].fs >= 0 && ops[i].fs != (int)variant->fs)
			continue;
		EXPECT_EQ(-ETXTBSY, ll_break(ops[i].op, self->path, 0, LL_MIB));
		say_break(self, "break_deny", ops[i].reason, ops[i].range, getpid(),
			  " error=-26");
	}
	EXPECT_TRUE(events_are(&self->want, "break_deny"));
	self->want.text[0] = '\0';
	EXPECT_TRUE(events_are(&self->want, "break_kill"));
	logged(self->log, "layout_lease: ", self->seen, sizeof(self->seen));
	EXPECT_TRUE(ll_same(&self->want, self->seen, "log"));
}

TEST_HARNESS_MAIN
