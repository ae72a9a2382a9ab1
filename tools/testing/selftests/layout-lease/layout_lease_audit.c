// SPDX-License-Identifier: GPL-2.0
/*
 * What must hold after an attack, whatever it was:
 *
 *  - no lease, pin or break is left, in no list and no fdinfo;
 *  - blocks and inodes that it had are free again;
 *  - the filesystem can be unmounted, and its own checker finds no fault;
 *  - those who had no part in it live, run, and have been sent no signal.
 *
 *	ll_setup(&env, fs, "break");
 *	ll_audit_begin(&audit, &env);		nothing of the test is there yet
 *	innocent = ll_audit_innocent(&audit);
 *	...					the attack; its processes end
 *	ll_audit_end(&audit);			instead of ll_teardown()
 *
 * Each finding is logged, and the first is the result: -EBUSY for what is left
 * or cannot be unmounted, -ENOSPC for blocks or inodes that did not come back,
 * -EUCLEAN for a damaged filesystem, -ESRCH for an innocent that did not fare
 * well. The filesystem is repaired and mounted again whatever was found, so the
 * next test has its own result.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "layout_lease_audit.h"
#include "layout_lease_report.h"

#define OPTIONS "dax=always,layout_lease=break"

/* What is done with a filesystem of each type. */
static const struct {
	const char *type, *check, *repair;
} tools[] = {
	[LL_EXT4] = { "ext4", "e2fsck -fn", "e2fsck -fy" },
	[LL_XFS] = { "xfs", "xfs_repair -n", "xfs_repair -L" },
};

static int find_device(struct ll_audit *a)
{
	char line[512], dir[128];
	FILE *f = fopen("/proc/mounts", "re");
	int ret = -ENODEV;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %127s", a->device, dir) == 2 &&
		    !strcmp(dir, a->env->root)) {
			ret = 0;
			break;
		}
	fclose(f);
	return ret;
}

/* In the whole system: tests run one at a time. 1 if something is listed. */
static int listed(bool show)
{
	static const char * const lists[] = {
		"/proc/layout_leases", "/proc/layout_breaks",
	};
	char text[4096];
	int ret = 0, len;
	size_t i;

	for (i = 0; i < LL_ARRAY_SIZE(lists); i++) {
		len = ll_read(text, sizeof(text), "%s", lists[i]);
		if (len < 0 && len != -E2BIG)
			return len;
		ret |= len != 0;
		if (show && len)
			ll_log("audit: %s has\n%s", lists[i], text);
	}
	if (ret)
		return ret;
	return !ll_shell("grep -s '^layout_' /proc/[0-9]*/fdinfo/* | sed 's/^/# /' | %s",
			 show ? "grep . >&2" : "grep -q .");
}

static int nothing_is_listed(struct ll_audit *a)
{
	int64_t end = ll_now_ms() + a->patience;
	int ret;

	while ((ret = listed(false)) == 1 && ll_now_ms() < end)
		ll_sleep_ms(20);
	if (ret == 1)
		ret = listed(true);
	return ret == 1 ? -EBUSY : ret;
}

static int usage(struct ll_audit *a, int64_t *free, int64_t *inodes)
{
	struct statvfs st;

	sync();
	if (statvfs(a->env->root, &st))
		return -errno;
	*free = st.f_bfree;
	*inodes = st.f_files - st.f_ffree;
	return 0;
}

/* Filesystems free in the background what is deleted. */
static int nothing_is_lost(struct ll_audit *a)
{
	int64_t end = ll_now_ms() + a->patience, free = 0, inodes = 0;
	int ret;

	while (!(ret = usage(a, &free, &inodes)) && ll_now_ms() < end &&
	       (free != a->free || inodes != a->inodes))
		ll_sleep_ms(20);
	if (ret || (free == a->free && inodes == a->inodes))
		return ret;
	ll_log("audit: %lld blocks are free, %lld were; %lld inodes are used, %lld were",
	       (long long)free, (long long)a->free, (long long)inodes,
	       (long long)a->inodes);
	return -ENOSPC;
}

