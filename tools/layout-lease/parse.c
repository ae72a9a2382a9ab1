// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease: what the kernel prints, taken apart.
 *
 * Strict: a line that is not exactly as it should be is refused as a whole, and
 * the caller says so. A report that leaves something out without a word would
 * be worse than none.
 */
#include <limits.h>
#include <string.h>

#include "layout-lease.h"

/* All of these move *p behind what they have read. */

static bool literal(const char **p, const char *s)
{
	size_t len = strlen(s);

	if (strncmp(*p, s, len))
		return false;
	*p += len;
	return true;
}

static bool decimal(const char **p, __u64 max, __u64 *value)
{
	const char *s = *p;
	__u64 v = 0;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		unsigned int digit = *s - '0';

		if (v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*p = s;
	*value = v;
	return true;
}

static bool decimal_signed(const char **p, __s64 *value)
{
	bool minus = literal(p, "-");
	__u64 v;

	if (!decimal(p, LLONG_MAX, &v))
		return false;
	*value = minus ? -(__s64)v : (__s64)v;
	return true;
}

static bool decimal_int(const char **p, int *value)
{
	__s64 v;

	if (!decimal_signed(p, &v) || v < INT_MIN || v > INT_MAX)
		return false;
	*value = v;
	return true;
}

/* A process, 0 for none. */
static bool process(const char **p, int *pid)
{
	return decimal_int(p, pid) && *pid >= 0;
}

static bool user(const char **p, __u32 *uid)
{
	__u64 v;

	if (!decimal(p, UINT_MAX, &v))
		return false;
	*uid = v;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool hex(const char **p, __u64 *value)
{
	const char *s = *p, *first;
	__u64 v = 0;

	if (s[0] != '0' || s[1] != 'x')
		return false;
	first = s += 2;
	for (; hex_digit(*s) >= 0; s++)
		v = v << 4 | hex_digit(*s);
	if (s == first || s - first > 16)
		return false;
	*p = s;
	*value = v;
	return true;
}

static bool range(const char **p, struct range *r)
{
	return hex(p, &r->start) && literal(p, "-") && hex(p, &r->end) &&
	       r->start < r->end;
}

/* Up to a blank or the end, not empty. */
static bool word(const char **p, const char **start, size_t *len)
{
	*start = *p;
	*len = strcspn(*p, " ");
	*p += *len;
	return *len;
}

static bool word_copy(const char **p, char *buf, size_t size)
{
	const char *start;
	size_t len;

	if (!word(p, &start, &len) || len >= size)
		return false;
	memcpy(buf, start, len);
	buf[len] = '\0';
	return true;
}

/* A kernel that is newer than this program may have more of them. */
static bool reason(const char **p, char *buf)
{
	return word_copy(p, buf, REASON_LEN) &&
	       buf[strspn(buf, "abcdefghijklmnopqrstuvwxyz_")] == '\0';
}

static bool device(const char **p, struct file_id *file)
{
	__u64 major, minor;

	if (!decimal(p, UINT_MAX, &major) || !literal(p, ":") ||
	    !decimal(p, UINT_MAX, &minor))
		return false;
	file->major = major;
	file->minor = minor;
	return true;
}

/* "259:0 131" */
static bool file(const char **p, struct file_id *f)
{
	return device(p, f) && literal(p, " ") && decimal(p, ULLONG_MAX, &f->ino);
}

/* The rest of the line, blanks and all. */
static bool path(const char **p, char **copy)
{
	if (!literal(p, " ") || !**p)
		return false;
	*copy = copy_string(*p);
	return true;
}

static bool parse_lease(const char *p, struct entry *e)
{
	e->exclusive = literal(&p, "exclusive");
	return (e->exclusive || literal(&p, "layout")) &&
	       literal(&p, " fd=") && decimal_int(&p, &e->fd) &&
	       literal(&p, " pins=") && decimal(&p, ULLONG_MAX, &e->pins) &&
	       path(&p, &e->path);
}

static bool parse_pin(const char *p, struct entry *e)
{
	char owner[128];

	if (!range(&p, &e->range) || !literal(&p, " ") ||
	    !word_copy(&p, owner, sizeof(owner)) || !path(&p, &e->path))
		return false;
	e->owner = copy_string(owner);
	return true;
}

/* @pid is the process whose list it is, or 0 where each line names one. */
bool parse_entry(const char *line, int pid, struct entry *e)
{
	const char *p = line;

	memset(e, 0, sizeof(*e));
	e->pid = pid;
	if (!pid && (!literal(&p, "pid=") || !process(&p, &e->pid) || !literal(&p, " ")))
		return false;
	e->is_pin = literal(&p, "pin ");
	if (!e->is_pin && !literal(&p, "lease "))
		return false;
	if (!file(&p, &e->file) || !literal(&p, " "))
		return false;
	return e->is_pin ? parse_pin(p, e) : parse_lease(p, e);
}

bool parse_pending(const char *line, struct pending *b)
{
	const char *p = line;

	memset(b, 0, sizeof(*b));
	if (!literal(&p, "pid=") || !process(&p, &b->pid) ||
	    !literal(&p, " break ") || !file(&p, &b->file) ||
	    !literal(&p, " ") || !reason(&p, b->reason) ||
	    !literal(&p, " ") || !range(&p, &b->range) ||
	    !literal(&p, " breaker=") || !process(&p, &b->breaker) ||
	    !literal(&p, " uid=") || !user(&p, &b->uid) ||
	    !literal(&p, " left=") || !decimal_signed(&p, &b->left) || b->left < -1 ||
	    !literal(&p, " pins=") || !decimal(&p, ULLONG_MAX, &b->pins) ||
	    !literal(&p, " "))
		return false;
	b->abandoned = literal(&p, "abandoned");
	return (b->abandoned || literal(&p, "waiting")) && path(&p, &b->path);
}

/* A line of the fdinfo of an owner file, behind "layout_pin:". */
bool parse_owned(const char *line, struct file_id *f, struct range *r)
{
	const char *p = line;

	return literal(&p, "\t") && file(&p, f) && literal(&p, " ") && range(&p, r) && !*p;
}

static const struct {
	const char *name;
	unsigned int has;
} events[] = {
	{ "break_begin", 0 },
	{ "break_notify", HAS_HOLDER | HAS_SIGNAL },
	{ "break_kill", HAS_HOLDER | HAS_ERROR },
	{ "break_revoke", HAS_HOLDER | HAS_OWNER },
	{ "break_deny", HAS_ERROR },
	{ "break_end", HAS_WAITED | HAS_ERROR },
};

static bool event_name(const char **p, struct event *e)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(events); i++) {
		if (!literal(p, events[i].name))
			continue;
		e->name = events[i].name;
		e->has = events[i].has;
		return literal(p, ": ");
	}
	return false;
}

