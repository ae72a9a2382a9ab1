// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease watch: break events as they come, one line each.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "layout-lease.h"

#define INITIAL_PID_NS "pid:[4026531836]"

/* What events leave behind for the lines that follow: names of the dead, paths. */
struct name {
	int pid;
	char *name;
};

struct known_path {
	struct file_id file;
	char *path;
	time_t when;
};

struct watch {
	struct options o;
	struct trace trace;
	int signals;
	bool pids_are_ours;		/* /proc is of the initial pid namespace */
	bool complete;
	struct name names[256];
	struct known_path paths[64];
	char buf[65536];
	size_t len;
};

enum outcome { MORE, DONE, FAILED };

/* They are read from a descriptor: what is being printed is finished first. */
static bool catch_signals(struct watch *w)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* A shell ignores it for what it runs in the background. SIGHUP: see nohup(1). */
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	w->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (w->signals < 0)
		complain("cannot wait for signals: %s", strerror(errno));
	return w->signals >= 0;
}

/* The pids of trace events are those of the initial pid namespace. */
static bool in_initial_pid_ns(void)
{
	char ns[64];
	ssize_t len = readlink(PROC_ROOT "/self/ns/pid", ns, sizeof(ns));

	return len == (ssize_t)strlen(INITIAL_PID_NS) && !memcmp(ns, INITIAL_PID_NS, len);
}

/* @hint is what the trace line says of the process, NULL where it is of another. */
static const char *name_of(struct watch *w, int pid, const char *hint)
{
	struct name *known = &w->names[pid % ARRAY_SIZE(w->names)];
	char *now = NULL;

	if (!pid)
		return NULL;
	if (w->pids_are_ours)
		now = process_name(pid);
	if (!now && known->pid != pid && hint && *hint != '<')
		now = copy_string(hint);
	if (now) {
		free(known->name);
		known->name = now;
		known->pid = pid;
	}
	return known->pid == pid ? known->name : NULL;
}

static bool path_line(char *line, void *arg)
{
	struct known_path *k = arg;
	struct entry e;

	if (!parse_entry(line, 0, &e))
		return false;
	if (!k->path && same_file(&e.file, &k->file)) {
		k->path = e.path;
		e.path = NULL;
	}
	free(e.owner);
	free(e.path);
	return true;
}

/* The list may be long: once a second for a file is often enough. */
static const char *path_of(struct watch *w, const struct file_id *file)
{
	struct known_path *k = &w->paths[file->ino % ARRAY_SIZE(w->paths)];
	struct known_path now = { .file = *file };
	struct timespec ts;
	int error;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now.when = ts.tv_sec;
	if (same_file(&k->file, file) && k->when && ts.tv_sec - k->when < 1)
		return k->path;
	if (!read_lines(PROC_ROOT "/layout_leases", path_line, &now, &error) && !error)
		w->complete = false;
	/* gone from the list, but this is what it was called */
	if (!now.path && same_file(&k->file, file)) {
		k->when = now.when;
		return k->path;
	}
	free(k->path);
	*k = now;
	return k->path;
}

/* Wall clock time of an event, or of now. */
static void time_of(const struct watch *w, const struct event *e, struct timespec *ts)
{
	struct timespec tai;

	clock_gettime(CLOCK_REALTIME, ts);
	if (!e || !w->trace.wall_clock)
		return;
	/* The difference is whole seconds. */
	clock_gettime(CLOCK_TAI, &tai);
	tai.tv_sec -= ts->tv_sec;
	if (tai.tv_nsec - ts->tv_nsec > 500000000)
		tai.tv_sec++;
	else if (ts->tv_nsec - tai.tv_nsec > 500000000)
		tai.tv_sec--;
	ts->tv_sec = e->sec - tai.tv_sec;
	ts->tv_nsec = e->usec * 1000L;
}

