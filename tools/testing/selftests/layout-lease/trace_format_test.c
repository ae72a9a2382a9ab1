// SPDX-License-Identifier: GPL-2.0
/*
 * What tools need of the trace events: fields by name, with their sizes, for
 * filters and for perf; and a print format that user space can parse, which
 * trace-cmd shows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_report.h"

#define TRACEFS		"/sys/kernel/tracing"
#define EVENTS		TRACEFS "/events/layout_lease"
#define INSTANCE	TRACEFS "/instances/layout-format"

/* Fields come in groups. */
enum {
	OF_FILE = 1 << 0, OF_RANGE = 1 << 1, OF_BREAK = 1 << 2, OF_HOLDER = 1 << 3,
	OF_LEASE = 1 << 4, OF_OWNER = 1 << 5, OF_NOTIFY = 1 << 6, OF_ERROR = 1 << 7,
	OF_END = 1 << 8,
};

#define OF_ANY_BREAK	(OF_FILE | OF_RANGE | OF_BREAK)

static const struct field {
	int group;
	const char *name;
	int size;		/* 0: any, of a string */
	int is_signed;
} fields[] = {
	{ OF_FILE, "dev", 4, 0 },
	{ OF_FILE, "ino", 8, 0 },
	{ OF_RANGE, "start", 8, 0 },
	{ OF_RANGE, "end", 8, 0 },
	{ OF_BREAK, "reason", 4, 0 },
	{ OF_BREAK, "breaker", 4, 1 },
	{ OF_BREAK, "uid", 4, 0 },
	{ OF_HOLDER, "holder", 4, 1 },
	{ OF_LEASE, "exclusive", 1, 0 },
	{ OF_LEASE, "fd", 4, 1 },
	{ OF_LEASE, "pins", 8, 0 },
	{ OF_OWNER, "owner", 0, 0 },
	{ OF_NOTIFY, "signal", 4, 1 },
	{ OF_NOTIFY, "left", 8, 1 },
	{ OF_ERROR, "error", 4, 1 },
	{ OF_END, "waited", 8, 0 },
};

static const struct event {
	const char *name;
	int groups;
} events[] = {
	{ "lease_grant", OF_FILE | OF_HOLDER | OF_LEASE },
	{ "lease_release", OF_FILE | OF_HOLDER | OF_LEASE },
	{ "pin_add", OF_FILE | OF_RANGE | OF_HOLDER | OF_OWNER },
	{ "pin_del", OF_FILE | OF_RANGE | OF_HOLDER | OF_OWNER },
	{ "break_begin", OF_ANY_BREAK },
	{ "break_notify", OF_ANY_BREAK | OF_HOLDER | OF_NOTIFY },
	{ "break_kill", OF_ANY_BREAK | OF_HOLDER | OF_ERROR },
	{ "break_revoke", OF_ANY_BREAK | OF_HOLDER | OF_OWNER },
	{ "break_deny", OF_ANY_BREAK | OF_ERROR },
	{ "break_end", OF_ANY_BREAK | OF_END | OF_ERROR },
};

/* The line of a format about this field. */
static bool has_field(const char *event, const char *format, const struct field *f)
{
	char name[32], attributes[48];
	const char *at, *end;

	snprintf(name, sizeof(name), " %s;", f->name);
	at = strstr(format, name);
	end = at ? strchr(at, '\n') : NULL;
	if (!end) {
		ll_log("%s has no field %s", event, f->name);
		return false;
	}
	if (!f->size)
		return true;
	snprintf(attributes, sizeof(attributes), "size:%d;\tsigned:%d;", f->size,
		 f->is_signed);
	at = strstr(at, attributes);
	if (at && at < end)
		return true;
	ll_log("%s: %s is not of %s", event, f->name, attributes);
	return false;
}

