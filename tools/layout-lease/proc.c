// SPDX-License-Identifier: GPL-2.0
/*
 * layout-lease: what is found in /proc.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout-lease.h"

bool no_permission(int error)
{
	return error == EACCES || error == EPERM;
}

/* The line as it is, so that it can be reported; @nr is 0 where lines have no number. */
void complain_about_line(const char *source, size_t nr, const char *line, size_t len)
{
	char copy[256], *shown, *where;

	if (len > sizeof(copy) - 1)
		len = sizeof(copy) - 1;
	memcpy(copy, line, len);
	copy[len] = '\0';
	shown = safe(copy);
	where = nr ? text(", line %zu", nr) : text("%s", "");
	complain("%s%s: left out, since it is not understood: %s\n"
		 "  Is this program older than the kernel?", source, where, shown);
	free(shown);
	free(where);
}

/*
 * Calls @fn for each line. False if something is missing: the file could not be
 * opened or read (*error is the errno), or a line was not understood (0).
 */
bool read_lines(const char *path, line_fn fn, void *arg, int *error)
{
	bool complete = true;
	char *line = NULL;
	size_t nr, size = 0;
	ssize_t len;
	FILE *f;

	*error = 0;
	f = fopen(path, "re");
	if (!f) {
		*error = errno;
		return false;
	}
	errno = 0;
	for (nr = 1; (len = getline(&line, &size, f)) >= 0; nr++) {
		if (len && line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (!fn(line, arg)) {
			complain_about_line(path, nr, line, strlen(line));
			complete = false;
		}
		errno = 0;
	}
	if (ferror(f))
		*error = errno ? errno : EIO;
	free(line);
	fclose(f);
	return complete && !*error;
}

/* NULL if there is no such process, or none that may be seen. */
char *process_name(int pid)
{
	char name[64], *path;
	ssize_t len;
	int fd;

	if (!pid)
		return NULL;
	path = text(PROC_ROOT "/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	if (fd < 0)
		return NULL;
	len = read(fd, name, sizeof(name) - 1);
	close(fd);
	if (len <= 0)
		return NULL;
	/* the last one is proc's, others are part of the name */
	if (name[len - 1] == '\n')
		len--;
	name[len] = '\0';
	return copy_string(name);
}

struct scan {
	struct keepers *found;
	int pid;
	int fd;
};

static bool scan_line(char *line, void *arg)
{
	static const char key[] = "layout_pin:";
	struct scan *scan = arg;
	struct keepers *found = scan->found;
	struct keeper k = { .pid = scan->pid, .fd = scan->fd };

	if (strncmp(line, key, sizeof(key) - 1))
		return true;
	if (!parse_owned(line + sizeof(key) - 1, &k.file, &k.range))
		return false;
	found->k = grow(found->k, found->nr, sizeof(*found->k));
	found->k[found->nr++] = k;
	return true;
}

static bool scan_process(struct keepers *found, int pid)
{
	struct scan scan = { .found = found, .pid = pid };
	bool complete = true, denied = false;
	struct dirent *d;
	char *path;
	int error;
	DIR *dir;

	path = text(PROC_ROOT "/%d/fdinfo", pid);
	dir = opendir(path);
	free(path);
	if (!dir) {
		found->not_allowed += no_permission(errno);
		return true;
	}
	while ((d = readdir(dir))) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		scan.fd = atoi(d->d_name);
		path = text(PROC_ROOT "/%d/fdinfo/%d", pid, scan.fd);
		/* one that was closed meanwhile is as good as never opened */
		if (!read_lines(path, scan_line, &scan, &error) && !error)
			complete = false;
		denied |= no_permission(error);
		free(path);
	}
	closedir(dir);
	found->not_allowed += denied;
	return complete;
}

/*
 * Who has an owner file open: all pins of all of them. False if a line was not
 * understood.
 */
bool find_keepers(struct keepers *found)
{
	bool complete = true;
	struct dirent *d;
	DIR *dir;
	int pid;

	memset(found, 0, sizeof(*found));
	dir = opendir(PROC_ROOT);
	if (!dir) {
		complain("%s: %s", PROC_ROOT, strerror(errno));
		return false;
	}
	while ((d = readdir(dir)))
		if (parse_pid(d->d_name, &pid) && !scan_process(found, pid))
			complete = false;
	closedir(dir);
	return complete;
}
