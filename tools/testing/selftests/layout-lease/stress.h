/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stress test: its parts, and what they share.
 *
 * Each file has a tag, which is the upper half of every 64-bit word that
 * anybody ever writes to it.  So whatever shows up somewhere tells where it comes
 * from: a block that was freed and given to another file must never show the tag
 * of the one that had it, whoever still has it pinned.
 */
#ifndef LAYOUT_LEASE_STRESS_H
#define LAYOUT_LEASE_STRESS_H

#include "layout_lease_uring.h"

#define ST_FILES	5		/* per filesystem, each with a partner */
#define ST_FILE_SIZE	(8 * LL_MIB)
#define ST_HOLDERS	4		/* per filesystem */
#define ST_BREAKERS	3
#define ST_PATTERN	0xa0d17000U	/* tags of auditors, and of none else */

/*
 * What a truncate may take, in milliseconds: the break time of 1 s and 10 s, the
 * 50 s for which soft-RoCE may wait, and a slow machine.
 */
#define ST_BREAK_MAX	90000

enum st_count {
	ST_LEASES, ST_PINS, ST_PINS_REFUSED, ST_BUFFERS, ST_WRITES, ST_LET_GO, ST_KILLED,
	ST_LEFT, ST_WRITES_REFUSED, ST_BREAKS, ST_DENIED, ST_INTERRUPTED, ST_REMOUNTS, ST_LEVERS,
	ST_FSYNCS, ST_AUDITS, ST_READS,
	ST_COUNTS,
};

/* Shared by all processes. */
struct st_shared {
	int stop;
	int violations;
	long longest;			/* of a break, in milliseconds */
	long count[ST_COUNTS];
};

/* A filesystem under stress. */
struct st_mount {
	struct ll_env env;
	char path[ST_FILES][LL_PATH];
};

/* A process: where it works, and its random numbers. */
struct st_role {
	struct st_mount *mount;
	struct st_shared *shared;
	uint64_t random;
	int *agreed;		/* of a holder: may it be killed? */
};

static inline uint64_t st_random(struct st_role *r, uint64_t below)
{
	/* splitmix64 */
	uint64_t z = (r->random += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (z ^ (z >> 31)) % below;
}

static inline bool st_chance(struct st_role *r, int percent)
{
	return st_random(r, 100) < (uint64_t)percent;
}

static inline bool st_stopped(struct st_role *r)
{
	return __atomic_load_n(&r->shared->stop, __ATOMIC_RELAXED);
}

static inline void st_did(struct st_role *r, enum st_count what)
{
	__atomic_add_fetch(&r->shared->count[what], 1, __ATOMIC_RELAXED);
}

static inline uint64_t st_word(uint32_t tag, uint32_t n)
{
	return (uint64_t)tag << 32 | n;
}

void st_violation(struct st_role *r, const char *fmt, ...) __printf(2, 3);
uint32_t st_tag(struct st_mount *m, int file);

void st_holder(struct st_role *r);	/* stress_holder.c */
void st_breaker(struct st_role *r);	/* stress_breaker.c */
void st_auditor(struct st_role *r);	/* stress_auditor.c */
void st_reader(struct st_role *r);
void st_tender(struct st_role *r);

#endif /* LAYOUT_LEASE_STRESS_H */
