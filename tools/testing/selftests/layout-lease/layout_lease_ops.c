// SPDX-License-Identifier: GPL-2.0
/*
 * The operations that change the layout of a file, one function each behind
 * one entry point, and a process that performs one in the background.
 *
 * Operations that need a second file take the one named like the first with
 * ".2" appended.
 */
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout_lease_common.h"

#define EXT4_IOC_SWAP_BOOT	_IO('f', 17)
#define EXT4_IOC_MOVE_EXT	_IOWR('f', 15, struct move_extent)
#define XFS_IOC_SWAPEXT		_IOWR('X', 109, struct xfs_swapext)

/* As in the kernel's fs/ext4/ext4.h. */
struct move_extent {
	uint32_t reserved;
	uint32_t donor_fd;
	uint64_t orig_start;
	uint64_t donor_start;
	uint64_t len;
	uint64_t moved_len;
};

/* As in the kernel's fs/xfs/libxfs/xfs_fs.h. */
struct xfs_bstime {
	long tv_sec;
	int32_t tv_nsec;
};

struct xfs_bstat {
	uint64_t bs_ino;
	uint16_t bs_mode;
	uint16_t bs_nlink;
	uint32_t bs_uid;
	uint32_t bs_gid;
	uint32_t bs_rdev;
	int32_t bs_blksize;
	int64_t bs_size;
	struct xfs_bstime bs_atime;
	struct xfs_bstime bs_mtime;
	struct xfs_bstime bs_ctime;
	int64_t bs_blocks;
	uint32_t bs_xflags;
	int32_t bs_extsize;
	int32_t bs_extents;
	uint32_t bs_gen;
	uint16_t bs_projid_lo;
	uint16_t bs_forkoff;
	uint16_t bs_projid_hi;
	uint16_t bs_sick;
	uint16_t bs_checked;
	unsigned char bs_pad[2];
	uint32_t bs_cowextsize;
	uint32_t bs_dmevmask;
	uint16_t bs_dmstate;
	uint16_t bs_aextents;
};

struct xfs_swapext {
	int64_t sx_version;
	int64_t sx_fdtarget;
	int64_t sx_fdtmp;
	int64_t sx_offset;
	int64_t sx_length;
	char sx_pad[16];
	struct xfs_bstat sx_stat;
};

static int other_file(const char *path)
{
	char other[LL_PATH + 2];

	snprintf(other, sizeof(other), "%s.2", path);
	return ll_open(other, O_RDWR);
}

static int o_trunc(const char *path, int flags)
{
	int fd = ll_open(path, O_WRONLY | O_TRUNC | flags);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int clone_range(int src, int dst, off_t off, off_t len)
{
	struct file_clone_range range = {
		.src_fd = src, .src_offset = off, .src_length = len,
		.dest_offset = off,
	};

	return ll_ret(ioctl(dst, FICLONERANGE, &range));
}

static int dedupe_range(int src, int dst, off_t off, off_t len)
{
	struct {
		struct file_dedupe_range range;
		struct file_dedupe_range_info info;
	} req = {
		.range = {
			.src_offset = off, .src_length = len, .dest_count = 1,
		},
		.info = { .dest_fd = dst, .dest_offset = off },
	};
	int ret = ll_ret(ioctl(src, FIDEDUPERANGE, &req));

	if (!ret && req.info.status == FILE_DEDUPE_RANGE_DIFFERS)
		return -EILSEQ;
	return ret ?: req.info.status;
}

static int swapext(int target, int tmp)
{
	struct xfs_swapext req = { .sx_fdtarget = target, .sx_fdtmp = tmp };
	struct stat st;

	if (fstat(target, &st))
		return -errno;
	req.sx_length = st.st_size;
	req.sx_stat.bs_mtime.tv_sec = st.st_mtim.tv_sec;
	req.sx_stat.bs_mtime.tv_nsec = st.st_mtim.tv_nsec;
	req.sx_stat.bs_ctime.tv_sec = st.st_ctim.tv_sec;
	req.sx_stat.bs_ctime.tv_nsec = st.st_ctim.tv_nsec;
	return ll_ret(ioctl(target, XFS_IOC_SWAPEXT, &req));
}

static int move_ext(int orig, int donor, off_t off, off_t len)
{
	struct move_extent req = {
		.donor_fd = donor,
		.orig_start = off / LL_PAGE,
		.donor_start = off / LL_PAGE,
		.len = len / LL_PAGE,
	};

	return ll_ret(ioctl(orig, EXT4_IOC_MOVE_EXT, &req));
}

static int set_dax_attr(int fd)
{
	struct fsxattr attr;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr))
		return -errno;
	attr.fsx_xflags ^= FS_XFLAG_DAX;
	return ll_ret(ioctl(fd, FS_IOC_FSSETXATTR, &attr));
}

static int do_fallocate(int fd, int mode, off_t off, off_t len)
{
	return ll_ret(fallocate(fd, mode, off, len));
}