TEST(every_event_has_its_fields)
{
	static char format[16384];
	size_t i, j;

	for (i = 0; i < LL_ARRAY_SIZE(events); i++) {
		EXPECT_LT(0, ll_read(format, sizeof(format), "%s/%s/format", EVENTS,
				     events[i].name))
			TH_LOG("%s", events[i].name);
		for (j = 0; j < LL_ARRAY_SIZE(fields); j++)
			if (events[i].groups & fields[j].group)
				EXPECT_TRUE(has_field(events[i].name, format, &fields[j]));
		/* names of constants mean nothing to user space */
		EXPECT_EQ(NULL, strstr(format, "LAYOUT_BREAK_"));
	}
}

TEST(there_are_no_other_events)
{
	EXPECT_EQ(0, ll_shell("test $(ls -d %s/*/ | wc -l) = %d", EVENTS,
			      (int)LL_ARRAY_SIZE(events)));
}

FIXTURE(format)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_id id;
	char data[LL_PATH], text[LL_PATH];
};

FIXTURE_VARIANT(format)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(format, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(format, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(format)
{
	ASSERT_EQ(0, ll_report_setup(&self->env, variant->fs, self->path, &self->id));
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
	snprintf(self->data, sizeof(self->data), "/tmp/layout-%d.dat", getpid());
	snprintf(self->text, sizeof(self->text), "/tmp/layout-%d.txt", getpid());
}

FIXTURE_TEARDOWN(format)
{
	unlink(self->data);
	unlink(self->text);
	rmdir(INSTANCE);
	ll_teardown(&self->env);
}

/* Every event that a break without revocation has. */
static int make_events(struct ll_env *env, const char *path, bool kill)
{
	struct ll_breaker b = { .pid = 0 };
	struct ll_holder h;
	int ret, result = 0;

	ret = ll_policy(env, "break") ?:
	      ll_holder_pin(&h, path, true, kill ? SIGKILL : LL_SIG) ?:
	      ll_policy(env, "deny");
	if (ret || ll_break(OP_ZERO, path, 0, LL_PAGE) != -ETXTBSY)
		return ret ?: -EPROTO;
	ret = ll_policy(env, "break") ?:
	      ll_breaker_start(&b, OP_PUNCH, path, 0, LL_PAGE);
	if (kill)
		return ret ?: ll_breaker_wait(&b, LL_SOON, &result) ?: result ?:
		       ll_holder_wait(&h, LL_SOON) == SIGKILL ? 0 : -EPROTO;
	return ret ?: ll_hold(&h, .op = H_SIGWAIT, .a = LL_SOON) ?:
	       ll_holder_dereg(&h, 0) ?: ll_breaker_wait(&b, LL_SOON, &result) ?:
	       result ?: ll_holder_end(&h);
}

/* trace-cmd in the background, which ends when it is told to. */
static pid_t record(const char *data)
{
	int64_t end = ll_now_ms() + LL_SOON;
	char on[8];
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!freopen("/dev/null", "w", stdout))
			_exit(127);
		execlp("trace-cmd", "trace-cmd", "record", "-q", "-o", data,
		       "-e", "layout_lease", NULL);
		_exit(127);
	}
	while (ll_now_ms() < end &&
	       (ll_read(on, sizeof(on), EVENTS "/enable") < 0 || on[0] != '1'))
		ll_sleep_ms(50);
	/* tracing is off until all is set up */
	ll_sleep_ms(500);
	while (ll_now_ms() < end &&
	       (ll_read(on, sizeof(on), TRACEFS "/tracing_on") < 0 || on[0] != '1'))
		ll_sleep_ms(50);
	ll_sleep_ms(500);
	return pid;
}

/* How often the report has this: an event, and what its text has in it. */
static int reported(const char *text, const char *event, const char *has)
{
	char line[1024], *at;
	FILE *f = fopen(text, "re");
	size_t len = strlen(event);
	int n = 0;

	while (f && fgets(line, sizeof(line), f)) {
		/* in front of the event is its time, behind it are blanks */
		at = strstr(line, event);
		n += at && at > line && at[-1] == ' ' && at[len] == ':' &&
		     strstr(at + len, has);
	}
	if (f)
		fclose(f);
	return n;
}

