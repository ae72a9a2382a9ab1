// SPDX-License-Identifier: GPL-2.0
/*
 * An RDMA application that shares its file with truncate(2).
 *
 *   aware_app DEVICE FILE
 *
 * It registers the whole file, and lives: when somebody changes the layout of
 * the file, it is told, lets go of the memory in time, and may register again.
 * One that ignores the signal is killed when fs.lease-break-time is over.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <infiniband/verbs.h>

#ifndef F_LAYOUT
#define F_LAYOUT	16
#define F_EXCLUSIVE	32
#define SI_LAYOUT	(-8)
#endif

static void say(const char *fmt, ...)
{
	struct timespec ts;
	va_list ap;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	printf("%lld aware_app: ", ts.tv_sec * 1000LL + ts.tv_nsec / 1000000);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static void die(const char *what)
{
	say("%s: %s", what, strerror(errno));
	exit(1);
}

static struct ibv_pd *open_device(const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *ctx = NULL;

	for (int i = 0; list && list[i]; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			ctx = ibv_open_device(list[i]);
	if (!ctx)
		die(name);
	return ibv_alloc_pd(ctx);
}

/*
 * The lease. SIGKILL as the signal is the opt-in, which the kernel records: this
 * process may be killed if it does not let go in time. Then the signal that this
 * program would rather be told by. It is blocked, and waited for.
 */
static void take_lease(int fd, sigset_t *told)
{
	sigemptyset(told);
	sigaddset(told, SIGRTMIN);
	sigprocmask(SIG_BLOCK, told, NULL);

	if (fcntl(fd, F_SETSIG, SIGKILL) ||
	    fcntl(fd, F_SETLEASE, F_LAYOUT | F_EXCLUSIVE))
		die("taking the layout lease");
	if (fcntl(fd, F_SETSIG, SIGRTMIN))
		die("choosing a signal");
}

int main(int argc, char **argv)
{
	struct ibv_pd *pd;
	struct ibv_mr *mr;
	siginfo_t info;
	struct stat st;
	sigset_t told;
	void *map;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: aware_app DEVICE FILE\n");
		return 2;
	}
	pd = open_device(argv[1]);
	fd = open(argv[2], O_RDWR);
	if (!pd || fd < 0 || fstat(fd, &st))
		die(argv[2]);
	take_lease(fd, &told);

	map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die("mmap");
	mr = ibv_reg_mr(pd, map, st.st_size, IBV_ACCESS_LOCAL_WRITE |
			IBV_ACCESS_REMOTE_WRITE);
	if (!mr)
		die("ibv_reg_mr");
	say("registered %lld bytes of %s", (long long)st.st_size, argv[2]);

	/* Here it would serve its peers, until it is told. */
	do {
		if (sigwaitinfo(&told, &info) < 0)
			die("sigwaitinfo");
	} while (info.si_code != SI_LAYOUT || info.si_value.sival_int != fd);
	say("told that process %d changes the layout", (int)info.si_pid);

	/* Stop the traffic, then let go: from here on the breaker proceeds. */
	say("lets go");
	if (ibv_dereg_mr(mr))
		die("ibv_dereg_mr");

	/*
	 * The lease stands. A program that goes on would stat the file, and map
	 * and register again (EAGAIN while the change is under way).
	 */
	if (fcntl(fd, F_SETLEASE, F_UNLCK))
		die("giving the lease back");
	say("lives on without the lease");
	return 0;
}
