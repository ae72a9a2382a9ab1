/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An audit of a filesystem and of the processes around an attack: whatever the
 * attacker did, nothing of it may be left.
 */
#ifndef LAYOUT_LEASE_AUDIT_H
#define LAYOUT_LEASE_AUDIT_H

#include "layout_lease_common.h"

#define LL_INNOCENTS	16

struct ll_audit {
	struct ll_env *env;
	char device[64];
	int64_t free, inodes;		/* free blocks and inodes in use */
	int patience;			/* ms for pins, leases and blocks to go */
	const char *damage;		/* shell command on the unmounted device */
	pid_t innocent[LL_INNOCENTS];
	bool own[LL_INNOCENTS];		/* started by ll_audit_innocent() */
	int innocents;
};

int ll_audit_begin(struct ll_audit *a, struct ll_env *env);
pid_t ll_audit_innocent(struct ll_audit *a);
int ll_audit_watch(struct ll_audit *a, pid_t pid);
int ll_audit_innocents(struct ll_audit *a);
int ll_audit_end(struct ll_audit *a);

#endif /* LAYOUT_LEASE_AUDIT_H */
