/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A FUSE filesystem with one file, whose server answers reads when the test wants
 * it to.
 */
#ifndef LAYOUT_LEASE_FUSE_H
#define LAYOUT_LEASE_FUSE_H

#include "layout_lease_common.h"

#define LL_FUSE_BYTE	's'	/* what the file is made of */

/* One end of a pipe pair each: the server says "got READ", hears "reply". */
struct ll_fuse {
	char mnt[LL_PATH], file[LL_PATH];
	pid_t pid;
	int got_read, go;
	bool mounted;
};

int ll_fuse_mount(struct ll_fuse *f, const char *mnt);
int ll_fuse_got_read(struct ll_fuse *f);
int ll_fuse_reply(struct ll_fuse *f);
void ll_fuse_end(struct ll_fuse *f);

#endif /* LAYOUT_LEASE_FUSE_H */