static void json_time(struct json *j, const struct timespec *ts)
{
	char day[32], *stamp;
	struct tm tm;

	gmtime_r(&ts->tv_sec, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	stamp = text("%s.%06ldZ", day, ts->tv_nsec / 1000);
	json_string(j, "time", stamp);
	free(stamp);
}

static void put_time(FILE *f, const struct timespec *ts)
{
	char day[32];
	struct tm tm;

	localtime_r(&ts->tv_sec, &tm);
	strftime(day, sizeof(day), "%H:%M:%S", &tm);
	fprintf(f, "%s.%03ld ", day, ts->tv_nsec / 1000000);
}

static void event_json(struct watch *w, const struct event *e, FILE *f)
{
	struct json j = { .f = f };
	struct timespec ts;

	time_of(w, e, &ts);
	json_open(&j, NULL, '{');
	json_time(&j, &ts);
	json_string(&j, "event", e->name);
	json_string(&j, "reason", e->reason);
	json_range(&j, &e->range);
	json_number(&j, "breaker", e->breaker);
	json_string(&j, "breaker_command",
		    name_of(w, e->breaker, e->task == e->breaker ? e->comm : NULL));
	json_number(&j, "uid", e->uid);
	if (e->has & HAS_HOLDER) {
		json_number(&j, "holder", e->holder);
		json_string(&j, "holder_command", name_of(w, e->holder, NULL));
	}
	if (e->has & HAS_SIGNAL) {
		json_number(&j, "signal", e->signal);
		if (e->left < 0)
			json_string(&j, "left_ms", NULL);
		else
			json_number(&j, "left_ms", e->left);
	}
	if (e->has & HAS_OWNER)
		json_string(&j, "owner", e->owner);
	if (e->has & HAS_WAITED)
		json_count(&j, "waited_ns", e->waited);
	if (e->has & HAS_ERROR)
		json_number(&j, "error", e->error);
	json_file(&j, &e->file);
	json_string(&j, "path", path_of(w, &e->file));
	json_close(&j, '}');
	fputc('\n', f);
}

static void put_process(struct watch *w, FILE *f, const char *role, int pid, const char *hint)
{
	const char *name = name_of(w, pid, hint);

	fprintf(f, " %s=%d", role, pid);
	if (name) {
		fputc('(', f);
		put_safe(f, name);
		fputc(')', f);
	}
}

/* The result of break_kill, break_deny and break_end. */
static const char *result(const struct event *e)
{
	const char *name = errno_name(-e->error);

	if (!strcmp(e->name, "break_kill"))
		return e->error == 0 ? "killed" : e->error == -ESRCH ? "gone" :
		       e->error == -EPERM ? "not-permitted" : name;
	if (e->error == 0)
		return "done";
	/* ERESTARTSYS, which only the kernel knows */
	if (e->error == -512 || e->error == -EINTR)
		return "interrupted";
	return name;
}

static void event_text(struct watch *w, const struct event *e, FILE *f)
{
	char *range = range_text(&e->range), *span;
	const char *path, *outcome;
	struct timespec ts;

	time_of(w, e, &ts);
	put_time(f, &ts);
	fprintf(f, "%-6s %s %s", e->name + strlen("break_"), e->reason, range);
	free(range);
	put_process(w, f, "breaker", e->breaker, e->task == e->breaker ? e->comm : NULL);
	fprintf(f, " uid=%u", e->uid);
	if (e->has & HAS_HOLDER)
		put_process(w, f, "holder", e->holder, NULL);
	if (e->has & HAS_SIGNAL) {
		span = e->left < 0 ? text("none") : text("%lld.%03llds", e->left / 1000,
							 e->left % 1000);
		fprintf(f, " signal=%d left=%s", e->signal, span);
		free(span);
	}
	if (e->has & HAS_OWNER) {
		fputs(" owner=", f);
		put_safe(f, e->owner);
	}
	if (e->has & HAS_WAITED)
		fprintf(f, " waited=%llu.%03llus", e->waited / 1000000000,
			e->waited / 1000000 % 1000);
	if (e->has & HAS_ERROR) {
		outcome = result(e);
		if (outcome)
			fprintf(f, " result=%s", outcome);
		else
			fprintf(f, " result=%d", e->error);
	}
	fprintf(f, " %u:%u %llu ", e->file.major, e->file.minor,
		e->file.ino);
	path = path_of(w, &e->file);
	put_safe(f, path ? path : "?");
	fputc('\n', f);
}

static void lost_line(struct watch *w, int cpu, __s64 lost, FILE *f)
{
	struct json j = { .f = f };
	struct timespec ts;

	time_of(w, NULL, &ts);
	if (!w->o.json) {
		put_time(f, &ts);
		if (lost < 0)
			fprintf(f, "lost   events of CPU %d: too many to be read in time\n", cpu);
		else
			fprintf(f, "lost   %lld events of CPU %d: too many to be read in time\n",
				lost, cpu);
		return;
	}
	json_open(&j, NULL, '{');
	json_time(&j, &ts);
	json_string(&j, "event", "lost");
	json_number(&j, "cpu", cpu);
	if (lost < 0)
		json_string(&j, "lost", NULL);
	else
		json_number(&j, "lost", lost);
	json_close(&j, '}');
	fputc('\n', f);
}

/* Until there is something to read, or (@output) stdout takes more. */
static enum outcome wait_for(struct watch *w, bool output)
{
	struct pollfd fds[] = {
		{ .fd = w->signals, .events = POLLIN },
		{ .fd = STDOUT_FILENO, .events = output ? POLLOUT : 0 },
		{ .fd = output ? -1 : w->trace.pipe, .events = POLLIN },
	};

	while (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
		if (errno != EINTR) {
			complain("waiting: %s", strerror(errno));
			return FAILED;
		}
	}
	/* interrupted, or nobody listens any more */
	if (fds[0].revents || fds[1].revents & (POLLERR | POLLHUP | POLLNVAL))
		return DONE;
	return MORE;
}

static enum outcome put(struct watch *w, const char *line, size_t len)
{
	enum outcome outcome;
	ssize_t n;

	while (len) {
		outcome = wait_for(w, true);
		if (outcome != MORE)
			return outcome;
		/* no more than a pipe takes without blocking */
		n = write(STDOUT_FILENO, line, len < PIPE_BUF ? len : PIPE_BUF);
		if (n < 0 && errno == EPIPE)
			return DONE;
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			complain("cannot write: %s", strerror(errno));
			return FAILED;
		}
		if (n > 0) {
			line += n;
			len -= n;
		}
	}
	return MORE;
}

