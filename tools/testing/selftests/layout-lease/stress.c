// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once, for as long as you like: holders that lease, pin, write,
 * fork, let go or do not; breakers that truncate, punch, clone, exchange and get
 * interrupted; remounts and fsyncs; on both filesystems.  What must hold:
 *
 * - a block that was freed shows nothing of those who had it,
 * - no operation takes longer than is promised,
 * - nobody is killed who did not agree,
 * - in the end no lease, no pin and no block is left.
 *
 *	stress [SECONDS [SEED]]
 *
 * The same seed makes each process do the same in the same order; how they meet is
 * the scheduler's.  The exit status is 0 if all of it held.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

static const char * const count_names[ST_COUNTS] = {
	"leases", "pins", "pins refused", "buffers", "RDMA writes", "let go", "killed",
	"left behind", "writes refused", "breaks", "denied", "interrupted", "remounts", "levers",
	"fsyncs", "audits", "reads",
};

static struct st_shared *shared;
static struct st_mount mounts[2];

void st_violation(struct st_role *r, const char *fmt, ...)
{
	va_list ap;

	__atomic_add_fetch(&r->shared->violations, 1, __ATOMIC_RELAXED);
	flockfile(stdout);
	printf("VIOLATION: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	funlockfile(stdout);
}

uint32_t st_tag(struct st_mount *m, int file)
{
	return 0xf11e0000U | (m - mounts) << 8 | file;
}

static void *share(size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

/* One process of the stress. */
static pid_t start(struct st_role *role, void (*part)(struct st_role *r))
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		part(role);
		_exit(0);
	}
	return pid;
}

/* One holder after the other, each with how it ended. */
static void holders(struct st_role *r)
{
	int status;
	pid_t pid;

	r->agreed = share(sizeof(*r->agreed));
	while (r->agreed && !st_stopped(r)) {
		*r->agreed = 0;
		st_random(r, 2);	/* each has numbers of its own */
		pid = start(r, st_holder);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			break;
		if (!WIFSIGNALED(status)) {
			if (WEXITSTATUS(status) == 2)
				st_violation(r, "a holder could not be set up");
			continue;
		}
		st_did(r, ST_KILLED);
		if (WTERMSIG(status) != SIGKILL || !*r->agreed)
			st_violation(r, "a holder that had %sagreed ended by signal %d",
				     *r->agreed ? "" : "not ", WTERMSIG(status));
	}
	_exit(0);
}

static int set_up(struct st_mount *m, enum ll_fs fs)
{
	char name[16];
	int ret = ll_setup(&m->env, fs, "break"), i;

	for (i = 0; i < ST_FILES && !ret; i++) {
		snprintf(name, sizeof(name), "f%d.2", i);
		ret = ll_sparse(&m->env, name, ST_FILE_SIZE, m->path[i]);
		snprintf(name, sizeof(name), "f%d", i);
		ret = ret ?: ll_sparse(&m->env, name, ST_FILE_SIZE, m->path[i]);
	}
	return ret;
}

/* The parts on one filesystem.  Returns how many processes there are. */
static int start_all(struct st_mount *m, uint64_t seed, pid_t *pids)
{
	static void (* const others[])(struct st_role *r) = {
		st_auditor, st_reader, st_tender,
	};
	int n = 0, i, parts = ST_HOLDERS + ST_BREAKERS + LL_ARRAY_SIZE(others);
	struct st_role role;

	for (i = 0; i < parts; i++) {
		role = (struct st_role){
			.mount = m, .shared = shared,
			.random = seed * 1000003 + (m - mounts) * 1009 + i,
		};
		pids[n++] = start(&role, i < ST_HOLDERS ? holders :
				  i < ST_HOLDERS + ST_BREAKERS ? st_breaker :
				  others[i - ST_HOLDERS - ST_BREAKERS]);
	}
	return n;
}

static void show(int64_t begun)
{
	int i;

	printf("# %3lld s:", (long long)(ll_now_ms() - begun) / 1000);
	for (i = 0; i < ST_COUNTS; i++)
		printf(" %ld %s%s", shared->count[i], count_names[i], i < ST_COUNTS - 1 ? "," : "");
	printf("; longest break %ld ms, %d violations\n", shared->longest, shared->violations);
	fflush(stdout);
}

/* In the end nothing is left: no lease, no pin, and after that no block. */
static void final_audit(struct st_mount *m, int64_t free)
{
	struct st_role role = { .mount = m, .shared = shared };
	int64_t end = ll_now_ms() + ST_BREAK_MAX, have;
	int i;

	for (i = 0; i < ST_FILES; i++) {
		while ((ll_listed(m->path[i], true) || ll_listed(m->path[i], false)) &&
		       ll_now_ms() < end)
			ll_sleep_ms(100);
		if (ll_listed(m->path[i], true))
			st_violation(&role, "%s: pins are left", m->path[i]);
		if (ll_listed(m->path[i], false))
			st_violation(&role, "%s: leases are left", m->path[i]);
	}
	if (ll_policy(&m->env, "break"))
		st_violation(&role, "%s cannot be remounted", m->env.root);
	ll_teardown(&m->env);
	/* Blocks of what was deleted are freed by a worker. */
	while ((have = ll_free_blocks(m->env.root)) < free && ll_now_ms() < end)
		ll_sleep_ms(100);
	if (have < free)
		st_violation(&role, "%s: %lld blocks are left", m->env.root,
			     (long long)(free - have));
}

int main(int argc, char **argv)
{
	long seconds = argc > 1 ? atol(argv[1]) : 60;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	pid_t pids[2 * (ST_HOLDERS + ST_BREAKERS + 3)];
	int64_t begun = ll_now_ms(), next = 0, free[2];
	int n = 0, i, status;

	printf("stress: seed %llu, %ld s\n", (unsigned long long)seed, seconds);
	shared = share(sizeof(*shared));
	if (!shared || seconds <= 0)
		return 2;
	for (i = 0; i < 2; i++) {
		free[i] = ll_root(i, &mounts[i].env.root) ?: ll_free_blocks(mounts[i].env.root);
		if (set_up(&mounts[i], i))
			return 2;
	}
	fflush(stdout);
	for (i = 0; i < 2; i++)
		n += start_all(&mounts[i], seed, pids + n);
	while (ll_now_ms() < begun + seconds * 1000) {
		if (ll_now_ms() >= begun + next * 1000) {
			show(begun);
			next += 30;
		}
		ll_sleep_ms(500);
	}
	shared->stop = 1;
	for (i = 0; i < n; i++)
		if (ll_wait_exit(pids[i], ST_BREAK_MAX + LL_SOON, &status) || status) {
			shared->violations++;
			printf("VIOLATION: process %d did not end well\n", pids[i]);
		}
	for (i = 0; i < 2; i++)
		final_audit(&mounts[i], free[i]);
	show(begun);
	for (i = ST_LEASES; i < ST_COUNTS; i++)
		if (!shared->count[i] && seconds >= 60) {
			shared->violations++;
			printf("VIOLATION: %s: none at all\n", count_names[i]);
		}
	printf("stress: seed %llu: %s\n", (unsigned long long)seed,
	       shared->violations ? "FAILED" : "all of it held");
	return shared->violations ? 1 : 0;
}