static int break_pair(enum ll_op op, int fd, int other, off_t off, off_t len)
{
	switch (op) {
	case OP_CLONE_DST:
		return clone_range(other, fd, off, len);
	case OP_CLONE_SRC:
		return clone_range(fd, other, off, len);
	case OP_DEDUPE_DST:
		return dedupe_range(other, fd, off, len);
	case OP_DEDUPE_SRC:
		return dedupe_range(fd, other, off, len);
	case OP_SWAPEXT:
		return swapext(fd, other);
	case OP_SWAPEXT_TMP:
		return swapext(other, fd);
	case OP_MOVE_EXT:
		return move_ext(fd, other, off, len);
	default:
		return -EINVAL;
	}
}

static int break_one(enum ll_op op, int fd, off_t off, off_t len)
{
	switch (op) {
	case OP_FTRUNCATE:
		return ll_ret(ftruncate(fd, off));
	case OP_PUNCH:
		return do_fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				    FALLOC_FL_KEEP_SIZE, off, len);
	case OP_ZERO:
		return do_fallocate(fd, FALLOC_FL_ZERO_RANGE, off, len);
	case OP_COLLAPSE:
		return do_fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, off, len);
	case OP_INSERT:
		return do_fallocate(fd, FALLOC_FL_INSERT_RANGE, off, len);
	case OP_SWAP_BOOT:
		return ll_ret(ioctl(fd, EXT4_IOC_SWAP_BOOT));
	case OP_SET_DAX_ATTR:
		return set_dax_attr(fd);
	default:
		return -EINVAL;
	}
}

static void nothing(int sig)
{
	(void)sig;
}

/* Whoever has a bad page mapped gets SIGBUS, this process too. */
static int hwpoison(const char *path, off_t off)
{
	char *map = ll_map_path(path, off + LL_PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED);

	if (!map)
		return -errno;
	signal(SIGBUS, nothing);
	__atomic_load_n(map + off, __ATOMIC_RELAXED);
	return ll_ret(madvise(map + off, LL_PAGE, MADV_HWPOISON));
}

int ll_break(enum ll_op op, const char *path, off_t off, off_t len)
{
	int fd, other, ret;

	if (op == OP_UNBIND)
		return ll_write_text("/sys/bus/nd/drivers/nd_pmem/unbind", path);
	if (op == OP_HWPOISON)
		return hwpoison(path, off);
	if (op == OP_TRUNCATE)
		return ll_ret(truncate(path, off));
	if (op == OP_O_TRUNC)
		return o_trunc(path, 0);
	if (op == OP_O_TRUNC_NONBLOCK)
		return o_trunc(path, O_NONBLOCK);
	fd = ll_open(path, O_RDWR);
	if (fd < 0)
		return fd;
	if (op < OP_CLONE_DST || op == OP_SWAP_BOOT || op == OP_SET_DAX_ATTR) {
		ret = break_one(op, fd, off, len);
	} else {
		other = other_file(path);
		ret = other < 0 ? other : break_pair(op, fd, other, off, len);
		if (other >= 0)
			close(other);
	}
	close(fd);
	return ret;
}

/* The operation in a process of its own, which SIGUSR1 interrupts. */
int ll_breaker_start(struct ll_breaker *b, enum ll_op op, const char *path,
		     off_t off, off_t len)
{
	struct sigaction sa = { .sa_handler = nothing };	/* no SA_RESTART */
	int p[2], ret;

	if (pipe2(p, O_CLOEXEC))
		return -errno;
	b->pid = fork();
	if (b->pid < 0)
		return -errno;
	if (!b->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigaction(SIGUSR1, &sa, NULL);
		ret = ll_break(op, path, off, len);
		if (write(p[1], &ret, sizeof(ret)) != sizeof(ret))
			_exit(1);
		_exit(0);
	}
	close(p[1]);
	b->fd = p[0];
	return 0;
}

/* 0 and the operation's result, or -ETIMEDOUT while it is still waiting. */
int ll_breaker_wait(struct ll_breaker *b, int timeout_ms, int *ret)
{
	struct pollfd p = { .fd = b->fd, .events = POLLIN };
	int status;

	if (poll(&p, 1, timeout_ms) <= 0)
		return -ETIMEDOUT;
	if (read(b->fd, ret, sizeof(*ret)) != sizeof(*ret))
		return -EPIPE;
	close(b->fd);
	return ll_wait_exit(b->pid, LL_SOON, &status);
}

void ll_breaker_interrupt(struct ll_breaker *b)
{
	kill(b->pid, SIGUSR1);
}

/* Kills one whose result nobody waits for. */
void ll_breaker_end(struct ll_breaker *b)
{
	int status;

	kill(b->pid, SIGKILL);
	ll_wait_exit(b->pid, LL_SOON, &status);
	close(b->fd);
}
