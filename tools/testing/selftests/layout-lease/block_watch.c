// SPDX-License-Identifier: GPL-2.0
/*
 * Where the blocks of a file went, and whether they keep what was written.
 *
 *   block_watch where FILE               the first physical block, in bytes
 *   block_watch fill FILE                makes FILE of all free space
 *   block_watch take FILE BLOCK BYTES    makes FILE of at most so many bytes from
 *                                        free space, until it owns BLOCK or one
 *                                        behind
 *   block_watch paint FILE               fills FILE with a pattern
 *   block_watch hold FILE MILLISECONDS   0 if the file keeps its pattern so long
 */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout_lease_common.h"

#define PATTERN 0xa5

static int fail(const char *what, const char *path, int error)
{
	fprintf(stderr, "block_watch: %s %s: %s\n", what, path, strerror(-error));
	return 1;
}

static int fill(const char *path)
{
	char *root = strdup(path);
	int ret;

	if (!root)
		return 1;
	ret = ll_prefill(dirname(root), path);
	free(root);
	return ret ? fail("filling", path, ret) : 0;
}

static int take(const char *path, int64_t block, size_t size)
{
	int64_t off = ll_reallocate(path, size, block, size);

	if (off < 0)
		return fail("taking the blocks for", path, off);
	printf("%lld MiB\n", (long long)(ll_size(path) / LL_MIB));
	return 0;
}

static int paint(const char *path)
{
	int ret = ll_write_fill(path, 0, ll_size(path), PATTERN);

	return ret ? fail("painting", path, ret) : 0;
}

static int hold(const char *path, int ms)
{
	int64_t end = ll_now_ms() + ms, size = ll_size(path);
	int passes = 0;

	do {
		if (ll_filled(path, 0, size, PATTERN) != 1)
			return fail("changed:", path, -EIO);
		passes++;
	} while (ll_now_ms() < end);
	printf("unchanged in %d passes\n", passes);
	return 0;
}

int main(int argc, char **argv)
{
	int64_t block;

	if (argc == 3 && !strcmp(argv[1], "where")) {
		block = ll_physical(argv[2], 0);
		if (block < 0)
			return fail("looking at", argv[2], block);
		printf("%lld\n", (long long)block);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "fill"))
		return fill(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "paint"))
		return paint(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "take"))
		return take(argv[2], atoll(argv[3]), atoll(argv[4]));
	if (argc == 4 && !strcmp(argv[1], "hold"))
		return hold(argv[2], atoi(argv[3]));
	fprintf(stderr, "usage: block_watch where|fill|take|paint|hold FILE [ARGUMENT]...\n");
	return 2;
}
