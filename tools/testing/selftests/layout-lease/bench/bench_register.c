// SPDX-License-Identifier: GPL-2.0
/*
 * What ibv_reg_mr() and ibv_dereg_mr() cost per page of 4 KiB, for all kinds of
 * memory: anonymous, of a leased file, and with an argument that of a device-DAX
 * instance.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define RUNS	7

struct registration {
	struct ll_rdma r;
	struct ibv_mr *mr;
	char *map;
	size_t len;
};

static int do_reg(void *arg)
{
	struct registration *g = arg;

	return ll_reg(&g->r, g->map, g->len, &g->mr);
}

static int do_dereg(void *arg)
{
	return ll_dereg(&((struct registration *)arg)->mr);
}

static const struct bench_op reg = { "ibv_reg_mr", NULL, do_reg, do_dereg };
static const struct bench_op dereg = { "ibv_dereg_mr", do_reg, do_dereg, NULL };

/* One of them, of all of the mapping if it is the last. */
static void measure_one(struct registration *g, const struct bench_op *op, size_t max,
			const char *name, const char *what)
{
	double pages = g->len / LL_PAGE, cost = bench_measure(op, g, RUNS);
	char curve[BENCH_KEY];

	snprintf(curve, sizeof(curve), "%s.%s", name, what);
	bench_point(curve, pages, cost);
	if (g->len == max)
		bench_row(cost / pages, "%s.%s", name, what);
}

/* Both, of a growing part of the mapping; the rows are those of all of it. */
static void measure(struct registration *g, size_t max, const char *what)
{
	int ret;

	g->len = LL_PAGE;
	ret = do_reg(g);
	if (ret) {
		bench_refused(ret, "reg.%s", what);
		bench_refused(ret, "reg_page.%s", what);
		bench_refused(ret, "dereg.%s", what);
		return;
	}
	bench_must(do_dereg(g), "ibv_dereg_mr");
	bench_row(bench_measure(&reg, g, bench_quick() ? 3 : BENCH_RUNS),
		  "reg_page.%s", what);
	for (g->len = max / 64; g->len <= max; g->len *= 4) {
		measure_one(g, &reg, max, "reg", what);
		measure_one(g, &dereg, max, "dereg", what);
	}
}

static void anonymous(struct registration *g, size_t max, bool huge)
{
	g->map = bench_anon(max, huge);
	measure(g, max, huge ? "anon_2m" : "anon_4k");
	munmap(g->map, max);
}

static void leased(struct registration *g, size_t max, enum ll_fs fs, bool huge)
{
	struct bench_file f;
	char what[BENCH_KEY];

	snprintf(what, sizeof(what), "leased_%s.%s", huge ? "2m" : "4k",
		 bench_fs_name[fs]);
	bench_file_open(&f, fs, "break", max);
	bench_file_map(&f, max, huge);
	if (bench_has_leases())
		bench_must(bench_file_lease(&f), "taking a lease");
	g->map = f.map;
	measure(g, max, what);
	bench_file_close(&f);
}

static void device_dax(struct registration *g, size_t max, const char *path)
{
	int fd = bench_must(ll_open(path, O_RDWR), path);

	g->map = ll_map_fd(fd, max, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	bench_must(g->map ? 0 : -ENOMEM, "mapping the device");
	bench_populate(g->map, max, 2 * LL_MIB);
	measure(g, max, "devdax");
	munmap(g->map, max);
	close(fd);
}

int main(int argc, char **argv)
{
	size_t max = (bench_quick() ? 2 : 64) * LL_MIB;
	struct registration g = {};
	enum ll_fs fs;

	bench_init();
	bench_must(ll_rdma_open(&g.r), "opening the RDMA device");
	if (argc > 1) {
		device_dax(&g, max, argv[1]);
	} else {
		anonymous(&g, max, false);
		anonymous(&g, max, true);
		for (fs = LL_EXT4; fs <= LL_XFS; fs++) {
			leased(&g, max, fs, true);
			leased(&g, max, fs, false);
		}
	}
	ll_rdma_close(&g.r);
	return 0;
}
