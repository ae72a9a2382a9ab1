// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease: a trace instance of our own, so that nobody else's tracing is
 * disturbed, nor disturbs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout-lease.h"

#define INSTANCE "layout-lease-"
#define EVENTS "events/layout_lease"

/* An instance inherits the settings of the machine; this is what parse_event() needs. */
static const char * const trace_options[] = {
	"context-info", "noraw", "nohex", "nobin", "nofields", "noverbose",
	"nolatency-format", "norecord-tgid", "nouserstacktrace", "nostacktrace",
	"noblock", "noannotate",
};

static bool write_file(const char *dir, const char *name, const char *value)
{
	char *path = text("%s/%s", dir, name);
	ssize_t len = strlen(value);
	int fd, error;
	bool ok;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	error = errno;
	free(path);
	if (fd < 0) {
		errno = error;
		return false;
	}
	ok = write(fd, value, len) == len;
	error = errno;
	close(fd);
	errno = error;
	return ok;
}

/* Where it is mounted. */
static const char *find_tracefs(void)
{
	static const char * const roots[] = { TRACEFS_ROOTS };
	bool denied = false;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(roots); i++) {
		char *path = text("%s/instances", roots[i]);
		bool found = !access(path, R_OK | W_OK | X_OK);

		denied |= !found && no_permission(errno);
		free(path);
		if (found)
			return roots[i];
	}
	if (denied)
		complain("no permission to trace: only root may watch: sudo layout-lease watch");
	else
		complain("tracefs is not mounted. As root, type\n"
			 "  mount -t tracefs nodev %s\n"
			 "  and try again; if that fails, the kernel has no CONFIG_FTRACE.",
			 roots[0]);
	return NULL;
}

static bool has_events(const char *root)
{
	char *path = text("%s/" EVENTS, root);
	bool found = !access(path, F_OK);

	free(path);
	if (!found)
		complain("this kernel has no layout leases: there is no %s/" EVENTS, root);
	return found;
}

/*
 * Those of processes that were killed by SIGKILL, or that had our number. The
 * kernel keeps one that is in use.
 */
static void remove_stale(const char *root)
{
	char *path, *dir = text("%s/instances", root);
	struct dirent *d;
	DIR *list;
	int pid;

	list = opendir(dir);
	while (list && (d = readdir(list))) {
		if (strncmp(d->d_name, INSTANCE, strlen(INSTANCE)) ||
		    !parse_pid(d->d_name + strlen(INSTANCE), &pid))
			continue;
		if (pid != getpid() && (!kill(pid, 0) || errno != ESRCH))
			continue;
		path = text("%s/%s", dir, d->d_name);
		if (rmdir(path) && errno != EBUSY && errno != ENOENT)
			complain("cannot remove %s, which is not in use: %s", path,
				 strerror(errno));
		free(path);
	}
	if (list)
		closedir(list);
	free(dir);
}

static bool enable_events(const char *instance)
{
	char *path, *dir = text("%s/" EVENTS, instance);
	bool ok = true;
	struct dirent *d;
	size_t nr = 0;
	DIR *list;

	list = opendir(dir);
	while (list && ok && (d = readdir(list))) {
		if (strncmp(d->d_name, "break_", 6))
			continue;
		path = text("%s/enable", d->d_name);
		ok = write_file(dir, path, "1");
		if (!ok)
			complain("cannot enable %s/%s: %s", dir, path, strerror(errno));
		free(path);
		nr++;
	}
	if (list)
		closedir(list);
	if (ok && !nr)
		complain("there are no break events in %s", dir);
	free(dir);
	return ok && nr;
}

static bool set_up(struct trace *t)
{
	char *path;
	size_t i;

	/* An option that a kernel does not have cannot be in the way. */
	for (i = 0; i < ARRAY_SIZE(trace_options); i++)
		write_file(t->dir, "trace_options", trace_options[i]);
	/* not CLOCK_MONOTONIC, which a time namespace shifts */
	t->wall_clock = write_file(t->dir, "trace_clock", "tai");

	path = text("%s/trace_pipe", t->dir);
	t->pipe = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (t->pipe < 0)
		complain("%s: %s", path, strerror(errno));
	free(path);
	return t->pipe >= 0 && enable_events(t->dir);
}

/* False if it cannot be done, which has been said. */
bool trace_open(struct trace *t)
{
	const char *root = find_tracefs();

	if (!root || !has_events(root))
		return false;
	remove_stale(root);
	snprintf(t->dir, sizeof(t->dir), "%s/instances/" INSTANCE "%d", root, getpid());
	if (mkdir(t->dir, 0700)) {
		complain("cannot make the trace instance %s: %s", t->dir, strerror(errno));
		return false;
	}
	t->pipe = -1;
	if (set_up(t))
		return true;
	trace_close(t);
	return false;
}

void trace_close(struct trace *t)
{
	if (t->pipe >= 0)
		close(t->pipe);
	if (rmdir(t->dir))
		complain("cannot remove the trace instance: %s\n  Type: rmdir %s",
			 strerror(errno), t->dir);
}
