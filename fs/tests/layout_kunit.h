/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KUnit tests of layout leases: a file, processes that hold leases and pins on
 * it, and a clock that stands still until somebody sleeps.
 *
 * The file is on a filesystem of the test's own, and its leases are granted by
 * the code under test.  Holders are numbers without a task: whether one is alive
 * is what the test says.  A breaker that sleeps advances the clock to whatever
 * comes first, what it waits for or what a holder is going to do.
 */
#ifndef _FS_TESTS_LAYOUT_KUNIT_H
#define _FS_TESTS_LAYOUT_KUNIT_H

#include <kunit/test.h>
#include <linux/layout_lease.h>

#include "../layout_internal.h"

#define LAYOUT_KUNIT_HOLDERS	3
/* When a test begins, and fs.lease-break-time of most tests. */
#define LAYOUT_KUNIT_T0		(1000 * NSEC_PER_SEC)
#define LAYOUT_KUNIT_TIME	20
/* Time after the beginning of the test. */
#define LAYOUT_KUNIT_AT(ms)	(LAYOUT_KUNIT_T0 + (ms) * NSEC_PER_MSEC)

/**
 * struct layout_kunit_holder - a process with a lease
 * @kunit:      the test it is in
 * @pid:        its thread group
 * @file:       the open file
 * @owner:      owner of its pins
 * @pins:       its pins
 * @gone:       has exited
 * @kept:       another process keeps its pins when it exits
 * @kill_error: what a kill answers
 * @dies_after: nanoseconds from a kill to the exit, 0: never
 * @exits_at:   time of the exit to come, 0: none
 * @lets_go_at: when it will drop its pins, or its lease if that is plain
 * @told_at:    when it was told, 0: it was not
 * @nr_told:    how often
 * @signum:     by which signal
 * @killed_at:  when it was killed, 0: it was not
 * @revoked_at: when its pins were revoked, 0: they were not
 */
struct layout_kunit_holder {
	struct layout_kunit *kunit;
	struct pid *pid;
	struct file *file;
	struct layout_owner *owner;
	struct layout_pins pins;
	bool gone;
	bool kept;
	int kill_error;
	u64 dies_after;
	u64 exits_at;
	u64 lets_go_at;
	u64 told_at;
	unsigned int nr_told;
	int signum;
	u64 killed_at;
	u64 revoked_at;
};

/**
 * struct layout_kunit - the world of a test
 * @test:         the test
 * @dax:          the device
 * @mnt:          its filesystem
 * @inode:        the file
 * @lc:           its layout state
 * @holders:      who has it open
 * @now:          the time
 * @interrupt_at: when the breaker gets a signal, 0: never
 * @saved_time:   fs.lease-break-time as it was
 */
struct layout_kunit {
	struct kunit *test;
	struct dax_device *dax;
	struct vfsmount *mnt;
	struct inode *inode;
	struct layout_context *lc;
	struct layout_kunit_holder holders[LAYOUT_KUNIT_HOLDERS];
	u64 now;
	u64 interrupt_at;
	int saved_time;
};

int layout_kunit_init(struct kunit *test);
int layout_kunit_init_clock(struct kunit *test);
void layout_kunit_exit(struct kunit *test);
void layout_kunit_policy(struct layout_kunit *k, enum layout_policy policy);
struct layout_lease *layout_kunit_lease(struct layout_kunit *k, int nr, int arg,
					int signum);
struct layout_lease *layout_kunit_lease_unwilling(struct layout_kunit *k,
						  int nr, int signum);
void layout_kunit_become(struct layout_lease *lease, struct pid *holder);
struct layout_pin *layout_kunit_pin(struct layout_kunit *k, int nr,
				    pgoff_t first, pgoff_t last);
struct layout_kunit_holder *layout_kunit_consenting(struct layout_kunit *k,
						    int nr, pgoff_t first,
						    pgoff_t last);

#endif /* _FS_TESTS_LAYOUT_KUNIT_H */
