// SPDX-License-Identifier: GPL-2.0
/*
 * A FUSE filesystem served by the test, so that a read of its file, or a page
 * fault in a mapping of it, takes exactly as long as the test wants it to.
 *
 *   reader:   read(file) or page fault --------------------- done
 *   server:             gets READ ... waits for the test ... replies
 *
 * A request that the server has read can be ended by nothing but its reply, or
 * the end of the connection: not by a signal, and not by SIGKILL.
 */
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "layout_lease_fuse.h"

#define FILE_NODE	2

static int reply(int dev, uint64_t unique, int error, const void *data,
		 size_t len)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + len, .error = error, .unique = unique,
	};
	struct iovec iov[2] = {
		{ .iov_base = &out, .iov_len = sizeof(out) },
		{ .iov_base = (void *)data, .iov_len = len },
	};

	return writev(dev, iov, 2) < 0 ? -errno : 0;
}

static void fill_attr(struct fuse_attr *attr, uint64_t node)
{
	attr->ino = node;
	attr->mode = node == FILE_NODE ? S_IFREG | 0644 : S_IFDIR | 0755;
	attr->nlink = 1;
	attr->size = node == FILE_NODE ? LL_MIB : 0;
}

static void answer_read(int dev, const struct fuse_in_header *in, int got,
			int go)
{
	const struct fuse_read_in *arg = (const void *)(in + 1);
	char *data = malloc(arg->size), byte;

	if (!data || write(got, "", 1) != 1 || read(go, &byte, 1) != 1)
		_exit(1);
	memset(data, LL_FUSE_BYTE, arg->size);
	reply(dev, in->unique, 0, data, arg->size);
	free(data);
}

static void answer(int dev, const struct fuse_in_header *in, int got, int go)
{
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = 65536,
		.max_write = 65536,
		.max_background = 8,
		.congestion_threshold = 6,
	};
	struct fuse_entry_out entry = { .nodeid = FILE_NODE, .attr_valid = 60 };
	struct fuse_attr_out attr = { .attr_valid = 60 };
	struct fuse_open_out open = { .open_flags = FOPEN_DIRECT_IO };

	switch (in->opcode) {
	case FUSE_INIT:
		reply(dev, in->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		fill_attr(&entry.attr, FILE_NODE);
		reply(dev, in->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		fill_attr(&attr.attr, in->nodeid);
		reply(dev, in->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		reply(dev, in->unique, 0, &open, sizeof(open));
		break;
	case FUSE_READ:
		answer_read(dev, in, got, go);
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		reply(dev, in->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply(dev, in->unique, -EOPNOTSUPP, NULL, 0);
	}
}

static void serve(int dev, int got, int go)
{
	static char buf[FUSE_MIN_READ_BUFFER + 65536];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(dev, buf, sizeof(buf)) > 0)
		answer(dev, (const void *)buf, got, go);
	_exit(0);
}

/* At this directory, which is made; without any of the test's own files open. */
int ll_fuse_mount(struct ll_fuse *f, const char *mnt)
{
	int dev = ll_open("/dev/fuse", O_RDWR), got[2], go[2], ret;
	char options[128];

	if (dev < 0)
		return dev;
	snprintf(f->mnt, sizeof(f->mnt), "%s", mnt);
	snprintf(f->file, sizeof(f->file), "%.120s/source", mnt);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", dev);
	ret = ll_ret(mkdir(mnt, 0755)) ?:
	      ll_ret(mount("layout", mnt, "fuse", 0, options));
	f->mounted = !ret;
	if (ret || pipe2(got, O_CLOEXEC) || pipe2(go, O_CLOEXEC))
		return ret ?: -errno;
	f->pid = fork();
	if (!f->pid)
		serve(dev, got[1], go[0]);
	close(dev);
	close(got[1]);
	close(go[0]);
	f->got_read = got[0];
	f->go = go[1];
	return 0;
}

/* A read has begun, and waits for its reply. */
int ll_fuse_got_read(struct ll_fuse *f)
{
	struct pollfd p = { .fd = f->got_read, .events = POLLIN };
	char byte;

	if (poll(&p, 1, LL_SOON) != 1)
		return -ETIMEDOUT;
	return read(f->got_read, &byte, 1) == 1 ? 0 : -EPIPE;
}

int ll_fuse_reply(struct ll_fuse *f)
{
	return write(f->go, "", 1) == 1 ? 0 : -errno;
}

/* Whoever waits for a reply gets an error. */
void ll_fuse_end(struct ll_fuse *f)
{
	int status;

	if (f->mounted) {
		umount2(f->mnt, MNT_DETACH);
		rmdir(f->mnt);
	}
	f->mounted = false;
	if (f->pid > 0) {
		kill(f->pid, SIGKILL);
		ll_wait_exit(f->pid, LL_SOON, &status);
		close(f->got_read);
		close(f->go);
	}
	f->pid = 0;
}
