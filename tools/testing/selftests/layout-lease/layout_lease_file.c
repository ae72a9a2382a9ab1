// SPDX-License-Identifier: GPL-2.0
/*
 * Files of the layout lease tests: making and mapping them, looking at their
 * contents and at the blocks behind, and taking leases on them.
 */
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "layout_lease_common.h"

void ll_name(struct ll_env *env, const char *name, char *path)
{
	snprintf(path, LL_PATH, "%s/%s", env->dir, name);
}

int ll_open(const char *path, int flags)
{
	return ll_ret(open(path, flags | O_CLOEXEC, 0644));
}

/* A file without holes, filled with 'f'. */
int ll_file(struct ll_env *env, const char *name, size_t size, char *path)
{
	int ret = ll_sparse(env, name, size, path);

	return ret ?: ll_write_fill(path, 0, size, 'f');
}

/* A file that is one hole. */
int ll_sparse(struct ll_env *env, const char *name, size_t size, char *path)
{
	int fd, ret;

	ll_name(env, name, path);
	fd = ll_open(path, O_RDWR | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	ret = ll_ret(ftruncate(fd, size));
	close(fd);
	return ret;
}

int64_t ll_size(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -errno : st.st_size;
}

int64_t ll_blocks(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -errno : st.st_blocks;
}

int64_t ll_free_blocks(const char *root)
{
	struct statvfs st;

	sync();
	return statvfs(root, &st) ? -errno : (int64_t)st.f_bfree;
}

int ll_write_fill(const char *path, off_t off, size_t len, unsigned char byte)
{
	int fd = ll_open(path, O_WRONLY);
	char *buf;
	int ret = 0;

	if (fd < 0)
		return fd;
	buf = malloc(LL_MIB);
	if (!buf) {
		close(fd);
		return -ENOMEM;
	}
	memset(buf, byte, LL_MIB);
	while (len && !ret) {
		size_t todo = len < LL_MIB ? len : LL_MIB;
		ssize_t done = pwrite(fd, buf, todo, off);

		if (done <= 0) {
			ret = done ? -errno : -EIO;
			break;
		}
		off += done;
		len -= done;
	}
	free(buf);
	close(fd);
	return ret;
}

/* 1 if read(2) finds nothing but this byte in the range, 0 if it does not. */
int ll_filled(const char *path, off_t off, size_t len, unsigned char byte)
{
	int fd = ll_open(path, O_RDONLY);
	static unsigned char buf[65536];
	int ret = 1;

	if (fd < 0)
		return fd;
	while (len && ret == 1) {
		size_t todo = len < sizeof(buf) ? len : sizeof(buf);
		ssize_t done = pread(fd, buf, todo, off);

		if (done <= 0)
			ret = done ? -errno : 0;
		else
			ret = buf[0] == byte && !memcmp(buf, buf + 1, done - 1);
		off += done;
		len -= done;
	}
	close(fd);
	return ret;
}

static int fiemap(const char *path, off_t off, struct fiemap_extent *extents,
		  int count)
{
	struct fiemap *map;
	int fd, ret;

	fd = ll_open(path, O_RDONLY);
	if (fd < 0)
		return fd;
	map = calloc(1, sizeof(*map) + count * sizeof(map->fm_extents[0]));
	if (!map) {
		close(fd);
		return -ENOMEM;
	}
	map->fm_start = off;
	map->fm_length = count == 1 ? LL_PAGE : FIEMAP_MAX_OFFSET;
	map->fm_flags = FIEMAP_FLAG_SYNC;
	map->fm_extent_count = count;
	ret = ll_ret(ioctl(fd, FS_IOC_FIEMAP, map));
	if (!ret) {
		ret = map->fm_mapped_extents;
		memcpy(extents, map->fm_extents, ret * sizeof(*extents));
	}
	free(map);
	close(fd);
	return ret;
}

/* FIEMAP_EXTENT_* of the block at this offset, -ENODATA for a hole. */
int64_t ll_extent_flags(const char *path, off_t off)
{
	struct fiemap_extent e;
	int ret = fiemap(path, off, &e, 1);

	if (ret < 0)
		return ret;
	return ret ? (int64_t)e.fe_flags : -ENODATA;
}

/* How many extents the file has. */
int ll_extents(const char *path)
{
	static struct fiemap_extent e[64];

	return fiemap(path, 0, e, LL_ARRAY_SIZE(e));
}

/* Where the filesystem keeps the block at this offset. */
int64_t ll_physical(const char *path, off_t off)
{
	struct fiemap_extent e;
	int ret = fiemap(path, off, &e, 1);

	if (ret < 0)
		return ret;
	return ret ? (int64_t)(e.fe_physical + off - e.fe_logical) : -ENODATA;
}

/*
 * The first offset at which one of the blocks from here on appears, -ENODATA if
 * none of them does.
 */
static int64_t find_physical(const char *path, int64_t block, int64_t len)
{
	static struct fiemap_extent e[4096];
	int i, n = fiemap(path, 0, e, LL_ARRAY_SIZE(e));

	for (i = 0; i < n; i++) {
		int64_t start = e[i].fe_physical, end = start + e[i].fe_length;

		if (block < end && block + len > start)
			return e[i].fe_logical + (block > start ? block - start : 0);
	}
	return n < 0 ? n : -ENODATA;
}

/* Blocks that a filesystem keeps for itself would be freed, and not reused. */
int ll_drop_reserve(const char *root)
{
	struct statfs st;

	if (statfs(root, &st))
		return -errno;
	if (st.f_type == EXT4_SUPER_MAGIC)
		return ll_shell("echo 0 >/sys/fs/ext4/$(basename $(findmnt -no SOURCE %s))/%s",
				root, "reserved_clusters");
	return ll_shell("xfs_io -x -c 'resblks 0' %s >/dev/null", root);
}

static int take_space(int fd, off_t off, size_t piece)
{
	while (piece >= LL_PAGE) {
		if (fallocate(fd, 0, off, piece))
			piece /= 2;
		else
			off += piece;
	}
	return errno == ENOSPC ? 0 : -errno;
}

/* Makes a file of all the space there is: what is freed next is all that is free. */
int ll_prefill(const char *root, const char *path)
{
	int fd = ll_open(path, O_RDWR | O_CREAT | O_TRUNC), ret;

	if (fd < 0)
		return fd;
	ret = ll_drop_reserve(root) ?: take_space(fd, 0, 256 * LL_MIB);
	close(fd);
	return ret;
}

/*
 * Makes a file of at most this size from free space, until it owns one of the
 * blocks; the offset at which it does. Freed blocks may need a moment before
 * the filesystem gives them out.
 */
int64_t ll_reallocate(const char *path, size_t size, int64_t block, size_t len)
{
	int64_t end = ll_now_ms() + LL_SOON, off;
	int fd;

	do {
		sync();
		fd = ll_open(path, O_RDWR | O_CREAT | O_TRUNC);
		if (fd < 0)
			return fd;
		if (fallocate(fd, 0, 0, size))
			take_space(fd, 0, size / 2);
		close(fd);
		off = find_physical(path, block, len);
	} while (off == -ENODATA && ll_now_ms() < end);
	if (off < 0)
		ll_log("%s has %lld blocks from %lld on, none of %zu from %lld on",
		       path, (long long)ll_blocks(path) / 8,
		       (long long)ll_physical(path, 0) / LL_PAGE, len / LL_PAGE,
		       (long long)block / LL_PAGE);
	return off;
}

/*
 * A file whose first 2 MiB lie together on a 2 MiB boundary of the device, so
 * that DAX can map them with one entry. Where the allocator begins elsewhere,
 * what is missing to the boundary goes to a file of its own.
 */
int ll_huge_file(struct ll_env *env, char *path)
{
	char pad[LL_PATH], name[16];
	int fd, i, ret;
	int64_t at;

	for (i = 0; i < 16; i++) {
		ret = ll_sparse(env, "huge", 0, path);
		if (ret)
			return ret;
		fd = ll_open(path, O_RDWR);
		ret = ll_ret(fallocate(fd, 0, 0, LL_FILE_SIZE));
		close(fd);
		at = ll_physical(path, 0);
		if (ret || at < 0)
			return ret ?: (int)at;
		if (at % LL_PMD_LEN == 0 &&
		    ll_physical(path, LL_PMD_LEN - LL_PAGE) == at + LL_PMD_LEN - LL_PAGE)
			return ll_write_fill(path, 0, LL_FILE_SIZE, 'f');
		unlink(path);
		snprintf(name, sizeof(name), "pad%d", i);
		ret = ll_sparse(env, name, 0, pad);
		if (ret)
			return ret;
		fd = ll_open(pad, O_RDWR);
		ret = ll_ret(fallocate(fd, 0, 0, LL_PMD_LEN - at % LL_PMD_LEN));
		close(fd);
		if (ret)
			return ret;
	}
	ll_log("no aligned blocks on %s", env->root);
	return -ENOSPC;
}

/*
 * Maps at an address that lets DAX use 2 MiB entries, or at one that does not:
 * shifted by so many pages. NULL on failure.
 */
void *ll_map_fd(int fd, size_t len, int prot, int flags, int shift)
{
	char *hole, *want, *map;

	hole = mmap(NULL, len + LL_PMD_LEN, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (hole == MAP_FAILED)
		return NULL;
	want = (char *)(((uintptr_t)hole + LL_PMD_LEN - 1) & ~(LL_PMD_LEN - 1));
	munmap(hole, len + LL_PMD_LEN);
	want += shift * LL_PAGE;
	map = mmap(want, len, prot, flags | MAP_FIXED_NOREPLACE, fd, 0);
	return map == MAP_FAILED ? NULL : map;
}

void *ll_map_path(const char *path, size_t len, int prot, int flags)
{
	int fd = ll_open(path, O_RDWR);
	void *map;

	if (fd < 0)
		return NULL;
	map = ll_map_fd(fd, len, prot, flags, 0);
	close(fd);
	return map;
}

int ll_setlease(int fd, int arg)
{
	return ll_ret(fcntl(fd, F_SETLEASE, arg));
}

/*
 * Takes an exclusive lease the way an application does: the opt-in first, if
 * any, and afterwards the signal it would like to be told by (0: none).
 */
int ll_take(int fd, bool consent, int tell)
{
	int ret = 0;

	if (consent)
		ret = ll_ret(fcntl(fd, F_SETSIG, SIGKILL));
	if (!ret)
		ret = ll_setlease(fd, LL_EXCL);
	if (!ret && tell != SIGKILL)
		ret = ll_ret(fcntl(fd, F_SETSIG, tell));
	return ret;
}

/*
 * A file of ll_huge_file(), mapped, under an exclusive lease of the caller, who
 * agrees to be killed. Its descriptor.
 */
int ll_huge_leased(struct ll_env *env, char *path, int shift, char **map)
{
	int ret = ll_huge_file(env, path), fd;

	if (ret)
		return ret;
	fd = ll_open(path, O_RDWR);
	if (fd < 0)
		return fd;
	*map = ll_map_fd(fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, shift);
	ret = *map ? ll_take(fd, true, SIGKILL) : -ENOMEM;
	if (!ret)
		return fd;
	close(fd);
	return ret;
}
