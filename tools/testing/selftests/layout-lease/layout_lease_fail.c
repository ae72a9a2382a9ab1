// SPDX-License-Identifier: GPL-2.0
/*
 * One call again and again, with the first, the second, ... allocation in the
 * kernel failing, until none fails any more.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "layout_lease_fail.h"

#define DEBUG	"/sys/kernel/debug"
#define NTH	"/proc/thread-self/fail-nth"
#define MAX_NTH	2000

static int set(const char *path, const char *text)
{
	int fd = ll_open(path, O_WRONLY), ret;

	if (fd < 0) {
		ll_log("cannot open %s", path);
		return fd;
	}
	ret = ll_ret(write(fd, text, strlen(text)));
	close(fd);
	return ret < 0 ? ret : 0;
}

/* Any allocation may fail that may, and the kernel's log says nothing of it. */
int ll_fail_setup(void)
{
	return set(DEBUG "/failslab/ignore-gfp-wait", "N") ?:
	       set(DEBUG "/failslab/verbose", "0") ?:
	       set(DEBUG "/fail_page_alloc/ignore-gfp-wait", "N") ?:
	       set(DEBUG "/fail_page_alloc/ignore-gfp-highmem", "N") ?:
	       set(DEBUG "/fail_page_alloc/min-order", "0") ?:
	       set(DEBUG "/fail_page_alloc/verbose", "0");
}

static int arm(int fd, int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);

	return write(fd, text, len) == len ? 0 : -errno;
}

/* 1 if an allocation has failed since arm(), 0 if there were not so many. */
static int disarm(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return -errno;
	return arm(fd, 0) ?: !strcmp(text, "0\n");
}

static bool allowed(const struct ll_fail *f, int ret)
{
	const int *errnum;

	if (!ret || ret == -ENOMEM)
		return true;
	for (errnum = f->errnos; errnum && *errnum; errnum++)
		if (ret == -*errnum)
			return true;
	return false;
}

static int fail_one(const struct ll_fail *f, void *arg, int fd, int nth,
		    int *called)
{
	int ret = f->prepare(arg), failed;

	if (ret) {
		ll_log("allocation %d: before the call: %s", nth, strerror(-ret));
		return ret;
	}
	ret = arm(fd, nth);
	if (ret)
		return ret;
	*called = f->call(arg);
	failed = disarm(fd);
	ret = failed < 0 ? failed : f->check(arg, *called);
	if (ret) {
		ll_log("allocation %d: after the call, which said %s: %s", nth,
		       strerror(-*called), strerror(-ret));
		return ret;
	}
	if (!(failed ? allowed(f, *called) : !*called)) {
		ll_log("allocation %d, %s: the call said %s", nth,
		       failed ? "which failed" : "which there was not",
		       strerror(-*called));
		return *called;
	}
	return failed;
}

/*
 * 0 if the world was right after each of the calls. *failed: how many of them
 * did not get over the loss of their allocation.
 */
int ll_fail_each(const struct ll_fail *f, void *arg, int *failed)
{
	int fd = ll_open(NTH, O_RDWR), ret = 1, nth, called = 0;

	if (fd < 0)
		return fd;
	*failed = 0;
	for (nth = 1; ret == 1 && nth < MAX_NTH; nth++) {
		ret = fail_one(f, arg, fd, nth, &called);
		*failed += ret == 1 && called;
	}
	close(fd);
	if (!ret)
		ll_log("%d allocations, and %d calls failed without theirs",
		       nth - 2, *failed);
	return ret == 1 ? -ELOOP : ret;
}