static bool event_fields(const char *p, struct event *e)
{
	if (!literal(&p, "dev=") || !device(&p, &e->file) ||
	    !literal(&p, " ino=") || !decimal(&p, ULLONG_MAX, &e->file.ino) ||
	    !literal(&p, " reason=") || !reason(&p, e->reason) ||
	    !literal(&p, " range=") || !range(&p, &e->range) ||
	    !literal(&p, " breaker=") || !process(&p, &e->breaker) ||
	    !literal(&p, " uid=") || !user(&p, &e->uid))
		return false;
	if (e->has & HAS_HOLDER && (!literal(&p, " holder=") || !process(&p, &e->holder)))
		return false;
	if (e->has & HAS_SIGNAL &&
	    (!literal(&p, " signal=") || !decimal_int(&p, &e->signal) ||
	     !literal(&p, " left=") || !decimal_signed(&p, &e->left) || e->left < -1))
		return false;
	if (e->has & HAS_OWNER &&
	    (!literal(&p, " owner=") || !word_copy(&p, e->owner, sizeof(e->owner))))
		return false;
	if (e->has & HAS_WAITED &&
	    (!literal(&p, " waited=") || !decimal(&p, ULLONG_MAX, &e->waited)))
		return false;
	if (e->has & HAS_ERROR && (!literal(&p, " error=") || !decimal_int(&p, &e->error)))
		return false;
	return !*p;
}

/* "-812     [001] ..... 12345.678901: " */
static bool event_context(const char **p, struct event *e)
{
	const char *flags;
	__u64 value;
	size_t len;
	int cpu;

	if (!literal(p, "-") || !process(p, &e->task))
		return false;
	*p += strspn(*p, " ");
	if (!literal(p, "[") || !process(p, &cpu) || !literal(p, "] "))
		return false;
	*p += strspn(*p, " ");
	/* the flags, which never begin with a digit */
	if (!strchr("0123456789", **p)) {
		if (!word(p, &flags, &len))
			return false;
		*p += strspn(*p, " ");
	}
	if (!decimal(p, LLONG_MAX, &value) || !literal(p, "."))
		return false;
	e->sec = value;
	if (!decimal(p, 999999, &value) || !literal(p, ": "))
		return false;
	e->usec = value;
	return true;
}

/*
 * A line of trace_pipe, of @len bytes. The name of the task is 16 wide, padded on
 * the left; it can hold anything, also what looks like the rest of a line.
 */
bool parse_event(const char *line, size_t len, struct event *e)
{
	const char *p, *comm = line;

	memset(e, 0, sizeof(*e));
	if (len < 16 || strlen(line) != len)
		return false;
	p = line + 16;
	while (comm < p && *comm == ' ')
		comm++;
	memcpy(e->comm, comm, p - comm);
	return event_context(&p, e) && event_name(&p, e) && event_fields(p, e);
}

/* "CPU:0 [LOST 12 EVENTS]"; @lost is -1 where the kernel does not know how many. */
bool parse_lost(const char *line, int *cpu, __s64 *lost)
{
	const char *p = line;

	if (!literal(&p, "CPU:") || !process(&p, cpu) || !literal(&p, " [LOST "))
		return false;
	*lost = -1;
	if (!literal(&p, "EVENTS]") &&
	    (!decimal_signed(&p, lost) || *lost < 0 || !literal(&p, " EVENTS]")))
		return false;
	return !*p;
}

bool parse_pid(const char *s, int *pid)
{
	return process(&s, pid) && *pid && !*s;
}

bool parse_seconds(const char *s, int *seconds)
{
	__u64 v;

	if (!decimal(&s, 86400, &v) || *s)
		return false;
	*seconds = v;
	return true;
}
