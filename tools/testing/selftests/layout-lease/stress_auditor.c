// SPDX-License-Identifier: GPL-2.0
/*
 * Those who look, and those who tend: an auditor takes blocks that others have
 * freed, and sees that they keep what it writes to them; a reader sees that a file
 * shows nothing but its own words; a tender remounts, syncs and revokes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stress.h"

/* The first word that does not have the tag, NULL if all do. */
static uint64_t *foreign(uint64_t *word, size_t len, uint32_t tag, bool holes)
{
	size_t i;

	for (i = 0; i < len / sizeof(*word); i++)
		if (word[i] >> 32 != tag && !(holes && !word[i]))
			return &word[i];
	return NULL;
}

static void audit(struct st_role *r, const char *path, uint32_t tag)
{
	int64_t free = ll_free_blocks(r->mount->env.root);
	size_t size, i;
	uint64_t *map, *bad;
	int fd;

	/* Much of what is free, so that what was just freed is among it. */
	size = free > 0 ? free / 4 + st_random(r, free / 4 + 1) : 0;
	size = size * LL_PAGE;
	if (size > 192 * LL_MIB)
		size = 192 * LL_MIB;
	fd = ll_open(path, O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0 || !size || posix_fallocate(fd, 0, size))
		goto close_fd;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		goto close_fd;
	for (i = 0; i < size / sizeof(*map); i++)
		map[i] = st_word(tag, i);
	ll_sleep_ms(st_random(r, 1500));
	bad = foreign(map, size, tag, false);
	if (bad)
		st_violation(r, "%s+0x%zx: %016llx is somebody else's", path,
			     (char *)bad - (char *)map, (unsigned long long)*bad);
	st_did(r, ST_AUDITS);
	munmap(map, size);
close_fd:
	if (fd >= 0)
		close(fd);
	unlink(path);
}

void st_auditor(struct st_role *r)
{
	char path[LL_PATH];
	uint32_t n = 0;

	ll_name(&r->mount->env, "audit", path);
	while (!st_stopped(r)) {
		audit(r, path, ST_PATTERN | (n++ & 0xfff));
		ll_sleep_ms(st_random(r, 200));
	}
	_exit(0);
}

void st_reader(struct st_role *r)
{
	static uint64_t buf[LL_MIB / sizeof(uint64_t)];
	uint64_t *bad;
	ssize_t got;
	off_t off;
	int file, fd;

	while (!st_stopped(r)) {
		file = st_random(r, ST_FILES);
		fd = ll_open(r->mount->path[file], O_RDONLY);
		off = st_random(r, ST_FILE_SIZE / LL_PAGE) * LL_PAGE;
		got = fd < 0 ? 0 : pread(fd, buf, sizeof(buf), off);
		bad = got > 0 ? foreign(buf, got, st_tag(r->mount, file), true) : NULL;
		if (bad)
			st_violation(r, "%s+0x%zx: %016llx is not its own",
				     r->mount->path[file], (char *)bad - (char *)buf + off,
				     (unsigned long long)*bad);
		st_did(r, ST_READS);
		if (fd >= 0)
			close(fd);
		ll_sleep_ms(st_random(r, 60));
	}
	_exit(0);
}

static void sync_one(struct st_role *r)
{
	int fd = ll_open(r->mount->path[st_random(r, ST_FILES)], O_RDWR);

	if (fd < 0)
		return;
	if (st_chance(r, 20) ? syncfs(fd) : fsync(fd))
		st_violation(r, "sync: %s", strerror(errno));
	st_did(r, ST_FSYNCS);
	close(fd);
}

/* An administrator takes the pins of a file away, if there are any. */
static void pull_lever(struct st_role *r)
{
	char request[64];
	struct ll_id id;
	int fd, len;

	if (ll_identify(r->mount->path[st_random(r, ST_FILES)], &id))
		return;
	fd = ll_open("/proc/layout_revoke", O_WRONLY);
	len = snprintf(request, sizeof(request), "file %u:%u %llu", id.major, id.minor, id.ino);
	if (write(fd, request, len) == len)
		st_did(r, ST_LEVERS);
	else if (errno != ENOENT)
		st_violation(r, "the lever: %s", strerror(errno));
	close(fd);
}

void st_tender(struct st_role *r)
{
	static const char * const policies[] = { "break", "break", "break", "deny", "off" };
	char option[32];
	int ret;

	while (!st_stopped(r)) {
		ll_sleep_ms(st_random(r, 500));
		if (st_chance(r, 20)) {
			pull_lever(r);
			continue;
		}
		if (st_chance(r, 80)) {
			sync_one(r);
			continue;
		}
		snprintf(option, sizeof(option), "layout_lease=%s",
			 policies[st_random(r, LL_ARRAY_SIZE(policies))]);
		ret = ll_remount(r->mount->env.root, option);
		if (ret && ret != -EBUSY)
			st_violation(r, "remount with %s: %d", option, ret);
		st_did(r, ST_REMOUNTS);
	}
	_exit(0);
}
