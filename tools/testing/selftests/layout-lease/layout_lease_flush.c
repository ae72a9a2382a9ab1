// SPDX-License-Identifier: GPL-2.0
/*
 * What DAX flushes of a file: its trace events, in an instance of tracefs that
 * is the test's own. The clock of that instance is a counter, so that events of
 * all processors come in the order in which they happened.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout_lease_flush.h"
#include "layout_lease_report.h"

#define INSTANCE	"/sys/kernel/tracing/instances/layout-flush"
#define CROWD		20000	/* mappings that a writeback has to go over */

const char *ll_durable_name(enum ll_durable call)
{
	static const char *const names[LL_NR_DURABLE] = {
		"fsync", "fdatasync", "msync", "syncfs", "sync",
	};

	return names[call];
}

/* Also records this event, "system/name", of the file only. */
int ll_flush_trace(struct ll_flush *f, const char *event)
{
	unsigned long long ino;

	if (sscanf(f->file, "dev %*u:%*u ino %llx", &ino) != 1)
		return -EINVAL;
	return ll_shell("cd " INSTANCE "/events/%s && echo 'ino == %llu' >filter && %s",
			event, ino, "echo 1 >enable") ? -EIO : 0;
}

/* Records what is flushed of this file from now on. */
int ll_flush_watch(struct ll_flush *f, const char *path)
{
	struct ll_id id;
	int ret = ll_identify(path, &id);

	if (ret)
		return ret;
	snprintf(f->file, sizeof(f->file), "dev %u:%u ino 0x%llx", id.major, id.minor,
		 id.ino);
	rmdir(INSTANCE);
	if (mkdir(INSTANCE, 0755))
		return -errno;
	if (ll_shell("cd " INSTANCE " && echo counter >trace_clock && %s",
		     "echo 4096 >buffer_size_kb"))
		return -EIO;
	return ll_flush_trace(f, "fs_dax/dax_writeback_one");
}

void ll_flush_end(void)
{
	rmdir(INSTANCE);
}

/* Forgets what was recorded until now. */
int ll_flush_forget(void)
{
	int fd = ll_open(INSTANCE "/trace", O_WRONLY | O_TRUNC);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/*
 * Shows the events to @seen, in order: which task, which event, the rest. Ends
 * with what it returns, if that is not 0. -EOVERFLOW if events were lost.
 */
int ll_flush_read(struct ll_flush *f,
		  int (*seen)(void *arg, pid_t pid, const char *event,
			      const char *text), void *arg)
{
	FILE *in = fopen(INSTANCE "/trace", "re");
	char line[512], *text, *event, *dash;
	unsigned long have, written;
	int ret = 0;

	if (!in)
		return -errno;
	while (!ret && fgets(line, sizeof(line), in)) {
		if (sscanf(line, "# entries-in-buffer/entries-written: %lu/%lu", &have,
			   &written) == 2 && have != written)
			ret = -EOVERFLOW;
		event = line[0] == '#' ? NULL : strstr(line, ": ");
		text = event ? strstr(event + 2, ": ") : NULL;
		if (!text)
			continue;
		*event = '\0';
		*text = '\0';
		/* the name of the task may have blanks and dashes */
		*strchrnul(line, '[') = '\0';
		dash = strrchr(line, '-');
		ret = seen(arg, dash ? atoi(dash + 1) : 0, event + 2, text + 2);
	}
	fclose(in);
	return ret;
}

static int count(void *arg, pid_t pid, const char *event, const char *text)
{
	size_t len = strlen(((struct ll_flush *)arg)->file);
	struct ll_flush *f = arg;
	unsigned long at, n;

	(void)pid;
	if (strcmp(event, "dax_writeback_one"))
		return 0;
	if (strncmp(text, f->file, len) ||
	    sscanf(text + len, " pgoff %lx pglen %lx", &at, &n) != 2 ||
	    at + n > LL_FLUSH_PAGES) {
		ll_log("%s: unexpected event: %s", f->file, text);
		return -EINVAL;
	}
	memset(f->page + at, 1, n);
	f->events++;
	return 0;
}

/* How many entries were flushed since ll_flush_forget(). */
int ll_flushed(struct ll_flush *f)
{
	int ret;

	f->events = 0;
	memset(f->page, 0, sizeof(f->page));
	ret = ll_flush_read(f, count, f);
	return ret ?: f->events;
}

/* Has each page of the range been flushed? */
bool ll_flush_covers(const struct ll_flush *f, off_t off, size_t len)
{
	size_t first = off / LL_PAGE, end = (off + len + LL_PAGE - 1) / LL_PAGE;

	while (first < end && f->page[first])
		first++;
	if (first < end)
		ll_log("%s: page 0x%zx was not flushed", f->file, first);
	return first == end;
}

/* msync: of this mapping. The others: of the whole file, or more. */
int ll_make_durable(enum ll_durable call, int fd, char *map, size_t len)
{
	switch (call) {
	case LL_FSYNC:
		return ll_ret(fsync(fd));
	case LL_FDATASYNC:
		return ll_ret(fdatasync(fd));
	case LL_MSYNC:
		return ll_ret(msync(map, len, MS_SYNC));
	case LL_SYNCFS:
		return ll_ret(syncfs(fd));
	case LL_SYNC:
		sync();
		return 0;
	default:
		return -EINVAL;
	}
}

/* How many entries this call flushes. */
int ll_durable_flushes(struct ll_flush *f, enum ll_durable call, int fd, char *map,
		       size_t len)
{
	return ll_flush_forget() ?: ll_make_durable(call, fd, map, len) ?:
	       ll_flushed(f);
}

/* So many mappings of the page that a writeback of it takes a while. */
char *ll_map_crowd(int fd, off_t off)
{
	char *map = NULL;
	int i;

	for (i = 0; i < CROWD && map != MAP_FAILED; i++)
		map = mmap(NULL, LL_PAGE, PROT_READ, MAP_SHARED, fd, off);
	if (map == MAP_FAILED)
		return map;
	/* the last in line */
	return mmap(NULL, LL_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, off);
}