static enum outcome one_line(struct watch *w, const char *line, size_t len)
{
	enum outcome outcome = MORE;
	char *out = NULL;
	struct event e;
	__s64 lost;
	size_t size;
	FILE *f;
	int cpu;

	f = open_memstream(&out, &size);
	if (!f) {
		complain("out of memory");
		return FAILED;
	}
	if (parse_lost(line, &cpu, &lost)) {
		lost_line(w, cpu, lost, f);
	} else if (!parse_event(line, len, &e)) {
		complain_about_line("trace_pipe", 0, line, len);
		w->complete = false;
	} else if (!w->o.path || same_file(&w->o.file, &e.file)) {
		if (w->o.json)
			event_json(w, &e, f);
		else
			event_text(w, &e, f);
	}
	fclose(f);
	if (size)
		outcome = put(w, out, size);
	free(out);
	return outcome;
}

/*
 * All lines that are complete. The first 16 bytes of one that begins with a
 * blank are the name of a process, which may hold a newline.
 */
static enum outcome lines(struct watch *w)
{
	char *line = w->buf, *end = w->buf + w->len, *newline;
	enum outcome outcome = MORE;
	size_t skip;

	while (outcome == MORE && line < end) {
		skip = *line == ' ' ? 16 : 0;
		newline = NULL;
		if ((size_t)(end - line) > skip)
			newline = memchr(line + skip, '\n', end - line - skip);
		if (!newline)
			break;
		*newline = '\0';
		outcome = one_line(w, line, newline - line);
		line = newline + 1;
	}
	w->len = end - line;
	memmove(w->buf, line, w->len);
	return outcome;
}

static enum outcome step(struct watch *w)
{
	enum outcome outcome = wait_for(w, false);
	ssize_t n;

	if (outcome != MORE)
		return outcome;
	if (w->len == sizeof(w->buf)) {
		complain("trace_pipe: no line ends");
		return FAILED;
	}
	n = read(w->trace.pipe, w->buf + w->len, sizeof(w->buf) - w->len);
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return MORE;
		complain("trace_pipe: %s", strerror(errno));
		return FAILED;
	}
	if (!n) {
		complain("somebody has ended the trace");
		return FAILED;
	}
	w->len += n;
	return lines(w);
}

static void forget(struct watch *w)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(w->names); i++)
		free(w->names[i].name);
	for (i = 0; i < ARRAY_SIZE(w->paths); i++)
		free(w->paths[i].path);
}

static int run(const struct verb *verb, int argc, char **argv)
{
	static struct watch w = { .complete = true };
	enum outcome outcome = MORE;
	int status;

	status = parse_options(verb, argc, argv, OPTION_JSON, &w.o);
	if (status != GO_ON)
		return status;
	w.pids_are_ours = in_initial_pid_ns();
	if (!catch_signals(&w) || !trace_open(&w.trace))
		return STATUS_FAILED;
	complain("watching%s%s; Ctrl-C ends it", w.o.path ? " " : "", w.o.path ? w.o.path : "");
	while (outcome == MORE)
		outcome = step(&w);
	trace_close(&w.trace);
	forget(&w);
	return outcome == DONE && w.complete ? 0 : STATUS_FAILED;
}

const struct verb verb_watch = {
	.name = "watch",
	.usage = "watch [--file FILE] [--json]",
	.summary = "print breaks of layout leases as they happen",
	.help =
	"Prints one line for each thing that happens to a break, until it is interrupted\n"
	"(Ctrl-C, SIGTERM), or its output is closed. Needs root, and tracefs mounted. It\n"
	"says 'watching' on stderr when it has begun.\n\n"
	"  --file FILE  only of this file; the one that has this name at the start\n"
	"  --json       for programs: one object per line\n\n"
	"  begin   an operation meets pins, or a lease; it waits from now on\n"
	"  notify  a holder is told: by which signal (0: none), and how long it has\n"
	"  kill    the holder's time is over; killed, gone, or not-permitted, since it has\n"
	"          changed its user or is init\n"
	"  revoke  pins were taken away, with the owner by which they were kept: the holder\n"
	"          did not let go, or is gone; or the administrator has told it ('unknown')\n"
	"  deny    the operation was refused, with the error named\n"
	"  end     the operation goes on (done), or was interrupted\n"
	"  lost    events came faster than they were read\n\n"
	"After the event: what the operation is, bytes, process and user of the breaker,\n"
	"the holder; at the end device, inode, and path of the file ('?': not known).\n"
	"It reads a trace instance of its own, instances/layout-lease-PID, which it removes.\n\n"
	"Exit status: 0 when interrupted; 1: it failed, or a line was left out, stderr says\n"
	"why; 2: usage.\n",
	.usage_status = STATUS_USAGE,
	.run = run,
};
