// SPDX-License-Identifier: GPL-2.0
/*
 * A breaker of the stress test: one operation that changes the layout of a file
 * after another, each within the time that is promised.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stress.h"

#define BOTH	(1 << LL_EXT4 | 1 << LL_XFS)

struct choice {
	enum ll_op op;
	int weight;
	int filesystems;
};

static const struct choice choices[] = {
	{ OP_TRUNCATE, 25, BOTH },
	{ OP_FTRUNCATE, 10, BOTH },
	{ OP_O_TRUNC, 5, BOTH },
	{ OP_O_TRUNC_NONBLOCK, 3, BOTH },
	{ OP_PUNCH, 20, BOTH },
	{ OP_ZERO, 10, BOTH },
	{ OP_COLLAPSE, 5, BOTH },
	{ OP_INSERT, 5, BOTH },
	{ OP_CLONE_DST, 4, 1 << LL_XFS },
	{ OP_CLONE_SRC, 4, 1 << LL_XFS },
	{ OP_DEDUPE_DST, 3, 1 << LL_XFS },
	{ OP_SWAPEXT, 3, 1 << LL_XFS },
	{ OP_MOVE_EXT, 3, 1 << LL_EXT4 },
};

static enum ll_op random_op(struct st_role *r)
{
	int total = 0, at;
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(choices); i++)
		total += choices[i].weight;
	for (;;) {
		at = st_random(r, total);
		for (i = 0; at >= choices[i].weight; i++)
			at -= choices[i].weight;
		if (choices[i].filesystems & 1 << r->mount->env.fs)
			return choices[i].op;
	}
}

/* What an operation may answer; a hang is found by its time. */
static void judge(struct st_role *r, enum ll_op op, int ret, int64_t ms)
{
	long longest = __atomic_load_n(&r->shared->longest, __ATOMIC_RELAXED);

	while (ms > longest &&
	       !__atomic_compare_exchange_n(&r->shared->longest, &longest, ms, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	if (ms > ST_BREAK_MAX)
		st_violation(r, "operation %d took %ld ms", op, (long)ms);
	switch (ret) {
	case 0: case -EILSEQ:
		st_did(r, ST_BREAKS);
		break;
	case -ETXTBSY: case -EWOULDBLOCK:
		st_did(r, ST_DENIED);
		break;
	case -EINTR:
		st_did(r, ST_INTERRUPTED);
		break;
	/* of the filesystem: ranges beyond the size, extents that differ, no space */
	case -EINVAL: case -EOPNOTSUPP: case -EBUSY: case -ENOSPC: case -EFAULT:
	case -EFBIG: case -ENOENT: case -ENODATA:
		break;
	default:
		st_violation(r, "operation %d returned %d", op, ret);
	}
}

/* Gives up after a while. */
static int interrupted_op(struct st_role *r, enum ll_op op, const char *path, off_t off,
			  off_t len)
{
	struct ll_breaker b;
	int ret = 0;

	if (ll_breaker_start(&b, op, path, off, len))
		return -EINTR;
	if (ll_breaker_wait(&b, st_random(r, 800), &ret)) {
		ll_breaker_interrupt(&b);
		if (ll_breaker_wait(&b, ST_BREAK_MAX, &ret))
			ll_breaker_end(&b);
	}
	return ret;
}

/* The file gets its size back, and some of its blocks. */
static void grow(struct st_role *r, const char *path)
{
	int fd = ll_open(path, O_RDWR);

	if (fd < 0)
		return;
	if (!ftruncate(fd, ST_FILE_SIZE) && st_chance(r, 30))
		posix_fallocate(fd, st_random(r, ST_FILE_SIZE / 2), ST_FILE_SIZE / 2);
	close(fd);
}

void st_breaker(struct st_role *r)
{
	const off_t block = LL_PAGE;
	const char *path;
	off_t off, len;
	int64_t begun;
	enum ll_op op;
	int ret;

	while (!st_stopped(r)) {
		path = r->mount->path[st_random(r, ST_FILES)];
		op = random_op(r);
		off = st_random(r, ST_FILE_SIZE / block) * block;
		len = (1 + st_random(r, 256)) * block;
		begun = ll_now_ms();
		ret = st_chance(r, 15) ? interrupted_op(r, op, path, off, len) :
					 ll_break(op, path, off, len);
		judge(r, op, ret, ll_now_ms() - begun);
		if (st_chance(r, 70))
			grow(r, path);
		ll_sleep_ms(st_random(r, 300));
	}
	_exit(0);
}
