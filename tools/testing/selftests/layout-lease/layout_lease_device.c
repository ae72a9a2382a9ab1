// SPDX-License-Identifier: GPL-2.0
/*
 * A device that is there to be taken away and to be made bad.
 *
 * Each test makes its namespace anew, and leaves nothing mounted: what one has
 * done to the device, or left behind when it was killed, is gone in the next.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout_lease_device.h"

#define NAMESPACE	"SPARE"
#define OPTIONS		"dax=always,layout_lease=break"
#define DATA		"/tmp/layout-spare-data"
#define CORRUPT		"/sys/kernel/debug/hwpoison/corrupt-pfn"

/* of an entry in pagemap */
#define PRESENT		0x8000000000000000ULL
#define PFN		0x007fffffffffffffULL

static int find(struct ll_spare *s)
{
	const char *name = getenv(NAMESPACE);
	int n;

	if (!name || sscanf(name, "namespace%d.0", &n) != 1) {
		ll_log("%s is not set: it must name a namespace that may be lost",
		       NAMESPACE);
		return -ENOENT;
	}
	snprintf(s->namespace, sizeof(s->namespace), "%s", name);
	snprintf(s->block, sizeof(s->block), "pmem%d", n);
	return 0;
}

/* What the driver is bound to: not the namespace, but what was found in it. */
int ll_spare_driven(struct ll_spare *s)
{
	char link[64], target[256];
	ssize_t len;

	snprintf(link, sizeof(link), "/sys/block/%s/device", s->block);
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	snprintf(s->driven, sizeof(s->driven), "%.31s", strrchr(target, '/') + 1);
	return 0;
}

/* Nothing of it is mounted, and it is not in use. */
static int clear(struct ll_spare *s)
{
	while (!umount2(LL_SPARE_ROOT, MNT_DETACH))
		;
	return ll_spare_driven(s) ? 0 : ll_break(OP_UNBIND, s->driven, 0, 0);
}

static int make_namespace(struct ll_spare *s)
{
	int ret = find(s) ?: clear(s);

	if (ret)
		return ret;
	mkdir(LL_SPARE_ROOT, 0755);
	return ll_command("ndctl create-namespace -f -e %s -m fsdax -M mem",
			  s->namespace);
}

/* What has been mounted takes the place of what tests of that type usually have. */
static int mounted(struct ll_spare *s, enum ll_fs fs, int error)
{
	if (error) {
		ll_shell("cat " LL_ERR " >&2");
		return error;
	}
	setenv(fs == LL_EXT4 ? "EXT4" : "XFS", LL_SPARE_ROOT, 1);
	return ll_spare_driven(s);
}

/* A filesystem of this type on the device, mounted with "break". */
int ll_spare_mount(struct ll_spare *s, enum ll_fs fs, const char *mkfs)
{
	int ret = make_namespace(s) ?:
		  ll_command("%s /dev/%s", mkfs, s->block) ?:
		  ll_command("mount -o %s /dev/%s %s", OPTIONS, s->block,
			     LL_SPARE_ROOT);

	return mounted(s, fs, ret);
}

/* An XFS with its files on the device and all else in a file, which has no DAX. */
int ll_spare_mount_realtime(struct ll_spare *s)
{
	int ret = make_namespace(s) ?:
		  ll_command("rm -f %s && truncate -s 512M %s", DATA, DATA) ?:
		  ll_command("mkfs.xfs -q -f -m reflink=0,rmapbt=0 %s -r rtdev=/dev/%s %s",
			     "-d rtinherit=1", s->block, DATA) ?:
		  /* detached when it is unmounted */
		  ll_command("l=$(losetup -f --show %s) && %s,rtdev=/dev/%s $l %s; %s", DATA,
			     "mount -o " OPTIONS, s->block, LL_SPARE_ROOT,
			     "r=$?; losetup -d $l; exit $r");

	return mounted(s, LL_XFS, ret);
}

/*
 * Unmounts what is left of the filesystem. For a moment after the last pin is
 * gone its file may be in use.
 */
int ll_spare_end(struct ll_spare *s)
{
	int64_t end = ll_now_ms() + LL_SOON;
	int ret;

	while ((ret = ll_ret(umount(LL_SPARE_ROOT))) == -EBUSY &&
	       ll_now_ms() < end)
		ll_sleep_ms(20);
	return ret;
}

/* Takes the device away, in a process of its own. */
int ll_unbind_start(struct ll_breaker *b, struct ll_spare *s)
{
	return ll_breaker_start(b, OP_UNBIND, s->driven, 0, 0);
}

/* The same, and how long that took, or why it did not work. */
int64_t ll_unbind(struct ll_breaker *b, struct ll_spare *s)
{
	int64_t start = ll_now_ms();
	int ret = ll_unbind_start(b, s) ?: ll_finish(b, 3 * LL_SOON);

	return ret ?: ll_now_ms() - start;
}

/* The page frame of this page of the file. */
int64_t ll_pfn(const char *path, off_t off)
{
	uint64_t entry = 0;
	int64_t ret;
	char *map;
	int fd;

	map = ll_map_path(path, off + LL_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (!map)
		return -errno;
	__atomic_load_n(map + off, __ATOMIC_RELAXED);
	fd = ll_open("/proc/self/pagemap", O_RDONLY);
	ret = fd < 0 ? fd : pread(fd, &entry, sizeof(entry),
				  (uintptr_t)(map + off) / LL_PAGE * sizeof(entry));
	if (fd >= 0)
		close(fd);
	munmap(map, off + LL_PAGE);
	if (ret != sizeof(entry))
		return ret < 0 ? ret : -EIO;
	return entry & PRESENT ? (int64_t)(entry & PFN) : -ENXIO;
}

/* Reports that this page frame is bad, as the hardware would. */
int ll_corrupt(int64_t pfn)
{
	char text[32];

	snprintf(text, sizeof(text), "%#llx", (long long)pfn);
	return ll_write_text(CORRUPT, text);
}