TEST_F_TIMEOUT(format, tracing_tools_can_print_every_event, 90)
{
	const char *dev = getenv("RDMA_DEV");
	char range[32], owner[64], file[64];
	int status;
	pid_t pid;

	pid = record(self->data);
	ASSERT_EQ(0, make_events(&self->env, self->path, false));
	ASSERT_EQ(0, make_events(&self->env, self->path, true));
	ASSERT_EQ(0, kill(pid, SIGINT));
	ASSERT_EQ(0, ll_wait_exit(pid, 2 * LL_SOON, &status));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, ll_shell("trace-cmd report -q -i %s >%s 2>&1", self->data,
			      self->text));
	EXPECT_EQ(1, ll_shell("grep -i -e FAILED -e '\\[unknown' -e error: %s", self->text));

	snprintf(file, sizeof(file), "dev=%u:%u ino=%llu ", self->id.major,
		 self->id.minor, self->id.ino);
	snprintf(owner, sizeof(owner), "owner=rdma:%s", dev);
	snprintf(range, sizeof(range), "range=0x0-0x%lx", LL_PIN_LEN);
	EXPECT_EQ(2, reported(self->text, "lease_grant", file));
	EXPECT_EQ(2, reported(self->text, "lease_grant", " lease=exclusive "));
	EXPECT_EQ(2, reported(self->text, "lease_release", file));
	EXPECT_EQ(2, reported(self->text, "pin_add", owner));
	EXPECT_EQ(2, reported(self->text, "pin_add", range));
	EXPECT_EQ(2, reported(self->text, "pin_del", range));
	EXPECT_EQ(2, reported(self->text, "break_begin", file));
	EXPECT_EQ(2, reported(self->text, "break_begin",
			      " reason=punch_hole range=0x0-0x1000 breaker="));
	EXPECT_LE(1, reported(self->text, "break_notify", " reason=punch_hole "));
	EXPECT_EQ(2, reported(self->text, "break_deny",
			      " reason=zero_range range=0x0-0x1000 breaker="));
	EXPECT_EQ(2, reported(self->text, "break_deny", " error=-26"));
	EXPECT_EQ(1, reported(self->text, "break_kill", " error=0"));
	EXPECT_EQ(2, reported(self->text, "break_end", " error=0"));
}

/* By the raw fields. */
TEST_F(format, events_can_be_filtered)
{
	char filter[128];

	rmdir(INSTANCE);
	ASSERT_EQ(0, ll_ret(mkdir(INSTANCE, 0755)));
	snprintf(filter, sizeof(filter), "ino == %llu && reason == 2 && end == 0x1000",
		 self->id.ino);
	ASSERT_EQ(0, ll_shell("cd %s/events/layout_lease && echo '%s' >break_begin/filter",
			      INSTANCE, filter));
	ASSERT_EQ(0, ll_shell("cd %s/events/layout_lease && echo '%s' >break_deny/filter",
			      INSTANCE, filter));
	ASSERT_EQ(0, ll_shell("cd %s/events/layout_lease && echo '%s' >pin_add/filter",
			      INSTANCE, "owner ~ \"rdma:*\" && start == 0"));
	ASSERT_EQ(0, ll_shell("cd %s/events/layout_lease && echo '%s' >pin_del/filter",
			      INSTANCE, "owner == \"rdma:nobody\""));
	ASSERT_EQ(0, ll_shell("cd %s/events/layout_lease && for e in %s; do %s || exit; done",
			      INSTANCE, "break_begin break_deny pin_add pin_del",
			      "echo 1 >$e/enable"));
	ASSERT_EQ(0, make_events(&self->env, self->path, false));
	ASSERT_EQ(0, ll_shell("cp %s/trace %s", INSTANCE, self->text));
	EXPECT_EQ(1, reported(self->text, "break_begin", " reason=punch_hole "));
	EXPECT_EQ(0, reported(self->text, "break_deny", ""));
	EXPECT_EQ(1, reported(self->text, "pin_add", ""));
	EXPECT_EQ(0, reported(self->text, "pin_del", ""));
}

TEST_HARNESS_MAIN
