// SPDX-License-Identifier: GPL-2.0
/*
 * What fsync of a file with pins costs: in a small file and in a large one, and
 * with few and many pages under pins.  As a measure, what it costs with as many
 * pages that were written to through a mapping.
 */
#include <sys/mman.h>

#include "bench.h"

#define RUNS	5
#define FEW	64
#define MANY	4096
#define SMALL	(32 * LL_MIB)
#define LARGE	(256 * LL_MIB)

struct synced {
	struct bench_file f;
	size_t dirty;		/* bytes to write to before */
};

static int make_dirty(void *arg)
{
	struct synced *s = arg;
	size_t i;

	for (i = 0; i < s->dirty; i += LL_PAGE)
		__atomic_fetch_add(&s->f.map[i], 1, __ATOMIC_RELAXED);
	return 0;
}

static int do_fsync(void *arg)
{
	return ll_ret(fsync(((struct synced *)arg)->f.fd));
}

static const struct bench_op op = { "fsync", make_dirty, do_fsync, NULL };

/* Nothing dirty, pages pinned; nothing pinned, pages dirty. */
static void measure(enum ll_fs fs, size_t size, int pages, const char *file)
{
	struct bench_pins p = {};
	struct synced s = {};
	int ret;

	bench_file_open(&s.f, fs, "break", size);
	bench_file_map(&s.f, size, false);
	s.dirty = pages * LL_PAGE;
	bench_row(bench_measure(&op, &s, RUNS), "fsync.dirty_%d.%s.%s", pages, file,
		  bench_fs_name[fs]);
	s.dirty = 0;
	if (bench_has_leases())
		bench_must(bench_file_lease(&s.f), "taking a lease");
	ret = bench_pin(&p, s.f.map, 0, pages, pages);
	if (bench_has_leases())
		bench_must(ret, "pinning");
	if (ret)
		bench_refused(ret, "fsync.pins_%d.%s.%s", pages, file, bench_fs_name[fs]);
	else
		bench_row(bench_measure(&op, &s, RUNS), "fsync.pins_%d.%s.%s", pages, file,
			  bench_fs_name[fs]);
	bench_unpin(&p);
	bench_file_close(&s.f);
}

int main(void)
{
	enum ll_fs fs;

	bench_init();
	for (fs = LL_EXT4; fs <= LL_XFS; fs++) {
		measure(fs, SMALL, FEW, "small");
		measure(fs, bench_quick() ? 2 * SMALL : LARGE, FEW, "large");
		measure(fs, SMALL, MANY, "small");
	}
	return 0;
}
