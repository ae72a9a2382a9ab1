// SPDX-License-Identifier: GPL-2.0
/*
 * Paths in /proc/<pid>/file_pins and /proc/layout_leases: they are shown as
 * /proc/<pid>/maps shows those of mappings, whatever is in the name, wherever
 * the file is, and whoever looks.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_report.h"

#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(paths)
{
	struct ll_env env;
	char name[LL_PATH];
	char mnt[LL_PATH];
	int fd;
	void *map;
};

FIXTURE_VARIANT(paths)
{
	enum ll_fs fs;
};

FIXTURE_VARIANT_ADD(paths, ext4) {
	.fs = LL_EXT4,
};

FIXTURE_VARIANT_ADD(paths, xfs) {
	.fs = LL_XFS,
};

FIXTURE_SETUP(paths)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, "break"));
	ll_name(&self->env, "mnt", self->mnt);
	ASSERT_EQ(0, ll_ret(mkdir(self->mnt, 0755)));
	self->fd = -1;
}

FIXTURE_TEARDOWN(paths)
{
	if (self->fd >= 0)
		close(self->fd);
	umount2(self->mnt, MNT_DETACH);
	ll_teardown(&self->env);
}

/* Opens, leases and maps; the descriptor. */
static int hold(int dir, const char *name, void **map)
{
	int fd = ll_ret(openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644)), ret;

	if (fd < 0)
		return fd;
	ret = ll_ret(ftruncate(fd, LL_PAGE)) ?: ll_setlease(fd, F_LAYOUT);
	*map = mmap(NULL, LL_PAGE, RW, MAP_SHARED, fd, 0);
	if (!ret && *map == MAP_FAILED)
		ret = -errno;
	return ret ?: fd;
}

/* The file, from its line of maps on. */
static char *text_of(int proc, const char *name)
{
	int fd = ll_ret(openat(proc, name, O_RDONLY | O_CLOEXEC));
	static const size_t size = 4 * LL_MIB;
	char *text = calloc(1, size);
	size_t len = 0;
	ssize_t done;

	if (fd < 0 || !text) {
		ll_log("%s: %s", name, strerror(errno));
		free(text);
		return NULL;
	}
	while ((done = read(fd, text + len, size - 1 - len)) > 0)
		len += done;
	close(fd);
	return text;
}

/* The path in the line of a mapping: what follows six fields and blanks. */
static char *path_of_mapping(char *maps, const void *map)
{
	char begin[32], *line, *path;
	int at = 0;

	snprintf(begin, sizeof(begin), "%08lx-", (unsigned long)map);
	for (line = maps; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, begin, strlen(begin)))
			break;
	}
	if (!line || sscanf(line, "%*s %*s %*s %*s %*s%n", &at) < 0 || !at)
		return NULL;
	path = line + at;
	path += strspn(path, " ");
	*strchrnul(path, '\n') = '\0';
	return path;
}

/* The path in the only line, which is of a lease: what follows its fields. */
static char *path_of_lease(char *text, pid_t pid)
{
	char *path = text;
	int at = 0, with = 0;
	int seen;

	if (pid && (sscanf(text, "pid=%d %n", &seen, &with) != 1 || seen != pid))
		return NULL;
	if (sscanf(text + with, "lease %*u:%*u %*u layout fd=%*d pins=0%n", &at) < 0 ||
	    !at || path[with + at] != ' ' || strchr(text, '\n') != strrchr(text, '\n'))
		return NULL;
	path += with + at + 1;
	if (!strchr(path, '\n'))
		return NULL;
	*strchr(path, '\n') = '\0';
	return path;
}

