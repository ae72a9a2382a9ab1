// SPDX-License-Identifier: GPL-2.0
/*
 * A truncate that waits for pins: how often it wakes, by what, and how long it
 * takes from the last unpin to its end.
 *
 * The events of the scheduler and of timers are counted by tracing, for the
 * thread that truncates.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define PINS	8	/* in the range: all but the last must not wake anybody */
#define WAIT_MS	3000

struct breaker {
	const char *path;
	pid_t tid;	/* 0 until it runs */
	int ret;
	uint64_t end;
};

static int put(const char *name, const char *text)
{
	char path[LL_PATH];
	int fd, ret;

	snprintf(path, sizeof(path), TRACING "%s", name);
	fd = ll_open(path, O_WRONLY | O_TRUNC);
	if (fd < 0)
		return fd;
	ret = ll_ret(write(fd, text, strlen(text)));
	close(fd);
	return ret;
}

/* Count the wake-ups of this thread, and the timers that expire for it. */
static void trace(pid_t tid)
{
	char text[64];

	bench_must(put("tracing_on", "0"), "tracing");
	bench_must(put("trace", ""), "tracing");
	snprintf(text, sizeof(text), "pid == %d", tid);
	bench_must(put("events/sched/sched_wakeup/filter", text), "tracing");
	bench_must(put("events/sched/sched_wakeup/enable", "1"), "tracing");
	bench_must(put("events/timer/timer_start/enable", "1"), "tracing");
	bench_must(put("events/timer/hrtimer_start/enable", "1"), "tracing");
	bench_must(put("tracing_on", "1"), "tracing");
}

/* Lines of the trace with this text; of the thread, if that is not 0. */
static int traced(const char *event, pid_t tid)
{
	char line[512], who[32];
	FILE *f = fopen(TRACING "trace", "re");
	int count = 0;

	snprintf(who, sizeof(who), "-%d ", tid);
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, event) && (!tid || strstr(line, who)))
			count++;
	bench_must(f ? 0 : -errno, "reading the trace");
	fclose(f);
	return count;
}

static void *do_break(void *arg)
{
	struct breaker *b = arg;

	__atomic_store_n(&b->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	b->ret = ll_ret(truncate(b->path, 0));
	b->end = bench_now();
	return NULL;
}

/* The process that truncates; the pins are those of its parent. */
static void breaker(const char *path, int in, int out)
{
	struct breaker b = { .path = path };
	pthread_t thread;
	int go;

	bench_must(-pthread_create(&thread, NULL, do_break, &b), "a thread");
	while (!__atomic_load_n(&b.tid, __ATOMIC_SEQ_CST))
		ll_sleep_ms(1);
	bench_must(write(out, &b.tid, sizeof(b.tid)), "answering");
	bench_must(read(in, &go, sizeof(go)), "waiting");
	pthread_join(thread, NULL);
	bench_must(b.ret, "truncating");
	bench_must(write(out, &b.end, sizeof(b.end)), "answering");
	_exit(0);
}

static void refused(int error, enum ll_fs fs)
{
	bench_refused(error, "wakeups.waiting.%s", bench_fs_name[fs]);
	bench_refused(error, "wakeups.unpin.%s", bench_fs_name[fs]);
	bench_refused(error, "timers.waiting.%s", bench_fs_name[fs]);
	bench_refused(error, "unpin_to_end.%s", bench_fs_name[fs]);
}

static void measure(struct bench_file *f, struct ibv_mr **mr, enum ll_fs fs)
{
	int to[2], from[2], waiting, i, timers;
	uint64_t start, end;
	pid_t pid, tid;

	bench_must(ll_ret(pipe(to)) ?: ll_ret(pipe(from)), "pipes");
	pid = bench_must(fork(), "fork");
	if (!pid)
		breaker(f->path, to[0], from[1]);
	bench_must(read(from[0], &tid, sizeof(tid)), "the breaker");
	/* Until it sleeps: what it does before is not waiting. */
	while (ll_shell("grep -q '^State:.S' /proc/%d/task/%d/status", pid, tid))
		ll_sleep_ms(10);
	trace(tid);
	ll_sleep_ms(bench_quick() ? 100 : WAIT_MS);
	waiting = traced("sched_wakeup:", 0);
	timers = traced("timer_start:", tid);
	for (i = 0; i < PINS; i++) {
		start = bench_now();
		bench_must(ll_dereg(&mr[i]), "ibv_dereg_mr");
	}
	bench_must(write(to[1], &i, sizeof(i)), "telling the breaker");
	bench_must(read(from[0], &end, sizeof(end)), "the breaker");
	bench_must(put("tracing_on", "0"), "tracing");
	bench_row(waiting, "wakeups.waiting.%s", bench_fs_name[fs]);
	bench_row(timers, "timers.waiting.%s", bench_fs_name[fs]);
	bench_row(traced("sched_wakeup:", 0) - waiting, "wakeups.unpin.%s",
		  bench_fs_name[fs]);
	bench_row(end - start, "unpin_to_end.%s", bench_fs_name[fs]);
	bench_must(ll_wait_exit(pid, LL_SOON, &i), "the breaker");
	for (i = 0; i < 2; i++) {
		close(to[i]);
		close(from[i]);
	}
}

int main(void)
{
	struct ibv_mr *mr[PINS] = {};
	struct bench_file f;
	struct ll_rdma r;
	enum ll_fs fs;
	int i, ret;

	bench_init();
	bench_must(ll_rdma_open(&r), "opening the RDMA device");
	for (fs = LL_EXT4; fs <= LL_XFS; fs++) {
		bench_file_open(&f, fs, "break", LL_FILE_SIZE);
		bench_must(ll_sysctl("lease-break-time", 3600), "lease-break-time");
		bench_file_map(&f, LL_FILE_SIZE, false);
		if (bench_has_leases())
			bench_must(bench_file_lease(&f), "taking a lease");
		signal(LL_SIG, SIG_IGN);
		for (i = 0, ret = 0; i < PINS && !ret; i++)
			ret = ll_reg(&r, f.map + 2 * i * LL_PAGE, LL_PAGE, &mr[i]);
		if (ret)
			refused(ret, fs);
		else
			measure(&f, mr, fs);
		bench_file_close(&f);
	}
	ll_rdma_close(&r);
	return 0;
}
