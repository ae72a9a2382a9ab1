/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What DAX flushes of a file: its trace events, in an instance of tracefs that
 * is the test's own.
 */
#ifndef LAYOUT_LEASE_FLUSH_H
#define LAYOUT_LEASE_FLUSH_H

#include "layout_lease_common.h"

#define LL_FLUSH_PAGES	8192	/* of the file, that can be watched */

/* Calls that make data durable. */
enum ll_durable {
	LL_FSYNC, LL_FDATASYNC, LL_MSYNC, LL_SYNCFS, LL_SYNC,
	LL_NR_DURABLE,
};

/* What was flushed since ll_flush_forget(), by ll_flushed(). */
struct ll_flush {
	char file[64];		/* how the events of the file begin */
	int events;
	unsigned char page[LL_FLUSH_PAGES];
};

int ll_flush_watch(struct ll_flush *f, const char *path);
int ll_flush_trace(struct ll_flush *f, const char *event);
int ll_flush_read(struct ll_flush *f,
		  int (*seen)(void *arg, pid_t pid, const char *event,
			      const char *text), void *arg);
int ll_flush_forget(void);
int ll_flushed(struct ll_flush *f);
bool ll_flush_covers(const struct ll_flush *f, off_t off, size_t len);
void ll_flush_end(void);

const char *ll_durable_name(enum ll_durable call);
int ll_make_durable(enum ll_durable call, int fd, char *map, size_t len);
int ll_durable_flushes(struct ll_flush *f, enum ll_durable call, int fd, char *map,
		       size_t len);
char *ll_map_crowd(int fd, off_t off);

#endif /* LAYOUT_LEASE_FLUSH_H */
