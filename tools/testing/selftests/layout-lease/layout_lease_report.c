// SPDX-License-Identifier: GPL-2.0
/*
 * Reading of what the kernel reports: /proc/<pid>/file_pins, layout_leases,
 * layout_breaks, fdinfo and locks.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "layout_lease_report.h"

int ll_identify(const char *path, struct ll_id *id)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	id->major = major(st.st_dev);
	id->minor = minor(st.st_dev);
	id->ino = st.st_ino;
	snprintf(id->text, sizeof(id->text), "%s", path);
	return 0;
}

static int read_all(const char *path, char *buf, size_t size)
{
	int fd = ll_open(path, O_RDONLY);
	size_t len = 0;
	ssize_t done;

	buf[0] = '\0';
	if (fd < 0)
		return fd;
	while ((done = ll_ret(read(fd, buf + len, size - 1 - len))) > 0)
		len += done;
	close(fd);
	buf[len] = '\0';
	if (done < 0)
		return done;
	return len == size - 1 ? -E2BIG : (int)len;
}

/* The whole of a file as a string; its length or a negative errno. */
int ll_read(char *buf, size_t size, const char *fmt, ...)
{
	char path[LL_PATH];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return read_all(path, buf, size);
}

void ll_say(struct ll_said *s, const char *fmt, ...)
{
	size_t len = strlen(s->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->text + len, sizeof(s->text) - len, fmt, ap);
	va_end(ap);
}

static void say_pid(struct ll_said *s)
{
	if (s->pid >= 0)
		ll_say(s, "pid=%d ", s->pid);
}

void ll_say_lease(struct ll_said *s, const struct ll_id *id, bool exclusive,
		  int fd, int pins)
{
	say_pid(s);
	ll_say(s, "lease %u:%u %llu %s fd=%d pins=%d %s\n", id->major, id->minor,
	       id->ino, exclusive ? "exclusive" : "layout", fd, pins, id->text);
}

void ll_say_pin(struct ll_said *s, const struct ll_id *id, uint64_t start,
		uint64_t end)
{
	say_pid(s);
	ll_say(s, "pin %u:%u %llu 0x%llx-0x%llx rdma:%s %s\n", id->major, id->minor,
	       id->ino, (unsigned long long)start, (unsigned long long)end,
	       getenv("RDMA_DEV"), id->text);
}

/* A pin in the fdinfo of its owner file. */
void ll_say_owned(struct ll_said *s, const struct ll_id *id, uint64_t start,
		  uint64_t end)
{
	ll_say(s, "layout_pin:\t%u:%u %llu 0x%llx-0x%llx\n", id->major, id->minor,
	       id->ino, (unsigned long long)start, (unsigned long long)end);
}

/* A line of /proc/locks, without its number. */
void ll_say_lock(struct ll_said *s, const struct ll_id *id, bool breaking,
		 bool exclusive)
{
	ll_say(s, "LAYOUT %s %s %d %02x:%02x:%llu 0 EOF\n",
	       breaking ? "BREAKING " : "ACTIVE   ", exclusive ? "EXCL" : "SHARED",
	       s->pid, id->major, id->minor, id->ino);
}

static void log_text(const char *what, const char *text)
{
	const char *end;

	if (!*text)
		ll_log("  %s nothing", what);
	for (; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		ll_log("  %s %.*s", what, (int)(end - text), text);
	}
}

bool ll_same(const struct ll_said *want, const char *have, const char *where)
{
	if (!strcmp(want->text, have))
		return true;
	ll_log("%s:", where);
	log_text("expected:", want->text);
	log_text("    seen:", have);
	return false;
}

/* The file reads like this, all of it. */
bool ll_shows(const struct ll_said *want, const char *fmt, ...)
{
	char path[LL_PATH], text[sizeof(want->text)];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	ret = read_all(path, text, sizeof(text));
	if (ret < 0) {
		ll_log("%s: %s", path, strerror(-ret));
		return false;
	}
	return ll_same(want, text, path);
}

