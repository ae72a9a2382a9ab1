/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared parts of the measurements: the clock, medians, and rows of results.
 *
 * On a processor that counts instructions (vm.sh --counted) the time stamp
 * counter is that count; elsewhere, with BENCH_WALL=1, the clock is that on the
 * wall, in nanoseconds.  BENCH_QUICK=1 does the same with less of everything, to
 * see that it works.
 *
 * A row is a line "bench KEY VALUE", separated by tabs; the value of what is
 * refused is the name of the errno.  What must not fail ends the program.
 */
#ifndef LAYOUT_LEASE_BENCH_H
#define LAYOUT_LEASE_BENCH_H

#include <liburing.h>

#include "../layout_lease_common.h"

#define BENCH_RUNS	101	/* of an operation, for its median; odd */
#define BENCH_KEY	64
#define TRACING		"/sys/kernel/tracing/"
#define BENCH_SLOTS	16384	/* buffers that a ring takes at most */

/*
 * Does nothing, but to an emulator that looks for it: what comes is a run of what
 * is measured, was one, or all runs are done.
 */
#define BENCH_START	0
#define BENCH_STOP	1
#define BENCH_DONE	2
#if defined(__x86_64__)
#define BENCH_MARK	"nopl %c0(%%rax)"
#else
#define BENCH_MARK	""
#endif

/* Inline, since the number is part of the instruction. */
static __always_inline void bench_mark(int what)
{
	asm volatile(BENCH_MARK :: "i" (0x424c4c00 + what) : "memory");
}

/* What is measured, and what it needs before and after each run. */
struct bench_op {
	const char *name;
	int (*before)(void *arg);
	int (*run)(void *arg);
	int (*after)(void *arg);
};

/* A file on a filesystem mounted with a policy, open and mapped. */
struct bench_file {
	struct ll_env env;
	char path[LL_PATH];
	int fd;
	size_t mapped;	/* bytes of it at map */
	char *map;
};

/* Registered buffers of one page each: one pin each. */
struct bench_pins {
	struct io_uring *ring;
	int nr_rings;
};

extern const char *const bench_fs_name[];

void bench_init(void);
bool bench_quick(void);
bool bench_has_leases(void);
int bench_must(long ret, const char *what);
uint64_t bench_now(void);
uint64_t bench_median(uint64_t *value, int count);
uint64_t bench_measure(const struct bench_op *op, void *arg, int runs);

void bench_row(double value, const char *fmt, ...) __printf(2, 3);
void bench_refused(int error, const char *fmt, ...) __printf(2, 3);
void bench_point(const char *curve, double x, double y);

void bench_file_open(struct bench_file *f, enum ll_fs fs, const char *policy,
		     size_t size);
void bench_file_map(struct bench_file *f, size_t len, bool huge);
int bench_file_lease(struct bench_file *f);
void bench_file_close(struct bench_file *f);
void bench_populate(char *map, size_t len, size_t page);
char *bench_anon(size_t len, bool huge);

int bench_pin(struct bench_pins *p, char *map, int first, int count, int pages);
void bench_unpin(struct bench_pins *p);
long bench_slab(void);

#endif /* LAYOUT_LEASE_BENCH_H */
