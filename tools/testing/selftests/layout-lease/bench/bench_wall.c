// SPDX-License-Identifier: GPL-2.0
/*
 * The same on the wall clock, in nanoseconds: truncate of one page while others
 * of the file are mapped, and registration.  For ratios: the times themselves
 * are those of this machine at this moment.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define RUNS	7
#define TAIL	(4 * RUNS * LL_PAGE)
#define GAP	(4 * LL_MIB)
#define LEN	(64 * LL_MIB)

struct walled {
	struct bench_file f;
	struct ll_rdma r;
	struct ibv_mr *mr;
	char *map;
	size_t len;
	off_t size;
};

static int populate(void *arg)
{
	struct walled *w = arg;

	return ll_ret(madvise(w->f.map, w->len, MADV_POPULATE_WRITE));
}

static int do_truncate(void *arg)
{
	struct walled *w = arg;

	w->size -= LL_PAGE;
	return ll_ret(ftruncate(w->f.fd, w->size));
}

static int do_reg(void *arg)
{
	struct walled *w = arg;

	return ll_reg(&w->r, w->map, LEN, &w->mr);
}

static int do_dereg(void *arg)
{
	return ll_dereg(&((struct walled *)arg)->mr);
}

static const struct bench_op truncate_op = { "truncate", populate, do_truncate, NULL };
static const struct bench_op reg_op = { "ibv_reg_mr", NULL, do_reg, do_dereg };

static void truncates(enum ll_fs fs, unsigned int pages)
{
	struct walled w = { .len = pages * LL_PAGE };

	w.size = w.len + GAP + TAIL;
	bench_file_open(&w.f, fs, "break", w.size);
	bench_file_map(&w.f, w.len, false);
	bench_row(bench_measure(&truncate_op, &w, RUNS), "wall.truncate_%u.%s",
		  pages, bench_fs_name[fs]);
	bench_file_close(&w.f);
}

static void registrations(bool huge)
{
	const char *pages = huge ? "2m" : "4k";
	struct walled w = {};
	int ret;

	bench_must(ll_rdma_open(&w.r), "opening the RDMA device");
	w.map = bench_anon(LEN, huge);
	bench_row(bench_measure(&reg_op, &w, RUNS), "wall.reg.anon_%s", pages);
	munmap(w.map, LEN);

	bench_file_open(&w.f, LL_XFS, "break", LEN);
	bench_file_map(&w.f, LEN, huge);
	if (bench_has_leases())
		bench_must(bench_file_lease(&w.f), "taking a lease");
	w.map = w.f.map;
	ret = do_reg(&w);
	if (ret) {
		bench_refused(ret, "wall.reg.leased_%s", pages);
	} else {
		bench_must(do_dereg(&w), "ibv_dereg_mr");
		bench_row(bench_measure(&reg_op, &w, RUNS), "wall.reg.leased_%s", pages);
	}
	bench_file_close(&w.f);
	ll_rdma_close(&w.r);
}

int main(void)
{
	enum ll_fs fs;

	bench_init();
	for (fs = LL_EXT4; fs <= LL_XFS; fs++) {
		truncates(fs, 64);
		truncates(fs, 65536);
	}
	registrations(true);
	registrations(false);
	return 0;
}