/* file_pins and layout_leases have what maps has, and that ends so. */
static bool as_in_maps(int proc, const void *map, pid_t pid, const char *end)
{
	char *maps, *pins, *leases, *want, *path, *other, name[32];
	bool same = false;

	snprintf(name, sizeof(name), "%d/maps", pid);
	maps = text_of(proc, name);
	snprintf(name, sizeof(name), "%d/file_pins", pid);
	pins = text_of(proc, name);
	leases = text_of(proc, "layout_leases");
	if (maps && pins && leases) {
		want = path_of_mapping(maps, map);
		path = path_of_lease(pins, 0);
		other = path_of_lease(leases, pid);
		same = want && path && other && !strcmp(want, path) &&
		       !strcmp(want, other) && strlen(want) >= strlen(end) &&
		       !strcmp(want + strlen(want) - strlen(end), end);
		if (!same)
			ll_log("expected at the end: %s\n#   maps: %s\n#   others: %s, %s", end,
			       want ?: "?", path ?: pins, other ?: leases);
	}
	free(maps);
	free(pins);
	free(leases);
	return same;
}

static bool shown(const void *map, const char *end)
{
	int proc = ll_open("/proc", O_RDONLY | O_DIRECTORY);
	bool same = as_in_maps(proc, map, getpid(), end);

	close(proc);
	return same;
}

TEST_F(paths, only_newlines_are_escaped)
{
	static const char * const names[][2] = {
		{ "plain", "/plain" },
		{ " two  blanks ", "/ two  blanks " },
		{ "new\nline\n", "/new\\012line\\012" },
		{ "tab\tand\\back\\012slash", "/tab\tand\\back\\012slash" },
		{ "\"quotes'", "/\"quotes'" },
		{ "n\xc3\xa4hme \xe2\x82\xac", "/n\xc3\xa4hme \xe2\x82\xac" },
		{ "no\xfftext\x01", "/no\xfftext\x01" },
		{ "not (deleted)", "/not (deleted)" },
		{ "pin 1:2 3 0x0-0x1000 io_uring ", "/pin 1:2 3 0x0-0x1000 io_uring " },
		{ "%s%n#", "/%s%n#" },
	};
	int dir = ll_open(self->env.dir, O_RDONLY | O_DIRECTORY), fd;
	void *map;
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(names); i++) {
		fd = hold(dir, names[i][0], &map);
		ASSERT_LE(0, fd);
		EXPECT_TRUE(shown(map, names[i][1]));
		munmap(map, LL_PAGE);
		close(fd);
	}
	close(dir);
}

TEST_F(paths, deleted_file_is_marked)
{
	ll_name(&self->env, "f", self->name);
	self->fd = hold(AT_FDCWD, self->name, &self->map);
	ASSERT_LE(0, self->fd);
	EXPECT_TRUE(shown(self->map, "/f"));
	ASSERT_EQ(0, ll_ret(unlink(self->name)));
	EXPECT_TRUE(shown(self->map, "/f (deleted)"));
	/* the new one of that name is another */
	ASSERT_EQ(0, ll_sparse(&self->env, "f", LL_PAGE, self->name));
	EXPECT_TRUE(shown(self->map, "/f (deleted)"));
}

TEST_F(paths, renamed_file_has_its_new_name)
{
	char other[LL_PATH];

	ll_name(&self->env, "f", self->name);
	ll_name(&self->env, "mnt/a b", other);
	self->fd = hold(AT_FDCWD, self->name, &self->map);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ll_ret(rename(self->name, other)));
	EXPECT_TRUE(shown(self->map, "/mnt/a b"));
	/* a directory above it, too */
	ll_name(&self->env, "moved", other);
	ASSERT_EQ(0, ll_ret(rename(self->mnt, other)));
	EXPECT_TRUE(shown(self->map, "/moved/a b"));
}

TEST_F(paths, linked_file_has_the_name_it_was_opened_by)
{
	char other[LL_PATH];

	ll_name(&self->env, "f", self->name);
	ll_name(&self->env, "g", other);
	ASSERT_EQ(0, ll_sparse(&self->env, "f", LL_PAGE, self->name));
	ASSERT_EQ(0, ll_ret(link(self->name, other)));
	self->fd = hold(AT_FDCWD, other, &self->map);
	ASSERT_LE(0, self->fd);
	EXPECT_TRUE(shown(self->map, "/g"));
}