/* It reads so a moment later: what a killed process had may go by a worker. */
bool ll_comes_to_show(const struct ll_said *want, const char *path)
{
	int64_t end = ll_now_ms() + LL_SOON;
	char text[sizeof(want->text)];

	while (read_all(path, text, sizeof(text)) >= 0 &&
	       strcmp(text, want->text) && ll_now_ms() < end)
		ll_sleep_ms(20);
	return ll_shows(want, "%s", path);
}

/* The lines that begin so, with or without what they begin with. */
static void grep(char *text, const char *prefix)
{
	char *line = text, *out = text, *end;

	for (; *line; line = end) {
		end = strchrnul(line, '\n');
		end += *end != '\0';
		if (strncmp(line, prefix, strlen(prefix)))
			continue;
		memmove(out, line, end - line);
		out += end - line;
	}
	*out = '\0';
}

/* The lines of an fdinfo that are about layout leases. */
bool ll_fdinfo_shows(const struct ll_said *want, pid_t pid, int fd)
{
	char text[sizeof(want->text)];
	int ret = ll_read(text, sizeof(text), "/proc/%d/fdinfo/%d", pid, fd);

	if (ret < 0) {
		ll_log("fdinfo/%d of %d: %s", fd, pid, strerror(-ret));
		return false;
	}
	grep(text, "layout_");
	return ll_same(want, text, "fdinfo");
}

/*
 * The LAYOUT lines in this text of /proc/locks. All lines must be numbered from
 * 1, as far as this process sees them: one number may have several lines.
 */
bool ll_locks_show(const struct ll_said *want, const char *text)
{
	char have[sizeof(want->text)] = "";
	const char *line, *end, *rest;
	size_t len = 0;
	char *after;

	for (line = text; *line; line = end) {
		end = strchrnul(line, '\n');
		end += *end != '\0';
		if (strtoul(line, &after, 10) == 0 || strncmp(after, ": ", 2)) {
			ll_log("/proc/locks: %.*s", (int)(end - line), line);
			return false;
		}
		rest = after + 2;
		if (strncmp(rest, "LAYOUT ", 7))
			continue;
		len += snprintf(have + len, sizeof(have) - len, "%.*s",
				(int)(end - rest), rest);
	}
	return ll_same(want, have, "locks");
}

bool ll_proc_locks_show(const struct ll_said *want)
{
	char text[sizeof(want->text)];

	if (ll_read(text, sizeof(text), "/proc/locks") < 0)
		return false;
	return ll_locks_show(want, text);
}

static bool unchanged(const char *line, const struct ll_said *again)
{
	if (!strcmp(line, again->text))
		return true;
	ll_log("malformed: %s", line);
	return false;
}

/* A line of file_pins or layout_leases, without its newline. */
bool ll_scan_row(const char *line, struct ll_row *row)
{
	struct ll_said again = { .pid = -1 };
	const char *rest = line;
	char kind[12] = "";
	int at = 0, n;

	memset(row, 0, sizeof(*row));
	row->pid = -1;
	if (sscanf(rest, "pid=%d %n", &row->pid, &at) == 1)
		rest += at;
	at = 0;
	row->pin = !strncmp(rest, "pin ", 4);
	if (row->pin)
		n = sscanf(rest, "pin %u:%u %llu 0x%llx-0x%llx %31s %n", &row->id.major,
			   &row->id.minor, &row->id.ino, &row->start, &row->end,
			   row->owner, &at);
	else
		n = sscanf(rest, "lease %u:%u %llu %11s fd=%d pins=%d %n", &row->id.major,
			   &row->id.minor, &row->id.ino, kind, &row->fd, &row->pins, &at);
	snprintf(row->id.text, sizeof(row->id.text), "%s", at ? rest + at : "");
	row->exclusive = !strcmp(kind, "exclusive");

	again.pid = row->pid;
	if (row->pin) {
		say_pid(&again);
		ll_say(&again, "pin %u:%u %llu 0x%llx-0x%llx %s %s\n", row->id.major,
		       row->id.minor, row->id.ino, row->start, row->end,
		       row->owner, row->id.text);
	} else {
		ll_say_lease(&again, &row->id, row->exclusive, row->fd, row->pins);
	}
	again.text[strlen(again.text) - 1] = '\0';
	return unchanged(line, &again) && n == 6 && row->id.text[0] == '/' &&
	       row->start < row->end + !row->pin;
}

