// SPDX-License-Identifier: GPL-2.0
/*
 * Environment of the layout lease tests: the filesystem under test with its
 * policy, the sysctls that govern leases, and time.
 *
 * A test begins with a fresh directory, leases enabled and a break time of one
 * second, whatever the one before it left behind.
 */
#include <ftw.h>
#include <glob.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "layout_lease_common.h"

void ll_log(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("# ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

int64_t ll_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/*
 * The time that the harness gives a test, which it sets an alarm for, is that of an
 * ordinary kernel. LL_SLOW is how many times slower this one is.
 */
unsigned int alarm(unsigned int seconds)
{
	const char *slow = getenv("LL_SLOW");
	struct itimerval timer = {
		.it_value.tv_sec = seconds * (slow ? atoi(slow) : 1),
	}, old;

	setitimer(ITIMER_REAL, &timer, &old);
	return old.it_value.tv_sec;
}

/* The kernel log from now on. */
int ll_kmsg(void)
{
	int log = ll_open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	if (log >= 0)
		lseek(log, 0, SEEK_END);
	return log;
}

/* The text of its next record; false if there is none yet. */
bool ll_kmsg_next(int log, char *text, size_t size)
{
	char record[1024], *line;
	ssize_t n;

	/* EPIPE: records were lost */
	while ((n = read(log, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		record[n > 0 ? n : 0] = '\0';
		line = strchr(record, ';');
		if (!line)
			continue;
		snprintf(text, size, "%.*s", (int)strcspn(line + 1, "\n"), line + 1);
		return true;
	}
	return false;
}

void ll_sleep_ms(int ms)
{
	struct timespec ts = {
		.tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000L,
	};

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

int ll_write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

int ll_sysctl(const char *name, int value)
{
	char path[64], text[16];

	snprintf(path, sizeof(path), "/proc/sys/fs/%s", name);
	snprintf(text, sizeof(text), "%d", value);
	return ll_write_text(path, text);
}

int ll_root(enum ll_fs fs, const char **root)
{
	const char *name = fs == LL_EXT4 ? "EXT4" : "XFS";

	*root = getenv(name);
	if (*root)
		return 0;
	ll_log("%s is not set: it must name a DAX mount point of that type", name);
	return -ENOENT;
}

int ll_remount(const char *root, const char *options)
{
	return ll_ret(mount(NULL, root, NULL, MS_REMOUNT, options));
}

/*
 * Pins of a process that has just been reaped may go a moment later, when the
 * last file of it is closed by a worker: so EBUSY is asked again, for a while.
 */
int ll_policy(struct ll_env *env, const char *policy)
{
	int64_t end = ll_now_ms() + 2000;
	char options[32];
	int ret;

	snprintf(options, sizeof(options), "layout_lease=%s", policy);
	while ((ret = ll_remount(env->root, options)) == -EBUSY &&
	       ll_now_ms() < end)
		ll_sleep_ms(20);
	return ret;
}

/* 1 if /proc/mounts shows the option for this mount point, 0 if not. */
int ll_mount_option(const char *root, const char *option)
{
	char line[512], dir[128], options[256], *opt, *save;
	FILE *f = fopen("/proc/mounts", "re");
	int ret = 0;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %127s %*s %255s", dir, options) != 2 ||
		    strcmp(dir, root))
			continue;
		ret = 0;
		for (opt = strtok_r(options, ",", &save); opt;
		     opt = strtok_r(NULL, ",", &save))
			ret |= !strcmp(opt, option);
	}
	fclose(f);
	return ret;
}

/* Also what somebody made immutable, or append-only. */
static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	long flags = 0;
	int fd;

	(void)st;
	(void)type;
	(void)ftw;
	if (!remove(path) || errno != EPERM)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (!ioctl(fd, FS_IOC_GETFLAGS, &flags)) {
		flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	close(fd);
	remove(path);
	return 0;
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* What a test that was killed has left behind. */
static void remove_leftovers(const char *root)
{
	char pattern[LL_PATH];
	glob_t found;
	size_t i;

	snprintf(pattern, sizeof(pattern), "%s/layout-*", root);
	if (glob(pattern, GLOB_NOSORT, NULL, &found))
		return;
	for (i = 0; i < found.gl_pathc; i++) {
		ll_shell("umount -R %s/mnt 2>/dev/null", found.gl_pathv[i]);
		remove_tree(found.gl_pathv[i]);
	}
	globfree(&found);
}

/* Remounting is slow: not if nothing changes. */
static int want_policy(struct ll_env *env, const char *policy)
{
	char option[32];
	int ret;

	snprintf(option, sizeof(option), "layout_lease=%s", policy);
	if (ll_mount_option(env->root, option) == 1)
		return 0;
	ret = ll_policy(env, policy);
	if (ret)
		ll_log("remounting %s with %s: %s", env->root, option,
		       strerror(-ret));
	return ret;
}

int ll_setup(struct ll_env *env, enum ll_fs fs, const char *policy)
{
	int ret = ll_root(fs, &env->root);

	if (ret)
		return ret;
	env->fs = fs;
	/* holders end while they are told things */
	signal(SIGPIPE, SIG_IGN);
	remove_leftovers(env->root);
	if (!ll_mount_option(env->root, "dax=always")) {
		ll_log("%s is not mounted with dax=always", env->root);
		return -ENODEV;
	}
	ret = policy ? want_policy(env, policy) : 0;
	if (ret)
		return ret;
	ret = ll_sysctl("leases-enable", 1) ?: ll_sysctl("lease-break-time", 1);
	if (ret)
		return ret;
	snprintf(env->dir, sizeof(env->dir), "%s/layout-XXXXXX", env->root);
	if (!mkdtemp(env->dir) || chmod(env->dir, 0755))
		return -errno;
	return 0;
}

void ll_teardown(struct ll_env *env)
{
	ll_sysctl("leases-enable", 1);
	ll_sysctl("lease-break-time", 45);
	remove_tree(env->dir);
}

/* Waits for a child to end, and reaps it. */
int ll_wait_exit(pid_t pid, int timeout_ms, int *status)
{
	struct pollfd p = { .events = POLLIN };
	int ret;

	p.fd = syscall(SYS_pidfd_open, pid, 0);
	if (p.fd < 0)
		return -errno;
	ret = poll(&p, 1, timeout_ms);
	close(p.fd);
	if (ret <= 0)
		return -ETIMEDOUT;
	ret = waitpid(pid, status, WNOHANG);
	/* a tracer may still have to see that it is dead */
	return ret == pid ? 0 : ret ? -errno : -ETIMEDOUT;
}

/* Runs a command; its exit status, or a negative errno. */
int ll_shell(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	ret = system(cmd);
	if (ret < 0)
		return -errno;
	return WIFEXITED(ret) ? WEXITSTATUS(ret) : -EINTR;
}

/* Mounts an overlay of the directories lower and upper, which may be there. */
int ll_overlay(struct ll_env *env, const char *mnt)
{
	char options[512];

	if (ll_shell("mkdir -p %s/lower %s/upper %s/work", env->dir, env->dir,
		     env->dir))
		return -EIO;
	snprintf(options, sizeof(options),
		 "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
		 env->dir, env->dir, env->dir);
	return ll_ret(mount("overlay", mnt, "overlay", 0, options));
}