/* Longer than a page once it is escaped. */
TEST_F(paths, long_path_is_complete)
{
	int dir = ll_open(self->env.dir, O_RDONLY | O_DIRECTORY), next, i;
	char name[241], end[4 * 240 * 12 + 64], *out = end;
	size_t j;

	memset(name, '\n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (i = 0; i < 12; i++) {
		ASSERT_EQ(0, ll_ret(mkdirat(dir, name, 0755)));
		next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ASSERT_LE(0, next);
		close(dir);
		dir = next;
		*out++ = '/';
		for (j = 0; j < sizeof(name) - 1; j++)
			out += sprintf(out, "\\012");
	}
	sprintf(out, "/f");
	self->fd = hold(dir, "f", &self->map);
	ASSERT_LE(0, self->fd);
	EXPECT_TRUE(shown(self->map, end));
	close(dir);
}

TEST_F(paths, mount_is_that_of_the_open_file)
{
	char source[LL_PATH];

	ll_name(&self->env, "source", source);
	ASSERT_EQ(0, ll_ret(mkdir(source, 0755)));
	ASSERT_EQ(0, ll_ret(mount(source, self->mnt, NULL, MS_BIND, NULL)));
	ll_name(&self->env, "mnt/f", self->name);
	self->fd = hold(AT_FDCWD, self->name, &self->map);
	ASSERT_LE(0, self->fd);
	EXPECT_TRUE(shown(self->map, "/mnt/f"));
	ASSERT_EQ(0, ll_ret(umount2(self->mnt, MNT_DETACH)));
	/* which ends at the mount now */
	EXPECT_TRUE(shown(self->map, "/f"));
}

/* The reader's root decides, or what it cannot reach is shown as maps has it. */
static int look_from_jail(const char *root, const void *map, pid_t pid,
			  const char *end)
{
	int proc = ll_open("/proc", O_RDONLY | O_DIRECTORY), status, ret;
	pid_t child = fork();

	if (!child) {
		if (chroot(root) || chdir("/"))
			_exit(2);
		_exit(!as_in_maps(proc, map, pid, end));
	}
	close(proc);
	ret = ll_wait_exit(child, LL_SOON, &status);
	return ret ?: WEXITSTATUS(status);
}

TEST_F(paths, reader_in_a_chroot_sees_what_maps_shows_it)
{
	char jail[LL_PATH];

	ll_name(&self->env, "f", self->name);
	ll_name(&self->env, "jail", jail);
	ASSERT_EQ(0, ll_ret(mkdir(jail, 0755)));
	self->fd = hold(AT_FDCWD, self->name, &self->map);
	ASSERT_LE(0, self->fd);
	EXPECT_EQ(0, look_from_jail(self->env.dir, self->map, getpid(), "/f"));
	EXPECT_EQ(0, look_from_jail(jail, self->map, getpid(), "/f"));
	EXPECT_TRUE(shown(self->map, self->name));
}

TEST_F(paths, break_has_the_path_too)
{
	struct ll_pending p;
	struct ll_breaker b;
	char text[1024];

	ll_name(&self->env, "a b\nc", self->name);
	self->fd = hold(AT_FDCWD, self->name, &self->map);
	ASSERT_LE(0, self->fd);
	signal(SIGIO, SIG_IGN);
	ASSERT_EQ(0, ll_sysctl("lease-break-time", 20));
	ASSERT_EQ(0, ll_breaker_start(&b, OP_TRUNCATE, self->name, 0, 0));
	while (ll_read(text, sizeof(text), "/proc/layout_breaks") == 0)
		ll_sleep_ms(20);
	EXPECT_EQ(1, ll_scan_breaks(text, &p, 1));
	EXPECT_NE(NULL, strstr(text, "/a b\\012c\n"));
	EXPECT_EQ(0, ll_ret(unlink(self->name)));
	EXPECT_LT(0, ll_read(text, sizeof(text), "/proc/layout_breaks"));
	EXPECT_NE(NULL, strstr(text, "/a b\\012c (deleted)\n"));
	EXPECT_EQ(0, ll_setlease(self->fd, F_UNLCK));
	ll_breaker_end(&b);
}

TEST_HARNESS_MAIN