/* A line of layout_breaks. */
static bool scan_break(const char *line, struct ll_pending *p)
{
	struct ll_said again = { .pid = -1 };
	int mid = 0, at = 0, n;

	memset(p, 0, sizeof(*p));
	n = sscanf(line, "pid=%d break %u:%u %llu %15s 0x%llx-0x%llx %n", &p->pid,
		   &p->id.major, &p->id.minor, &p->id.ino, p->reason, &p->start,
		   &p->end, &mid);
	if (n == 7)
		n += sscanf(line + mid, "breaker=%d uid=%d left=%lld pins=%d %15s %n",
			    &p->breaker, &p->uid, &p->left, &p->pins, p->state, &at);
	snprintf(p->id.text, sizeof(p->id.text), "%s", line + mid + at);
	ll_say(&again, "pid=%d break %u:%u %llu %s 0x%llx-0x%llx ", p->pid,
	       p->id.major, p->id.minor, p->id.ino, p->reason, p->start, p->end);
	ll_say(&again, "breaker=%d uid=%d left=%lld pins=%d %s %s", p->breaker,
	       p->uid, p->left, p->pins, p->state, p->id.text);
	return unchanged(line, &again) && n == 12 && p->id.text[0] == '/';
}

/* A line of an fdinfo. */
static bool scan_told(const char *line, struct ll_pending *p)
{
	struct ll_said again = { .pid = -1 };
	int n;

	memset(p, 0, sizeof(*p));
	n = sscanf(line, "layout_break:\t%15s 0x%llx-0x%llx pid=%d uid=%d left=%lld",
		   p->reason, &p->start, &p->end, &p->breaker, &p->uid, &p->left);
	ll_say(&again, "layout_break:\t%s 0x%llx-0x%llx pid=%d uid=%d left=%lld",
	       p->reason, p->start, p->end, p->breaker, p->uid, p->left);
	return unchanged(line, &again) && n == 6;
}

/* The breaks in a text of either kind; how many, -EBADMSG if it is malformed. */
int ll_scan_breaks(const char *text, struct ll_pending *p, int max)
{
	char *copy = strdup(text), *line, *save;
	int n = 0;
	bool good = copy;

	for (line = copy ? strtok_r(copy, "\n", &save) : NULL; line && good;
	     line = strtok_r(NULL, "\n", &save)) {
		if (n == max)
			good = false;
		else if (!strncmp(line, "pid=", 4))
			good = scan_break(line, &p[n++]);
		else
			good = scan_told(line, &p[n++]);
	}
	free(copy);
	return good ? n : -EBADMSG;
}

/* What /proc/layout_breaks lists. */
int ll_breaks(struct ll_pending *p, int max)
{
	char text[16384];
	int ret = ll_read(text, sizeof(text), "/proc/layout_breaks");

	return ret < 0 ? ret : ll_scan_breaks(text, p, max);
}

int ll_fdinfo_breaks(pid_t pid, int fd, struct ll_pending *p, int max)
{
	char text[16384];
	int ret = ll_read(text, sizeof(text), "/proc/%d/fdinfo/%d", pid, fd);

	if (ret < 0)
		return ret;
	grep(text, "layout_break:");
	return ll_scan_breaks(text, p, max);
}

/*
 * A file on a filesystem where nothing is leased; what earlier tests had may
 * take a moment to go.
 */
int ll_report_setup(struct ll_env *env, enum ll_fs fs, char *path, struct ll_id *id)
{
	struct ll_said none = { .pid = -1 };

	return ll_setup(env, fs, "break") ?:
	       ll_file(env, "f", LL_FILE_SIZE, path) ?:
	       ll_identify(path, id) ?:
	       (ll_comes_to_show(&none, "/proc/layout_leases") ? 0 : -EBUSY);
}

/* A break that the holder has been told of. */
int ll_pend(struct ll_holder *h, struct ll_breaker *b, const char *path)
{
	return ll_breaker_start(b, OP_TRUNCATE, path, LL_PAGE, 0) ?:
	       ll_hold(h, .op = H_SIGWAIT, .a = LL_SOON);
}
