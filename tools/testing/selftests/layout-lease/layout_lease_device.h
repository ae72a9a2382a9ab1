/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared parts of the tests of dying devices: a third device, which is there to
 * be taken away and to be made bad, with a filesystem of the test's own.
 */
#ifndef LAYOUT_LEASE_DEVICE_H
#define LAYOUT_LEASE_DEVICE_H

#include "layout_lease_uring.h"

#define LL_SPARE_ROOT	"/mnt/layout-spare"

/* The spare device: what it is called where. */
struct ll_spare {
	char namespace[32];	/* by ndctl */
	char block[32];		/* in /dev */
	char driven[32];	/* what the driver is bound to */
};

int ll_spare_mount(struct ll_spare *s, enum ll_fs fs, const char *mkfs);
int ll_spare_mount_realtime(struct ll_spare *s);
int ll_spare_driven(struct ll_spare *s);
int ll_spare_end(struct ll_spare *s);
int ll_unbind_start(struct ll_breaker *b, struct ll_spare *s);
int64_t ll_unbind(struct ll_breaker *b, struct ll_spare *s);
int64_t ll_pfn(const char *path, off_t off);
int ll_corrupt(int64_t pfn);

#endif /* LAYOUT_LEASE_DEVICE_H */
