/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared parts of the attacks: a holder that does not let go, somebody who keeps
 * what it has passed on, a peer that goes on writing, and a truncate that has to
 * get through all the same.
 */
#ifndef LAYOUT_LEASE_ATTACK_H
#define LAYOUT_LEASE_ATTACK_H

#include "layout_lease_audit.h"
#include "layout_lease_revoke.h"

#define LL_BREAK_TIME	1	/* seconds, of the holders */

/* What a truncate may take, of which the holder is told, in milliseconds. */
#define LL_BOUND	((LL_BREAK_TIME + 10) * 1000)

struct ll_attack {
	struct ll_env env;
	struct ll_audit audit;
	char path[LL_PATH];
	int64_t block;			/* where the file begins */
	struct ll_holder h;		/* the attacker */
	struct ll_holder keeper;	/* an innocent who is given things */
	pid_t innocent;			/* another, who is not */
	struct ll_peer peer;
	struct ll_breaker b;
};

int ll_attack_setup(struct ll_attack *a, enum ll_fs fs);
int ll_attack_end(struct ll_attack *a);
int ll_attack_traffic(struct ll_attack *a);
int64_t ll_attack_truncate(struct ll_attack *a);
int ll_attack_watch(struct ll_attack *a);

#endif /* LAYOUT_LEASE_ATTACK_H */
