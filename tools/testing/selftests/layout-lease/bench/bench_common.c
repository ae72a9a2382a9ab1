// SPDX-License-Identifier: GPL-2.0
/*
 * What all measurements share: see bench.h.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

const char *const bench_fs_name[] = { [LL_EXT4] = "ext4", [LL_XFS] = "xfs" };

static bool wall;
static uint64_t clock_cost;	/* of reading the clock */

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

void bench_init(void)
{
	const struct bench_op empty = { .name = "nothing", .run = nothing };

	wall = getenv("BENCH_WALL");
	setvbuf(stdout, NULL, _IOLBF, 0);
	clock_cost = 0;
	clock_cost = bench_measure(&empty, NULL, BENCH_RUNS);
}

bool bench_quick(void)
{
	return getenv("BENCH_QUICK");
}

bool bench_has_leases(void)
{
	return !access("/proc/layout_leases", F_OK);
}

int bench_must(long ret, const char *what)
{
	if (ret >= 0)
		return ret;
	ll_log("%s: %s", what, strerror(-ret));
	exit(1);
}

uint64_t bench_now(void)
{
	struct timespec ts;

	if (!wall)
		return __builtin_ia32_rdtsc();
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t bench_median(uint64_t *value, int count)
{
	qsort(value, count, sizeof(*value), compare);
	return value[count / 2];
}

/* The median cost of one run; one more comes first, to warm up. */
uint64_t bench_measure(const struct bench_op *op, void *arg, int runs)
{
	uint64_t cost[BENCH_RUNS], start, end;
	int i, ret;

	for (i = -1; i < runs; i++) {
		if (op->before)
			bench_must(op->before(arg), op->name);
		start = bench_now();
		bench_mark(BENCH_START);
		ret = op->run(arg);
		bench_mark(BENCH_STOP);
		end = bench_now();
		bench_must(ret, op->name);
		if (op->after)
			bench_must(op->after(arg), op->name);
		if (i >= 0)
			cost[i] = end - start;
	}
	bench_mark(BENCH_DONE);
	printf("measured\t%s\n", op->name);
	start = bench_median(cost, runs);
	return start > clock_cost ? start - clock_cost : 0;
}

void bench_row(double value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("bench\t");
	vprintf(fmt, ap);
	printf("\t%.*f\n", value == floor(value) ? 0 : 2, value);
	va_end(ap);
}

void bench_refused(int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("bench\t");
	vprintf(fmt, ap);
	printf("\t%s\n", strerrorname_np(-error));
	va_end(ap);
}

/* Something to draw. */
void bench_point(const char *curve, double x, double y)
{
	printf("point\t%s\t%.0f\t%.2f\n", curve, x, y);
}

/*
 * A file whose blocks are allocated in one go, so that DAX can use huge entries,
 * and written.
 */
void bench_file_open(struct bench_file *f, enum ll_fs fs, const char *policy,
		     size_t size)
{
	memset(f, 0, sizeof(*f));
	bench_must(ll_setup(&f->env, fs, bench_has_leases() ? policy : NULL),
		   "preparing the filesystem");
	/* ext4's writeback is slower after a remount, until RCU has come round. */
	ll_sleep_ms(500);
	ll_name(&f->env, "file", f->path);
	f->fd = bench_must(ll_open(f->path, O_RDWR | O_CREAT), "making a file");
	bench_must(ll_ret(fallocate(f->fd, 0, 0, size)), "allocating its blocks");
	bench_must(ll_write_fill(f->path, 0, size, 'f'), "writing to it");
}

/* Maps the beginning of the file, and takes the faults. */
void bench_file_map(struct bench_file *f, size_t len, bool huge)
{
	f->map = ll_map_fd(f->fd, len, PROT_READ | PROT_WRITE, MAP_SHARED,
			   huge ? 0 : 1);
	f->mapped = len;
	bench_must(f->map ? 0 : -ENOMEM, "mapping the file");
	bench_populate(f->map, len, huge ? 2 * LL_MIB : LL_PAGE);
}

/* An exclusive lease; 0, or as it is refused. */
int bench_file_lease(struct bench_file *f)
{
	return ll_take(f->fd, true, LL_SIG);
}

void bench_file_close(struct bench_file *f)
{
	if (f->map)
		munmap(f->map, f->mapped);
	close(f->fd);
	ll_teardown(&f->env);
}

/* Writes to each page, and makes sure that pages are of the size wanted. */
void bench_populate(char *map, size_t len, size_t page)
{
	struct rusage before, after;
	long faults, want = len / page;
	size_t i;

	getrusage(RUSAGE_SELF, &before);
	for (i = 0; i < len; i += LL_PAGE)
		__atomic_store_n(&map[i], 'p', __ATOMIC_RELAXED);
	getrusage(RUSAGE_SELF, &after);
	faults = after.ru_minflt - before.ru_minflt;
	if (faults >= want && faults <= want + want / 8 + 8)
		return;
	ll_log("%ld faults in %ld pages of %zu bytes", faults, want, page);
	exit(1);
}

char *bench_anon(size_t len, bool huge)
{
	char *map = ll_map_fd(-1, len, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, 0);

	bench_must(map ? 0 : -ENOMEM, "mapping memory");
	bench_must(ll_ret(madvise(map, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE)),
		   "madvise");
	bench_populate(map, len, huge ? 2 * LL_MIB : LL_PAGE);
	return map;
}

/*
 * Registers count buffers of a page each, buffer i being page
 * (first + i) % pages of the mapping, in as many rings as it takes.
 */
int bench_pin(struct bench_pins *p, char *map, int first, int count, int pages)
{
	static struct iovec v[BENCH_SLOTS];
	int done = 0, i, n, ret = 0;

	p->nr_rings = 0;
	p->ring = calloc(count / BENCH_SLOTS + 1, sizeof(*p->ring));
	if (!p->ring)
		return -ENOMEM;
	while (done < count && !ret) {
		n = count - done < BENCH_SLOTS ? count - done : BENCH_SLOTS;
		for (i = 0; i < n; i++) {
			v[i].iov_base = map + (size_t)((first + done + i) % pages) * LL_PAGE;
			v[i].iov_len = LL_PAGE;
		}
		ret = io_uring_queue_init(4, &p->ring[p->nr_rings], 0);
		if (ret)
			break;
		ret = io_uring_register_buffers(&p->ring[p->nr_rings++], v, n);
		done += n;
	}
	return ret;
}

void bench_unpin(struct bench_pins *p)
{
	while (p->nr_rings) {
		p->nr_rings--;
		io_uring_unregister_buffers(&p->ring[p->nr_rings]);
		io_uring_queue_exit(&p->ring[p->nr_rings]);
	}
	free(p->ring);
}

/* Bytes of kernel memory in slabs. */
long bench_slab(void)
{
	char line[128];
	long kib = -ENODATA;
	FILE *f;

	/* what was freed a moment ago may be on its way */
	ll_sleep_ms(1000);
	/* each processor has a share that it adds only when it is large */
	bench_must(ll_write_text("/proc/sys/vm/stat_refresh", "1"), "stat_refresh");
	f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Slab: %ld kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	bench_must(kib, "reading /proc/meminfo");
	return kib * LL_KIB;
}
