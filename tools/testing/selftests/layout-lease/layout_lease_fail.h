/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One call again and again, with the first, the second, ... allocation in the
 * kernel failing, until none fails any more.
 */
#ifndef LAYOUT_LEASE_FAIL_H
#define LAYOUT_LEASE_FAIL_H

#include "layout_lease_common.h"

/* Each gets what ll_fail_each() was given, and returns 0 or a negative errno. */
struct ll_fail {
	int (*prepare)(void *arg);
	int (*call)(void *arg);			/* allocations fail in this one */
	int (*check)(void *arg, int ret);	/* what it returned; cleans up */
	const int *errnos;			/* besides ENOMEM; ends with 0 */
};

int ll_fail_setup(void);
int ll_fail_each(const struct ll_fail *f, void *arg, int *failed);

#endif /* LAYOUT_LEASE_FAIL_H */
