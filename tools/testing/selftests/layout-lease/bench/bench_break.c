// SPDX-License-Identifier: GPL-2.0
/*
 * What truncate and punch of one page cost while something stands elsewhere in
 * the file: pins, or pages that are mapped and not pinned.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define RUNS	21
#define TAIL	(4 * (RUNS + 4) * LL_PAGE)
#define GAP	(4 * LL_MIB)	/* no DAX entry reaches across */

struct broken {
	struct bench_file f;
	size_t len;		/* where something stands */
	off_t size, hole;
	bool mapped;
};

/* Where it has been torn down, map it all again. */
static int populate(void *arg)
{
	struct broken *b = arg;

	if (!b->mapped)
		return 0;
	return ll_ret(madvise(b->f.map, b->len, MADV_POPULATE_WRITE));
}

static int do_truncate(void *arg)
{
	struct broken *b = arg;

	b->size -= LL_PAGE;
	return ll_ret(ftruncate(b->f.fd, b->size));
}

static int do_punch(void *arg)
{
	struct broken *b = arg;

	b->hole += 2 * LL_PAGE;
	return ll_ret(fallocate(b->f.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				b->hole, LL_PAGE));
}

static const struct bench_op ops[] = {
	{ "truncate", populate, do_truncate, NULL },
	{ "punch", populate, do_punch, NULL },
};

static void measure(struct broken *b, enum ll_fs fs, const char *what, int count,
		    int refused)
{
	char curve[BENCH_KEY];
	uint64_t cost;
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(ops); i++) {
		if (refused) {
			bench_refused(refused, "%s.%s_%d.%s", ops[i].name, what, count,
				      bench_fs_name[fs]);
			continue;
		}
		cost = bench_measure(&ops[i], b, b->mapped ? 5 : RUNS);
		bench_row(cost, "%s.%s_%d.%s", ops[i].name, what, count,
			  bench_fs_name[fs]);
		snprintf(curve, sizeof(curve), "%s.%s.%s", ops[i].name, what,
			 bench_fs_name[fs]);
		bench_point(curve, count, cost);
	}
}

static void begin(struct broken *b, enum ll_fs fs, int pages)
{
	b->len = pages * LL_PAGE;
	b->size = b->len + GAP + TAIL;
	b->hole = b->len + GAP;
	bench_file_open(&b->f, fs, "break", b->size);
	bench_file_map(&b->f, b->len, false);
}

/* Each page is a pin of its own. */
static void pinned(enum ll_fs fs, int count, int real)
{
	struct broken b = {};
	struct bench_pins p;
	int ret;

	begin(&b, fs, bench_has_leases() ? real : 1);
	if (bench_has_leases())
		bench_must(bench_file_lease(&b.f), "taking a lease");
	ret = bench_pin(&p, b.f.map, 0, real, bench_has_leases() ? real : 1);
	if (bench_has_leases())
		bench_must(ret, "pinning");
	measure(&b, fs, "pins", count, ret);
	bench_unpin(&p);
	bench_file_close(&b.f);
}

static void mapped(enum ll_fs fs, int count, int real)
{
	struct broken b = { .mapped = true };

	begin(&b, fs, real);
	measure(&b, fs, "mapped", count, 0);
	bench_file_close(&b.f);
}

int main(void)
{
	static const int pins[] = { 1, 10, 100, 1000, 10000, 100000 };
	static const int pages[] = { 64, 512, 4096, 65536 };
	int less = bench_quick() ? 100 : 1;
	enum ll_fs fs;
	size_t i;

	bench_init();
	for (fs = LL_EXT4; fs <= LL_XFS; fs++) {
		for (i = 0; i < LL_ARRAY_SIZE(pins); i++)
			pinned(fs, pins[i], (pins[i] + less - 1) / less);
		for (i = 0; i < LL_ARRAY_SIZE(pages); i++)
			mapped(fs, pages[i], (pages[i] + less - 1) / less);
	}
	return 0;
}
