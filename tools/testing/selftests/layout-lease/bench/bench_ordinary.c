// SPDX-License-Identifier: GPL-2.0
/*
 * What operations cost that have nothing to do with layout leases: on files
 * without one, mounted "off" and "break".
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define MAPPED		(8 * LL_PAGE)
#define TAIL		(2 * (BENCH_RUNS + 8) * LL_PAGE)
#define BUFFER		(64 * LL_KIB)

struct ordinary {
	struct bench_file f;
	char *anon;
	struct io_uring ring;
	struct io_uring fresh;
	int fd;			/* of the run */
	int lease_fd;		/* read-only, for ordinary leases */
	int grown_fd;		/* never mapped, for truncate and fallocate */
	off_t size, hole, end;
};

static int do_open(void *arg)
{
	struct ordinary *o = arg;

	o->fd = open(o->f.path, O_RDWR);
	return ll_ret(o->fd);
}

static int do_close(void *arg)
{
	return ll_ret(close(((struct ordinary *)arg)->fd));
}

static int do_read(void *arg)
{
	struct ordinary *o = arg;

	return ll_ret(pread(o->f.fd, o->anon, LL_PAGE, 0));
}

static int do_write(void *arg)
{
	struct ordinary *o = arg;

	return ll_ret(pwrite(o->f.fd, o->anon, LL_PAGE, 0));
}

static int forget_page(void *arg)
{
	struct ordinary *o = arg;

	return ll_ret(madvise(o->f.map, LL_PAGE, MADV_DONTNEED));
}

static int do_fault(void *arg)
{
	struct ordinary *o = arg;

	__atomic_store_n(o->f.map, 'x', __ATOMIC_RELAXED);
	return 0;
}

static int do_fsync(void *arg)
{
	return ll_ret(fsync(((struct ordinary *)arg)->f.fd));
}

static int dirty(void *arg)
{
	return forget_page(arg) ?: do_fault(arg);
}

static int lease_set(void *arg)
{
	return ll_setlease(((struct ordinary *)arg)->lease_fd, F_RDLCK);
}

static int lease_unset(void *arg)
{
	return ll_setlease(((struct ordinary *)arg)->lease_fd, F_UNLCK);
}

static int lease_get(void *arg)
{
	return ll_ret(fcntl(((struct ordinary *)arg)->lease_fd, F_GETLEASE));
}

static int ring_register(void *arg)
{
	struct ordinary *o = arg;
	struct iovec v = { .iov_base = o->anon, .iov_len = BUFFER };

	return io_uring_register_buffers(&o->ring, &v, 1);
}

static int ring_unregister(void *arg)
{
	return io_uring_unregister_buffers(&((struct ordinary *)arg)->ring);
}

static int ring_new(void *arg)
{
	return io_uring_queue_init(4, &((struct ordinary *)arg)->fresh, 0);
}

static int ring_first_register(void *arg)
{
	struct ordinary *o = arg;
	struct iovec v = { .iov_base = o->anon, .iov_len = BUFFER };

	return io_uring_register_buffers(&o->fresh, &v, 1);
}

static int ring_end(void *arg)
{
	io_uring_queue_exit(&((struct ordinary *)arg)->fresh);
	return 0;
}

static int do_truncate(void *arg)
{
	struct ordinary *o = arg;

	o->size -= LL_PAGE;
	return ll_ret(ftruncate(o->grown_fd, o->size));
}

static int do_punch(void *arg)
{
	struct ordinary *o = arg;

	/* Not neighbours: each hole is one of its own. */
	o->hole += 2 * LL_PAGE;
	return ll_ret(fallocate(o->grown_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				o->hole, LL_PAGE));
}

static int do_fallocate(void *arg)
{
	struct ordinary *o = arg;

	o->end += LL_PAGE;
	return ll_ret(fallocate(o->grown_fd, 0, o->end, LL_PAGE));
}

static const struct bench_op ops[] = {
	{ "open", NULL, do_open, do_close },
	{ "close", do_open, do_close, NULL },
	{ "read", NULL, do_read, NULL },
	{ "write", NULL, do_write, NULL },
	{ "fault", forget_page, do_fault, NULL },
	{ "fsync", dirty, do_fsync, NULL },
	{ "lease_set", NULL, lease_set, lease_unset },
	{ "lease_get", lease_set, lease_get, lease_unset },
	{ "lease_unset", lease_set, lease_unset, NULL },
	{ "uring_register", NULL, ring_register, ring_unregister },
	{ "uring_first_register", ring_new, ring_first_register, ring_end },
	{ "uring_unregister", ring_register, ring_unregister, NULL },
	{ "truncate", NULL, do_truncate, NULL },
	{ "punch", NULL, do_punch, NULL },
	{ "fallocate", NULL, do_fallocate, NULL },
};

static void measure(enum ll_fs fs, const char *policy)
{
	struct ordinary o = { .hole = 0, .size = 2 * TAIL, .end = 2 * TAIL };
	char path[LL_PATH];
	size_t i;

	bench_file_open(&o.f, fs, policy, MAPPED);
	bench_file_map(&o.f, MAPPED, false);
	o.anon = bench_anon(BUFFER, false);
	bench_must(io_uring_queue_init(4, &o.ring, 0), "making a ring");
	bench_must(ll_file(&o.f.env, "leased", LL_PAGE, path), "making a file");
	o.lease_fd = bench_must(ll_open(path, O_RDONLY), "opening it");
	bench_must(ll_file(&o.f.env, "grown", 2 * TAIL, path), "making a file");
	o.grown_fd = bench_must(ll_open(path, O_RDWR), "opening it");

	for (i = 0; i < LL_ARRAY_SIZE(ops); i++)
		bench_row(bench_measure(&ops[i], &o, bench_quick() ? 5 : BENCH_RUNS),
			  "%s.%s.%s", ops[i].name, bench_fs_name[fs], policy);

	io_uring_queue_exit(&o.ring);
	munmap(o.anon, BUFFER);
	close(o.lease_fd);
	close(o.grown_fd);
	bench_file_close(&o.f);
}

int main(void)
{
	enum ll_fs fs;

	bench_init();
	for (fs = LL_EXT4; fs <= LL_XFS; fs++) {
		measure(fs, "off");
		measure(fs, "break");
	}
	return 0;
}
