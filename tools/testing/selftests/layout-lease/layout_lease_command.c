// SPDX-License-Identifier: GPL-2.0
/*
 * Commands that the tests run, and look at what those wrote: programs of the
 * directory that the test is in, or of the system.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout_lease_revoke.h"

/* The programs of the directory that this one is in are found first. */
int ll_find_programs(void)
{
	char bin[LL_PATH], path[4 * LL_PATH];
	ssize_t len = readlink("/proc/self/exe", bin, sizeof(bin) - 1);

	if (len < 0)
		return -errno;
	bin[len] = '\0';
	*strrchr(bin, '/') = '\0';
	snprintf(path, sizeof(path), "%s:%s", bin, getenv("PATH") ?: "/usr/bin:/bin");
	return ll_ret(setenv("PATH", path, 1));
}

/* Runs a command; its status. What it writes goes to LL_OUT and LL_ERR. */
int ll_command(const char *fmt, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	return ll_shell("{ %s; } </dev/null >%s 2>%s", command, LL_OUT, LL_ERR);
}

/* What the last command wrote is JSON, in which this filter of jq(1) has a value. */
bool ll_json(const char *filter, const char *fmt, ...)
{
	char command[1024], want[1024], seen[1024] = "";
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(want, sizeof(want), fmt, ap);
	va_end(ap);
	snprintf(command, sizeof(command), "jq -c '%s' <%s", filter, LL_OUT);
	f = popen(command, "re");
	if (f && fgets(seen, sizeof(seen), f))
		seen[strcspn(seen, "\n")] = '\0';
	if (f && !pclose(f) && !strcmp(want, seen))
		return true;
	ll_log("%s: expected %s, seen %s, in:", filter, want, seen);
	ll_shell("sed 's/^/#   /' %s %s >&2", LL_OUT, LL_ERR);
	return false;
}

/* There is such a line in what it wrote to LL_OUT or LL_ERR. */
bool ll_line(const char *file, const char *fmt, ...)
{
	char regex[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(regex, sizeof(regex), fmt, ap);
	va_end(ap);
	if (!ll_shell("grep -qE -e '%s' %s", regex, file))
		return true;
	ll_log("no line is: %s", regex);
	ll_shell("sed 's/^/#   /' %s >&2", file);
	return false;
}

/*
 * A descriptor of the holder, passed on to this process; it is the same open
 * file, as if it came by SCM_RIGHTS.
 */
int ll_passed_on(const struct ll_holder *h, int fd)
{
	return ll_steal_fd(h->pid, fd);
}
