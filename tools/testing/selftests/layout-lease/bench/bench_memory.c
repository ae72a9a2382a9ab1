// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel memory per pin, per lease and per file with a lease, and a million pins
 * that are broken.
 *
 * It is what /proc/meminfo says of all slabs, so rounding, slots in tables and
 * what memory control groups keep for each object are in it.  A pin is the
 * difference between registering pages of a leased file and as many anonymous
 * ones with ibv_reg_mr().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PINS	8192
#define LEASES	4096
#define MILLION	1000000

static struct ll_rdma rdma;

/* Bytes of slabs per registration of one page of the mapping, or why not. */
static int per_registration(char *map, int count, double *bytes)
{
	struct ibv_mr **mr = calloc(count, sizeof(*mr));
	long before;
	int i, ret = 0;

	bench_must(mr ? 0 : -ENOMEM, "memory");
	before = bench_slab();
	for (i = 0; i < count && !ret; i++)
		ret = ll_reg(&rdma, map + i * LL_PAGE, LL_PAGE, &mr[i]);
	*bytes = (double)(bench_slab() - before) / count;
	while (i--)
		if (mr[i])
			ll_dereg(&mr[i]);
	free(mr);
	return ret;
}

static void pins(int count)
{
	double warm, anon, leased;
	struct bench_file f;
	char *map;
	int ret;

	bench_file_open(&f, LL_EXT4, "break", count * LL_PAGE);
	bench_file_map(&f, count * LL_PAGE, false);
	if (bench_has_leases())
		bench_must(bench_file_lease(&f), "taking a lease");
	map = bench_anon(count * LL_PAGE, false);
	bench_must(per_registration(map, count, &warm), "registering");
	bench_must(per_registration(map, count, &anon), "registering");
	ret = per_registration(f.map, count, &leased);
	if (ret)
		bench_refused(ret, "memory.pin");
	else
		bench_row(leased - anon, "memory.pin");
	munmap(map, count * LL_PAGE);
	bench_file_close(&f);
}

static int exclusive(int fd)
{
	return ll_setlease(fd, LL_EXCL);
}

/* Bytes of slabs per lease: all on one file, or on a file of its own each. */
static void leases(int count, bool files, const char *row)
{
	struct bench_file f;
	char path[LL_PATH], name[16];
	int *fd = calloc(count, sizeof(*fd));
	int i, ret = 0;
	long before;

	bench_must(fd ? 0 : -ENOMEM, "memory");
	bench_file_open(&f, LL_EXT4, "deny", LL_PAGE);
	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "f%d", files ? i : 0);
		ll_name(&f.env, name, path);
		fd[i] = bench_must(ll_open(path, O_RDWR | O_CREAT), "opening a file");
	}
	/* what a file needs once, if this is about leases */
	if (!files)
		exclusive(fd[0]);
	before = bench_slab();
	for (i = 0; i < count && !ret; i++)
		ret = exclusive(fd[i]);
	if (ret)
		bench_refused(ret, "%s", row);
	else
		bench_row((double)(bench_slab() - before) / count, "%s", row);
	for (i = 0; i < count; i++)
		close(fd[i]);
	free(fd);
	bench_file_close(&f);
}

/* The holder: says 0, or why it could not pin, and stays. */
static void hold(struct bench_file *f, int count, int pages, int out)
{
	struct bench_pins p;
	int ret = 0;

	if (bench_has_leases())
		/* agrees to be killed, and does not want to be told */
		ret = ll_take(f->fd, true, SIGKILL);
	ret = ret ?: bench_pin(&p, f->map, 0, count, pages);
	bench_must(write(out, &ret, sizeof(ret)), "answering");
	for (;;)
		pause();
}

static void break_all(int count)
{
	int pages = count / 16, out[2], ret, status;
	struct bench_file f;
	uint64_t start;
	long before;
	pid_t pid;

	bench_file_open(&f, LL_EXT4, "break", pages * LL_PAGE);
	bench_file_map(&f, pages * LL_PAGE, false);
	bench_must(ll_ret(pipe(out)), "a pipe");
	before = bench_slab();
	pid = bench_must(fork(), "fork");
	if (!pid)
		hold(&f, count, pages, out[1]);
	if (read(out[0], &ret, sizeof(ret)) != sizeof(ret))
		bench_must(-EPIPE, "the holder");
	if (ret) {
		bench_refused(ret, "memory.million");
		bench_refused(ret, "break.million");
		kill(pid, SIGKILL);
	} else {
		bench_row((double)(bench_slab() - before) / count, "memory.million");
		start = bench_now();
		bench_must(ll_ret(ftruncate(f.fd, 0)), "truncating what is pinned");
		bench_row((double)(bench_now() - start) / count, "break.million");
	}
	bench_must(ll_ret(waitpid(pid, &status, 0)), "waiting for the holder");
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		bench_must(-EINVAL, "the end of the holder");
	close(out[0]);
	close(out[1]);
	bench_file_close(&f);
}

int main(void)
{
	struct rlimit files = { .rlim_cur = 65536, .rlim_max = 65536 };
	int less = bench_quick() ? 100 : 1;

	bench_init();
	bench_must(ll_ret(setrlimit(RLIMIT_NOFILE, &files)), "RLIMIT_NOFILE");
	bench_must(ll_rdma_open(&rdma), "opening the RDMA device");
	pins(PINS / less);
	ll_rdma_close(&rdma);
	leases(LEASES / less, false, "memory.lease");
	leases(LEASES / less, true, "memory.file");
	break_all(MILLION / less);
	return 0;
}