/* Not mounted, also not in the mount namespace of somebody who is exiting. */
static int device_is_free(struct ll_audit *a)
{
	int fd = ll_open(a->device, O_RDWR | O_EXCL);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* EBUSY may be for a moment, while a last reference is being dropped. */
static int detach(struct ll_audit *a)
{
	int64_t end = ll_now_ms() + a->patience;
	int ret;

	while ((ret = ll_ret(umount2(a->env->root, 0))) == -EBUSY &&
	       ll_now_ms() < end)
		ll_sleep_ms(20);
	if (!ret)
		while ((ret = device_is_free(a)) == -EBUSY && ll_now_ms() < end)
			ll_sleep_ms(20);
	if (!ret)
		return 0;
	ll_log("audit: umount of %s: %s", a->env->root, strerror(-ret));
	ll_shell("lsof %s 2>/dev/null | sed 's/^/# /' >&2", a->env->root);
	return ret;
}

static int attach(struct ll_audit *a)
{
	int ret = ll_ret(mount(a->device, a->env->root, tools[a->env->fs].type,
			       0, OPTIONS));

	if (!ret && ll_mount_option(a->env->root, "dax=always") != 1)
		ret = -ENODEV;
	if (ret)
		ll_log("audit: mount of %s: %s", a->device, strerror(-ret));
	return ret;
}

static int is_sound(struct ll_audit *a)
{
	const char *cmd = tools[a->env->fs].check;
	char out[] = "/tmp/layout-audit.out";

	if (a->damage && ll_shell(a->damage, a->device))
		return -EINVAL;
	if (!ll_shell("%s %s >%s 2>&1", cmd, a->device, out))
		return 0;
	ll_log("audit: %s %s:", cmd, a->device);
	ll_shell("sed 's/^/# /' %s >&2", out);
	ll_shell("%s %s >%s 2>&1", tools[a->env->fs].repair, a->device, out);
	return -EUCLEAN;
}

/* Signals that wait, but for SIGCHLD, which nobody is attacked with. */
static unsigned long long waiting(const char *text, const char *name)
{
	unsigned long long pending = ~0ULL;
	const char *at = strstr(text, name);

	if (at)
		sscanf(at + strlen(name), "%llx", &pending);
	return pending & ~(1ULL << (SIGCHLD - 1));
}

/* It lives, is not stopped, and no signal waits for it: it blocks all it can. */
static bool is_well(pid_t pid)
{
	unsigned long long signals;
	char text[4096], *state;

	if (ll_read(text, sizeof(text), "/proc/%d/status", pid) < 0) {
		ll_log("audit: innocent %d is gone", pid);
		return false;
	}
	state = strstr(text, "\nState:\t");
	signals = waiting(text, "\nSigPnd:\t") | waiting(text, "\nShdPnd:\t");
	if (state && !strchr("ZXTt", state[8]) && !signals)
		return true;
	ll_log("audit: innocent %d: state %c, pending signals %llx", pid,
	       state ? state[8] : '?', signals);
	return false;
}

/* Whether those who have no part in it are still well. */
int ll_audit_innocents(struct ll_audit *a)
{
	int i, ret = 0;

	for (i = 0; i < a->innocents; i++)
		if (!is_well(a->innocent[i]))
			ret = -ESRCH;
	return ret;
}

/* This process as well has no part in it. */
int ll_audit_watch(struct ll_audit *a, pid_t pid)
{
	if (a->innocents == LL_INNOCENTS)
		return -ENOSPC;
	a->innocent[a->innocents++] = pid;
	return 0;
}

/*
 * A process that does nothing, and has what its parent has: so it is started
 * before the test opens files that must be closed for unmounting. Its process
 * ID.
 */
pid_t ll_audit_innocent(struct ll_audit *a)
{
	sigset_t all, old;
	pid_t pid;
	int ret;

	/* from its first moment on */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return -errno;
	a->own[a->innocents] = true;
	ret = ll_audit_watch(a, pid);
	return ret ?: pid;
}

static void end_innocents(struct ll_audit *a)
{
	int i, status;

	for (i = 0; i < a->innocents; i++) {
		if (!a->own[i])
			continue;
		kill(a->innocent[i], SIGKILL);
		ll_wait_exit(a->innocent[i], LL_SOON, &status);
	}
	a->innocents = 0;
}

/*
 * Remembers what is free of a filesystem that nobody uses; to be called after
 * ll_setup(), before there are files. It is mounted anew, so whatever earlier
 * tests left to be freed later has been freed.
 */
int ll_audit_begin(struct ll_audit *a, struct ll_env *env)
{
	memset(a, 0, sizeof(*a));
	a->env = env;
	a->patience = LL_SOON;
	return find_device(a) ?: nothing_is_listed(a) ?:
	       ll_ret(rmdir(env->dir)) ?: detach(a) ?: attach(a) ?:
	       ll_drop_reserve(env->root) ?:
	       usage(a, &a->free, &a->inodes) ?: ll_ret(mkdir(env->dir, 0755));
}

static void keep_first(int *ret, int next)
{
	if (!*ret)
		*ret = next;
}

/* Takes the place of ll_teardown(). */
int ll_audit_end(struct ll_audit *a)
{
	int ret = ll_audit_innocents(a), err;

	keep_first(&ret, nothing_is_listed(a));
	ll_teardown(a->env);
	keep_first(&ret, nothing_is_lost(a));
	err = detach(a);
	keep_first(&ret, err);
	if (!err) {
		keep_first(&ret, is_sound(a));
		keep_first(&ret, attach(a) ?: ll_drop_reserve(a->env->root) ?:
			   nothing_is_lost(a));
	}
	keep_first(&ret, ll_audit_innocents(a));
	end_innocents(a);
	return ret;
}
